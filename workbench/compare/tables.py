"""A comparison as CSV files, and as tables on a terminal."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.compare.results import METRICS, Comparison, Metric, placed, verdict
from workbench.compare.statistics import LEVEL, interval
from workbench.core.files import write_csv
from workbench.evaluation.verification import too_few_impostors

SHOWN = ("eer", "tar@0.01", "rank-1")  # beside the metric of the ranking


def write_tables(found: Comparison, out: Path) -> None:
    """per_seed.csv, a line a run; summary.csv, a line a variant and metric; pairs.csv, a line a pair of variants."""
    for name, rows in (("per_seed", per_seed(found)), ("summary", summary(found)), ("pairs", pairs(found))):
        write_csv(out / f"{name}.csv", rows)


def per_seed(found: Comparison) -> Iterable[Sequence[Any]]:
    swept = list(dict.fromkeys(name for v in found.variants for name in v.parameters))
    yield ["label", "method", "preset", *swept, "seed", "status", *METRICS, "training_seconds"]
    for v, variant in enumerate(found.variants):
        for s, seed in enumerate(found.seeds):
            numbers = [values[v, s] for values in found.values.values()]
            own = [variant.parameters.get(name) for name in swept]
            status = found.missing.get((v, s), "finished")
            yield [variant.label, variant.method, variant.preset, *own, seed, status, *numbers, found.seconds[v, s]]


def summary(found: Comparison) -> Iterable[Sequence[Any]]:
    percent = f"{100 * LEVEL:.0f}"
    yield ["label", "metric", "seeds", "mean", "std", f"mean_low_{percent}", f"mean_high_{percent}", "place"]
    places = {place.variant: place.text for place in found.ranking}
    for v, variant in enumerate(found.variants):
        for name in METRICS:
            of = interval(found.of(v, name))
            place = places.get(v) if name == found.metric.name and of.n > 1 else None
            yield [variant.label, name, of.n, of.mean, found.std(v, name), of.low, of.high, place]


def pairs(found: Comparison) -> Iterable[Sequence[Any]]:
    percent, metric = f"{100 * LEVEL:.0f}", found.metric.name
    seeds = [f"seed_{seed}" for seed in found.seeds]
    yield [
        "left",
        "right",
        "metric",
        "seeds",
        "mean_left_minus_right",
        f"low_{percent}",
        f"high_{percent}",
        "verdict",
        *seeds,
    ]
    for pair in found.pairs.values():
        left, right, of = found.variants[pair.left].label, found.variants[pair.right].label, pair.interval
        yield [left, right, metric, of.n, of.mean, of.low, of.high, verdict(found, pair), *pair.differences]


def shown_metrics(found: Comparison) -> list[Metric]:
    """The metric of the ranking and a few others beside it."""
    return [METRICS[name] for name in dict.fromkeys((found.metric.name, *SHOWN))]


def mean_and_std(found: Comparison, variant: int, metric: str) -> str:
    """'7.2 ± 0.4 %', without the second number for one seed; for a TAR of too few impostor pairs what it needs."""
    if short := too_few_impostors(metric, found.impostors):
        return short
    mean, std = 100 * found.mean(variant, metric), 100 * found.std(variant, metric)
    text = "–" if math.isnan(mean) else f"{mean:.2f} %" if math.isnan(std) else f"{mean:.2f} ± {std:.2f} %"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.2f}".replace("-", "−")


def between(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{points(low)} … {points(high)}"


def print_tables(found: Comparison, console: Any) -> None:
    """The ranking, then the differences, then what is missing, on a rich console; nothing of a kind that is empty."""
    from rich.markup import escape
    from rich.table import Table

    ranking = Table(box=None, padding=(0, 2, 0, 0), title=ranking_title(found), title_justify="left")
    for head in ("place", "loss", *(m.title for m in shown_metrics(found)), "seeds", ""):
        ranking.add_column(head)
    for place in found.ranking:
        seeds = int(np.isfinite(found.of(place.variant)).sum())
        numbers = [mean_and_std(found, place.variant, m.name) for m in shown_metrics(found)]
        where = place.text if seeds > 1 else "–"
        ranking.add_row(
            where, escape(found.variants[place.variant].label), *numbers, str(seeds), escape(placed(found, place))
        )
    if found.ranking:
        console.print(ranking)
    if len(found.ranking) > 1 and len(found.seeds) > 1:
        differences = Table(box=None, padding=(0, 2, 0, 0), title=pairs_title(found), title_justify="left")
        for head in ("left − right", "points", f"{100 * LEVEL:.0f} % interval", "seeds", ""):
            differences.add_column(head)
        for pair in found.shown_pairs:
            names = f"{found.variants[pair.left].label} − {found.variants[pair.right].label}"
            of = pair.interval
            mean = "–" if math.isnan(of.mean) else points(of.mean)
            differences.add_row(escape(names), mean, between(of.low, of.high), str(of.n), escape(verdict(found, pair)))
        console.print()
        console.print(differences)
    for line in missing_lines(found):
        console.print(escape(line))


def ranking_title(found: Comparison) -> str:
    better = "larger" if found.metric.larger else "smaller"
    return f"Ranking by {found.metric.title} ({better} is better); mean ± standard deviation over seeds"


def pairs_title(found: Comparison) -> str:
    return f"Differences of {found.metric.title} at the same seed, in percentage points"


def missing_lines(found: Comparison) -> list[str]:
    """What has no results, a line for each, alike ones of a variant together."""
    lines = []
    for v, variant in enumerate(found.variants):
        reasons: dict[str, list[str]] = {}
        for s, seed in enumerate(found.seeds):
            if (v, s) in found.missing:
                reasons.setdefault(found.missing[v, s], []).append(str(seed))
        lines += [f"missing: {variant.label}, seed {', '.join(seeds)}: {why}" for why, seeds in reasons.items()]
    return lines
