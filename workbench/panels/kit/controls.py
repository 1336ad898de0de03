"""Controls generated from what a parameter declares: a slider beside a number box, or a list of choices.

Also the invisible widget that a panel needs in its page: it reports the theme and names controls for screen readers.
"""

import math
from collections.abc import Callable
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import ipywidgets as widgets
import traitlets

from workbench.core.parameters import Param
from workbench.margins.base import Margin

WIDEST = 1000  # a range wider than this is typed, not slid
Changed = Callable[[str, Any], None]


class Page(anywidget.AnyWidget):
    """The page around a panel: whether its theme is dark. Shows nothing; belongs into the box of the controls."""

    _esm = Path(__file__).parents[1].joinpath("js", "page.js").read_text(encoding="utf-8")
    _css = Path(__file__).parents[1].joinpath("js", "page.css").read_text(encoding="utf-8")
    dark = traitlets.Bool(False).tag(sync=True)


class Control(NamedTuple):
    """One parameter on the screen: the row of widgets, and how to show a value in it."""

    row: widgets.Box
    show: Callable[[Any], None]


def declared(margin: Margin) -> dict[str, Param]:
    """What each field of a margin declares; a number that declares nothing gets a range around its value."""
    found = {}
    for f in fields(margin):
        value = getattr(margin, f.name)
        if "param" in f.metadata:
            found[f.name] = f.metadata["param"]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f.name] = Param(f.name, "declares no range", low=min(0.0, 2 * value), high=max(1.0, 2 * value))
    return found


def control(name: str, p: Param, value: Any, changed: Changed) -> Control:
    """A row for one parameter; changed(name, value) is called whenever a widget of it takes another value."""
    return (choice if p.choices else number)(name, p, value, changed)


def named(p: Param) -> widgets.HTML:
    """The symbol, meaning and unit of a parameter; page.js gives them to its controls as their name."""
    unit = f" [{p.unit}]" if p.unit else ""
    meaning = f'<span class="workbench-meaning">{escape(p.meaning)}{unit}</span>'
    return widgets.HTML(f'<span class="workbench-symbol">{escape(p.symbol)}</span> {meaning}')


def choice(name: str, p: Param, value: Any, changed: Changed) -> Control:
    """A list of the choices."""
    box = widgets.Dropdown(options=[(str(c), c) for c in p.choices], value=value, tooltip=p.meaning)
    box.observe(lambda change: changed(name, change["new"]), "value")
    row = widgets.HBox([named(p), box])
    row.add_class("workbench-row")
    return Control(row, lambda new: setattr(box, "value", new))


def number(name: str, p: Param, value: float, changed: Changed) -> Control:
    """Slider, number box and, for an angle, its degrees; only the box where the range is open or very wide."""
    box, beside = widgets.FloatText(value=value, tooltip=p.meaning), widgets.HTML()
    slider = None
    if p.high - p.low <= WIDEST:
        slider = widgets.FloatSlider(value, min=p.low, max=p.high, step=step(p.high - p.low), readout=False)

    def show(new: float) -> None:
        box.value = float(f"{new:.5g}")
        if slider is not None and abs(slider.value - new) > slider.step / 2:
            slider.value = new
        if p.unit == "rad":
            beside.value = f"= {math.degrees(new):.1f}°"

    def slid(change: dict[str, Any]) -> None:
        if abs(change["new"] - box.value) > slider.step / 2:  # else the browser only rounded a value to its steps
            changed(name, change["new"])

    show(value)
    box.observe(lambda change: changed(name, change["new"]), "value")
    if slider is not None:
        slider.observe(slid, "value")
    row = widgets.VBox([named(p), widgets.HBox([w for w in (slider, box, beside) if w is not None])])
    row.add_class("workbench-row")
    return Control(row, show)


def step(width: float) -> float:
    """About 300 steps over a range, each 1, 2 or 5 times a power of ten."""
    unit = 10 ** math.floor(math.log10(width / 300))
    return next(k * unit for k in (1, 2, 5, 10) if k * unit >= width / 300 * (1 - 1e-9))
