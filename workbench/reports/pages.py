"""HTML pages by jinja2 with autoescape: templates/base.html has the head, the style and the theme switch."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.files import write_text
from workbench.reports.figures import Figures
from workbench.views.theme import Style

NOTHING = "–"
MARKS = {  # of a method beside its label, as in the figures
    "x": "✕",
    "cross": "✚",
    "diamond": "◆",
    "square": "■",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "diamond-tall": "♦",
    "star": "★",
    "circle": "●",
}


class Cell(NamedTuple):
    """A cell of a table. note: small text below; kind: best, bold, code or symbol; images: (alternative text, URI)."""

    text: str
    note: str = ""
    kind: str = ""
    images: Sequence[tuple[str, str]] = ()


class HtmlTable(NamedTuple):
    """A table. The first cell of a row is its head; a Style is a mark with a label; kind: a CSS class."""

    head: Sequence[str | Cell | Style]
    rows: Sequence[Sequence[str | Cell | Style | Sequence[str | Cell]]]
    kind: str = ""


def render(template: str, figures: Figures | None = None, **values: Any) -> str:
    """The page of a template. Values are escaped. figures: in the order of the page.

    title, intro and contents ((anchor, name), ...) are values of every page. Raises jinja2.UndefinedError for a value
    that the template needs and that is missing.
    """
    return environment().get_template(template).render(values, figures=figures or Figures())


def write_page(out: Path, template: str, figures: Figures | None = None, **values: Any) -> Path:
    """Write the page of a template, see `render`, and return its path."""
    write_text(Path(out), render(template, figures, **values))
    return Path(out)


@cache
def environment() -> Any:
    """The jinja2 environment of the templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    result = Environment(loader=PackageLoader("workbench.reports"), **options)
    result.globals.update(MARKS=MARKS, plotly=get_plotlyjs)
    return result
