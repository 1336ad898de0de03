"""Embeddings of three numbers where they live: on the unit sphere, beside their class centers."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.projections import principal
from workbench.views.theme import BLUE, GREEN, GREY, MISCLASSIFIED, ORANGE, PURPLE, SKY, VERMILION, WELL, template

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY)
MARKERS = ("circle", "square", "diamond", "cross", "diamond-open", "circle-open", "square-open")
OPEN = ("circle-open", "square-open", "diamond-open")
EYE = {"x": 0.97, "y": 0.97, "z": 0.6}  # where the camera stands: as near as the sphere fits


def sphere_figure(seen: Mapping[str, Snapshot], dark: bool = False) -> go.Figure:
    """One sphere a snapshot, side by side: each sample in its class's colour and marker, each center on a spoke.

    The second half of the classes has open marks. Raises InputError where embeddings are not of three numbers, and for
    more classes than there are looks.
    """
    figure = make_subplots(1, len(seen), specs=[[{"type": "scene"}] * len(seen)], subplot_titles=list(seen))
    for column, (title, snapshot) in enumerate(seen.items(), start=1):
        if snapshot.centers.shape[1] != 3 or len(snapshot.centers) > 2 * len(COLOURS):
            raise InputError(
                f"{title}: {len(snapshot.centers)} centers of {snapshot.centers.shape[1]} numbers; a sphere shows up to"
                f" {2 * len(COLOURS)} of 3 numbers"
            )
        figure.add_traces([globe(), *classes(snapshot, legend=column == 1)], rows=1, cols=column)
    hidden = {"visible": False, "range": [-1.1, 1.1]}
    scene = {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "cube", "camera": {"eye": EYE}}
    figure.update_scenes(scene)
    margin = {"l": 0, "r": 0, "t": 30, "b": 0}
    legend = {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top", "itemsizing": "constant"}
    return figure.update_layout(template=template(dark), margin=margin, legend=legend)


def globe() -> go.Scatter3d:
    """Circles of latitude and longitude, every 30 degrees."""
    turn = np.append(np.linspace(0, 2 * np.pi, 73), np.nan)
    parallels = [
        (np.cos(a) * np.cos(turn), np.cos(a) * np.sin(turn), np.sin(a) + 0 * turn)
        for a in np.radians(np.arange(-60, 61, 30))
    ]
    meridians = [
        (np.cos(a) * np.cos(turn), np.sin(a) * np.cos(turn), np.sin(turn)) for a in np.radians(np.arange(0, 180, 30))
    ]
    x, y, z = np.concatenate([np.stack(line) for line in parallels + meridians], axis=1)
    look = {"color": GREY, "width": 1}
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", line=look, opacity=0.5, hoverinfo="skip", showlegend=False)


def classes(snapshot: Snapshot, legend: bool) -> list[go.Scatter3d]:
    """For each class its samples, and a spoke from the middle of the sphere to its center."""
    x, W = unit(snapshot.x), unit(snapshot.centers)
    traces = []
    for j, center in enumerate(W):
        colour, group = COLOURS[j % len(COLOURS)], f"class {j}"
        symbol = MARKERS[j] if j < len(COLOURS) else OPEN[j % len(OPEN)]
        mine = x[snapshot.y == j]
        traces.append(
            go.Scatter3d(
                x=mine[:, 0],
                y=mine[:, 1],
                z=mine[:, 2],
                mode="markers",
                name=group,
                legendgroup=group,
                showlegend=legend,
                marker={"color": colour, "symbol": symbol, "size": 4},
                hovertemplate=f"{group}<extra></extra>",
            )
        )
        x_, y_, z_ = np.stack([0 * center, center], axis=1)
        traces.append(
            go.Scatter3d(
                x=x_,
                y=y_,
                z=z_,
                mode="lines",
                legendgroup=group,
                showlegend=False,
                line={"color": colour, "width": 5},
                hovertemplate=f"center of {group}<extra></extra>",
            )
        )
    return traces


def map_figure(snapshot: Snapshot, dark: bool = False) -> go.Figure:
    """Embeddings along their two principal axes: samples well classified and misclassified, and centers."""
    x, W = unit(snapshot.x), unit(snapshot.centers)
    axes = principal(x)
    wrong = snapshot.cos.argmax(axis=1) != snapshot.y
    figure = go.Figure(layout={"template": template(dark)})
    for name, group, colour, symbol in (
        ("well classified", ~wrong, WELL, "circle"),
        ("misclassified", wrong, MISCLASSIFIED, "x"),
    ):
        at = axes.of(x[group])
        look = {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.7}
        classes = [f"class {j}" for j in snapshot.y[group]]
        figure.add_scatter(x=at[:, 0], y=at[:, 1], mode="markers", name=name, marker=look, text=classes)
    centers = axes.of(W)
    look = {"color": GREY, "symbol": "diamond", "size": 7}
    figure.add_scatter(x=centers[:, 0], y=centers[:, 1], mode="markers", name="class centers", marker=look)
    share = f"{100 * axes.share(x):.0f} % of the variance along both"
    figure.update_xaxes(title_text=f"First principal axis of the directions ({share})")
    return figure.update_yaxes(title_text="Second principal axis", scaleanchor="x")
