"""One-line messages for errors of input and of the system: the cause, the offending value, the expected one."""

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
    errno.EISDIR: "it is a folder; a file is needed",
    errno.ELOOP: "its symbolic links form a loop",
}


class InputError(ValueError):
    """Invalid input. The message is one line with the offending value; the CLI exits with status 2."""


def quote(value: object, limit: int = 80) -> str:
    """Format a value for an error message: one line, printable, at most `limit` characters."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # an integer of too many digits
        text = f"{type(value).__name__} of too many digits"
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The InputError for an unknown name, with the closest known name or the list of known names."""
    known, shown = sorted(known), quote(name)
    close = get_close_matches(shown, known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
    return InputError(f"unknown {kind} '{shown}'; {hint}")


def missing_extra(module: str, what: str) -> InputError:
    """The InputError for a missing optional dependency, with the command that installs it."""
    extra = EXTRAS[module]
    return InputError(f"{what} needs {module}, which is not installed: pip install 'hypersphere-workbench[{extra}]'")


def reason(error: BaseException) -> str | None:
    """The one-line cause of an operating-system, memory, missing-extra or file-library error.

    None for any other error: it is a bug in the program, and its traceback is kept.
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
        return f"out of memory: {words}; use a smaller batch, --compute streaming or fewer classes"
    if isinstance(error, OSError) or root in WRITERS:
        return words
    if isinstance(error, ValueError) and "embedded null" in words:
        return "a path contains a null character"
    return None


def one_line(error: BaseException) -> str | None:
    """The message that the command line prints for an error, with its path if any; None for a bug in the program."""
    why = reason(error)
    path = getattr(error, "filename", None)
    if why is None or path is None or isinstance(error, InputError):
        return why
    return f"{quote(path if isinstance(path, str) else repr(path), 300)}: {why}"
