"""The figures of a run report with their captions. A sentence in place of a figure says why there is none."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.curves import curve
from workbench.reports.equations import equation
from workbench.reports.evidence import Evidence, Moment, final_margin, mark_changes
from workbench.reports.figures import Figures, NumberedFigure
from workbench.reports.tables import format_state, parameter_tables
from workbench.reports.words import sample, snapshots, warm_up
from workbench.training.evaluate import THETA
from workbench.views.curves import MarginCurve, curves_figure
from workbench.views.hardness import correlation_figure, distances_figure
from workbench.views.similarity import overlap_figure, ridges_figure
from workbench.views.training import (
    FEW,
    LOSS_POINTS,
    BoundaryTrack,
    Track,
    boundary_figure,
    loss_figure,
    misclassified_figure,
)
from workbench.views.verification import LOWEST, RocCurve, roc_figure

MAX_ROWS = 9  # snapshots in a figure of distributions

FigureOrReason = NumberedFigure | str


def no_data(what: str) -> str:
    """The sentence in place of a figure without data."""
    return f"No run left {what}, so there is nothing to draw here."


def card(one: Evidence, figures: Figures) -> dict[str, Any]:
    """One loss: summary, equations, citation, warm-up, health, curves on the slice, and parameters."""
    numbers, switches = parameter_tables(one)
    return {
        "style": one.style,
        "method": one.method,
        "equations": [equation(line) for line in one.method.latex],
        "warm_up": warm_up(one),
        "health": one.run.health,
        "figure": slice_curves(one, figures) if one.method.has_logits else "",
        "numbers": numbers,
        "switches": switches,
    }


def slice_curves(one: Evidence, figures: Figures) -> NumberedFigure:
    """T and N of one loss on the slice, at the end of its training."""
    end = final_margin(one)
    shape = curve(end.margin, THETA, state=end.state, norm=end.length)
    drawn = MarginCurve(one.style.label, one.style.color, shape, end.actual, end.ideal)
    state = format_state(one)
    return figures.add(
        lambda dark: curves_figure([drawn], THETA, dark),
        f"T and N of {one.style.label} {'at the end of' if one.moments else 'before'} training"
        f"{state and f', with {state}'}, computed by the training code, on the arc between two centers "
        f"{math.degrees(THETA):.0f}° apart.",
    )


def boundaries(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """Decision boundaries over training."""
    tracks = [
        BoundaryTrack(one.style, one.times, [m.actual for m in one.moments], [m.ideal for m in one.moments])
        for one in runs
        if one.moments
    ]
    if not tracks:
        return no_data("a snapshot")
    return figures.add(
        lambda dark: boundary_figure(tracks, THETA, mark_changes(runs), dark),
        f"Decision boundary of every loss over training, with its parameters and state at {snapshots(runs)}. A curve "
        "is interrupted where the number of boundaries changes; equal curves cover each other.",
    )


def loss(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """Training loss over steps."""
    tracks = [Track(one.style, one.steps["step"], one.steps["loss"]) for one in runs if len(one.steps.get("step", ()))]
    if not tracks:
        return no_data("a step")
    block = max(-(-len(track.step) // LOSS_POINTS) for track in tracks)
    points = f"each point is the mean of {block} steps" if block > 1 else "one point per step"
    return figures.add(
        lambda dark: loss_figure(tracks, mark_changes(runs), dark), f"Training loss of every loss; {points}."
    )


def misclassified_samples(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """Share of misclassified training samples over training."""
    return snapshot_figure(
        runs,
        figures,
        misclassified_figure,
        lambda m: float(m.hard.misclassified.mean()),
        lambda m: m.samples,
        "Share of training samples whose nearest center is not their own, by plain cosines: without margin and scale, "
        "so it is comparable between losses.",
    )


def distributions(runs: Sequence[Evidence], figures: Figures) -> list[FigureOrReason]:
    """The similarity distributions of each run, all with the same range of cosines."""
    drawn = [one for one in runs if one.moments]
    probes = [m.similar for one in drawn for m in one.moments]
    lowest = min((s.edges[np.flatnonzero(s.well + s.mis)[0]] for s in probes), default=-1.0)
    return [distributions_of(one, lowest, figures) for one in drawn] or [no_data("a snapshot")]


def distributions_of(one: Evidence, lowest: float, figures: Figures) -> NumberedFigure:
    """One run's similarity distributions over time, for cosines from `lowest` to 1."""
    indices = np.unique(np.linspace(0, len(one.moments) - 1, MAX_ROWS).round().astype(int))
    chosen = [one.moments[i] for i in indices]
    bins = len(chosen[0].similar.edges) - 1
    return figures.add(
        lambda dark: ridges_figure([m.step for m in chosen], [m.similar for m in chosen], lowest, dark),
        f"{one.style.label}: {len(chosen)} of {len(one.moments)} snapshots of the same {chosen[0].samples:,} "
        f"training images; {bins} bins from −1 to 1.",
        height=480,
        title=one.style.label,
    )


