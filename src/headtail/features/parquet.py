"""Parquet files of features: a list column `features` and a column `label`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headtail.features.columns import NAMES_KEY, Columns
from headtail.files import check_unpacked, open_error, parse_json
from headtail.tensors import shown

__all__ = ["read_parquet", "write_parquet"]


# Bytes of a number as parquet stores it.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT96": 12}


def read_parquet(path: Path) -> Columns:
    """Read a parquet file; class names stand in its metadata."""
    pyarrow, parquet = _pyarrow()
    try:
        told = parquet.read_metadata(path)
        stored = {told.schema.column(i).path for i in range(told.num_columns)}
        # Text as positions in what is distinct: a line of it may stand for millions.
        text = sorted({"label"} & stored)
        file = parquet.ParquetFile(path, metadata=told, read_dictionary=text)
        schema = file.schema_arrow
    except Exception as error:  # a damaged file fails in many ways
        raise open_error(path, error, "parquet file") from error
    with file:
        columns = [name for name in ("features", "label") if name in schema.names]
        if any(schema.names.count(name) != 1 for name in ["features", *columns]):
            raise ValueError(
                f"{path} must have a list column 'features' and a column 'label'; it "
                f"has {shown(schema.names)}."
            )
        _check_types(path, pyarrow, schema)
        try:
            check_unpacked(path, _unpacked(file.metadata, columns))
            table = file.read(columns=columns)
        except Exception as error:
            raise open_error(path, error, "parquet file") from error
    features = _list_column(path, pyarrow, table["features"])
    labels = None
    if "label" in columns:
        if table["label"].null_count:
            raise ValueError(f"{path} must not have nulls in 'label'.")
        labels = _labels(path, pyarrow, table["label"].combine_chunks())
    names = (schema.metadata or {}).get(NAMES_KEY.encode())
    try:
        decoded = None if names is None else parse_json(names)
    except ValueError as error:
        raise open_error(path, error, "parquet file") from error
    return Columns(features, labels, decoded)


def _check_types(path: Path, pyarrow: Any, schema: Any) -> None:
    types = pyarrow.types
    kind = schema.field("features").type
    if not any(
        is_kind(kind)
        for is_kind in (types.is_list, types.is_large_list, types.is_fixed_size_list)
    ):
        raise ValueError(f"{path} must have lists in 'features'; it has {kind}.")
    if not (types.is_integer(kind.value_type) or types.is_floating(kind.value_type)):
        raise ValueError(
            f"{path} must have lists of numbers in 'features'; it has {kind}."
        )
    if "label" not in schema.names:
        return
    kind = schema.field("label").type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    is_text = types.is_string(kind) or types.is_large_string(kind)
    if not (types.is_integer(kind) or is_text):
        raise TypeError(f"{path} must have integers or text in 'label'; it has {kind}.")


def _unpacked(metadata: Any, columns: list[str]) -> int:
    """Return the bytes that columns take in memory, by what the file says of itself."""
    total = 0
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            column = metadata.row_group(group).column(position)
            if column.path_in_schema.split(".")[0] in columns:
                size = column.num_values * _WIDTHS.get(column.physical_type, 8)
                total += max(size, column.total_uncompressed_size, 0)
    return total


def _labels(path: Path, pyarrow: Any, column: Any) -> npt.NDArray[Any]:
    try:
        if not pyarrow.types.is_dictionary(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False))
        distinct = column.dictionary.to_numpy(zero_copy_only=False)
        longest = max(
            (len(text) for text in distinct if isinstance(text, str)), default=0
        )
        check_unpacked(path, 4 * longest * len(column))
        return np.asarray(distinct[column.indices.to_numpy(zero_copy_only=False)])
    except Exception as error:  # text that is no UTF-8, positions beyond the end
        raise open_error(path, error, "parquet file") from error


def _list_column(path: Path, pyarrow: Any, chunks: Any) -> npt.NDArray[Any]:
    """Return a column of lists of one length as [n_samples, n_features]."""
    kind = chunks.type
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
