"""A quantity against another one as lines: a probability against an angle, a boundary against t, T under guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.views.curves import broken
from workbench.views.theme import GREY, template


@dataclass(frozen=True, eq=False)
class Line:
    """One line: x (k,), y (k,), its look, and the x where it jumps. An angle is in rad."""

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: str
    dash: str = "solid"
    jumps: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Axis:
    """What an axis shows. angle: values in rad, drawn in degrees with the radians beside; log: logarithmic; level: a
    value to mark across the figure, with its name."""

    title: str
    angle: bool = False
    log: bool = False
    level: tuple[float, str] | None = None


def lines_figure(lines: Sequence[Line], x: Axis, y: Axis, dark: bool = False) -> go.Figure:
    """The lines in one picture, each broken where it jumps."""
    figure = go.Figure(layout={"template": template(dark)})
    for line in lines:
        along, values, _, _ = broken(
            np.asarray(line.x, float), np.asarray(line.y, float), np.asarray(line.jumps, float)
        )
        figure.add_scatter(
            x=shown(along, x),
            y=shown(values, y),
            mode="lines",
            name=line.label,
            line={"color": line.colour, "dash": line.dash, "width": 2.5},
            hovertemplate=f"{line.label}<br>{hover('x', x)}<br>{hover('y', y)}<extra></extra>",
        )
    values = {x: [line.x for line in lines], y: [line.y for line in lines]}
    figure.update_xaxes(settings(x, values[x], below=True))
    figure.update_yaxes(settings(y, values[y], below=False))
    for axis, draw in ((x, figure.add_vline), (y, figure.add_hline)):
        if axis.level:
            at, text = axis.level
            place = {"annotation_text": text, "annotation_position": "top right" if axis is x else "bottom left"}
            draw(float(shown(np.array(at), axis)), line={"color": GREY, "width": 1.5, "dash": "dot"}, **place)
    return figure


def shown(values: np.ndarray, axis: Axis) -> np.ndarray:
    """Values as the axis counts them: an angle in degrees."""
    return np.degrees(values) if axis.angle else np.asarray(values, float)


def hover(letter: str, axis: Axis) -> str:
    """What a point says about its place on an axis."""
    return f"{axis.title}: %{{{letter}:{'.1f' if axis.angle else '.3g'}}}{'°' if axis.angle else ''}"


def settings(axis: Axis, values: Sequence[np.ndarray], below: bool) -> dict[str, Any]:
    """The plotly axis: of an angle, ticks in degrees with radians below or beside."""
    if not axis.angle:
        return {"title_text": axis.title, "type": "log" if axis.log else "linear"}
    known = np.degrees(np.concatenate([np.asarray(v, float) for v in values]))
    low, high = np.nanmin(known), np.nanmax(known)
    every = next(step for step in (1, 2, 5, 10, 20, 30) if high - low <= 10 * step or step == 30)
    ticks = np.arange(np.floor(low / every), np.ceil(high / every) + 1) * every
    gap = "<br>" if below else " / "
    return {
        "title_text": f"{axis.title} (degrees, radians below)" if below else f"{axis.title}<br>(degrees / radians)",
        "tickvals": ticks.tolist(),
        "ticktext": [f"{d:.0f}°{gap}{np.radians(d):.2f}" for d in ticks],
    }
