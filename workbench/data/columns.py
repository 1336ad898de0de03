"""Which columns of a Parquet file hold the embedding: chosen by their types and names, and refused where not clear."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError, quote


def chosen_columns(
    path: Path, schema: Any, label: str | None, usual: Sequence[str]
) -> tuple[list[str], bool, tuple[str, ...]]:
    """The columns of a parquet schema that hold the embedding, whether they are lists, and notes on the choice.

    usual: the names that decide between several columns of lists.

    One column of lists, or all columns of numbers of one type whose names differ only in a number at their end; an
    index that pandas wrote is left out. Raises InputError where the choice is not clear.
    """
    from pyarrow import types

    fields = {field.name: field.type for field in schema}
    index = [name for name in fields if name in pandas_index(schema)]
    usable = {name: kind for name, kind in fields.items() if name != label and name not in index}
    lists = [n for n, t in usable.items() if types.is_list(t) or types.is_large_list(t) or types.is_fixed_size_list(t)]
    numbers = [n for n, t in usable.items() if types.is_floating(t) or types.is_integer(t)]
    columns = [name for name in lists if name in usual][:1] or lists or numbers
    if not columns or (lists and len(columns) > 1):
        raise InputError(f"{path}: columns {some(fields)}; one of lists or some of numbers are needed")
    if not lists:
        groups: dict[tuple[str, str], list[str]] = {}
        for name in numbers:
            groups.setdefault((str(fields[name]), name.rstrip("0123456789")), []).append(name)
        if len(groups) > 1 and (len({kind for kind, _ in groups}) > 1 or len(groups) < len(numbers)):
            said = "; ".join(f"{some(names)} ({kind})" for (kind, _), names in groups.items())
            raise InputError(
                f"{path}: which columns are the embedding is not clear: {said}; keep those of the embedding and the"
                " label, or store one column of lists"
            )
    notes = [f"columns taken as the embedding: {some(columns)}"]
    notes += [f"columns left out, an index of pandas: {some(index)}"] if index else []
    return columns, bool(lists), tuple(notes)


def pandas_index(schema: Any) -> set[str]:
    """The columns of a parquet schema that pandas stored as an index."""
    written = {name for name in schema.names if re.fullmatch(r"__index_level_\d+__|Unnamed: \d+", name)}
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        stored = json.loads(schema.metadata[b"pandas"])["index_columns"]
        written |= {name for name in stored if isinstance(name, str)}
    return written


def some(names: Iterable[str], shown: int = 4) -> str:
    """The first few names, the last one, and how many there are."""
    names = [quote(name) for name in names]
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[: shown - 1])}, ... {names[-1]} ({len(names)} in all)"
