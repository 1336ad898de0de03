"""Cosine of misclassified samples to the nearest other center, a curve per embedding dimension (NPCFace, Fig. 5)."""

import numpy as np
import plotly.graph_objects as go

from workbench.probes.dimension import DimensionSimilarity
from workbench.views.theme import COLORS, DASHES, MARKERS, template
from workbench.views.training import FEW


def dimension_figure(result: DimensionSimilarity, dark: bool = False) -> go.Figure:
    """The distributions of all dimensions in one plot.

    The legend gives the numbers of misclassified and of all samples; a curve of fewer than FEW samples is pale.
    """
    figure = go.Figure(layout={"template": template(dark)})
    middles = (result.edges[:-1] + result.edges[1:]) / 2
    filled = np.flatnonzero(result.nearest.any(axis=0))
    first, last = (filled[0], filled[-1]) if len(filled) else (0, len(middles) - 1)
    shown = slice(max(first - 1, 0), last + 2)  # with an empty bin on either side
    for k, dim in enumerate(result.dims):
        count, color = result.count[k], COLORS[k % len(COLORS)]
        mean = f", mean {result.mean[k]:.2f}".replace("-", "−") if count else ""
        figure.add_scatter(
            x=middles[shown],
            y=result.nearest[k, shown] if count else np.full_like(middles[shown], np.nan),
            name=f"D = {dim}: {count:,} of {result.samples[k]:,}{mean}",
            mode="lines+markers",
            line={"color": color, "width": 2, "dash": DASHES[k % len(DASHES)]},
            marker={"symbol": MARKERS[k % len(MARKERS)], "size": 8, "color": color},
            opacity=1.0 if count >= FEW else 0.4,
            hovertemplate=f"D = {dim}<br>cosine about %{{x:.2f}}: %{{y:.1%}}<extra></extra>",
        )
    width = result.edges[1] - result.edges[0]
    figure.update_xaxes(title_text="Cosine of misclassified samples to the nearest other center (no unit)")
    y_title = f"Share of misclassified samples<br>(%, in bins {width:.2g} wide)"
    figure.update_yaxes(title_text=y_title, rangemode="tozero", tickformat=".0%")
    title = {"text": "Misclassified of all samples", "font": {"size": 13}}
    return figure.update_layout(showlegend=True, legend_title=title)