def overlap(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """Overlap of the similarity distributions over training."""
    return snapshot_figure(
        runs,
        figures,
        overlap_figure,
        lambda m: m.similar.overlap,
        lambda m: m.smaller_group,
        "Overlap of the two distributions: the sum over bins of the smaller of the two histograms. Hollow where one "
        f"group has fewer than {FEW} samples, missing where it is empty.",
    )


def correlation(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """Hardness correlation over training."""
    return snapshot_figure(
        runs,
        figures,
        correlation_figure,
        lambda m: m.hard.r,
        lambda m: m.hard.count,
        "Pearson correlation of the two distances (top), and the number of misclassified samples it is computed from "
        f"(bottom). Hollow and pale: fewer than {FEW}; missing: fewer than three.",
        height=500,
    )


def distances(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """The samples behind the last reliable correlation, of the last run that has one, as an example."""
    one = next((one for one in reversed(runs) if one.last_hard), None)
    if one is None or (moment := one.last_hard) is None:
        return ""
    return figures.add(
        lambda dark: distances_figure(moment.hard, one.style, dark),
        f"The samples of r, for {one.style.label} at step {moment.step:,}: all {moment.hard.count:,} misclassified "
        f"among {moment.samples:,} samples. Hard positives are on the right, hard negatives at the bottom. Every "
        "sample is below the dashed line, since another center is nearer to it than its own.",
        height=440,
        kind="square",
    )


def roc(runs: Sequence[Evidence], figures: Figures) -> FigureOrReason:
    """ROC curves on unseen identities."""
    measured = [one for one in runs if one.roc is not None]
    if not measured:
        return no_data("a measurement on unseen identities")
    genuine, impostor = (
        {int(one.result_at("verification", kind)) for one in measured} for kind in ("genuine", "impostor")
    )
    tested = [RocCurve(one.style, one.roc, int(one.result_at("verification", "impostor"))) for one in measured]
    lowest = max(LOWEST, 1 / min(impostor))
    return figures.add(
        lambda dark: roc_figure(tested, dark),
        f"{min(genuine):,} genuine and {min(impostor):,} impostor pairs of unseen identities. At the left end, a FAR "
        f"of {lowest:.1g}, {round(lowest * min(impostor)):,} impostor pairs are accepted; the curves end at one pair. "
        "The markers are the values of the table.",
        height=460,
    )


def snapshot_figure(
    runs: Sequence[Evidence],
    figures: Figures,
    draw: Callable[..., go.Figure],
    number: Callable[[Moment], float],
    samples: Callable[[Moment], int],
    caption: str,
    height: int = 400,
) -> FigureOrReason:
    """A number at each snapshot over training, one curve for each run; samples: how many it is computed from."""
    tracks = [
        Track(one.style, one.times, *(np.array([of(m) for m in one.moments]) for of in (number, samples)))
        for one in runs
        if one.moments
    ]
    if not tracks:
        return no_data("a snapshot")
    return figures.add(lambda dark: draw(tracks, mark_changes(runs), dark), f"{caption} {sample(runs)}", height=height)
