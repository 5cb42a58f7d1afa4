"""Parquet files of features: a list column `features` and a column `label`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.features.columns import NAMES_KEY, Columns
from headtail.files import open_error

__all__ = ["read_parquet", "write_parquet"]


def read_parquet(path: Path) -> Columns:
    """Read a parquet file; class names stand in its metadata."""
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise open_error(path, error, "parquet file") from error
    missing = {"features"} - set(table.column_names)
    if missing:
        raise ValueError(
            f"{path} must have a list column 'features' and a column 'label'; it has "
            f"{table.column_names}."
        )
    features = _list_column(path, pyarrow, table["features"])
    labels = None
    if "label" in table.column_names:
        if table["label"].null_count:
            raise ValueError(f"{path} must not have nulls in 'label'.")
        column = table["label"].combine_chunks()
        labels = column.to_numpy(zero_copy_only=False)
    metadata = table.schema.metadata or {}
    names = metadata.get(NAMES_KEY.encode())
    try:
        decoded = None if names is None else json.loads(names)
    except ValueError as error:
        raise open_error(path, error, "parquet file") from error
    return Columns(features, labels, decoded)


def _list_column(path: Path, pyarrow: Any, chunks: Any) -> npt.NDArray[Any]:
    """Return a column of lists of one length as [n_samples, n_features]."""
    kind = chunks.type
    if not any(
        is_kind(kind)
        for is_kind in (
            pyarrow.types.is_list,
            pyarrow.types.is_large_list,
            pyarrow.types.is_fixed_size_list,
        )
    ):
        raise ValueError(f"{path} must have lists in 'features'; it has {kind}.")
    column = chunks.combine_chunks()
    if not len(column):
        width = kind.list_size if pyarrow.types.is_fixed_size_list(kind) else 0
        return np.empty((0, width), kind.value_type.to_pandas_dtype())
    lengths = set(pyarrow.compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            f"{path} must have lists of one length in 'features'; their lengths are "
            f"{sorted(str(length) for length in lengths)[:5]}."
        )
    flat = column.flatten()
    if flat.null_count:
        raise ValueError(f"{path} must not have nulls in 'features'.")
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(column), -1)


def write_parquet(path: Path, columns: Columns) -> None:
    """Write a parquet file."""
    pyarrow, parquet = _pyarrow()
    native = columns.features.dtype.newbyteorder("=")
    flat = np.ascontiguousarray(columns.features, dtype=native).reshape(-1)
    width = columns.features.shape[1]
    data = {"features": pyarrow.FixedSizeListArray.from_arrays(flat, width)}
    if columns.labels is not None:
        data["label"] = pyarrow.array(columns.labels)
    table = pyarrow.table(data)
    if columns.class_names is not None:
        names = json.dumps(list(columns.class_names))
        table = table.replace_schema_metadata({NAMES_KEY: names})
    parquet.write_table(table, path)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet files need pyarrow; install it with pip install "
            "'headtail[parquet]'."
        ) from error
    return pyarrow, pyarrow.parquet
