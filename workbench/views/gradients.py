"""Heat maps of the gradient over the plane of theta_y and theta_j: of one loss, of two, or their difference.

Blue: the sample is pulled to the center; vermilion: pushed off; the line is the decision boundary T = N.
"""

from __future__ import annotations

import functools
import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from workbench.views.canvas import NO_HOVER, Trace, as_list
from workbench.views.theme import INK, angle_ticks, template

if TYPE_CHECKING:  # importing it would load torch
    from workbench.curves.gradients import GradientMap

QUANTITIES = {
    "target": "own center: dL/dcos θ<sub>y</sub>",
    "negative": "other center: dL/dcos θ<sub>j</sub>",
}
NOTHING = 1e-12  # nats per unit of cosine: smaller gradients are shown as 0
SHARE = 0.9  # quantile of the gradients at the end of the color scale; larger ones are clipped
NICE = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # ends of a color scale: few, so that a slider seldom changes it
GAP = {"x": 0.07, "y": 0.17}  # between two maps, as a share of the figure
ROW = 350  # height of a row of maps in px
TOP, BOTTOM = 112, 64
LETTERS = 62  # per line of a loss's name


@dataclass(frozen=True, eq=False)
class LabeledMap:
    """A gradient map and its label."""

    label: str
    map: GradientMap


def gradient_figure(
    maps: Sequence[LabeledMap], show: str = "both", compare: str = "beside", dark: bool = False
) -> go.Figure:
    """Heat maps of one loss or two. show: "target", "negative" or "both"; compare: "beside", or "difference" of two."""
    return go.Figure(*drawing(maps, show, compare, dark))


