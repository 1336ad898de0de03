"""T and N on the arc between two centers, with the actual and the ideal boundary.

`curves_figure` returns a figure; `drawing` its traces and layout, with which `Canvas.draw` updates a panel in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from workbench.core.angles import format_angle, format_angles
from workbench.views import theme
from workbench.views.canvas import NO_HOVER, Trace, as_list

if TYPE_CHECKING:  # importing it would load torch
    from workbench.curves import Curve

SAME = math.radians(0.05)  # closer boundaries share one label
HEADROOM = 0.5  # logit units above the curves, for the labels of the boundaries


@dataclass(frozen=True, eq=False)
class MarginCurve:
    """The curve of one margin, its actual and ideal boundaries (rad from the target center), label and color.

    ghost: a previous state, drawn gray and thin, without labels and without the ideal boundary; its curve may be empty.
    """

    label: str
    color: str
    curve: Curve
    actual: np.ndarray
    ideal: np.ndarray
    ghost: bool = False


def curves_figure(margins: Sequence[MarginCurve], theta: float, dark: bool = False) -> go.Figure:
    """Logits before scale of a sample that moves from the target center to another center theta rad away.

    A single margin has shaded regions and labeled boundaries; for several, the boundaries are in the legend.
    """
    return go.Figure(*drawing(margins, theta, dark))


def drawing(margins: Sequence[MarginCurve], theta: float, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
    """Traces and layout of a figure."""
    solid = [d for d in margins if not d.ghost]
    lone = solid[0] if len(solid) == 1 else None
    span = logit_span(margins)
    curves = (t for d in margins for t in traces(d, d is lone, theta, span, dark))
    return [*backdrop(lone, theta, span, dark), *curves], axes(theta, span, dark)


def logit_span(margins: Sequence[MarginCurve]) -> tuple[float, float]:
    """The ends of the logit axis: multiples of 0.5, so that a slider seldom changes them, with room for labels."""
    values = np.concatenate([[0.0, 1.0], *(v for d in margins for v in (d.curve.T, d.curve.N))])
    return math.floor(2 * values.min()) / 2, math.ceil(2 * values.max()) / 2 + HEADROOM


def line(name: str, x: Any, y: Any, color: str, width: float = 2, dash: str = "solid", **other: Any) -> Trace:
    """A trace, x in rad. Every trace sets the same properties, so that any can replace any other."""
    x = np.asarray(x, dtype=np.float64)
    return {
        "type": "scatter",
        "name": name,
        "x": as_list(np.degrees(x), 4),
        "y": as_list(y, 5),
        "customdata": as_list(x, 5),
        "line": {"color": color, "width": width, "dash": dash},
        "mode": "lines",
        "marker": {"symbol": "circle", "size": 8, "color": color, "line": {"color": color, "width": 2}},
        "fill": "none",
        "fillcolor": color,
        "text": [],
        "textposition": "middle center",
        "textfont": {"color": color, "size": 13},
        "hoverinfo": "all",
        "hovertemplate": f"φ = %{{x:.1f}}° (%{{customdata:.3f}} rad)<br>{name}: %{{y:.3f}}<extra></extra>",
        "showlegend": False,
        "legendrank": 1000,
    } | other


def backdrop(lone: MarginCurve | None, theta: float, span: tuple[float, float], dark: bool) -> Iterator[Trace]:
    """Behind the curves: the two regions of a single margin, with their names, and the plain cosines."""
    low, high = span
    for name, color in (("target wins", lone.color if lone else theme.GRAY), ("other class wins", theme.GRAY)):
        inside = regions(lone, theta, target=name == "target wins") if lone else []
        x = [v for a, b in inside for v in (a, a, b, b, math.nan)]
        y = [v for _ in inside for v in (low, high, high, low, math.nan)]
        yield line(name, x, y, color, width=0, fill="toself", fillcolor=theme.rgba(color, 0.1), **NO_HOVER)
        x = [(a + b) / 2 for a, b in inside if b - a > 0.2 * theta]  # wide enough for a name
        y = [low + 0.05 * (high - low)] * len(x)
        yield line(name, x, y, theme.INK[dark], mode="text", text=[name] * len(x), **NO_HOVER)
    phi = np.linspace(0, theta, 91)
    x, y = [*phi, math.nan, *phi], [*np.cos(phi), math.nan, *np.cos(theta - phi)]
    yield line("plain cosines", x, y, theme.GRAY, 1.2, "dot", showlegend=True, legendrank=1002)


def regions(d: MarginCurve, theta: float, target: bool) -> list[tuple[float, float]]:
    """The intervals (rad) between boundaries where the target's logit is the larger one, or where it is not."""
    ends = np.array([0.0, *d.actual, theta])
    wins = np.interp((ends[:-1] + ends[1:]) / 2, d.curve.phi, d.curve.T - d.curve.N) > 0
    return [(float(a), float(b)) for a, b, w in zip(ends[:-1], ends[1:], wins, strict=True) if w == target]


