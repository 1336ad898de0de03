"""Controls generated from parameter declarations: a slider with a number box, or a dropdown.

Also buttons, messages, and `Page`, the invisible widget that reports the page's theme and sets the accessible names
of the controls.
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

WIDEST = 1000  # a wider range has no slider
OnChange = Callable[[str, Any], None]


class Page(anywidget.AnyWidget):
    """Reports whether the page's theme is dark. Invisible; belongs in the box of the controls."""

    _esm = Path(__file__).parents[1].joinpath("js", "page.js").read_text(encoding="utf-8")
    _css = Path(__file__).parents[1].joinpath("js", "page.css").read_text(encoding="utf-8")
    dark = traitlets.Bool(False).tag(sync=True)


class Control(NamedTuple):
    """The widgets of one parameter, and a function that displays a value in them."""

    row: widgets.Box
    show: Callable[[Any], None]


def margin_params(margin: Margin) -> dict[str, Param]:
    """The Param of each field of a margin; an undeclared number gets a range around its value."""
    params = {}
    for f in fields(margin):
        value = getattr(margin, f.name)
        if "param" in f.metadata:
            params[f.name] = f.metadata["param"]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            params[f.name] = Param(f.name, "declares no range", low=min(0.0, 2 * value), high=max(1.0, 2 * value))
    return params


def control(name: str, p: Param, value: Any, on_change: OnChange) -> Control:
    """A row for one parameter. on_change(name, value) is called when a widget of the row changes."""
    return (choice if p.choices else number)(name, p, value, on_change)


def button(text: str, tooltip: str, action: Callable[[], Any]) -> widgets.Button:
    """A button that calls action()."""
    widget = widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    widget.on_click(lambda _: action())
    return widget


def dropdown(text: str, options: Any, on_value: Callable[[Any], None], **style: str) -> widgets.Dropdown:
    """A labeled dropdown that calls on_value(value) on a change."""
    box = widgets.Dropdown(options=options, description=text, style=style)
    box.observe(lambda change: on_value(change["new"]), "value")
    return box


def problem_html(text: str) -> str:
    """An error message, announced by screen readers; empty for no text."""
    return f'<div class="workbench-problem" role="alert">{escape(text)}</div>' if text else ""


def state_html(*parts: str) -> str:
    """A status line of several parts."""
    return f'<div class="workbench-state" role="status">{escape(" · ".join(parts))}</div>'


def label_html(p: Param) -> widgets.HTML:
    """Symbol, meaning and unit of a parameter; page.js uses them as the accessible name of its controls."""
    unit = f" [{p.unit}]" if p.unit else ""
    meaning = f'<span class="workbench-meaning">{escape(p.meaning)}{unit}</span>'
    return widgets.HTML(f'<span class="workbench-symbol">{escape(p.symbol)}</span> {meaning}')


def choice(name: str, p: Param, value: Any, on_change: OnChange) -> Control:
    """A dropdown."""
    box = widgets.Dropdown(options=[(str(c), c) for c in p.choices], value=value, tooltip=p.meaning)
    box.observe(lambda change: on_change(name, change["new"]), "value")
    row = widgets.HBox([label_html(p), box])
    row.add_class("workbench-row")
    return Control(row, lambda new: setattr(box, "value", new))


def number(name: str, p: Param, value: float, on_change: OnChange) -> Control:
    """Slider, number box and, for an angle, its value in degrees; only the box if the range is open or wide."""
    box, beside = widgets.FloatText(value=value, tooltip=p.meaning), widgets.HTML()
    slider = None
    if p.high - p.low <= WIDEST:
        slider = widgets.FloatSlider(value, min=p.low, max=p.high, step=slider_step(p.high - p.low), readout=False)

    def show(new: float) -> None:
        box.value = float(f"{new:.5g}")
        if slider is not None and abs(slider.value - new) > slider.step / 2:
            slider.value = new
        if p.unit == "rad":
            beside.value = f"= {math.degrees(new):.1f}°"

    def on_slide(change: dict[str, Any]) -> None:
        if abs(change["new"] - box.value) > slider.step / 2:  # else the browser only rounded the value to the step
            on_change(name, change["new"])

    show(value)
    box.observe(lambda change: on_change(name, change["new"]), "value")
    if slider is not None:
        slider.observe(on_slide, "value")
    row = widgets.VBox([label_html(p), widgets.HBox([w for w in (slider, box, beside) if w is not None])])
    row.add_class("workbench-row")
    return Control(row, show)


def slider_step(width: float) -> float:
    """A slider step of 1, 2 or 5 times a power of ten, about 1/300 of the range."""
    unit = 10 ** math.floor(math.log10(width / 300))
    return next(k * unit for k in (1, 2, 5, 10) if k * unit >= width / 300 * (1 - 1e-9))
