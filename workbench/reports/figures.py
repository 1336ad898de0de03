"""Plotly figures -> numbered <figure> elements, and the data from which the browser draws them, light or dark."""

import json
from collections.abc import Callable
from html import escape
from typing import Any

import plotly.graph_objects as go

from workbench.views.theme import CONFIG, template

Draw = Callable[[bool], go.Figure]  # dark -> figure


class Figures:
    """The figures of one page, numbered as they are added."""

    def __init__(self) -> None:
        self.drawn: list[dict[str, Any]] = []

    def add(self, draw: Draw, caption: str, height: int = 400, title: str = "", kind: str = "") -> str:
        """An element for the figure. caption: HTML, says what was sampled; title: text above it; kind: a CSS class."""
        light, dark = (plain(draw(scheme)) for scheme in (False, True))
        self.drawn.append({"light": light, "dark": None if dark == light else dark})
        number = len(self.drawn)
        head = f"<h4>{escape(title)}</h4>" if title else ""
        return (
            f'<figure class="{kind}">{head}<div class="plot" id="figure-{number}" style="height:{height}px"></div>'
            f"<figcaption><b>Figure {number}.</b> {caption}</figcaption></figure>"
        )

    def to_json(self) -> str:
        """Everything the page's script needs, safe inside a <script> element."""
        looks = {"light": template(False).to_plotly_json(), "dark": template(True).to_plotly_json()}
        config = CONFIG | {"modeBarButtons": [["toImage", "resetScale2d"]]}  # more would cover the legend
        text = json.dumps({"figures": self.drawn, "templates": looks, "config": config})
        return text.replace("<", "\\u003c")


def plain(figure: go.Figure) -> dict[str, Any]:
    """A figure's data and layout without its template, which the page holds once."""
    content = json.loads(figure.to_json())
    content["layout"].pop("template", None)
    return content
