"""The kernel behind `ClassStatistics`: sums per class in a few reads of the data."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from headtail.tensors import row_blocks, row_windows, shown, unit

__all__ = ["class_sums"]

# A window is read twice, the second time from the page cache if it is a memory map.
_WINDOW_NUMBERS = 2**28
# Rows that are added up in their own precision before they go into a float64 sum.
_BAG_ROWS = 128
_BAGS_AT_ONCE = 64
# Outside this range a float32 norm may have lost digits to under- or overflow.
_SAFE_NORM = (2.0**-60, 2.0**60)


def class_sums(
    features: Shaped[Tensor, "n_samples n_features"],
    labels: Int[Tensor, " n_samples"],
    n_classes: int,
) -> tuple[
    Int[Tensor, " n_classes"],
    Float[Tensor, "n_classes n_features"],
    Float[Tensor, "n_classes n_features"],
]:
    """Return per class: rows that are all zero, sum of rows, sum of unit rows.

    Rows of one class are added up by `embedding_bag`, which reads them where they are:
    no sorted copy, no unit copy. Their norms also show whether they are finite.
    """
    device, n_features = features.device, features.shape[1]
    zeros = torch.zeros(n_classes, dtype=torch.int64, device=device)
    sums, unit_sums = torch.zeros(
        2, n_classes, n_features, dtype=torch.float64, device=device
    )
    bad: list[int] = []
    for window in row_windows(features, _WINDOW_NUMBERS):
        rows, row_labels = features[window], labels[window]
        norms = _norms(rows)
        ordinary = (norms > _SAFE_NORM[0]) & (norms < _SAFE_NORM[1])
        for part in torch.split((~ordinary).nonzero().flatten(), 4096):
            block, block_labels = rows[part].double(), row_labels[part]
            finite = torch.isfinite(block).all(dim=1)
            bad += (part[~finite] + window.start).tolist()
            zeros.index_add_(0, block_labels, (block == 0).all(dim=1).long())
            sums.index_add_(0, block_labels, block)
            unit_sums.index_add_(0, block_labels, unit(block))
        order = row_labels.argsort(stable=True)
        order = order[ordinary[order]]
        _add_bags(rows, row_labels[order], order, norms.reciprocal(), sums, unit_sums)
    if bad:
        raise ValueError(
            f"features must be finite; {len(bad)} rows hold NaN or inf (rows "
            f"{shown(bad)}). Extract them again or drop them."
        )
    return zeros, sums, unit_sums


def _add_bags(
    rows: Tensor,
    row_labels: Tensor,
    order: Tensor,
    inverse_norms: Tensor,
    sums: Tensor,
    unit_sums: Tensor,
) -> None:
    """Add the rows, visited in `order` (by class), to the sums of their classes."""
    _, counts = torch.unique_consecutive(row_labels, return_counts=True)
    starts = _bag_starts(counts)
    ends = torch.cat([starts[1:], starts.new_tensor([len(order)])])
    bag_classes = row_labels[starts]
    for first in range(0, len(starts), _BAGS_AT_ONCE):
        bags = slice(first, first + _BAGS_AT_ONCE)
        begin, end = int(starts[bags][0]), int(ends[bags][-1])
        part, offsets = order[begin:end], starts[bags] - begin
        weights = inverse_norms[part]
        table = rows
        if rows.dtype not in (torch.float32, torch.float64):
            table, part = _floating(rows[part]), torch.arange(end - begin).to(part)
        plain = F.embedding_bag(part, table, offsets, mode="sum")
        units = F.embedding_bag(
            part, table, offsets, mode="sum", per_sample_weights=weights
        )
        sums.index_add_(0, bag_classes[bags], plain.double())
        unit_sums.index_add_(0, bag_classes[bags], units.double())


def _bag_starts(counts: Tensor) -> Tensor:
    """Cut consecutive runs of the given lengths into bags of at most _BAG_ROWS."""
    per_run = (counts + _BAG_ROWS - 1) // _BAG_ROWS
    run_start = counts.cumsum(0) - counts
    first_bag = per_run.cumsum(0) - per_run
    bag = torch.arange(int(per_run.sum()), device=counts.device)
    run = torch.repeat_interleave(per_run)
    return run_start[run] + (bag - first_bag[run]) * _BAG_ROWS


def _norms(rows: Tensor) -> Tensor:
    blocks = [rows[block] for block in row_blocks(len(rows), rows.shape[1])]
    norms = [torch.linalg.vector_norm(_floating(block), dim=1) for block in blocks]
    return torch.cat(norms) if norms else rows.new_zeros(0, dtype=torch.float32)


def _floating(rows: Tensor) -> Tensor:
    """Half precision in float32, integers in float64, the rest as it is."""
    if rows.dtype in (torch.float16, torch.bfloat16):
        return rows.float()
    return rows if rows.is_floating_point() else rows.double()
