"""The ROC on a logarithmic FAR axis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.evaluation.verification import Roc
from workbench.views.theme import GRAY, Style, template

LOWEST = 1e-4  # left end of the FAR axis
MARKED = (1e-3, 1e-2, 1e-1)  # FARs of the markers, as in the table


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The ROC of one run and its number of impostor pairs."""

    style: Style
    roc: Roc
    impostor: int


def roc_figure(curves: Sequence[RocCurve], dark: bool = False) -> go.Figure:
    """TAR against FAR as a step function: the largest TAR at or below each FAR; from one impostor pair on."""
    figure = go.Figure(layout={"template": template(dark)})
    for one in curves:
        far, tar = staircase(one.roc, max(LOWEST, 1 / one.impostor))
        marks = np.array([f for f in MARKED if f >= far[0]])
        at = tar[np.searchsorted(far, marks, side="right") - 1]
        line = {"color": one.style.color, "width": 2, "dash": one.style.dash, "shape": "hv"}
        group = {"legendgroup": one.style.label, "name": one.style.label}
        hover = f"{one.style.label}<br>FAR %{{x:.2g}}: TAR %{{y:.1%}}<extra></extra>"
        figure.add_scatter(x=far, y=tar, mode="lines", line=line, showlegend=False, hovertemplate=hover, **group)
        gaps = np.arange(1, len(marks))  # between the markers, so that no line joins them
        figure.add_scatter(
            x=np.insert(marks, gaps, np.nan),
            y=np.insert(at, gaps, np.nan),
            mode="markers+lines",
            line=line,
            marker={"symbol": one.style.marker, "size": 10},
            hovertemplate=hover,
            **group,
        )
    chance = np.geomspace(LOWEST, 1, 100)
    dots = {"color": GRAY, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=chance, y=chance, mode="lines", line=dots, name="random guess", hoverinfo="skip")
    for one in curves[:1]:
        if 1 / one.impostor > LOWEST:
            figure.add_vrect(LOWEST, 1 / one.impostor, fillcolor=GRAY, opacity=0.14, line={"width": 0}, layer="below")
    ticks = [1e-4, 1e-3, 1e-2, 1e-1, 1]
    figure.update_xaxes(
        title_text="False accept rate, FAR<br>(share of impostor pairs, no unit, log scale)",
        type="log",
        range=[np.log10(LOWEST), 0],
        tickvals=ticks,
        ticktext=["0.0001", "0.001", "0.01", "0.1", "1"],
    )
    return figure.update_yaxes(
        title_text="True accept rate, TAR<br>(% of genuine pairs)", range=[0, 1.01], tickformat=".0%"
    )


def staircase(roc: Roc, lowest: float) -> tuple[np.ndarray, np.ndarray]:
    """FAR and TAR at the steps of the ROC from FAR = `lowest` on, and at its end."""
    start = np.searchsorted(roc.far, lowest, side="right") - 1  # the last point at or below `lowest`
    far, tar = np.maximum(roc.far[start:], lowest), roc.tar[start:]
    top = np.append(far[1:] != far[:-1], True)  # the highest TAR at each FAR
    far, tar = far[top], tar[top]
    corner = np.append(True, tar[1:] != tar[:-1])
    corner[-1] = True
    return far[corner], tar[corner]
