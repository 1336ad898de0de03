"""Figures of `workbench bench`: seconds and memory of every way of computing a loss, or against the classes."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.compare.cost.results import Cost
from workbench.views.theme import BLUE, GRAY, GREEN, METHOD_COLORS, ORANGE, VERMILION, Style, template

KINDS = {"eager": "x", "dense": "square", "streaming": "circle", "streaming bf16": "circle-open", "pml": "diamond"}
CURVES = {
    "full, dense": Style("full, dense", VERMILION, "square", "longdash"),
    "full, streaming": Style("full, streaming", ORANGE, "circle", "dash"),
    "sampled": Style("sampled (Partial FC)", BLUE, "diamond", "dashdot"),
    "queued": Style("queued (after MutualFace's abstract, a reconstruction)", GREEN, "triangle-up", "solid"),
}
ROW, FRAME = 24, 150  # px of a way, of everything around
GIB = 2**30


def heads_figure(costs: Sequence[Cost], setting: str, dark: bool = False) -> go.Figure:
    """A row for each way, the medians' time left and memory right; a part of the figure for each number of classes.

    The bar through a point goes from quartile to quartile. Ways that were not measured are left out.
    setting: what was measured and on what, in words.
    """
    timed = [cost for cost in costs if cost.seconds]
    sizes = sorted({cost.classes for cost in timed})
    titles = [f"C = {C:,}{what}" for C in sizes for what in (": time", ": memory above inputs, gradients")]
    figure = make_subplots(
        rows=max(1, len(sizes)), cols=2, subplot_titles=titles, horizontal_spacing=0.04, shared_yaxes=True
    )
    for row, C in enumerate(sizes, start=1):
        for place, cost in enumerate(c for c in timed if c.classes == C):
            figure.add_trace(time_mark(cost, place), row=row, col=1)
            figure.add_trace(memory_bar(cost, place), row=row, col=2)
        names = [cost.way for cost in timed if cost.classes == C]
        figure.update_yaxes(
            tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.4, -0.6], zeroline=False, row=row
        )
    figure.update_xaxes(rangemode="tozero", title_text="seconds, forward and backward", col=1)
    figure.update_xaxes(rangemode="tozero", title_text="MiB", col=2)
    height = sum(ROW * len([c for c in timed if c.classes == C]) + FRAME for C in sizes)
    return figure.update_layout(
        template=template(dark), showlegend=False, height=height or FRAME, title=heading(setting), margin_t=80
    )


def heading(setting: str) -> dict[str, object]:
    """The title of a figure: what was measured and on what."""
    return {"text": setting, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12, "l": 12}}


def time_mark(cost: Cost, place: int) -> go.Scatter:
    """The median as a marker of the kind and the method's color, the quartiles as a bar through it."""
    method, _, kind = cost.way.partition(" ")
    low, median, high = cost.quartiles
    return go.Scatter(
        x=[median],
        y=[place],
        mode="markers",
        marker={"symbol": KINDS.get(kind, "line-ns-open"), "size": 11, "color": METHOD_COLORS.get(method, GRAY)},
        error_x={"type": "data", "symmetric": False, "array": [high - median], "arrayminus": [median - low]},
        hovertemplate=f"{cost.way}<br>median of {len(cost.seconds)}: %{{x:.4f}} s, quartiles {low:.4f} to {high:.4f}"
        "<extra></extra>",
    )


def memory_bar(cost: Cost, place: int) -> go.Bar:
    """The bytes of a way's peak."""
    return go.Bar(
        x=[(cost.bytes or 0) / 2**20],
        y=[place],
        orientation="h",
        width=0.6,
        marker={"color": METHOD_COLORS.get(cost.way.partition(" ")[0], GRAY)},
        hovertemplate=f"{cost.way}<br>%{{x:,.0f}} MiB<extra></extra>",
    )


def scaling_figure(costs: Sequence[Cost], setting: str, dark: bool = False) -> go.Figure:
    """Above, the time of a step against the number of classes; below, the memory at its peak. Both logarithmic.

    RocCurve: markers and their lines, quartiles as bars. Estimated: thin dotted lines, which go on where a curve was
    not measured because it does not fit. setting: what was measured and on what, in words.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for way, shown in CURVES.items():
        curve = sorted((cost for cost in costs if cost.way == way), key=lambda cost: cost.classes)
        time, memory, guess = curve_traces(curve, shown)
        figure.add_trace(time, row=1, col=1)
        figure.add_traces([guess, memory], rows=2, cols=1)
    figure.update_xaxes(type="log", dtick=1)
    figure.update_xaxes(title_text="Classes C", row=2, col=1)
    figure.update_yaxes(type="log", title_text="Time of a step<br>(seconds)", row=1, col=1)
    figure.update_yaxes(type="log", title_text="Memory at its peak<br>(GiB; dotted: estimated)", row=2, col=1)
    return figure.update_layout(template=template(dark), title=heading(setting), height=660, margin_t=130)


def curve_traces(curve: Sequence[Cost], shown: Style) -> tuple[go.Scatter, go.Scatter, go.Scatter]:
    """The seconds with their quartiles, the bytes measured and the bytes estimated, along one curve."""
    timed, guessed = [c for c in curve if c.seconds], [c for c in curve if c.estimated is not None]
    low, median, high = np.array([cost.quartiles for cost in timed]).reshape(-1, 3).T
    style = {
        "x": [cost.classes for cost in timed],
        "mode": "lines+markers",
        "name": shown.label,
        "legendgroup": shown.label,
        "line": {"color": shown.color, "width": 2, "dash": shown.dash},
        "marker": {"symbol": shown.marker, "size": 9, "color": shown.color},
    }
    bars = {"type": "data", "symmetric": False, "array": high - median, "arrayminus": median - low}
    hover = f"{shown.label}<br>%{{x:,}} classes: %{{y:.3g}}"
    held = [cost.bytes / GIB for cost in timed]
    return (
        go.Scatter(**style, y=median, error_y=bars, hovertemplate=f"{hover} s<extra></extra>"),
        go.Scatter(**style, y=held, showlegend=False, hovertemplate=f"{hover} GiB<extra></extra>"),
        go.Scatter(
            x=[cost.classes for cost in guessed],
            y=[cost.estimated / GIB for cost in guessed],
            mode="lines",
            line={"color": shown.color, "width": 1, "dash": "dot"},
            name=f"{shown.label}, estimated",
            legendgroup=shown.label,
            showlegend=False,
            hovertemplate=f"{hover} GiB, estimated<extra></extra>",
        ),
    )
