"""Selection of the embedding columns of a Parquet file by type and name. An ambiguous choice is an error."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError, quote


def choose_columns(
    path: Path, schema: Any, label: str | None, usual: Sequence[str]
) -> tuple[list[str], bool, tuple[str, ...]]:
    """Choose the embedding columns of a Parquet schema: (columns, whether they hold lists, notes).

    The embedding is one column of lists, or all numeric columns of one type whose names differ only in a trailing
    number. The column `label` and an index written by pandas are excluded. usual: names preferred among several columns
    of lists. Raises InputError if the choice is ambiguous.
    """
    from pyarrow import types

    fields = {field.name: field.type for field in schema}
    index = [name for name in fields if name in pandas_index(schema)]
    usable = {name: kind for name, kind in fields.items() if name != label and name not in index}
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
    return columns, bool(lists), tuple(notes)


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
