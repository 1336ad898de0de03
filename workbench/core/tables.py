"""Tables as files: CSV that a spreadsheet opens safely, and Parquet (extra `parquet`). Every write is atomic."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError, missing_extra
from workbench.core.files import SAFE, write

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet executes text that begins with one of these


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV atomically. The first row holds the column names."""
    table = [[csv_cell(value) for value in row] for row in rows]

    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors=SAFE) as file:
            csv.writer(file).writerows(table)

    write(path, save)


def csv_cell(value: Any) -> Any:
    """A CSV cell: empty for None and NaN; text that a spreadsheet would execute as a formula is prefixed with '."""
    if value is None or value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not is_number(value) else value


def is_number(text: str) -> bool:
    """Whether text is a number without surrounding blanks."""
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text


def write_table(path: Path | str, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns of equal length to a .csv or .parquet file. Returns the path.

    Raises InputError for another suffix, a missing folder, or Parquet without pyarrow.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{path}: '{path.suffix}' is not one of .csv, .parquet")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path.suffix.lower() == ".parquet":
        write_parquet(path, columns)
        return path
    rows = zip(*columns.values(), strict=True)
    write_csv(path, [list(columns), *([f"{v:.6f}" if isinstance(v, float) else v for v in row] for row in rows)])
    return path


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as Parquet atomically. Raises InputError without pyarrow."""
    try:
        import pyarrow
        from pyarrow.parquet import write_table as write_file
    except ImportError:
        raise missing_extra("pyarrow", f"{path.name}: parquet") from None
    table = {name: [escape_text(value) for value in values] for name, values in columns.items()}
    write(path, lambda p: write_file(pyarrow.table(table), p))


def escape_text(value: Any) -> Any:
    """Replace characters that UTF-8 cannot encode in text by escapes; other values are unchanged."""
    return value.encode("utf-8", SAFE).decode("utf-8") if isinstance(value, str) else value
