"""Atomic file writes (text, JSON), and checks of output folders before work starts.

A file is written to a temporary file in the same folder and renamed, so a file under its final name is complete.
Characters that UTF-8 cannot encode (file names in another encoding) are written as escapes such as \\udce9.
"""

import errno
import json
import math
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError, quote, reason

SAFE = "backslashreplace"  # error handler for characters that UTF-8 cannot encode


class WriteError(OSError, InputError):
    """A file or folder cannot be written. The message is one line with the path, the cause and a remedy."""


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a file atomically: call `save` with a temporary path in the same folder, sync it to disk, then rename it.

    The temporary file is removed on failure. Raises WriteError if the file cannot be written, for any library used.
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
    """The WriteError for an error of the operating system or of a library that writes files."""
    result = WriteError(f"cannot write to {quote(path, 300)}: {why}")
    result.errno = getattr(error, "errno", None)
    return result


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:  # the folder is not writable, so there is no temporary file
        return


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 atomically."""
    write(path, lambda p: p.write_text(text, encoding="utf-8", errors=SAFE))


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON atomically; NaN and infinities become null."""
    write_text(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """Format a value as indented JSON."""
    return json.dumps(to_plain(value), indent=1, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Convert a value to JSON types: NaN and infinities to None, arrays and sets to lists, keys to text."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        return to_plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    number = float(value)
    return number if math.isfinite(number) else None


def read_json(path: Path) -> Any:
    """Read a JSON file; NaN and infinities become None. Raises InputError if the file is missing or damaged."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise InputError(f"{path} is damaged: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged: {quote(reason(error) or error)}") from None


def refuse_existing(path: Path | str, option: str = "--out") -> Path:
    """Check that a folder is new or empty and writable, without creating it. Raises InputError."""
    path = Path(path)
    try:
        occupied = os.path.lexists(path) and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    if occupied:
        raise InputError(f"{path} exists already; choose another {option}, or remove it")
    return check_writable(path, option)


def check_writable(path: Path | str, option: str = "--out") -> Path:
    """Check that a folder is writable or can be created, without creating it. Raises InputError or WriteError."""
    path = Path(path)
    try:
        os.lstat(path)  # refuses a name that is too long, and a path below a file
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    existing = path
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing.is_symlink() and not existing.exists():
        raise InputError(f"{option} {path}: {existing} is a broken link; choose another folder")
    if not existing.is_dir():
        raise InputError(f"{option} {path}: {existing} is a file; choose a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise write_error(path, denied, reason(denied)) from None
    return path


def make_folder(path: Path) -> Path:
    """Create a folder and its parents if missing. Raises WriteError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error, reason(error) or str(error)) from None
    return path
