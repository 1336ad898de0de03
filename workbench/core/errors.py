"""Errors of input and of the system as one line: what was wrong, the offending value, and what would be right."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

EXTRAS = {  # optional dependencies, and the extra of the package that installs each
    "kaleido": "export",
    "pyarrow": "parquet",
    "pyvista": "synth",
    "vtk": "synth",
    "voila": "app",
    "pytorch_metric_learning": "bench",
}
WRITERS = ("safetensors", "pyarrow", "PIL", "plotly", "kaleido", "choreographer", "zipfile", "zlib")  # own error types
ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EACCES: "choose a folder that can be written",
    errno.EPERM: "choose a folder that can be written",
    errno.EROFS: "choose a folder that can be written",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EISDIR: "a file is needed, this is a folder",
    errno.ELOOP: "the links lead in a circle",
}


class InputError(ValueError):
    """Input that the workbench cannot use: one line that names the culprit; the CLI exits with status 2."""


def quote(value: object, limit: int = 80) -> str:
    """A value for an error message: on one line, printable, at most `limit` characters long."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # an integer of too many digits
        text = f"{type(value).__name__} of too many digits"
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest names that do."""
    known, shown = sorted(known), quote(name)
    close = get_close_matches(shown, known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
    return InputError(f"unknown {kind} '{shown}'; {hint}")


def missing_extra(module: str, what: str) -> InputError:
    """The error for an optional dependency that is not installed, with the command that installs it."""
    extra = EXTRAS[module]
    return InputError(f"{what} needs {module}, which is not installed: pip install 'hypersphere-workbench[{extra}]'")


def reason(error: BaseException) -> str | None:
    """One line on an error of the system, of memory, of a missing extra or of a library that reads or writes files.

    None for every other error: it is a fault of the program and keeps its traceback.
    """
    root = type(error).__module__.partition(".")[0]
    words = quote(" ".join(str(error).split()), 200) or type(error).__name__
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        advice = ADVICE.get(error.errno)
        return (error.strerror or words) + (f"; {advice}" if advice else "")
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        return str(missing_extra(module, "this command")) if module in EXTRAS else None
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in words:
        return f"out of memory: {words}; take a smaller batch, --compute streaming or fewer classes"
    if isinstance(error, OSError) or root in WRITERS:
        return words
    if isinstance(error, ValueError) and "embedded null" in words:
        return "a path holds a null character"
    return None


def one_line(error: BaseException) -> str | None:
    """The line that the command line prints for an error, with its path if it has one; None for a program fault."""
    why = reason(error)
    path = getattr(error, "filename", None)
    if why is None or path is None or isinstance(error, InputError):
        return why
    return f"{quote(path if isinstance(path, str) else repr(path), 300)}: {why}"
