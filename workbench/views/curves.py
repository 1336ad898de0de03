"""N against T on the arc between two centers: both curves, the boundary that training draws and the ideal one.

The same drawing makes a figure for a report (`curves_figure`) and changes that of a panel in place (`Canvas.draw`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from workbench.views import theme
from workbench.views.canvas import SILENT, listed

if TYPE_CHECKING:  # a view draws results; it never needs torch
    from workbench.curves import Curve

SAME = math.radians(0.05)  # an actual and an ideal boundary closer than this share one label
HEADROOM = 0.5  # empty logit units above the curves, for the boundaries' labels
template = functools.cache(theme.template)  # made once: making and comparing templates costs more than a drawing


@dataclass(frozen=True, eq=False)
class Drawn:
    """One margin to draw: its curve, its actual and ideal boundaries (rad from the target center), label and colour.

    A ghost is what was there before: grey, thin, without labels and without its ideal boundary; its curve may be empty.
    """

    label: str
    colour: str
    curve: Curve
    actual: np.ndarray
    ideal: np.ndarray
    ghost: bool = False


def angle(phi: float) -> str:
    """An angle in rad as people read it: '31.9° (0.557 rad)'."""
    return f"{math.degrees(phi):.1f}° ({phi:.3f} rad)"


def angles(phi: np.ndarray) -> str:
    """Several angles in rad, or 'none'."""
    return ", ".join(angle(p) for p in phi) or "none"


def curves_figure(drawn: Sequence[Drawn], theta: float, dark: bool = False) -> go.Figure:
    """The logits before scale of a sample on its way from the target center to another one theta rad away.

    A single margin has its regions shaded and its boundaries labelled; of several, the legend tells the boundaries.
    """
    return go.Figure(*drawing(drawn, theta, dark))


def drawing(drawn: Sequence[Drawn], theta: float, dark: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout of a figure."""
    solid = [d for d in drawn if not d.ghost]
    lone = solid[0] if len(solid) == 1 else None
    span = logit_span(drawn)
    curves = (t for d in drawn for t in traces(d, d is lone, theta, span, dark))
    return [*backdrop(lone, theta, span, dark), *curves], axes(theta, span, dark)


def logit_span(drawn: Sequence[Drawn]) -> tuple[float, float]:
    """The ends of the logit axis: whole halves, so that a slider seldom moves them, with room for labels above."""
    values = np.concatenate([[0.0, 1.0], *(v for d in drawn for v in (d.curve.T, d.curve.N))])
    return math.floor(2 * values.min()) / 2, math.ceil(2 * values.max()) / 2 + HEADROOM


def line(name: str, x: Any, y: Any, colour: str, width: float = 2, dash: str = "solid", **other: Any) -> dict[str, Any]:
    """One trace, x in rad. Every trace sets the same properties, so that any may take the place of any other."""
    x = np.asarray(x, dtype=np.float64)
    return {
        "type": "scatter",
        "name": name,
        "x": listed(np.degrees(x), 4),
        "y": listed(y, 5),
        "customdata": listed(x, 5),
        "line": {"color": colour, "width": width, "dash": dash},
        "mode": "lines",
        "marker": {"symbol": "circle", "size": 8, "color": colour, "line": {"color": colour, "width": 2}},
        "fill": "none",
        "fillcolor": colour,
        "text": [],
        "textposition": "middle center",
        "textfont": {"color": colour, "size": 13},
        "hoverinfo": "all",
        "hovertemplate": f"φ = %{{x:.1f}}° (%{{customdata:.3f}} rad)<br>{name}: %{{y:.3f}}<extra></extra>",
        "showlegend": False,
        "legendrank": 1000,
    } | other


def backdrop(lone: Drawn | None, theta: float, span: tuple[float, float], dark: bool) -> Iterator[dict[str, Any]]:
    """What lies behind the curves: the two regions of a lone margin, with their names, and the plain cosines."""
    low, high = span
    for name, colour in (("target wins", lone.colour if lone else theme.GREY), ("other class wins", theme.GREY)):
        inside = regions(lone, theta, target=name == "target wins") if lone else []
        x = [v for a, b in inside for v in (a, a, b, b, math.nan)]
        y = [v for _ in inside for v in (low, high, high, low, math.nan)]
        yield line(name, x, y, colour, width=0, fill="toself", fillcolor=wash(colour), **SILENT)
        x = [(a + b) / 2 for a, b in inside if b - a > 0.2 * theta]  # narrower ones have no room for a name
        y = [low + 0.05 * (high - low)] * len(x)
        yield line(name, x, y, theme.INK[dark], mode="text", text=[name] * len(x), **SILENT)
    phi = np.linspace(0, theta, 91)
    x, y = [*phi, math.nan, *phi], [*np.cos(phi), math.nan, *np.cos(theta - phi)]
    yield line("plain cosines", x, y, theme.GREY, 1.2, "dot", showlegend=True, legendrank=1002)


def regions(d: Drawn, theta: float, target: bool) -> list[tuple[float, float]]:
    """The stretches (rad) between boundaries where the target's logit is the larger one, or where it is not."""
    ends = np.array([0.0, *d.actual, theta])
    wins = np.interp((ends[:-1] + ends[1:]) / 2, d.curve.phi, d.curve.T - d.curve.N) > 0
    return [(float(a), float(b)) for a, b, w in zip(ends[:-1], ends[1:], wins, strict=True) if w == target]


