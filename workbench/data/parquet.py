"""Reading of embeddings, labels, class names and paths from Parquet files, with a choice of the embedding columns."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import InputError, missing_extra, quote
from workbench.core.progress import Progress

PER_ROW = ("labels", "names", "paths")  # kinds of columns with one value per row


def read_parquet(
    path: Path, names: Mapping[str, Sequence[str]], progress: Progress
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read a Parquet file with one row per image: arrays by kind, and notes on the columns.

    names: accepted column names of each kind. Returns embeddings (n, D) float32 and, if there are such columns, labels
    (n,), paths (n,) and class names (C,); with class names, the labels are 0..C-1. Raises InputError without pyarrow,
    for ambiguous embedding columns and for lists of different lengths.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_extra("pyarrow", f"{path}: parquet") from None
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        present = {kind: [name for name in names[kind] if name in file.schema_arrow.names] for kind in PER_ROW}
        single = {kind: found[0] for kind, found in present.items() if found}
        columns, lists, notes = choose_columns(path, file.schema_arrow, single.values(), names["embeddings"])
        blocks, values, total = [], {kind: [] for kind in single}, file.metadata.num_rows
        for batch in file.iter_batches(columns=[*columns, *single.values()]):
            blocks.append(_list_rows(path, batch.column(columns[0])) if lists else _stack_columns(batch, columns))
            for kind, name in single.items():
                values[kind].extend(batch.column(name).to_pylist())
            progress(sum(map(len, blocks)), total, "rows read")
    if len({block.shape[1] for block in blocks}) != 1:
        raise InputError(f"{path}: column '{columns[0]}' has no rows, or lists of different lengths")
    arrays = {"embeddings": np.concatenate(blocks)} | {kind: np.array(a) for kind, a in values.items()}
    if "names" in arrays and not _index_names(arrays):
        notes.append(f"ignored column '{single['names']}': it does not give each label one name")
    return arrays, notes


def _index_names(arrays: dict[str, np.ndarray]) -> bool:
    """Replace names (n,) by names (C,) of the labels, and labels by 0..C-1; False, without names, if impossible."""
    names, labels = arrays.pop("names"), arrays.get("labels")
    if labels is None or labels.dtype.kind not in "iuU" or names.dtype.kind != "U":
        return False
    _, first, index = np.unique(labels, return_index=True, return_inverse=True)
    if not np.array_equal(names[first][index], names):
        return False
    arrays |= {"labels": index, "names": names[first]}
    return True


def choose_columns(
    path: Path, schema: Any, exclude: Collection[str], usual: Sequence[str]
) -> tuple[list[str], bool, list[str]]:
    """Choose the embedding columns of a Parquet schema: (columns, whether they hold lists, notes).

    The embedding is one column of lists, or all numeric columns of one type whose names differ only in a trailing
    number. The columns `exclude` and an index written by pandas are not considered. usual: names preferred among
    several columns of lists. Raises InputError if the choice is ambiguous.
    """
    from pyarrow import types

    fields = {field.name: field.type for field in schema}
    index = [name for name in fields if name in pandas_index(schema)]
    usable = {name: kind for name, kind in fields.items() if name not in {*exclude, *index}}
    lists = [n for n, t in usable.items() if types.is_list(t) or types.is_large_list(t) or types.is_fixed_size_list(t)]
    numbers = [n for n, t in usable.items() if types.is_floating(t) or types.is_integer(t)]
    columns = [name for name in lists if name in usual][:1] or lists or numbers
    if not columns or (lists and len(columns) > 1):
        raise InputError(f"{path}: columns {shorten(fields)}; one column of lists or several of numbers are needed")
    if not lists:
        groups: dict[tuple[str, str], list[str]] = {}
        for name in numbers:
            groups.setdefault((str(fields[name]), name.rstrip("0123456789")), []).append(name)
        if len(groups) > 1 and (len({kind for kind, _ in groups}) > 1 or len(groups) < len(numbers)):
            listing = "; ".join(f"{shorten(names)} ({kind})" for (kind, _), names in groups.items())
            raise InputError(
                f"{path}: the embedding columns are ambiguous: {listing}; keep only those of the embedding and the"
                " label, or store one column of lists"
            )
    notes = [f"embedding columns: {shorten(columns)}"]
    notes += [f"ignored columns (pandas index): {shorten(index)}"] if index else []
    return columns, bool(lists), notes


def pandas_index(schema: Any) -> set[str]:
    """Names of the columns of a Parquet schema that pandas stored as an index."""
    names = {name for name in schema.names if re.fullmatch(r"__index_level_\d+__|Unnamed: \d+", name)}
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        stored = json.loads(schema.metadata[b"pandas"])["index_columns"]
        names |= {name for name in stored if isinstance(name, str)}
    return names


def shorten(names: Iterable[str], shown: int = 4) -> str:
    """List names; of more than `shown`, the first ones, the last one and the count."""
    names = [quote(name) for name in names]
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[: shown - 1])}, ... {names[-1]} ({len(names)} in total)"


def _list_rows(path: Path, column: Any) -> np.ndarray:
    """A batch of a column of equally long lists as (n, D) float32."""
    from pyarrow.compute import list_value_length, unique

    flat, lengths = column.flatten().to_numpy(zero_copy_only=False), unique(list_value_length(column)).to_pylist()
    if len(lengths) != 1 or None in lengths:
        raise InputError(
            f"{path}: the lists have {', '.join(map(str, lengths[:3]))} ... numbers; all lists need the same length"
        )
    return flat.astype(np.float32).reshape(len(column), -1)


def _stack_columns(batch: Any, columns: Sequence[str]) -> np.ndarray:
    """A batch of numeric columns as (n, D) float32; a missing value becomes NaN."""
    return np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], 1).astype(np.float32)
