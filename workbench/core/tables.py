"""Tables as files: columns by name, written as CSV or Parquet, whole or not at all."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError
from workbench.core.record import write


def write_table(path: Path | str, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns of equal length to a .csv or .parquet file, and return its path.

    Raises InputError for another ending, a folder that is not there, and for Parquet without pyarrow.
    """
    path = Path(path)
    writers = {".csv": write_csv, ".parquet": write_parquet}
    if path.suffix.lower() not in writers:
        raise InputError(f"{path}: '{path.suffix}' is not one of {', '.join(writers)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    write(path, lambda temporary: writers[path.suffix.lower()](temporary, columns))
    return path


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row])


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    try:
        import pyarrow
        from pyarrow.parquet import write_table as write_file
    except ImportError:
        raise InputError(
            f"{path.name}: parquet needs pyarrow, which is not installed: pip install 'hypersphere-workbench[parquet]'"
        ) from None
    write_file(pyarrow.table(dict(columns)), path)
