"""Features that are fine-tuned at every split: stage 1 of MetaModelNet's variants."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.datasets import ImageSet
from headtail.features import extract
from headtail.heads import CosineHead
from headtail.training.image_classifier import ImageClassifier, new_head
from headtail.training.loop import train

__all__ = ["split_features"]


def split_features(
    model: ImageClassifier, data: ImageSet, *, seed: int = 0, **options: Any
) -> Callable[[npt.NDArray[Any], npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    """Return what `MetaModelNetClassifier.fit` takes as `split_features`.

    For each split, the backbone is fine-tuned on the images of the head classes that
    may be learned from, under a new head; then features of all images are extracted.
    The backbone that was given is left as it is: each split begins from it. For
    features that are fine-tuned once, `train` it on all images before.

    Parameters
    ----------
    model
        Its backbone is the beginning of each split; new heads are of its head's kind.
    data
        All training images; row i is row i of the features that the method is fitted
        on.
    seed
        Of the new heads and of the training.
    options
        As in `train`: `optimization`, `schedule` and the rest. Below `folder`, if it is
        given, each split has a run of its own, which can go on.

    References
    ----------
    Wang, Ramanan and Hebert. "Learning to Model the Tail." NeurIPS 2017, section 4.
    """
    kind: Any = "cosine" if isinstance(model.head, CosineHead) else "linear"

    def features_of(
        labels: npt.NDArray[Any], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        rows = rows[np.isin(data.labels[rows], labels)]
        backbone = deepcopy(model.backbone)
        head = new_head(
            kind, backbone.n_features, len(np.unique(data.labels[rows])), seed=seed
        )
        split = ImageClassifier(backbone, head, model.preprocessing)
        images, own = data.subset(rows), dict(options)
        if own.get("folder") is not None:
            # The same classes may come again with other rows: that is another run.
            Path(own["folder"]).mkdir(exist_ok=True)
            own["folder"] = Path(own["folder"]) / f"split-{images.fingerprint()}"
        train(split, images, seed=seed, **own)
        found = extract(backbone, data, preprocessing=model.preprocessing)
        return np.asarray(found.features)

    return features_of
