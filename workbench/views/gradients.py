"""The gradient over the plane of theta_y and theta_j as heat maps: of a loss, of two side by side, or their difference.

Blue pulls the sample closer to a center, vermilion pushes it off; the line is the decision boundary T = N.
"""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from workbench.views.canvas import SILENT, Trace, listed
from workbench.views.theme import INK, template

if TYPE_CHECKING:  # a view draws results; it never needs torch
    from workbench.curves.gradients import GradientMap

QUANTITIES = {
    "target": "its own center: dL/dcos θ<sub>y</sub>",
    "negative": "the other center: dL/dcos θ<sub>j</sub>",
}
NOTHING = 1e-12  # nats per unit of cosine: below, there is no gradient to be seen
SHARE = 0.9  # of the plane whose gradients the colours tell apart; the few larger ones have the last colour
NICE = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # where a colour scale may end: few, so that a slider seldom moves it
GAP = {"x": 0.07, "y": 0.17}  # between two maps, as a share of the figure
ROW = 350  # height of a row of maps in pixels
TOP, BOTTOM = 112, 64
LETTERS = 62  # of a loss's name in one line


@dataclass(frozen=True, eq=False)
class Mapped:
    """One map to draw, and what it is called."""

    label: str
    map: GradientMap


def gradient_figure(
    mapped: Sequence[Mapped], show: str = "both", compare: str = "beside", dark: bool = False
) -> go.Figure:
    """Heat maps of one loss or two. show: "target", "negative" or "both"; compare: "beside", or "difference" of two."""
    return go.Figure(*drawing(mapped, show, compare, dark))


