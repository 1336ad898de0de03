"""Tables on a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 200  # characters, where standard output is no terminal


def console() -> Any:
    """A rich console on standard output, WIDTH columns wide where standard output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, right: Sequence[str] = ()
) -> None:
    """Print plain text as a table without lines. right: the columns that are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(Text(name), justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)