def wash(colour: str) -> str:
    """A #rrggbb colour, nearly transparent."""
    return "rgba({},{},{},0.10)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def traces(d: Drawn, lone: bool, theta: float, span: tuple[float, float], dark: bool) -> Iterator[dict[str, Any]]:
    """One margin: T, N, its jumps (a dot where a curve breaks off, a ring where it goes on), boundaries and labels."""
    colour, width = (theme.GREY, 1.2) if d.ghost else (d.colour, 2.5)
    names = ("T: target", "N: other class") if lone else (d.label, f"N of {d.label}")
    if not lone and not d.ghost:
        names = (f"{d.label}: boundary {angles(d.actual)}, ideal {angles(d.ideal)}", names[1])
    x, y, T_dots, T_rings = broken(d.curve.phi, d.curve.T, d.curve.T_jumps)
    yield line(names[0], x, y, colour, width, showlegend=len(x) > 0, legendrank=1001 if d.ghost else 1000)
    x, y, N_dots, N_rings = broken(d.curve.phi, d.curve.N, d.curve.N_jumps)
    yield line(names[1], x, y, colour, width, "dash", showlegend=lone)
    dots, rings = ([], []) if d.ghost else (T_dots + N_dots, T_rings + N_rings)
    jumps = line("jump", [x for x, _ in dots + rings], [y for _, y in dots + rings], colour, mode="markers")
    jumps["marker"]["symbol"] = ["circle"] * len(dots) + ["circle-open"] * len(rings)
    yield jumps
    marks = masts(d, lone, theta, span)
    for kind, dash in (("actual", "solid"), ("ideal", "dot")):
        x = [v for m in marks if m.kind == kind for v in (m.phi, m.phi, math.nan)]
        y = [v for m in marks if m.kind == kind for v in (span[0], m.top, math.nan)]
        hover = f"{kind} boundary %{{x:.1f}}° (%{{customdata:.3f}} rad)<extra></extra>"
        yield line(f"{kind} boundary", x, y, colour, 1.2 if d.ghost else 2, dash, hovertemplate=hover)
    x, y, label = [m.phi for m in marks], [m.top for m in marks], [m.label for m in marks]
    side = "middle left" if leftward(d, theta) else "middle right"
    yield line("boundaries", x, y, theme.INK[dark], mode="text", text=label, textposition=side, **SILENT)


def broken(
    phi: np.ndarray, values: np.ndarray, jumps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]], list[tuple[float, float]]]:
    """A curve as x and y with a gap (NaN) at every jump, and the points where pieces break off and where they go on.

    Each piece is carried on to the jump along its last two points; a piece shorter than that is left out.
    """
    cuts = [0, *np.searchsorted(phi, jumps), len(phi)]
    xs, ys, offs, ons = [phi[:0]], [values[:0]], [], []
    for k in range(len(jumps) + 1):
        x, y = phi[cuts[k] : cuts[k + 1]], values[cuts[k] : cuts[k + 1]]
        if len(x) < 2:
            continue
        before, after = jumps[max(k - 1, 0) : k], jumps[k : k + 1]  # none or one of each
        y_before = y[0] + (y[1] - y[0]) / (x[1] - x[0]) * (before - x[0])
        y_after = y[-1] + (y[-1] - y[-2]) / (x[-1] - x[-2]) * (after - x[-1])
        ons += zip(before, y_before, strict=True)
        offs += zip(after, y_after, strict=True)
        xs += [before, x, after, [math.nan]]
        ys += [y_before, y, y_after, [math.nan]]
    return np.concatenate(xs), np.concatenate(ys), offs, ons


class Mast(NamedTuple):
    """A boundary as a vertical line: actual or ideal, where (rad), how high, and what is written at its top."""

    kind: str
    phi: float
    top: float
    label: str


def leftward(d: Drawn, theta: float) -> bool:
    """Whether labels stand to the left of their boundaries, because these lie to the right."""
    at = [*d.actual, *d.ideal]
    return bool(sum(at) > 0.55 * theta * len(at))


def masts(d: Drawn, labelled: bool, theta: float, span: tuple[float, float]) -> list[Mast]:
    """The boundaries, each lower than the one before in the direction of the labels: no label crosses a line.

    A ghost's end below the labels.
    """
    shared = len(d.actual) == len(d.ideal) and np.allclose(d.actual, d.ideal, rtol=0, atol=SAME)
    at = [("actual", phi) for phi in d.actual] + [("ideal", phi) for phi in d.ideal if not d.ghost]
    low, high = span
    made = []
    for i, (kind, phi) in enumerate(sorted(at, key=lambda a: a[1], reverse=leftward(d, theta))):
        down = 0.07 + 0.14 * (i // 2) if shared else 0.05 + 0.08 * i  # a shared label has two lines
        top = high - down * (high - low) if labelled else high - HEADROOM * d.ghost
        name = "actual = ideal<br>" if shared else kind
        hidden = not labelled or (shared and kind == "ideal")
        made.append(Mast(kind, float(phi), top, "" if hidden else f" {name} {angle(phi)} "))
    return made


def axes(theta: float, span: tuple[float, float], dark: bool) -> dict[str, Any]:
    """Axes fixed to the slice, in degrees with radians below, so that only the curves move."""
    width = math.degrees(theta)
    ticks = np.arange(0, width + 1e-9, 5 if width <= 40 else 10 if width <= 100 else 20)
    title = "angle φ from the target center (degrees, radians below)"
    return {
        "template": template(dark),
        "uirevision": "curves",
        "xaxis": {
            "range": [0, width],
            "tickvals": ticks.tolist(),
            "ticktext": [f"{d:.0f}°<br>{math.radians(d):.2f}" for d in ticks],
            "title": {"text": title, "font": {"size": 13}},
        },
        "yaxis": {
            "range": list(span),
            "title": {"text": "logit before scale: T solid, N dashed", "font": {"size": 13}},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 20, "t": 60, "b": 60},
    }