def drawing(mapped: Sequence[Mapped], show: str, compare: str, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
    """The traces, heat maps first, and the layout of a figure: a row for each loss, a column for each quantity."""
    columns = [q for q in QUANTITIES if show in (q, "both")]
    apart = compare == "difference" and len(mapped) == 2
    if apart:
        values = [[getattr(mapped[0].map, q) - getattr(mapped[1].map, q) for q in columns]]
        names = [f"{mapped[0].label} minus {mapped[1].label}"]
    else:
        values = [[getattr(m.map, q) for q in columns] for m in mapped]
        names = [m.label for m in mapped]
    plane = mapped[0].map
    place = [(row, column) for row in range(len(names)) for column in range(len(columns))]
    cells = [cell_axes(k, *at, len(names), len(columns), plane) for k, at in enumerate(place)]
    heat = [heat_map(k, values[r][c], plane) for k, (r, c) in enumerate(place)]
    drawn = [(k, m, i) for k, (r, _) in enumerate(place) for i, m in enumerate(mapped) if apart or i == r]
    lines = [boundary_line(k, m, "dash" if apart and i else "solid", apart, k == 0, dark) for k, m, i in drawn]
    height = len(names) * ROW + TOP + BOTTOM
    titles = [titled(cells[k], QUANTITIES[columns[c]], 0) for k, (_, c) in enumerate(place)]
    titles += [
        titled(cells[k], f"<b>{'<br>'.join(textwrap.wrap(names[r], LETTERS))}</b>", 18)
        for k, (r, c) in enumerate(place)
        if c == 0
    ]
    said = "gradient of the loss, in nats per unit of cosine"
    layout = {
        "template": template_of(dark),
        "uirevision": "gradients",
        "height": height,
        "coloraxis": colours([v for row in values for v in row], apart, height),
        "annotations": titles,
        "title": {"text": said, "font": {"size": 13}, "x": 0.5, "xanchor": "center", "y": 1 - 14 / height},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "margin": {"l": 64, "r": 16, "t": TOP, "b": BOTTOM},
    }
    return heat + lines, layout | {name: axis for cell in cells for name, axis in cell.items()}


template_of = functools.cache(template)  # made once: making and comparing templates costs more than a drawing


def cell_axes(k: int, row: int, column: int, rows: int, columns: int, plane: GradientMap) -> dict[str, Any]:
    """The two axes of one map, in degrees with radians below or beside."""
    width, height = (1 + GAP["x"]) / columns, (1 + GAP["y"]) / rows
    number = "" if k == 0 else str(k + 1)
    across = [round(column * width, 4), round(column * width + width - GAP["x"], 4)]
    up = [round((rows - 1 - row) * height, 4), round((rows - 1 - row) * height + height - GAP["y"], 4)]
    x, y = degrees(plane.theta_y, "<br>"), degrees(plane.theta_j, " / ")
    own, other = "θ<sub>y</sub>: angle from its own center", "θ<sub>j</sub>: angle from the other"
    if column:
        y, other = y | {"showticklabels": False}, ""
    return {
        f"xaxis{number}": x | {"domain": across, "anchor": f"y{number}", "title": {"text": own}},
        f"yaxis{number}": y | {"domain": up, "anchor": f"x{number}", "title": {"text": other}},
    }


def degrees(theta: np.ndarray, gap: str) -> dict[str, Any]:
    """Range and ticks of an axis over angles in rad."""
    low, high = math.degrees(theta.min()), math.degrees(theta.max())
    every = next(step for step in (5, 10, 15, 30, 45) if high - low <= 6 * step + 1 or step == 45)
    ticks = np.arange(math.ceil(low / every), math.floor(high / every + 1e-9) + 1) * every
    return {
        "range": [low, high],
        "tickvals": ticks.tolist(),
        "ticktext": [f"{d:.0f}°{gap}{math.radians(d):.2f}" for d in ticks],
    }


def heat_map(k: int, values: np.ndarray, plane: GradientMap) -> Trace:
    """One heat map; pointed at, it tells both angles in degrees and rad, and the gradient."""
    number = "" if k == 0 else str(k + 1)
    hover = (
        "θ<sub>y</sub> = %{x:.0f}° (%{customdata[0]:.2f} rad)<br>θ<sub>j</sub> = %{y:.0f}° (%{customdata[1]:.2f} rad)"
        "<br>%{z:.4g} nats per unit of cosine<extra></extra>"
    )
    return {
        "type": "heatmap",
        "x": listed(np.degrees(plane.theta_y), 4),
        "y": listed(np.degrees(plane.theta_j), 4),
        "z": [listed(row, 3) for row in values],
        "customdata": radians(plane.theta_y.tobytes(), plane.theta_j.tobytes()),
        "hovertemplate": hover,
        "coloraxis": "coloraxis",
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
    }


@functools.cache
def radians(theta_y: bytes, theta_j: bytes) -> list[list[tuple[float, float]]]:
    """Both angles in rad at every point of the plane, from their bytes; made once a plane, as it is long to compare."""
    along, across = (listed(np.frombuffer(angles), 3) for angles in (theta_y, theta_j))
    return [[(y, j) for y in along] for j in across]


def boundary_line(k: int, m: Mapped, dash: str, named: bool, first: bool, dark: bool) -> Trace:
    """Where T = N."""
    number = "" if k == 0 else str(k + 1)
    return {
        "type": "scatter",
        "name": f"boundary T = N of {m.label}" if named else "boundary T = N: below it the other class wins",
        "x": listed(np.degrees(m.map.boundary[:, 0]), 3),
        "y": listed(np.degrees(m.map.boundary[:, 1]), 3),
        "mode": "lines",
        "line": {"color": INK[dark], "width": 2, "dash": dash},
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "showlegend": first,
    } | SILENT


def titled(cell: dict[str, Any], text: str, up_by: int) -> dict[str, Any]:
    """A text some pixels above one map."""
    (across, up) = (axis["domain"] for axis in cell.values())
    return {
        "text": text,
        "yshift": up_by,
        "x": across[0],
        "y": up[1],
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "showarrow": False,
        "font": {"size": 13},
    }


def colours(values: Sequence[np.ndarray], apart: bool, height: int) -> dict[str, Any]:
    """One scale for all maps, zero in its middle, ending where SHARE of the gradients do, at a round number."""
    largest = max((float(np.nanquantile(np.abs(v), SHARE)) for v in values), default=0.0)
    largest = largest if largest > NOTHING else 1.0
    power = 10 ** math.floor(math.log10(largest))
    end = next(n for n in NICE if n * power >= largest * (1 - 1e-9)) * power
    more = "more" if apart else "closer"
    off = "more" if apart else "off"
    ticks = [-end, -end / 2, 0, end / 2, end]
    text = [f"−{end:g}: pulls {more}", f"−{end / 2:g}", "0", f"{end / 2:g}", f"{end:g}: pushes {off}"]
    bar = {
        "orientation": "h",
        "x": 0.5,
        "y": 1 - 30 / height,
        "yref": "container",
        "yanchor": "top",
        "ypad": 0,
        "len": 0.8,
        "thickness": 10,
        "tickvals": ticks,
        "ticktext": text,
    }
    return {"cmin": -end, "cmax": end, "colorbar": bar}
