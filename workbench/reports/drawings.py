"""Every figure of a report with its caption. Where the runs left nothing to draw, a sentence says so instead."""

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from workbench.curves import curve
from workbench.reports.equations import equations
from workbench.reports.evidence import Evidence, Moment, end_of, hard_enough, stretches
from workbench.reports.figures import Figures
from workbench.reports.tables import chip, parameter_tables, state_in_words
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

ROWS = 9  # snapshots in a stack of distributions, at most


def nothing(what: str) -> str:
    return f"<p class='notice'>No run left {what}, so there is nothing to draw here.</p>"


def card(one: Evidence, figures: Figures) -> str:
    """One loss: what it does, its equations, its source, its curves on the slice, and its parameters."""
    source = f"<p class='note'><cite>{escape(one.method.citation)}</cite></p><p class='note'>{warm_up(one)}</p>"
    health = "".join(f"<p class='note'>{escape(sentence)}</p>" for sentence in one.run.health)
    figure = slice_of(one, figures) if one.method.has_logits else ""
    return (
        f"<article class='card'><h3>{chip(one.look)}</h3><p>{escape(one.method.summary)}</p><div class='pair'>"
        f"<div>{equations(one.method.latex)}{source}{health}</div>{figure}</div>{parameter_tables(one)}</article>"
    )


def slice_of(one: Evidence, figures: Figures) -> str:
    """T and N of one loss on the slice, at the end of its training."""
    end = end_of(one)
    shape = curve(end.margin, THETA, state=end.state, norm=end.length)
    drawn = MarginCurve(one.look.label, one.look.color, shape, end.actual, end.ideal)
    reached = state_in_words(one)
    return figures.add(
        lambda dark: curves_figure([drawn], THETA, dark),
        f"T and N of {escape(one.look.label)} {'at the end of' if one.moments else 'before'} training"
        f"{reached and f', with {reached}'}, computed by the code that trains, along the arc between two centers "
        f"{math.degrees(THETA):.0f}° apart.",
    )


def boundaries(found: Sequence[Evidence], figures: Figures) -> str:
    tracks = [
        BoundaryTrack(one.look, times(one), [m.actual for m in one.moments], [m.ideal for m in one.moments])
        for one in found
        if one.moments
    ]
    if not tracks:
        return nothing("a snapshot")
    return figures.add(
        lambda dark: boundary_figure(tracks, THETA, stretches(found), dark),
        "Decision boundary of every loss over training: its parameters and its state as they were at "
        f"{snapshots(found)}. A curve breaks where the number of boundaries changes; curves that coincide cover each "
        "other.",
    )


