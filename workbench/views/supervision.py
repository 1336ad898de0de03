"""The softmax supervision (NPCFace, section III): its identity, the effect of a margin, the emphasis of negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from workbench.views.lines import Axis, Line, lines_figure
from workbench.views.theme import BLUE, DASHES, GRAY, GREEN, ORANGE, PURPLE, SKY, VERMILION, template

if TYPE_CHECKING:  # importing it would load torch
    from workbench.curves.supervision import Emphasis, MarginEffect, Supervision

PIECES = (VERMILION, ORANGE, PURPLE, GREEN, SKY)  # of the negatives with the largest push
FAMILIES = (PURPLE, GREEN, ORANGE, BLUE)
PUSH = "Push off the negative: dL/dcos θ<sub>j</sub><br>(nats per unit of cosine)"


def supervision_figure(supervision: Supervision, dark: bool = False) -> go.Figure:
    """The pull of the first sample to its own center and its pushes off all others; equal for softmax."""
    pushes = supervision.negatives[0]
    order = np.argsort(-pushes)
    pieces = [(f"negative {j + 1}", pushes[j], color) for j, color in zip(order, PIECES, strict=False)]
    if len(order) > len(PIECES):
        pieces.append((f"the other {len(order) - len(PIECES)}", pushes[order[len(PIECES) :]].sum(), GRAY))
    sides = ["pull to the own center: −dL/dT", "pushes off the others: Σ dL/dN<sub>j</sub>"]
    figure = go.Figure(layout={"template": template(dark), "barmode": "stack", "legend": {"traceorder": "normal"}})
    figure.add_bar(x=[-supervision.target[0]], y=sides[:1], orientation="h", name="own center", marker_color=BLUE)
    for name, value, color in pieces:
        figure.add_bar(x=[value], y=sides[1:], orientation="h", name=name, marker_color=color)
    figure.update_traces(hovertemplate="%{fullData.name}: %{x:.4g} nats per unit of logit<extra></extra>", width=0.6)
    figure.update_xaxes(title_text="Gradient (nats per unit of logit before scale); for softmax s (1 − p<sub>y</sub>)")
    return figure.update_yaxes(autorange="reversed")


def effect_figure(effect: MarginEffect, quantity: str = "gradient", dark: bool = False) -> go.Figure:
    """Gradients over theta_y with the margin (solid) and without (dashed); quantity "share": the first negative's."""
    if quantity == "share":
        kinds = (("share", "first negative", VERMILION),)
        y = Axis("Share of the push on all negatives (no unit)")
    else:
        kinds = (("negative", "first negative", VERMILION), ("other", "one of the other negatives", ORANGE))
        y = Axis("Push: dL/dcos θ (nats per unit of cosine)")
    jumps = hard_switches(effect.theta_y, effect.hard)
    lines = [
        Line(f"{name}, {how}", effect.theta_y, getattr(pushes, attribute), color, dash, at)
        for attribute, name, color in kinds
        for how, pushes, dash, at in (
            ("with the margin", effect.margined, "solid", jumps),
            ("without", effect.plain, "dash", jumps[:0]),
        )
    ]
    return lines_figure(lines, Axis("θ<sub>y</sub>: angle to the own center", angle=True), y, dark)


def emphasis_figure(emphasis: Emphasis, quantity: str = "odds", dark: bool = False) -> go.Figure:
    """The "odds", "added" logit or "push" of a negative; a color per family, a dash per member."""
    values, y = {
        "odds": (10**emphasis.log10_odds, Axis("Factor on the odds of the negative<br>(no unit)", log=True)),
        "added": (emphasis.added, Axis("N − cos θ<sub>j</sub> (no unit, before scale)")),
        "push": (emphasis.negative, Axis(PUSH)),
    }[quantity]
    families = list(dict.fromkeys(emphasis.families))
    lines = []
    for k, (label, family) in enumerate(zip(emphasis.labels, emphasis.families, strict=True)):
        repeat = emphasis.families[:k].count(family)
        color, dash = FAMILIES[families.index(family) % len(FAMILIES)], DASHES[repeat % len(DASHES)]
        lines.append(Line(label, emphasis.x, values[k], color, dash, hard_switches(emphasis.x, emphasis.hard[k])))
    figure = lines_figure(lines, Axis("cos θ<sub>j</sub> of the negative (no unit)"), y, dark)
    return figure.update_yaxes(exponentformat="power", dtick=3) if y.log else figure


def hard_switches(x: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """Midpoints of x where the number of hard negatives changes: curves jump there."""
    return ((x[1:] + x[:-1]) / 2)[hard[1:] != hard[:-1]]
