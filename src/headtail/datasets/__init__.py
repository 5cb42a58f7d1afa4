"""Where labelled examples come from."""

from headtail.datasets.cifar import cifar, cifar_lt, cifar_lt_splits
from headtail.datasets.digits import LongTailedDigits, long_tailed_digits
from headtail.datasets.glyphs import GLYPH_CLASSES, Glyphs, glyphs, render_glyphs
from headtail.datasets.image_files import ImageFiles, read_image
from headtail.datasets.image_set import ImageSet
from headtail.datasets.list_file import ListFile, read_list
from headtail.datasets.preprocessing import Preprocessing
from headtail.datasets.profiles import (
    SunSplit,
    exponential_counts,
    imbalance_ratio,
    natural_counts,
    pareto_counts,
    step_counts,
    subsample,
    sun_split,
)
from headtail.datasets.protocols import (
    PROTOCOLS,
    Protocol,
    ProtocolLists,
    get_protocol,
    protocol_lists,
)
from headtail.datasets.reading import BatchReader, batches_in_order, read_ahead
from headtail.datasets.sources import (
    image_arrays,
    image_folder,
    image_list,
    images_from_hugging_face,
    load_images,
)
from headtail.datasets.splits import Splits, load_splits

__all__ = [
    "GLYPH_CLASSES",
    "PROTOCOLS",
    "BatchReader",
    "Glyphs",
    "ImageFiles",
    "ImageSet",
    "ListFile",
    "LongTailedDigits",
    "Preprocessing",
    "Protocol",
    "ProtocolLists",
    "Splits",
    "SunSplit",
    "batches_in_order",
    "cifar",
    "cifar_lt",
    "cifar_lt_splits",
    "exponential_counts",
    "get_protocol",
    "glyphs",
    "image_arrays",
    "image_folder",
    "image_list",
    "images_from_hugging_face",
    "imbalance_ratio",
    "load_images",
    "load_splits",
    "long_tailed_digits",
    "natural_counts",
    "pareto_counts",
    "protocol_lists",
    "read_ahead",
    "read_image",
    "read_list",
    "render_glyphs",
    "step_counts",
    "subsample",
    "sun_split",
]