def loss(found: Sequence[Evidence], figures: Figures) -> str:
    tracks = [Track(one.look, one.steps["step"], one.steps["loss"]) for one in found if len(one.steps.get("step", ()))]
    if not tracks:
        return nothing("a step")
    block = max(-(-len(track.step) // LOSS_POINTS) for track in tracks)
    each = f"each point the mean of {block} batches" if block > 1 else "one point a batch"
    return figures.add(
        lambda dark: loss_figure(tracks, stretches(found), dark),
        f"Training loss, {each}. <b>Losses of different margins are not comparable:</b> a larger margin or scale makes "
        "the number larger for the same embedding, and the loss rises while a warm-up makes the task harder. The next "
        "figure can be compared.",
    )


def misclassified(found: Sequence[Evidence], figures: Figures) -> str:
    tracks = over_snapshots(found, lambda m: float(m.hard.misclassified.mean()), lambda m: m.samples)
    if not tracks:
        return nothing("a snapshot")
    return figures.add(
        lambda dark: misclassified_figure(tracks, stretches(found), dark),
        "Share of training samples whose nearest center is not their own, by plain cosines: no margin, no scale, so it "
        f"means the same for every loss. {sample(found)}",
    )


def stacks(found: Sequence[Evidence], figures: Figures) -> str:
    """One run's distributions beside another's, all from the lowest cosine of any run to 1."""
    told = [one for one in found if one.moments]
    all_similar = [m.similar for one in told for m in one.moments]
    lowest = min((s.edges[np.flatnonzero(s.well + s.mis)[0]] for s in all_similar), default=-1.0)
    return "".join(stack(one, lowest, figures) for one in told) or nothing("a snapshot")


def stack(one: Evidence, lowest: float, figures: Figures) -> str:
    """One run's distributions over time, the cosines from `lowest` to 1."""
    chosen = [one.moments[i] for i in np.unique(np.linspace(0, len(one.moments) - 1, ROWS).round().astype(int))]
    bins = len(chosen[0].similar.edges) - 1
    return figures.add(
        lambda dark: ridges_figure([m.step for m in chosen], [m.similar for m in chosen], lowest, dark),
        f"{escape(one.look.label)}: {len(chosen)} of {len(one.moments)} snapshots of the same {chosen[0].samples:,} "
        f"training images; {bins} bins from −1 to 1.",
        height=480,
        title=one.look.label,
    )


def overlap(found: Sequence[Evidence], figures: Figures) -> str:
    tracks = over_snapshots(found, lambda m: m.similar.overlap, lambda m: m.smaller_group)
    if not tracks:
        return ""  # the distributions have said it
    return figures.add(
        lambda dark: overlap_figure(tracks, stretches(found), dark),
        "Overlap of the two distributions: the sum over bins of the smaller of the two histograms. Hollow where one "
        f"group has fewer than {FEW} samples, missing where it is empty. {sample(found)}",
    )


def correlation(found: Sequence[Evidence], figures: Figures) -> str:
    tracks = over_snapshots(found, lambda m: m.hard.r, lambda m: m.hard.count)
    if not tracks:
        return nothing("a snapshot")
    return figures.add(
        lambda dark: correlation_figure(tracks, stretches(found), dark),
        "Pearson correlation of the two distances (above), and the number of misclassified samples it rests on "
        f"(below). Hollow and pale: fewer than {FEW}; missing: fewer than three. {sample(found)}",
        height=500,
    )


def distances(found: Sequence[Evidence], figures: Figures) -> str:
    """The samples behind the last r of the last run that has enough of them, as an example."""
    one = next((one for one in reversed(found) if hard_enough(one)), None)
    if one is None or (seen := hard_enough(one)) is None:
        return ""
    return figures.add(
        lambda dark: distances_figure(seen.hard, one.look, dark),
        f"What r measures, for {escape(one.look.label)} at step {seen.step:,}: all {seen.hard.count:,} misclassified "
        f"among {seen.samples:,} samples. Hard positives are on the right, hard negatives at the bottom. Every sample "
        "lies below the dashed line, since another center is nearer to it than its own.",
        height=440,
        kind="square",
    )


def roc(found: Sequence[Evidence], figures: Figures) -> str:
    measured = [one for one in found if one.roc is not None]
    if not measured:
        return nothing("a measurement on unseen identities")
    genuine, impostor = (
        {int(one.measured("verification", kind)) for one in measured} for kind in ("genuine", "impostor")
    )
    tested = [RocCurve(one.look, one.roc, int(one.measured("verification", "impostor"))) for one in measured]
    lowest = max(LOWEST, 1 / min(impostor))
    return figures.add(
        lambda dark: roc_figure(tested, dark),
        f"{min(genuine):,} genuine and {min(impostor):,} impostor pairs of identities never trained on. At the left "
        f"end, a FAR of {lowest:.1g}, {round(lowest * min(impostor)):,} of the latter are accepted; nothing is drawn "
        "below one. Markers stand where the table reads the curves.",
        height=460,
    )


def over_snapshots(
    found: Sequence[Evidence], number: Callable[[Moment], float], samples: Callable[[Moment], int]
) -> list[Track]:
    """One track a run that has snapshots: a number of each, and how many samples it rests on."""
    return [
        Track(one.look, times(one), *(np.array([of(m) for m in one.moments]) for of in (number, samples)))
        for one in found
        if one.moments
    ]


def times(one: Evidence) -> np.ndarray:
    """The steps of a run's snapshots."""
    return np.array([m.step for m in one.moments])
