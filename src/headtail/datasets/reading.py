"""Reading images in batches, as a torch data set: what all loading is made of."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from headtail.datasets.image_set import ImageSet
from headtail.datasets.preprocessing import Preprocessing
from headtail.tensors import as_tensor, shown

__all__ = ["BatchReader", "batches_in_order", "read_ahead"]


class BatchReader(Dataset[tuple[Tensor, Tensor]]):
    """From the indices of a batch to its images, and the indices that were read.

    Parameters
    ----------
    data
        Where the images are.
    each
        Called with every image; None to take them as they are. Its results must be of
        one size.
    skip_damaged
        Leave out files that are no whole image instead of raising an error; of a batch
        of such files nothing is left.
    """

    def __init__(
        self,
        data: ImageSet,
        each: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None = None,
        *,
        skip_damaged: bool = False,
    ) -> None:
        self.data, self.each, self.skip_damaged = data, each, skip_damaged

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return uint8 images [n_read, height, width, 3] and int64 indices [n_read]."""
        images: Any = self.data.images
        kept = torch.tensor(rows, dtype=torch.int64)
        if isinstance(images, np.ndarray) and self.each is None:
            return as_tensor(images[np.asarray(rows)]), kept
        read = [self._read(row) for row in rows]
        whole = [image for image in read if image is not None]
        sizes = {image.shape for image in whole}
        if len(sizes) > 1:
            raise ValueError(
                "Images of a batch must have one size; got "
                f"{shown(sorted(shape[:2] for shape in sizes))}. Give the "
                "preprocessing a size."
            )
        found = torch.tensor([image is not None for image in read])
        stacked = np.stack(whole) if whole else np.empty((0, 0, 0, 3), np.uint8)
        return torch.from_numpy(stacked), kept[found]

    def _read(self, row: int) -> npt.NDArray[np.uint8] | None:
        try:
            image: npt.NDArray[np.uint8] = self.data.images[row]
        except ValueError:
            if not self.skip_damaged:
                raise
            return None
        return image if self.each is None else self.each(image)


class _Reported(Dataset[Any]):
    """A data set that gives its errors back: a worker's would come with a traceback."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, batch: Any) -> Any:
        try:
            return self.dataset[batch]
        except (OSError, ValueError) as error:
            return error


def read_ahead(
    dataset: Dataset[tuple[Tensor, Tensor]], batches: Iterable[Any], n_workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what `dataset` gives for each of `batches`, read in `n_workers` processes.

    With 0 of them it is read in this one.
    """
    loader: DataLoader[Any] = DataLoader(
        _Reported(dataset),
        sampler=batches,
        batch_size=None,
        num_workers=n_workers,
        pin_memory=torch.cuda.is_available(),
        # The global one stays as it is.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def batches_in_order(
    data: ImageSet,
    rows: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    n_workers: int = 0,
    skip_damaged: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images without random changes, batch by batch, and their indices.

    A batch that nothing is left of is left out.

    Parameters
    ----------
    rows
        Which images, in which order.
    n_workers
        Processes that read ahead; 0 to read in this one.
    skip_damaged
        See `BatchReader`.
    """
    each = None if preprocessing.size is None else preprocessing.prepare
    batches = [
        rows[start : start + batch_size].tolist()
        for start in range(0, len(rows), batch_size)
    ]
    reader = BatchReader(data, each, skip_damaged=skip_damaged)
    return (batch for batch in read_ahead(reader, batches, n_workers) if len(batch[1]))
