"""A comparison as CSV files and as tables on the terminal."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench.compare.results import METRICS, Comparison, Metric, place_note, verdict
from workbench.compare.statistics import LEVEL, MIN_SEEDS, interval
from workbench.core.console import print_table
from workbench.core.tables import write_csv
from workbench.evaluation.verification import too_few_impostors

NOTHING = "–"
PERCENT = f"{100 * LEVEL:.0f}"
SHOWN = ("eer", "tar@0.01", "rank-1")  # beside the metric of the ranking


def write_tables(comparison: Comparison, out: Path) -> None:
    """Write per_seed.csv (a row for each run), summary.csv (variant and metric) and pairs.csv (pair of variants)."""
    for name, rows in (("per_seed", per_seed), ("summary", summary), ("pairs", pairs)):
        write_csv(out / f"{name}.csv", rows(comparison))


def per_seed(comparison: Comparison) -> Iterable[Sequence[Any]]:
    """The rows of per_seed.csv, the head first."""
    swept = list(dict.fromkeys(name for v in comparison.variants for name in v.parameters))
    yield ["label", "method", "preset", *swept, "seed", "status", *METRICS, "training_seconds"]
    for v, variant in enumerate(comparison.variants):
        for s, seed in enumerate(comparison.seeds):
            parameters = [variant.parameters.get(name) for name in swept]
            status = comparison.missing.get((v, s), "finished")
            numbers = [values[v, s] for values in (*comparison.values.values(), comparison.seconds)]
            yield [variant.label, variant.method, variant.preset, *parameters, seed, status, *numbers]


def summary(comparison: Comparison) -> Iterable[Sequence[Any]]:
    """The rows of summary.csv, the head first."""
    yield ["label", "metric", "seeds", "mean", "std", f"mean_low_{PERCENT}", f"mean_high_{PERCENT}", "place"]
    places = {place.variant: place.text for place in comparison.ranking}
    for v, variant in enumerate(comparison.variants):
        for name in METRICS:
            of = interval(comparison.of(v, name))
            place = places.get(v) if name == comparison.metric.name and of.n >= MIN_SEEDS else None
            yield [variant.label, name, of.n, of.mean, comparison.std(v, name), of.low, of.high, place]


def pairs(comparison: Comparison) -> Iterable[Sequence[Any]]:
    """The rows of pairs.csv, the head first; p_holm: the p-value corrected for all pairs."""
    numbers = ["seeds", "mean_left_minus_right", f"low_{PERCENT}", f"high_{PERCENT}", "p_holm"]
    yield ["left", "right", "metric", *numbers, "verdict", *(f"seed_{seed}" for seed in comparison.seeds)]
    for pair in comparison.pairs.values():
        labels = [comparison.variants[i].label for i in (pair.left, pair.right)]
        of, conclusion = pair.interval, verdict(comparison, pair)
        numbers = [of.n, of.mean, of.low, of.high, pair.p]
        yield [*labels, comparison.metric.name, *numbers, conclusion, *pair.differences]


def shown_metrics(comparison: Comparison) -> list[Metric]:
    """The metric of the ranking and a few others."""
    return [METRICS[name] for name in dict.fromkeys((comparison.metric.name, *SHOWN))]


def mean_and_std(comparison: Comparison, variant: int, metric: str) -> str:
    """'7.2 ± 0.4 %'; '7.2 %' for one seed; for a TAR of too few impostor pairs, the number that it needs."""
    if needed := too_few_impostors(metric, comparison.impostors):
        return needed
    mean, std = 100 * comparison.mean(variant, metric), 100 * comparison.std(variant, metric)
    text = NOTHING if math.isnan(mean) else f"{mean:.2f} %" if math.isnan(std) else f"{mean:.2f} ± {std:.2f} %"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def format_points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NOTHING if math.isnan(share) else f"{100 * share:+.2f}".replace("-", "−")


def format_interval(low: float, high: float) -> str:
    """An interval in percentage points."""
    return NOTHING if math.isnan(low) else f"{format_points(low)} … {format_points(high)}"


def format_p(p: float) -> str:
    """A p-value with three digits after the point."""
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def ranking_rows(comparison: Comparison) -> list[list[str]]:
    """A row for each variant, best mean first: place, label, metrics, seeds, note."""
    rows = []
    for place in comparison.ranking:
        numbers = [mean_and_std(comparison, place.variant, m.name) for m in shown_metrics(comparison)]
        seeds, label = comparison.count(place.variant), comparison.variants[place.variant].label
        position = place.text if seeds >= MIN_SEEDS else NOTHING
        rows.append([position, label, *numbers, str(seeds), place_note(comparison, place)])
    return rows


def pair_rows(comparison: Comparison) -> list[list[str]]:
    """A row for each pair that is shown: labels, mean, interval, corrected p-value, seeds, verdict."""
    rows = []
    for pair in comparison.shown_pairs:
        label = f"{comparison.variants[pair.left].label} − {comparison.variants[pair.right].label}"
        of = pair.interval
        numbers = [format_points(of.mean), format_interval(of.low, of.high), format_p(pair.p), str(of.n)]
        rows.append([label, *numbers, verdict(comparison, pair)])
    return rows


def print_tables(comparison: Comparison) -> None:
    """Print the ranking, the differences and what is missing; empty tables are left out."""
    metric = comparison.metric
    if comparison.ranking:
        title = f"Ranking by {metric.title} ({metric.direction}); mean ± standard deviation over seeds"
        head = ["place", "loss", *(m.title for m in shown_metrics(comparison)), "seeds", ""]
        print_table(head, ranking_rows(comparison), title)
    if len(comparison.ranking) > 1 and len(comparison.seeds) > 1:
        title = f"Differences of {metric.title} at the same seed, in percentage points"
        head = ["left − right", "points", f"{PERCENT} % interval", "p (Holm)", "seeds", ""]
        print()
        print_table(head, pair_rows(comparison), title)
    for line in missing_lines(comparison):
        print(line)


def missing_lines(comparison: Comparison) -> list[str]:
    """The runs without results, a line for each variant and reason."""
    lines = []
    for v, variant in enumerate(comparison.variants):
        reasons: dict[str, list[str]] = {}
        for s, seed in enumerate(comparison.seeds):
            if (v, s) in comparison.missing:
                reasons.setdefault(comparison.missing[v, s], []).append(str(seed))
        lines += [f"missing: {variant.label}, seed {', '.join(seeds)}: {why}" for why, seeds in reasons.items()]
    return lines
