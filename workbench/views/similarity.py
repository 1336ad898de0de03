"""Cosine to the own center of well-classified and misclassified samples, over training (NPCFace, Fig. 4)."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.probes.similarity import Similarity
from workbench.views.theme import MISCLASSIFIED, WELL, rgba, template
from workbench.views.training import FEW, STEPS, Stretch, Track, over_time

RIDGE = 1.25  # height of the tallest histogram, in row distances
TICK = 0.3  # height of the ticks that replace the histogram of a small group
GROUPS = (("well classified", "well", WELL, ""), ("misclassified", "mis", MISCLASSIFIED, "/"))


def ridges_figure(
    steps: Sequence[int], results: Sequence[Similarity], lowest: float = -1.0, dark: bool = False
) -> go.Figure:
    """Both distributions at each step, a row per step from bottom to top, for cosines from `lowest` to 1.

    All histograms have the same area; the numbers on the right are the shares of misclassified samples. A group of
    fewer than FEW samples has a tick at each non-empty bin instead of a histogram.
    """
    figure = go.Figure(layout={"template": template(dark)})
    for name, attribute, color, pattern in GROUPS:
        sizes = [getattr(r, f"n_{attribute}") for r in results]
        heights = [getattr(r, attribute) for r in results]
        tallest = max((h.max() for h, n in zip(heights, sizes, strict=True) if n >= FEW), default=1.0)
        shapes = [outline(results[i].edges, heights[i] * RIDGE / tallest, i) for i, n in enumerate(sizes) if n >= FEW]
        ticks = [comb(results[i].edges, heights[i] > 0, i) for i, n in enumerate(sizes) if 0 < n < FEW]
        shared = {"mode": "lines", "name": name, "legendgroup": name, "hoverinfo": "skip"}
        solid = shared | points(shapes) | {"line": {"color": color, "width": 1}, "fill": "toself"}
        hatching = {"shape": pattern, "fgcolor": color, "bgcolor": rgba(color, 0.45), "size": 5, "solidity": 0.2}
        figure.add_trace(go.Scatter(solid, fillcolor=rgba(color, 0.45), fillpattern=hatching))
        few = shared | points(ticks) | {"line": {"color": color, "width": 2}, "opacity": 0.6}
        figure.add_trace(go.Scatter(few, showlegend=False))
    beside = {"x": 1.01, "xref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    for i, result in enumerate(results):
        figure.add_annotation(beside, y=i - 0.05, text=f"{result.n_mis / (result.n_mis + result.n_well):.0%}")
    figure.add_annotation(beside, y=len(results) - 0.3, text="mis-<br>classified", align="left")
    figure.update_xaxes(title_text="Cosine to the own center (no unit)", range=[max(-1.0, lowest - 0.05), 1.0])
    figure.update_yaxes(
        title_text=STEPS,
        tickvals=list(range(len(results))),
        ticktext=[f"{step:,}" for step in steps],
        range=[-0.15, len(results) - 1 + RIDGE + 0.2],
    )
    return figure.update_layout(margin={"r": 80})


def points(shapes: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Several shapes as x and y of one trace, separated by gaps."""
    x, y = (np.concatenate([shape[k] for shape in shapes])[:-1] if shapes else np.array([np.nan]) for k in (0, 1))
    return {"x": x, "y": y}


def comb(edges: np.ndarray, filled: np.ndarray, base: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a tick on `base` in the middle of each filled bin; NaN after each."""
    middles = ((edges[:-1] + edges[1:]) / 2)[filled]
    return np.repeat(middles, 3), np.tile([base, base + TICK, np.nan], len(middles))


def outline(edges: np.ndarray, heights: np.ndarray, base: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the outline of a histogram on `base`, without its empty ends; NaN after it."""
    full = np.flatnonzero(heights)
    first, last = full[0], full[-1] + 1
    x = np.repeat(edges[first : last + 1], 2)
    y = np.concatenate([[0], np.repeat(heights[first:last], 2), [0]]) + base
    return np.append(x, np.nan), np.append(y, np.nan)


def overlap_figure(tracks: Sequence[Track], stretches: Sequence[Stretch] = (), dark: bool = False) -> go.Figure:
    """Overlap of the two distributions against the training step; the tracks' samples: size of the smaller group."""
    figure = over_time(tracks, "Overlap (0: separable, 1: equal)", stretches, dark, ".2f")
    return figure.update_yaxes(range=[0, 1.02], dtick=0.25)
