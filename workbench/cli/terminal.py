"""What the commands share on a terminal: progress bars, numbers typed as options, a limit on threads."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from workbench.core.errors import InputError

Threads = Annotated[int | None, typer.Option(help="CPU threads; default: as many as there are cores.")]


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar as a function of (done, total, what). Without a terminal: a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield lines_now_and_then(title)
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


def lines_now_and_then(title: str) -> Callable[[int, int, str], None]:
    """Progress for a log: a line for every fifth of the way."""
    said = -1

    def advance(done: int, total: int, what: str = "") -> None:
        nonlocal said
        fifth = 5 * done // max(total, 1)
        if fifth != said:
            said = fifth
            typer.echo(f"{title}: {done} of {total} {what}", err=True)

    return advance


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
            raise InputError(f"{option} {pair}: expected NAME=VALUE")
    return {name.strip(): number_or_word(value.strip()) for name, value in (pair.split("=", 1) for pair in pairs)}


def on_command_line(ctx: typer.Context, name: str) -> bool:
    """Whether a person gave an option, by its parameter's name."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def limit_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads {threads}: at least 1")
        torch.set_num_threads(threads)
