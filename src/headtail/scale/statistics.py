"""Statistics of features in shards, which no machine needs to hold."""

import os

from headtail.progress import counter
from headtail.scale.addresses import list_shards
from headtail.scale.engines import check_engine, running
from headtail.scale.partial import merge_parts, summarise_shard
from headtail.statistics import StoredStatistics

__all__ = ["gather_statistics"]

_SUFFIXES = (".npz", ".parquet", ".safetensors")


def gather_statistics(
    source: str | os.PathLike[str],
    *,
    engine: str = "local",
    address: str | None = None,
) -> StoredStatistics:
    """Return the statistics of all features in a folder of shards, or in one file.

    One shard is in memory at a time, or one on each processor of a cluster. The engines
    add up in different orders: their results agree up to rounding in float64.

    Parameters
    ----------
    source
        Path, or an address that fsspec can open (``s3://bucket/features``), of a folder
        or one file; see `FeatureSet.load` for the formats. Labels that are numbers
        without names count up to the largest; text labels are sorted.
    engine
        ``"local"`` for this process, ``"ray"`` for a cluster, whose machines must all
        reach `source`.
    address
        Of the Ray cluster; None for that in ``RAY_ADDRESS``, else for this machine.

    Raises
    ------
    OSError
        If there is no shard, or no cluster.
    ValueError
        If a shard is damaged, has no labels, or does not fit the others.

    Examples
    --------
    >>> import tempfile
    >>> from headtail.features import FeatureSet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     FeatureSet([[3.0, 4.0]], [0]).save(f"{folder}/a.npz")
    ...     FeatureSet([[6.0, 8.0]], [2]).save(f"{folder}/b.npz")
    ...     gather_statistics(folder).statistics.class_counts
    tensor([1, 0, 1])
    """
    check_engine(engine, address, source)
    shards = list_shards(source, _SUFFIXES)
    with running(engine, address) as where, counter(len(shards), "reading") as advance:
        whole = where.reduced(shards, summarise_shard, merge_parts, advance)
    return StoredStatistics(whole.whole(), whole.class_names)
