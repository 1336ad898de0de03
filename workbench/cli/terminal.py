"""What all commands use on a terminal: exit lines, Ctrl-C, progress bars, and parsers of option values."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from workbench.core.errors import InputError, quote
from workbench.core.progress import Progress, log_progress

MAX_THREADS = 1024
INTERRUPTED = 130  # exit status after Ctrl-C


def fail(message: str, status: int) -> NoReturn:
    """Print one line on standard error, unless `message` is empty, and exit with `status`."""
    if message:
        typer.echo(f"workbench: {' '.join(message.splitlines())}", err=True)
    sys.exit(status)


@contextmanager
def catch_interrupt() -> Iterator[Callable[[], bool]]:
    """End the block at Ctrl-C; the yielded function returns whether that happened."""
    interrupts: list[KeyboardInterrupt] = []
    try:
        yield lambda: bool(interrupts)
    except KeyboardInterrupt as interrupt:
        interrupts.append(interrupt)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A progress bar on standard error; log lines where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield log_progress(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None, what="")

        def advance(done: int, total: int, what: str = "") -> None:
            progress.update(task, completed=done, total=total, what=what)

        yield advance


def parse_path(text: str | Path) -> Path:
    """The path in an option; refuses the empty path, which would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("the path is empty; give a file or folder, or . for the current folder")
    if "\0" in str(text):
        raise typer.BadParameter("the path holds a null character")
    return Path(text)


def parse_value(text: str) -> Any:
    """The value in NAME=VALUE: an integer, a float or a boolean where the text reads as one, else the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def parse_assignments(pairs: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """NAME=VALUE texts as a dictionary. Raises InputError that names the option."""
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"{option} {quote(pair)}: expected NAME=VALUE")
    return {name.strip(): parse_value(value.strip()) for name, value in (pair.split("=", 1) for pair in pairs)}


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether the parameter `name` of a command was given on the command line, not by its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def limit_threads(threads: int | None) -> None:
    """Set torch's number of CPU threads; None keeps it. Raises InputError for a number out of range."""
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"--threads {quote(threads)}: at least 1, at most {MAX_THREADS}")
    import torch

    torch.set_num_threads(threads)


def examples(*lines: str) -> str:
    """The end of a command's help: example command lines, without `workbench`."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  workbench {line}" for line in lines)])
