"""What the commands share on a terminal: progress bars, numbers typed as options, a limit on threads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.core.errors import InputError, quote
from workbench.core.progress import Progress, log_progress

MOST_THREADS = 1024
MOST_PROCESSES = 1024
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: as many as there are cores.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port; the next free one is taken if it is in use.")]


def path(text: str | Path) -> Path:
    """The path that an option names; an empty one is refused, since it would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("the path is empty; give a file or folder, or . for the current folder")
    if "\0" in str(text):
        raise typer.BadParameter("the path holds a null character")
    return Path(text)


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress bar as a function of (done, total, what). Without a terminal: a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield log_progress(title)
        return
    from rich.console import Console

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


def number_or_word(text: str) -> Any:
    """The value of --set NAME=VALUE: a number, true or false where it reads like one, else the word."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def assignments(pairs: list[str], option: str = "--set") -> dict[str, Any]:
    """--set NAME=VALUE ... as a dictionary."""
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"{option} {quote(pair)}: expected NAME=VALUE")
    return {name.strip(): number_or_word(value.strip()) for name, value in (pair.split("=", 1) for pair in pairs)}


def on_command_line(ctx: typer.Context, name: str) -> bool:
    """Whether a person gave an option, by its parameter's name."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def limit_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            raise InputError(f"--threads {quote(threads)}: at least 1, at most {MOST_THREADS}")
        torch.set_num_threads(threads)
