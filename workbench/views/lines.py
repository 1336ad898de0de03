"""Line plots of one quantity against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.views.curves import split_at_jumps
from workbench.views.theme import GRAY, angle_ticks, template


@dataclass(frozen=True, eq=False)
class Line:
    """One line: x (k,), y (k,), color and dash, and the x of its jumps. Angles are in rad."""

    label: str
    x: np.ndarray
    y: np.ndarray
    color: str
    dash: str = "solid"
    jumps: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Axis:
    """An axis. angle: values in rad, shown in degrees and radians; log: logarithmic; level: a value to mark with a line
    across the figure, and its label."""

    title: str
    angle: bool = False
    log: bool = False
    level: tuple[float, str] | None = None


def lines_figure(lines: Sequence[Line], x: Axis, y: Axis, dark: bool = False) -> go.Figure:
    """The lines in one plot, each with a gap at its jumps."""
    figure = go.Figure(layout={"template": template(dark)})
    for line in lines:
        along, values, _, _ = split_at_jumps(*(np.asarray(a, float) for a in (line.x, line.y, line.jumps)))
        figure.add_scatter(
            x=in_unit(along, x),
            y=in_unit(values, y),
            mode="lines",
            name=line.label,
            line={"color": line.color, "dash": line.dash, "width": 2.5},
            hovertemplate=f"{line.label}<br>{hover('x', x)}<br>{hover('y', y)}<extra></extra>",
        )
    figure.update_xaxes(axis_settings(x, [line.x for line in lines], below=True))
    figure.update_yaxes(axis_settings(y, [line.y for line in lines], below=False))
    for axis, add_line in ((x, figure.add_vline), (y, figure.add_hline)):
        if axis.level:
            value, text = axis.level
            label = {"annotation_text": text, "annotation_position": "top right" if axis is x else "bottom left"}
            style = {"color": GRAY, "width": 1.5, "dash": "dot"}
            add_line(float(in_unit(np.array(value), axis)), line=style, **label)
    return figure


def in_unit(values: np.ndarray, axis: Axis) -> np.ndarray:
    """Values in the unit of the axis: angles in degrees."""
    return np.degrees(values) if axis.angle else np.asarray(values, float)


def hover(letter: str, axis: Axis) -> str:
    """The hover text of one coordinate."""
    return f"{axis.title}: %{{{letter}:{'.1f' if axis.angle else '.3g'}}}{'°' if axis.angle else ''}"


def axis_settings(axis: Axis, values: Sequence[np.ndarray], below: bool) -> dict[str, Any]:
    """The plotly axis; for an angle with ticks in degrees and radians."""
    if not axis.angle:
        return {"title_text": axis.title, "type": "log" if axis.log else "linear"}
    degrees = np.degrees(np.concatenate([np.asarray(v, float) for v in values]))
    low, high = np.nanmin(degrees), np.nanmax(degrees)
    step = next(step for step in (1, 2, 5, 10, 20, 30) if high - low <= 10 * step or step == 30)
    ticks = angle_ticks(np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step, "<br>" if below else " / ")
    unit = " (degrees, radians below)" if below else "<br>(degrees / radians)"
    return {"title_text": axis.title + unit} | ticks
