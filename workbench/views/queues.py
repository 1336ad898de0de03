"""Push and softmax mass in a subset of the classes: by rank of the negatives, by queue length, over training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from workbench.views.lines import Axis, Line, lines_figure
from workbench.views.theme import BLUE, DASHES, GRAY, GREEN, ORANGE, VERMILION
from workbench.views.training import STEPS

if TYPE_CHECKING:
    from workbench.curves.interaction import QueueMass, Reach

COLORS = (GREEN, VERMILION, BLUE, ORANGE)


def reach_figure(result: Reach, dark: bool = False) -> go.Figure:
    """Cumulative share of a full classifier's push over a sample's hardest negatives: all, and each class set's."""
    lines = [Line("full", result.rank, result.full, GRAY)]
    lines += series({name: (result.rank, part) for name, part in result.parts.items()}, dash=1)
    x = Axis("Hardest negatives of a sample (number)", log=True)
    return share_figure(lines, x, Axis("Share of a full classifier's push (%)"), dark)


def queue_mass_figure(results: Mapping[str, QueueMass], dark: bool = False) -> go.Figure:
    """Softmax mass in a queue against its length K, for each set of identities by name; dotted: in a random subset."""
    lines = series({name: (result.K, result.queue) for name, result in results.items()})
    random = float(np.mean([result.random for result in results.values()]))
    share = next(iter(results.values())).share
    x = Axis("Queue length K (hard negatives per class)", log=True)
    y = Axis("Negative softmax mass in the queue (%)", level=(random, f"a random {share:.0%} of the classes"))
    return share_figure(lines, x, y, dark)


def growth_figure(steps: np.ndarray, shares: Mapping[str, np.ndarray], warmup: int, dark: bool = False) -> go.Figure:
    """Softmax mass (k,) in each subset of the classes by name, over the steps (k,); the end of the warm-up marked."""
    lines = series({name: (steps, share) for name, share in shares.items()})
    x = Axis(STEPS, level=(warmup, "end of warm-up"))
    return share_figure(lines, x, Axis("Captured negative softmax mass (%)"), dark)


def series(values: Mapping[str, tuple[np.ndarray, np.ndarray]], dash: int = 0) -> list[Line]:
    """Lines by name, in the palette's order; dash: index of the first dash."""
    return [
        Line(name, x, y, COLORS[i % len(COLORS)], DASHES[(i + dash) % len(DASHES)])
        for i, (name, (x, y)) in enumerate(values.items())
    ]


def share_figure(lines: list[Line], x: Axis, y: Axis, dark: bool) -> go.Figure:
    """Lines of shares, from 0 to 100 %."""
    return lines_figure(lines, x, y, dark).update_yaxes(range=[0, 1.05], tickformat=".0%")
