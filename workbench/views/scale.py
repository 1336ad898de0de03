"""Hardness correlation and captured softmax mass against the number of identities (NPCFace, Fig. 2b and Fig. 3)."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.probes.scale import ScaleStudy
from workbench.views.theme import COLORS, DASHES, GRAY, MARKERS, template
from workbench.views.training import FEW


def scale_figure(studies: Mapping[str, ScaleStudy], dark: bool = False) -> go.Figure:
    """Correlation r above, captured mass below; a color and a marker per study, by name.

    Solid and dashed: queues of the smaller and of the larger length; dotted gray: a random subset. A point of r with
    fewer than FEW misclassified samples is hollow.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for i, (name, study) in enumerate(studies.items()):
        color, symbol = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
        shared = {"x": study.classes, "legendgroup": name, "mode": "lines+markers"}
        hollow = [symbol + ("-open" if count < FEW else "") for count in study.count]
        hover = f"{name}<br>%{{x:,}} identities: r = %{{y:.2f}}<br>%{{customdata:,}} of {study.samples:,} samples"
        correlation = {"y": study.r, "customdata": study.count, "name": name, "line": {"color": color, "width": 2}}
        correlation["marker"] = {"symbol": hollow, "size": 9, "color": color}
        correlation["hovertemplate"] = f"{hover} misclassified<extra></extra>"
        figure.add_trace(go.Scatter(shared | correlation), row=1, col=1)
        for what, dash, values in shares(study):
            color_ = GRAY if values is study.random else color
            mass = {"y": values, "name": f"{name}, {what}", "showlegend": False}
            mass |= {"line": {"color": color_, "width": 2, "dash": dash}}
            mass["marker"] = {"symbol": symbol, "size": 7, "color": color_}
            mass["hovertemplate"] = f"{name}, {what}<br>%{{x:,}} identities: %{{y:.1%}}<extra></extra>"
            figure.add_trace(go.Scatter(shared | mass), row=2, col=1)
    for what, dash, _ in shares(next(iter(studies.values()))):  # legend entries of the dashes
        line = {"color": GRAY, "width": 2, "dash": dash}
        figure.add_scatter(x=[None], y=[None], name=what, mode="lines", line=line, hoverinfo="skip", row=2, col=1)
    figure.add_hline(0, line={"color": GRAY, "width": 1, "dash": "dash"}, row=1, col=1)
    figure.update_layout(template=template(dark))
    figure.update_yaxes(title_text="Hardness correlation r<br>(no unit)", range=[-1.05, 1.05], dtick=0.5, row=1, col=1)
    title = "Negative softmax mass<br>in the nearest K classes (%)"
    figure.update_yaxes(title_text=title, range=[0, 1.05], tickformat=".0%", row=2, col=1)
    figure.update_xaxes(type="log", dtick=1)
    return figure.update_xaxes(title_text="Identities (number of classes)", row=2, col=1)


def shares(study: ScaleStudy) -> list[tuple[str, str, np.ndarray]]:
    """The lines of the lower plot: name, dash, and mass (k,)."""
    queues = [(f"K = {K}", DASHES[q % 2], study.captured[:, q]) for q, K in enumerate(study.K)]
    return [*queues, (f"random {study.share:.0%}", "dot", study.random)]