def traces(d: MarginCurve, lone: bool, theta: float, span: tuple[float, float], dark: bool) -> Iterator[Trace]:
    """One margin: T, N, its jumps (a filled and an open marker at both ends), boundaries and labels."""
    color, width = (theme.GRAY, 1.2) if d.ghost else (d.color, 2.5)
    names = ("T: target", "N: other class") if lone else (d.label, f"N of {d.label}")
    if not lone and not d.ghost:
        names = (f"{d.label}: boundary {format_angles(d.actual)}, ideal {format_angles(d.ideal)}", names[1])
    x, y, T_dots, T_rings = split_at_jumps(d.curve.phi, d.curve.T, d.curve.T_jumps)
    yield line(names[0], x, y, color, width, showlegend=len(x) > 0, legendrank=1001 if d.ghost else 1000)
    x, y, N_dots, N_rings = split_at_jumps(d.curve.phi, d.curve.N, d.curve.N_jumps)
    yield line(names[1], x, y, color, width, "dash", showlegend=lone)
    dots, rings = ([], []) if d.ghost else (T_dots + N_dots, T_rings + N_rings)
    jumps = line("jump", [x for x, _ in dots + rings], [y for _, y in dots + rings], color, mode="markers")
    jumps["marker"]["symbol"] = ["circle"] * len(dots) + ["circle-open"] * len(rings)
    yield jumps
    marks = masts(d, lone, theta, span)
    for kind, dash in (("actual", "solid"), ("ideal", "dot")):
        x = [v for m in marks if m.kind == kind for v in (m.phi, m.phi, math.nan)]
        y = [v for m in marks if m.kind == kind for v in (span[0], m.top, math.nan)]
        hover = f"{kind} boundary %{{x:.1f}}° (%{{customdata:.3f}} rad)<extra></extra>"
        yield line(f"{kind} boundary", x, y, color, 1.2 if d.ghost else 2, dash, hovertemplate=hover)
    x, y, label = [m.phi for m in marks], [m.top for m in marks], [m.label for m in marks]
    side = "middle left" if labels_left(d, theta) else "middle right"
    yield line("boundaries", x, y, theme.INK[dark], mode="text", text=label, textposition=side, **NO_HOVER)


def split_at_jumps(
    phi: np.ndarray, values: np.ndarray, jumps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]], list[tuple[float, float]]]:
    """A curve as x and y with a gap (NaN) at every jump, and the end points before and after the jumps.

    Each piece is extrapolated to the jump from its last two points; shorter pieces are left out.
    """
    cuts = [0, *np.searchsorted(phi, jumps), len(phi)]
    xs, ys, ends, starts = [phi[:0]], [values[:0]], [], []
    for k in range(len(jumps) + 1):
        x, y = phi[cuts[k] : cuts[k + 1]], values[cuts[k] : cuts[k + 1]]
        if len(x) < 2:
            continue
        before, after = jumps[max(k - 1, 0) : k], jumps[k : k + 1]  # none or one of each
        y_before = y[0] + (y[1] - y[0]) / (x[1] - x[0]) * (before - x[0])
        y_after = y[-1] + (y[-1] - y[-2]) / (x[-1] - x[-2]) * (after - x[-1])
        starts += zip(before, y_before, strict=True)
        ends += zip(after, y_after, strict=True)
        xs += [before, x, after, [math.nan]]
        ys += [y_before, y, y_after, [math.nan]]
    return np.concatenate(xs), np.concatenate(ys), ends, starts


class Mast(NamedTuple):
    """A boundary as a vertical line: kind (actual or ideal), position (rad), upper end, and label."""

    kind: str
    phi: float
    top: float
    label: str


def labels_left(d: MarginCurve, theta: float) -> bool:
    """Whether labels are to the left of their boundaries, which then are on the right."""
    at = [*d.actual, *d.ideal]
    return bool(sum(at) > 0.55 * theta * len(at))


def masts(d: MarginCurve, labeled: bool, theta: float, span: tuple[float, float]) -> list[Mast]:
    """The boundaries, each lower than the previous one in the direction of the labels: no label crosses a line.

    Those of a ghost end below the labels.
    """
    shared = len(d.actual) == len(d.ideal) and np.allclose(d.actual, d.ideal, rtol=0, atol=SAME)
    at = [("actual", phi) for phi in d.actual] + [("ideal", phi) for phi in d.ideal if not d.ghost]
    low, high = span
    result = []
    for i, (kind, phi) in enumerate(sorted(at, key=lambda a: a[1], reverse=labels_left(d, theta))):
        down = 0.07 + 0.14 * (i // 2) if shared else 0.05 + 0.08 * i  # a shared label has two lines
        top = high - down * (high - low) if labeled else high - HEADROOM * d.ghost
        name = "actual = ideal<br>" if shared else kind
        hidden = not labeled or (shared and kind == "ideal")
        result.append(Mast(kind, float(phi), top, "" if hidden else f" {name} {format_angle(phi)} "))
    return result


def axes(theta: float, span: tuple[float, float], dark: bool) -> dict[str, Any]:
    """Axes that depend on the slice only, with ticks in degrees and radians."""
    width = math.degrees(theta)
    ticks = np.arange(0, width + 1e-9, 5 if width <= 40 else 10 if width <= 100 else 20)

    def title(text: str) -> dict[str, Any]:
        return {"text": text, "font": {"size": 13}}

    return {
        "template": theme.template(dark),
        "uirevision": "curves",
        "xaxis": {"range": [0, width], "title": title("angle φ from the target center (degrees, radians below)")}
        | theme.angle_ticks(ticks, "<br>"),
        "yaxis": {"range": list(span), "title": title("logit before scale: T solid, N dashed")},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 20, "t": 60, "b": 60},
    }
