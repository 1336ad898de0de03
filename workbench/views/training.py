"""Quantities against the training step: loss, misclassified samples, decision boundaries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from workbench.views.theme import GRAY, Style, angle_ticks, template

FEW = 20  # values from fewer samples are pale
LOSS_POINTS = 100  # of a loss curve; each is the mean over a block of steps
MARKERS = 8  # on a curve of many points
STEPS = "Training step (batches seen)"


@dataclass(frozen=True, eq=False)
class Track:
    """A value of one run: step (k,), value (k,), and optionally samples (k,): number of samples behind each value."""

    style: Style
    step: np.ndarray
    value: np.ndarray
    samples: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class BoundaryTrack:
    """Decision boundaries of one run: actual and ideal ones at each step (k,), in rad."""

    style: Style
    step: np.ndarray
    actual: Sequence[np.ndarray]
    ideal: Sequence[np.ndarray]


@dataclass(frozen=True)
class Stretch:
    """Steps to mark behind the curves, such as a warm-up; start = end for a change at one step."""

    start: int
    end: int
    text: str


def loss_figure(tracks: Sequence[Track], stretches: Sequence[Stretch] = (), dark: bool = False) -> go.Figure:
    """Training loss, each point the mean over a block of steps. Different losses are not comparable."""
    return over_time([block_means(track, LOSS_POINTS) for track in tracks], "Training loss (nats)", stretches, dark)


def block_means(track: Track, points: int) -> Track:
    """Means over at most `points` blocks of equal length, each at the middle of its block."""
    size = -(-len(track.value) // points)
    starts = np.arange(0, len(track.value), max(1, size))
    lengths = np.diff([*starts, len(track.value)])
    means = [np.add.reduceat(a, starts) / lengths if len(starts) else a for a in (track.step, track.value)]
    return replace(track, step=means[0], value=means[1])


def misclassified_figure(tracks: Sequence[Track], stretches: Sequence[Stretch] = (), dark: bool = False) -> go.Figure:
    """Share of the snapshots' training samples whose nearest center is not their own."""
    figure = over_time(tracks, "Misclassified training samples (%)", stretches, dark, ".0%")
    return figure.update_yaxes(range=[0, 1.1], dtick=0.2, tickformat=".0%")


def boundary_figure(
    tracks: Sequence[BoundaryTrack], theta: float, stretches: Sequence[Stretch] = (), dark: bool = False
) -> go.Figure:
    """All boundaries of each run, on a slice between centers theta rad apart; ideal ones dotted."""
    figure = base("", stretches, dark)
    for track in tracks:
        figure.add_traces([*boundary_traces(track, track.ideal, ideal=True)])
        figure.add_traces([*boundary_traces(track, track.actual, ideal=False)])
    figure.add_scatter(
        x=[None], y=[None], mode="lines", line={"color": GRAY, "dash": "dot", "width": 1.5}, name="dotted: ideal"
    )
    ticks = angle_ticks(np.arange(0, np.degrees(theta) + 1, 5), " / ")
    return figure.update_yaxes(title_text="Boundary: angle to the own center<br>(degrees / radians)", **ticks)


def boundary_traces(track: BoundaryTrack, angles: Sequence[np.ndarray], ideal: bool) -> Iterator[go.Scatter]:
    """A line for the first boundary at each step, one for the second, ...; with gaps where their number changes."""
    counts = np.array([len(a) for a in angles], dtype=int)
    changed = np.flatnonzero(np.diff(counts)) + 1
    kind = "ideal boundary" if ideal else "boundary"
    for k in range(counts.max(initial=0)):
        at = np.array([a[k] if k < len(a) else np.nan for a in angles])
        phi = np.insert(at, changed, np.nan)
        yield go.Scatter(
            x=np.insert(track.step.astype(float), changed, np.nan),
            y=np.degrees(phi),
            customdata=phi,
            mode="lines" if ideal else "lines+markers",
            line={
                "color": track.style.color,
                "width": 1.5 if ideal else 2,
                "dash": "dot" if ideal else track.style.dash,
            },
            marker={"symbol": track.style.marker, "size": 8},
            name=track.style.label,
            legendgroup=track.style.label,
            showlegend=not ideal and k == 0,
            hovertemplate=f"{track.style.label}<br>step %{{x}}: {kind} %{{y:.1f}}° (%{{customdata:.3f}} rad)"
            "<extra></extra>",
        )


def over_time(
    tracks: Sequence[Track], y_title: str, stretches: Sequence[Stretch] = (), dark: bool = False, form: str = ".3f"
) -> go.Figure:
    """A line per run against the training step. form: d3 format of a value in the hover text."""
    figure = base(y_title, stretches, dark)
    figure.add_traces([trace for track in tracks for trace in track_traces(track, form)])
    return figure


def base(y_title: str, stretches: Sequence[Stretch], dark: bool) -> go.Figure:
    """An empty figure against the training step, with the marked stretches."""
    figure = go.Figure(layout={"template": template(dark)})
    figure.update_xaxes(title_text=STEPS, rangemode="tozero")
    figure.update_yaxes(title_text=y_title)
    mark_stretches(figure, stretches)
    return figure


def mark_stretches(figure: go.Figure, stretches: Sequence[Stretch], **where: int) -> None:
    """Shade each stretch of steps, or draw a line at a single step, with its text at the top."""
    for stretch in stretches:
        label = {"text": stretch.text, "font": {"size": 11}, "textposition": "top left"}
        if stretch.start == stretch.end:
            label |= {"textposition": "end", "textangle": 0, "xanchor": "left", "yanchor": "top"}
            figure.add_vline(stretch.start, line={"color": GRAY, "width": 1, "dash": "dot"}, label=label, **where)
        else:
            edge = {"width": 0}
            figure.add_vrect(
                stretch.start, stretch.end, fillcolor=GRAY, opacity=0.14, line=edge, layer="below", label=label, **where
            )


def track_traces(track: Track, form: str = ".3f", legend: bool = True) -> Iterator[go.Scatter]:
    """The line and markers of a run; values from fewer than FEW samples are pale and hollow."""
    style, k = track.style, len(track.step)
    few = np.zeros(k, dtype=bool) if track.samples is None else track.samples < FEW
    marked = np.arange(k) % max(1, k // MARKERS) == 0 if k > 3 * MARKERS else np.ones(k, dtype=bool)
    count = "" if track.samples is None else "<br>%{customdata} samples"
    hover = f"{style.label}<br>step %{{x:.0f}}: %{{y:{form}}}{count}<extra></extra>"
    shared = {"x": track.step, "name": style.label, "legendgroup": style.label, "showlegend": False}
    line = {"color": style.color, "width": 2, "dash": style.dash}
    yield go.Scatter(shared, y=track.value, customdata=track.samples, mode="lines", line=line, hovertemplate=hover)
    # Lines and markers in one trace, so that the legend shows both; the line above fills its gaps.
    solid = {"y": np.where(marked & ~few, track.value, np.nan), "line": line, "mode": "lines+markers"}
    marker = {"symbol": style.marker, "size": 8}
    yield go.Scatter(shared | solid | {"showlegend": legend}, marker=marker, hoverinfo="skip")
    if few.any():
        hollow = {"symbol": f"{style.marker}-open", "size": 7, "color": style.color}
        pale = np.where(few, track.value, np.nan)
        yield go.Scatter(shared, y=pale, mode="markers", marker=hollow, opacity=0.5, hoverinfo="skip")
