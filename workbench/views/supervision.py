"""Who is supervised and how strongly (NPCFace section III): the identity, a positive margin's effect, the emphasis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from workbench.views.lines import Axis, Line, lines_figure
from workbench.views.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, template

if TYPE_CHECKING:  # a view draws results; it never needs torch
    from workbench.curves.supervision import Emphasis, MarginEffect, Supervision

PIECES = (VERMILION, ORANGE, PURPLE, GREEN, SKY)  # of the negatives pushed most; the others share one
FAMILIES = (PURPLE, GREEN, ORANGE, BLUE)
DASHES = ("solid", "dash", "dot", "dashdot")
PUSH = "push off the negative: dL/dcos θ<sub>j</sub><br>(nats per unit of cosine)"


def supervision_figure(supervision: Supervision, dark: bool = False) -> go.Figure:
    """Of the first sample: the pull to its own center beside the pushes off all others; of a softmax both are equal."""
    pushes = supervision.negatives[0]
    order = np.argsort(-pushes)
    pieces = [(f"negative {j + 1}", pushes[j], colour) for j, colour in zip(order, PIECES, strict=False)]
    if len(order) > len(PIECES):
        pieces.append((f"the other {len(order) - len(PIECES)}", pushes[order[len(PIECES) :]].sum(), GREY))
    sides = ["pull to the own center: −dL/dT", "pushes off the others: Σ dL/dN<sub>j</sub>"]
    figure = go.Figure(layout={"template": template(dark), "barmode": "stack", "legend": {"traceorder": "normal"}})
    figure.add_bar(x=[-supervision.target[0]], y=sides[:1], orientation="h", name="own center", marker_color=BLUE)
    for name, value, colour in pieces:
        figure.add_bar(x=[value], y=sides[1:], orientation="h", name=name, marker_color=colour)
    figure.update_traces(hovertemplate="%{fullData.name}: %{x:.4g} nats per unit of logit<extra></extra>", width=0.6)
    figure.update_xaxes(title_text="nats per unit of logit before scale; of a softmax, s (1 − p<sub>y</sub>)")
    return figure.update_yaxes(autorange="reversed")


def effect_figure(effect: MarginEffect, quantity: str = "gradient", dark: bool = False) -> go.Figure:
    """Over theta_y, with the margin (solid) and without (dashed): the gradients, or the hard negative's "share"."""
    if quantity == "share":
        kinds = (("share", "the negative looked at", VERMILION),)
        y = Axis("its share of the push on all negatives")
    else:
        kinds = (("negative", "the negative looked at", VERMILION), ("other", "one of the other negatives", ORANGE))
        y = Axis("push: dL/dcos θ (nats per unit of cosine)")
    jumps = switches(effect.theta_y, effect.hard)
    lines = [
        Line(f"{name}, {how}", effect.theta_y, getattr(pushes, attribute), colour, dash, at)
        for attribute, name, colour in kinds
        for how, pushes, dash, at in (
            ("with the margin", effect.margined, "solid", jumps),
            ("without", effect.plain, "dash", jumps[:0]),
        )
    ]
    return lines_figure(lines, Axis("θ<sub>y</sub>: angle from its own center", angle=True), y, dark)


def emphasis_figure(emphasis: Emphasis, quantity: str = "odds", dark: bool = False) -> go.Figure:
    """The "odds", "added" logit or "push" of a hard negative: a colour for each family, a dash for each member."""
    values, y = {
        "odds": (10**emphasis.log10_odds, Axis("odds of the negative against<br>the other classes, times", log=True)),
        "added": (emphasis.added, Axis("N − cos θ<sub>j</sub>, before scale")),
        "push": (emphasis.negative, Axis(PUSH)),
    }[quantity]
    families = list(dict.fromkeys(emphasis.families))
    lines = []
    for k, (label, family) in enumerate(zip(emphasis.labels, emphasis.families, strict=True)):
        repeat = emphasis.families[:k].count(family)
        colour, dash = FAMILIES[families.index(family) % len(FAMILIES)], DASHES[repeat % len(DASHES)]
        lines.append(Line(label, emphasis.x, values[k], colour, dash, switches(emphasis.x, emphasis.hard[k])))
    figure = lines_figure(lines, Axis("cos θ<sub>j</sub> of the negative"), y, dark)
    return figure.update_yaxes(exponentformat="power", dtick=3) if y.log else figure


def switches(x: np.ndarray, hard: np.ndarray) -> np.ndarray:
    """The x between two points of which one has more hard negatives than the other: there curves jump."""
    return ((x[1:] + x[:-1]) / 2)[hard[1:] != hard[:-1]]
