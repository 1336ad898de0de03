"""`workbench methods`: the losses, their presets and parameters."""

from pathlib import Path
from typing import Annotated

from typer import Option, echo

from workbench.cli.terminal import parse_path, progress_bar
from workbench.core.console import print_table


def methods(
    markdown: Annotated[bool, Option("--markdown", help="Print the Markdown table of README.md.")] = False,
    pages: Annotated[
        Path | None,
        Option(help="Write a page with figures of each loss into this folder (needs kaleido).", parser=parse_path),
    ] = None,
) -> None:
    """List the losses, their parameters and presets."""
    if pages is not None:
        from workbench.reports.method_pages import write_pages

        with progress_bar("pages") as progress:
            write_pages(pages, progress)
        return
    from workbench.methods import METHODS
    from workbench.methods.method import markdown_table

    if markdown:
        echo(markdown_table(METHODS))
        return
    rows = []
    for method in METHODS.values():
        values = ", ".join(
            f"{k} {v:g}" if isinstance(v, float | int) else f"{k} {v}" for k, v in method.settings().items()
        )
        rows.append((method.key, values, ", ".join(method.presets), method.citation))
    print_table(("method", "parameters (paper)", "presets", "published in"), rows)
