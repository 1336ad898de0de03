"""Hardness correlation and captured softmax mass against the number of identities (NPCFace, Fig. 2b and Fig. 3)."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.probes.scale import ScaleStudy
from workbench.views.theme import COLORS, DASHES, GREY, MARKERS, template
from workbench.views.training import FEW


def scale_figure(studies: Mapping[str, ScaleStudy], dark: bool = False) -> go.Figure:
    """Correlation r above, captured mass below; a color and a marker per study, by name.

    Solid and dashed: queues of the smaller and of the larger length; dotted grey: a random subset. A point of r with
    fewer than FEW misclassified samples is hollow.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for i, (name, study) in enumerate(studies.items()):
        color, symbol = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
        hollow = [symbol + ("-open" if count < FEW else "") for count in study.count]
        figure.add_scatter(
            x=study.classes,
            y=study.r,
            customdata=study.count,
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"symbol": hollow, "size": 9, "color": color},
            hovertemplate=f"{name}<br>%{{x:,}} identities: r = %{{y:.2f}}<br>%{{customdata:,}} of {study.samples:,}"
            " samples misclassified<extra></extra>",
            row=1,
            col=1,
        )
        for q, K in enumerate(study.K):
            add_share_line(figure, study, study.captured[:, q], f"K = {K}", name, color, symbol, DASHES[q % 2])
        add_share_line(figure, study, study.random, f"random {study.share:.0%}", name, GREY, symbol, "dot")
    add_key(figure, next(iter(studies.values())))
    figure.add_hline(0, line={"color": GREY, "width": 1, "dash": "dash"}, row=1, col=1)
    figure.update_layout(template=template(dark))
    figure.update_yaxes(title_text="Hardness correlation r<br>(no unit)", range=[-1.05, 1.05], dtick=0.5, row=1, col=1)
    mass = "Negative softmax mass<br>in the nearest K classes (%)"
    figure.update_yaxes(title_text=mass, range=[0, 1.05], tickformat=".0%", row=2, col=1)
    figure.update_xaxes(type="log", dtick=1)
    return figure.update_xaxes(title_text="Identities (number of classes)", row=2, col=1)


def add_share_line(
    figure: go.Figure, study: ScaleStudy, values: np.ndarray, what: str, name: str, color: str, symbol: str, dash: str
) -> None:
    """A line of the lower plot."""
    figure.add_scatter(
        x=study.classes,
        y=values,
        name=f"{name}, {what}",
        showlegend=False,
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 7, "color": color},
        hovertemplate=f"{name}, {what}<br>%{{x:,}} identities: %{{y:.1%}}<extra></extra>",
        row=2,
        col=1,
    )


def add_key(figure: go.Figure, study: ScaleStudy) -> None:
    """The dashes of the lower plot, in the legend."""
    dashes = [(f"K = {K}", DASHES[q % 2]) for q, K in enumerate(study.K)] + [(f"random {study.share:.0%}", "dot")]
    for what, dash in dashes:
        line = {"color": GREY, "width": 2, "dash": dash}
        figure.add_scatter(x=[None], y=[None], name=what, mode="lines", line=line, hoverinfo="skip", row=2, col=1)
