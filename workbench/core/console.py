"""Tables on a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 160  # characters, where the output is no terminal


def console(width: int = WIDTH) -> Any:
    """A rich console on standard output; width: in characters, where the output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def print_table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    width: int = WIDTH,
    right: Sequence[str] = (),
    bold: Sequence[int] = (),
) -> None:
    """Print plain text as a table. right: columns aligned right, by their heads; bold: indices of rows.

    width: of the table in characters, where the output is no terminal.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), title=Text(title) if title else None, title_justify="left")
    for name in head:
        table.add_column(Text(name), justify="right" if name in right else "left")
    for index, row in enumerate(rows):
        table.add_row(*map(Text, row), style="bold" if index in bold else None)
    console(width).print(table)
