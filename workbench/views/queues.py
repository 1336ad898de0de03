"""What a part of the classes sees: the push it passes on, negative by negative; the mass in queues of any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from workbench.views.lines import Axis, Line, lines_figure
from workbench.views.theme import BLUE, DASHES, GREEN, GREY, ORANGE, VERMILION

if TYPE_CHECKING:
    from workbench.curves.interaction import QueueMass, Reach

COLOURS = (GREEN, VERMILION, BLUE, ORANGE)


def reach_figure(found: Reach, dark: bool = False) -> go.Figure:
    """The share of a full classifier's push that lies in a sample's hardest negatives, and in those that were met."""
    parts = [
        Line(name, found.rank, part, COLOURS[i % len(COLOURS)], DASHES[(i + 1) % len(DASHES)])
        for i, (name, part) in enumerate(found.parts.items())
    ]
    x = Axis("A sample's negatives, the hardest first (how many)", log=True)
    y = Axis("Share of a full classifier's push")
    figure = lines_figure([Line("full", found.rank, found.full, GREY), *parts], x, y, dark)
    return figure.update_yaxes(range=[0, 1.05], tickformat=".0%")


def queue_mass_figure(found: Mapping[str, QueueMass], dark: bool = False) -> go.Figure:
    """The mass in a queue against its length K, for each set of identities by its name; dotted: in a random share."""
    lines = [
        Line(name, one.K, one.queue, COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)])
        for i, (name, one) in enumerate(found.items())
    ]
    one = next(iter(found.values()))
    random = float(np.mean([one.random for one in found.values()]))
    x = Axis("K, hard negatives in the queue of a class", log=True)
    y = Axis("Negative softmax mass in the queue", level=(random, f"a random {one.share:.0%} of the classes"))
    return lines_figure(lines, x, y, dark).update_yaxes(range=[0, 1.05], tickformat=".0%")


def growth_figure(steps: np.ndarray, shares: Mapping[str, np.ndarray], warmup: int, dark: bool = False) -> go.Figure:
    """The mass held by each part of the classes, by name (k,), over the steps (k,); the end of the warm-up marked."""
    lines = [
        Line(name, steps, share, COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)])
        for i, (name, share) in enumerate(shares.items())
    ]
    x = Axis("Training step (batches seen)", level=(warmup, "end of warm-up"))
    return lines_figure(lines, x, Axis("Negative softmax mass held"), dark).update_yaxes(
        range=[0, 1.05], tickformat=".0%"
    )
