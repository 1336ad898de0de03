"""Misclassified samples' cosine to the nearest other center, one curve a feature dimension (NPCFace, Fig. 5)."""

import numpy as np
import plotly.graph_objects as go

from workbench.probes.dimension import DimensionSimilarity
from workbench.views.theme import BLUE, DASHES, GREEN, ORANGE, PURPLE, SKY, VERMILION, template
from workbench.views.training import FEW

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")


def dimension_figure(result: DimensionSimilarity, dark: bool = False) -> go.Figure:
    """The distributions over each other: curves that lie together say that the dimension makes no difference.

    The legend says how many of how many samples each curve rests on; one of fewer than FEW is drawn pale.
    """
    figure = go.Figure(layout={"template": template(dark)})
    middles = (result.edges[:-1] + result.edges[1:]) / 2
    held = np.flatnonzero(result.nearest.any(axis=0))
    first, last = (held[0], held[-1]) if len(held) else (0, len(middles) - 1)
    shown = slice(max(first - 1, 0), last + 2)  # with an empty bin on either side, so that curves end at zero
    for k, dim in enumerate(result.dims):
        count, colour = result.count[k], COLOURS[k % len(COLOURS)]
        mean = f", mean {result.mean[k]:.2f}".replace("-", "−") if count else ""
        figure.add_scatter(
            x=middles[shown],
            y=result.nearest[k, shown] if count else np.full_like(middles[shown], np.nan),
            name=f"D = {dim}: {count:,} of {result.samples[k]:,}{mean}",
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": DASHES[k % len(DASHES)]},
            marker={"symbol": MARKERS[k % len(MARKERS)], "size": 8, "color": colour},
            opacity=1.0 if count >= FEW else 0.4,
            hovertemplate=f"D = {dim}<br>cosine about %{{x:.2f}}: %{{y:.1%}}<extra></extra>",
        )
    wide = result.edges[1] - result.edges[0]
    figure.update_xaxes(title_text="Cosine of misclassified samples to the nearest other center")
    figure.update_yaxes(title_text=f"Share of them<br>(in bins {wide:.2g} wide)", rangemode="tozero", tickformat=".0%")
    title = {"text": "Misclassified of all samples", "font": {"size": 13}}
    return figure.update_layout(showlegend=True, legend_title=title)