def drawing(maps: Sequence[LabeledMap], show: str, compare: str, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
    """Traces, heat maps first, and layout of a figure: a row per loss, a column per quantity."""
    columns = [q for q in QUANTITIES if show in (q, "both")]
    difference = compare == "difference" and len(maps) == 2
    if difference:
        values = [[getattr(maps[0].map, q) - getattr(maps[1].map, q) for q in columns]]
        names = [f"{maps[0].label} minus {maps[1].label}"]
    else:
        values = [[getattr(m.map, q) for q in columns] for m in maps]
        names = [m.label for m in maps]
    plane, height = maps[0].map, len(names) * ROW + TOP + BOTTOM
    heat, lines, axes, titles = [], [], {}, []
    for k, (r, c) in enumerate(itertools.product(range(len(names)), range(len(columns)))):
        cell = cell_axes(k, r, c, len(names), len(columns), plane)
        axes |= cell
        heat.append(heat_map(k, values[r][c], plane))
        for i, m in enumerate(maps):
            if difference or i == r:
                dash = "dash" if difference and i else "solid"
                lines.append(boundary_line(k, m, dash, difference, k == 0, dark))
        titles.append(title(cell, QUANTITIES[columns[c]], 0))
        if c == 0:
            titles.append(title(cell, f"<b>{'<br>'.join(textwrap.wrap(names[r], LETTERS))}</b>", 18))
    heading = "gradient of the loss, in nats per unit of cosine"
    layout = {
        "template": template(dark),
        "uirevision": "gradients",
        "height": height,
        "coloraxis": color_axis([v for row in values for v in row], difference, height),
        "annotations": titles,
        "title": {"text": heading, "font": {"size": 13}, "x": 0.5, "xanchor": "center", "y": 1 - 14 / height},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "margin": {"l": 64, "r": 16, "t": TOP, "b": BOTTOM},
    }
    return heat + lines, layout | axes


def cell_axes(k: int, row: int, column: int, rows: int, columns: int, plane: GradientMap) -> dict[str, Any]:
    """The two axes of map k, with ticks in degrees and radians."""
    width, height = (1 + GAP["x"]) / columns, (1 + GAP["y"]) / rows
    number = "" if k == 0 else str(k + 1)
    across = [round(column * width, 4), round(column * width + width - GAP["x"], 4)]
    up = [round((rows - 1 - row) * height, 4), round((rows - 1 - row) * height + height - GAP["y"], 4)]
    x, y = angle_axis(plane.theta_y, "<br>"), angle_axis(plane.theta_j, " / ")
    own, other = "θ<sub>y</sub>: angle to the own center", "θ<sub>j</sub>: to the other center"
    if column:
        y, other = y | {"showticklabels": False}, ""
    return {
        f"xaxis{number}": x | {"domain": across, "anchor": f"y{number}", "title": {"text": own}},
        f"yaxis{number}": y | {"domain": up, "anchor": f"x{number}", "title": {"text": other}},
    }


def angle_axis(theta: np.ndarray, separator: str) -> dict[str, Any]:
    """Range and ticks of an axis over angles in rad."""
    low, high = math.degrees(theta.min()), math.degrees(theta.max())
    step = next(step for step in (5, 10, 15, 30, 45) if high - low <= 6 * step + 1 or step == 45)
    ticks = np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step
    return {"range": [low, high]} | angle_ticks(ticks, separator)


def heat_map(k: int, values: np.ndarray, plane: GradientMap) -> Trace:
    """Heat map k; the hover text gives both angles in degrees and rad, and the gradient."""
    number = "" if k == 0 else str(k + 1)
    hover = (
        "θ<sub>y</sub> = %{x:.0f}° (%{customdata[0]:.2f} rad)<br>θ<sub>j</sub> = %{y:.0f}° (%{customdata[1]:.2f} rad)"
        "<br>%{z:.4g} nats per unit of cosine<extra></extra>"
    )
    return {
        "type": "heatmap",
        "x": as_list(np.degrees(plane.theta_y), 4),
        "y": as_list(np.degrees(plane.theta_j), 4),
        "z": [as_list(row, 3) for row in values],
        "customdata": radians(plane.theta_y.tobytes(), plane.theta_j.tobytes()),
        "hovertemplate": hover,
        "coloraxis": "coloraxis",
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
    }


@functools.cache
def radians(theta_y: bytes, theta_j: bytes) -> list[list[tuple[float, float]]]:
    """Both angles in rad at every point of the plane, from their bytes; cached because it is slow to compare."""
    along, across = (as_list(np.frombuffer(angles), 3) for angles in (theta_y, theta_j))
    return [[(y, j) for y in along] for j in across]


def boundary_line(k: int, m: LabeledMap, dash: str, named: bool, first: bool, dark: bool) -> Trace:
    """The decision boundary T = N on map k; named: with the label of the loss."""
    number = "" if k == 0 else str(k + 1)
    return {
        "type": "scatter",
        "name": f"boundary T = N of {m.label}" if named else "boundary T = N: below it the other class wins",
        "x": as_list(np.degrees(m.map.boundary[:, 0]), 3),
        "y": as_list(np.degrees(m.map.boundary[:, 1]), 3),
        "mode": "lines",
        "line": {"color": INK[dark], "width": 2, "dash": dash},
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "showlegend": first,
    } | NO_HOVER


def title(cell: dict[str, Any], text: str, up_by: int) -> dict[str, Any]:
    """A text `up_by` px above a map."""
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


def color_axis(values: Sequence[np.ndarray], difference: bool, height: int) -> dict[str, Any]:
    """A common color axis, symmetric about 0, that ends at a round number above the SHARE quantile."""
    largest = max((float(np.nanquantile(np.abs(v), SHARE)) for v in values), default=0.0)
    largest = largest if largest > NOTHING else 1.0
    power = 10 ** math.floor(math.log10(largest))
    end = next(n for n in NICE if n * power >= largest * (1 - 1e-9)) * power
    closer, off = ("more", "more") if difference else ("closer", "off")
    ticks = [-end, -end / 2, 0, end / 2, end]
    text = [f"−{end:g}: pulls {closer}", f"−{end / 2:g}", "0", f"{end / 2:g}", f"{end:g}: pushes {off}"]
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
