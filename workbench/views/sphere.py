"""Embeddings and class centers on the unit sphere (three dimensions) or along their principal axes."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.projections import principal
from workbench.views import theme
from workbench.views.theme import GRAY, MISCLASSIFIED, WELL, template

COLORS = (*theme.COLORS, GRAY)
MARKERS = ("circle", "square", "diamond", "cross", "diamond-open", "circle-open", "square-open")
OPEN = ("circle-open", "square-open", "diamond-open")
EYE = {"x": 0.97, "y": 0.97, "z": 0.6}  # of the camera: the sphere just fits


def sphere_figure(snapshots: Mapping[str, Snapshot], dark: bool = False) -> go.Figure:
    """A sphere per snapshot, by title: samples in the color and marker of their class, centers as radii.

    The second half of the classes has open markers. Raises InputError unless the embeddings have three dimensions, and
    for more than 2 len(COLORS) classes.
    """
    figure = make_subplots(
        1, len(snapshots), specs=[[{"type": "scene"}] * len(snapshots)], subplot_titles=list(snapshots)
    )
    for column, (title, snapshot) in enumerate(snapshots.items(), start=1):
        if snapshot.centers.shape[1] != 3 or len(snapshot.centers) > 2 * len(COLORS):
            raise InputError(
                f"{title}: {len(snapshot.centers)} centers of dimension {snapshot.centers.shape[1]}; a sphere shows up"
                f" to {2 * len(COLORS)} of dimension 3"
            )
        figure.add_traces([globe(), *classes(snapshot, legend=column == 1)], rows=1, cols=column)
    hidden = {"visible": False, "range": [-1.1, 1.1]}
    scene = {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "cube", "camera": {"eye": EYE}}
    figure.update_scenes(scene)
    margin = {"l": 0, "r": 0, "t": 30, "b": 0}
    legend = {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top", "itemsizing": "constant"}
    return figure.update_layout(template=template(dark), margin=margin, legend=legend)


def globe() -> go.Scatter3d:
    """Circles of latitude and longitude, 30 degrees apart."""
    turn = np.append(np.linspace(0, 2 * np.pi, 73), np.nan)
    cos, sin = np.cos(turn), np.sin(turn)
    latitudes, longitudes = np.radians(np.arange(-60, 61, 30)), np.radians(np.arange(0, 180, 30))
    circles = [(np.cos(a) * cos, np.cos(a) * sin, np.sin(a) + 0 * turn) for a in latitudes]
    circles += [(np.cos(a) * cos, np.sin(a) * cos, sin) for a in longitudes]
    x, y, z = np.concatenate([np.stack(circle) for circle in circles], axis=1)
    line = {"color": GRAY, "width": 1}
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, opacity=0.5, hoverinfo="skip", showlegend=False)


def classes(snapshot: Snapshot, legend: bool) -> list[go.Scatter3d]:
    """For each class its samples, and a line from the origin to its center."""
    x, W = unit(snapshot.x), unit(snapshot.centers)
    traces = []
    for j, center in enumerate(W):
        color, group = COLORS[j % len(COLORS)], f"class {j}"
        symbol = MARKERS[j] if j < len(COLORS) else OPEN[j % len(OPEN)]
        shared = {"legendgroup": group, "marker": {"color": color, "symbol": symbol, "size": 4}}
        samples, radius = x[snapshot.y == j].T, np.stack([0 * center, center], axis=1)
        points = {"mode": "markers", "name": group, "showlegend": legend, "hovertemplate": f"{group}<extra></extra>"}
        traces.append(go.Scatter3d(shared | points | dict(zip("xyz", samples, strict=True))))
        line = {"mode": "lines", "line": {"color": color, "width": 5}, "showlegend": False}
        line["hovertemplate"] = f"center of {group}<extra></extra>"
        traces.append(go.Scatter3d(shared | line | dict(zip("xyz", radius, strict=True))))
    return traces


def map_figure(snapshot: Snapshot, dark: bool = False) -> go.Figure:
    """Well-classified samples, misclassified samples and centers along the two principal axes of the embeddings."""
    x, W = unit(snapshot.x), unit(snapshot.centers)
    axes = principal(x)
    wrong = snapshot.cos.argmax(axis=1) != snapshot.y
    figure = go.Figure(layout={"template": template(dark)})
    for name, group, color, symbol in (
        ("well classified", ~wrong, WELL, "circle"),
        ("misclassified", wrong, MISCLASSIFIED, "x"),
    ):
        at = axes.of(x[group])
        marker = {"color": color, "symbol": symbol, "size": 6, "opacity": 0.7}
        classes = [f"class {j}" for j in snapshot.y[group]]
        figure.add_scatter(x=at[:, 0], y=at[:, 1], mode="markers", name=name, marker=marker, text=classes)
    centers = axes.of(W)
    marker = {"color": GRAY, "symbol": "diamond", "size": 7}
    figure.add_scatter(x=centers[:, 0], y=centers[:, 1], mode="markers", name="class centers", marker=marker)
    share = f"{100 * axes.share(x):.0f} % of the variance along both axes"
    figure.update_xaxes(title_text=f"First principal axis of the unit embeddings (no unit; {share})")
    return figure.update_yaxes(title_text="Second principal axis (no unit)", scaleanchor="x")
