"""Files: atomic writes, JSON, CSV and Parquet; folders are checked before the work that fills them begins.

Every file is written to a temporary file in the same folder and renamed, so a file of a final name is always whole.
Characters that UTF-8 cannot encode (file names of another encoding) are written as escapes such as \\udce9.
"""

import csv
import errno
import json
import math
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError, missing_extra, quote, reason

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet executes text that begins with one of these
SAFE = "backslashreplace"  # how characters that UTF-8 cannot encode are written


class WriteError(OSError, InputError):
    """A file or folder that cannot be written: one line with its path, the reason and what to do."""


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Let `save` write to a temporary file in the same folder, sync it to the disk, then rename it.

    Raises WriteError where the file cannot be written, whichever library writes it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:100]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        save(temporary)
        sync(temporary)
        os.replace(temporary, path)
        if os.name == "posix":
            sync(path.parent)
    except InputError:
        raise
    except Exception as error:
        if (why := reason(error)) is None:
            raise
        raise write_error(path, error, why) from error
    finally:
        _remove(temporary)


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        with suppress(OSError):  # a file system that cannot promise it
            os.fsync(number)
    finally:
        os.close(number)


def write_error(path: Path, error: Exception, why: str) -> WriteError:
    """The WriteError of an error of the system or of a library that writes files."""
    found = WriteError(f"cannot write to {quote(path, 300)}: {why}")
    found.errno = getattr(error, "errno", None)
    return found


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:  # where nothing could be written, nothing is left either
        return


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 atomically."""
    write(path, lambda p: p.write_text(text, encoding="utf-8", errors=SAFE))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; a number that JSON does not have (NaN, an infinity) is null."""
    write_text(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """A value as indented JSON text."""
    return json.dumps(finite(value), indent=1, allow_nan=False)


def finite(value: Any) -> Any:
    """A value as JSON has it: None for numbers that are not finite, lists for arrays, keys as text."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        return finite(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [finite(item) for item in value]
    number = float(value)
    return number if math.isfinite(number) else None


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError names it if it is missing or damaged. NaN and infinities become None."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise InputError(f"{path} is damaged: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged: {quote(reason(error) or error)}") from None


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV atomically, the first row being the names of the columns."""
    table = [[cell(value) for value in row] for row in rows]

    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors=SAFE) as file:
            csv.writer(file).writerows(table)

    write(path, save)


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file: empty for None and NaN; text that a spreadsheet would execute begins with '."""
    if value is None or value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not is_number(value) else value


def is_number(text: str) -> bool:
    """Whether text is a number as this workbench writes it."""
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text


def write_table(path: Path | str, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns of equal length to a .csv or .parquet file, and return its path.

    Raises InputError for another ending, a folder that does not exist, and for Parquet without pyarrow.
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
    """Write columns of equal length as Parquet atomically; InputError without pyarrow."""
    try:
        import pyarrow
        from pyarrow.parquet import write_table as write_file
    except ImportError:
        raise missing_extra("pyarrow", f"{path.name}: parquet") from None
    whole = {name: [encodable(value) for value in values] for name, values in columns.items()}
    write(path, lambda p: write_file(pyarrow.table(whole), p))


def encodable(value: Any) -> Any:
    """Text that UTF-8 can encode; other values as they are."""
    return value.encode("utf-8", SAFE).decode("utf-8") if isinstance(value, str) else value


def refuse_existing(path: Path | str, option: str = "--out") -> Path:
    """The path of a folder that is new or empty and can be written; InputError otherwise. Nothing is created."""
    path = Path(path)
    try:
        occupied = os.path.lexists(path) and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    if occupied:
        raise InputError(f"{path} exists already; choose another {option}, or remove it")
    return check_writable(path, option)


def check_writable(path: Path | str, option: str = "--out") -> Path:
    """The path of a folder that exists and can be written, or that can be made; WriteError otherwise."""
    path = Path(path)
    try:
        os.lstat(path)  # refuses a name that is too long, and a path below a file
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    there = path
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if there.is_symlink() and not there.exists():
        raise InputError(f"{option} {path}: {there} is a link that leads nowhere; choose another folder")
    if not there.is_dir():
        raise InputError(f"{option} {path}: {there} is a file; choose a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise write_error(path, denied, reason(denied)) from None
    return path


def make_folder(path: Path) -> Path:
    """Make a folder with its parents, if it is not there; WriteError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    return path
