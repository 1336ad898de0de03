"""Correlation of hard positives and hard negatives over misclassified samples (NPCFace, Fig. 3)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.probes.hardness import HardnessCorrelation
from workbench.views.theme import GRAY, Style, template
from workbench.views.training import STEPS, Stretch, Track, mark_stretches, track_traces


def correlation_figure(tracks: Sequence[Track], stretches: Sequence[Stretch] = (), dark: bool = False) -> go.Figure:
    """Correlation r against the training step, above the number of misclassified samples (the tracks' samples)."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    for track in tracks:
        figure.add_traces([*track_traces(track, ".2f")], rows=1, cols=1)
        counts = Track(track.style, track.step, track.samples)
        figure.add_traces([*track_traces(counts, ".0f", legend=False)], rows=2, cols=1)
    mark_stretches(figure, stretches, row=1, col=1)
    mark_stretches(figure, [replace(stretch, text="") for stretch in stretches], row=2, col=1)
    figure.add_hline(0, line={"color": GRAY, "width": 1, "dash": "dash"}, row=1, col=1)
    figure.update_layout(template=template(dark))
    figure.update_yaxes(title_text="Correlation r (no unit)", range=[-1.05, 1.05], dtick=0.5, row=1, col=1)
    figure.update_yaxes(title_text="Misclassified<br>samples (number)", rangemode="tozero", nticks=4, row=2, col=1)
    figure.update_xaxes(rangemode="tozero")
    return figure.update_xaxes(title_text=STEPS, row=2, col=1)


def distances_figure(result: HardnessCorrelation, style: Style, dark: bool = False) -> go.Figure:
    """Distances (1 - cos) of the misclassified samples to their own and to the nearest other center, with a fit."""
    figure = go.Figure(layout={"template": template(dark)})
    both = np.concatenate([result.own, result.nearest])
    low, high = (both.min() - 0.05, both.max() + 0.05) if len(both) else (0.0, 1.0)
    gray = {"color": GRAY, "width": 1, "dash": "dash"}
    figure.add_scatter(x=[low, high], y=[low, high], mode="lines", line=gray, name="equal distances", hoverinfo="skip")
    figure.add_scatter(
        x=result.own,
        y=result.nearest,
        mode="markers",
        marker={"symbol": style.marker, "color": style.color, "size": 8, "opacity": 0.7},
        name=f"samples, {style.label}",
        hovertemplate="own center %{x:.2f}<br>nearest other %{y:.2f}<extra></extra>",
    )
    if np.isfinite(result.r):
        slope, start = np.polyfit(result.own, result.nearest, 1)
        ends = np.array([result.own.min(), result.own.max()])
        line, name = {"color": style.color, "width": 2}, f"linear fit, r = {result.r:.2f}"
        figure.add_scatter(x=ends, y=start + slope * ends, mode="lines", line=line, name=name, hoverinfo="skip")
    figure.update_xaxes(title_text="Distance to the own center, 1 − cos (no unit)", range=[low, high])
    return figure.update_yaxes(
        title_text="Distance to the nearest<br>other center, 1 − cos (no unit)", range=[low, high]
    )
