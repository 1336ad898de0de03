"""Plotly figures of a page: numbered, with captions, drawn by the browser in a light and a dark theme."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from workbench.views.theme import CONFIG, template

Draw = Callable[[bool], go.Figure]  # dark -> figure


class NumberedFigure(NamedTuple):
    """The place of a figure on a page. caption and title: plain text; height: in px; kind: a CSS class."""

    number: int
    caption: str
    height: int
    title: str
    kind: str


class Figures:
    """The figures of one page, numbered in the order in which they are added."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def add(self, draw: Draw, caption: str, height: int = 400, title: str = "", kind: str = "") -> NumberedFigure:
        """Add a figure. draw: called for the light and the dark theme; caption: says what was sampled."""
        light, dark = (without_template(draw(scheme)) for scheme in (False, True))
        self.items.append({"light": light, "dark": None if dark == light else dark})
        return NumberedFigure(len(self.items), caption, height, title, kind)

    def to_json(self) -> str:
        """The data of the page's script as JSON that is safe inside a <script> element."""
        themes = {"light": template(False).to_plotly_json(), "dark": template(True).to_plotly_json()}
        config = CONFIG | {"modeBarButtons": [["toImage", "resetScale2d"]]}  # more would cover the legend
        text = json.dumps({"figures": self.items, "templates": themes, "config": config})
        return text.replace("<", "\\u003c")


def without_template(figure: go.Figure) -> dict[str, Any]:
    """A figure's data and layout without its template, which the page holds once."""
    content = json.loads(figure.to_json())
    content["layout"].pop("template", None)
    return content
