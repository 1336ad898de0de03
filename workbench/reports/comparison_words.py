"""The tables and sentences of a comparison report."""

import math
from typing import Any

import numpy as np

from workbench.compare.figures import variant_styles
from workbench.compare.results import METRICS, Comparison, join_labels, verdict
from workbench.compare.statistics import LEVEL, MIN_SEEDS, widening
from workbench.compare.tables import pair_rows, ranking_rows, shown_metrics
from workbench.core.record import Run
from workbench.reports.evidence import format_value
from workbench.reports.pages import NOTHING, Cell, HtmlTable
from workbench.reports.tables import SETTINGS, format_setting, percent
from workbench.training.config import Config

MEANINGS = {
    "eer": "EER, the equal error rate: at its threshold, the share of rejected genuine pairs equals the share of "
    "accepted impostor pairs.",
    "tar": "TAR at a FAR: the share of genuine pairs accepted at the threshold that accepts this share of impostors.",
    "accuracy": "Fold accuracy: correct decisions on ten folds, each at the best threshold of the other nine.",
    "auc": "AUC: the probability that a genuine pair has a larger cosine than an impostor pair.",
    "rank": "Rank-k: the share of test images whose identity is among the k nearest of the gallery.",
}


def meanings(comparison: Comparison) -> str:
    """The meanings of the metrics that are shown."""
    kinds = [m.name.partition("@")[0].partition("-")[0] for m in shown_metrics(comparison)]  # rank of rank-1
    return " ".join(MEANINGS[kind] for kind in dict.fromkeys(kinds))


def intro(comparison: Comparison) -> str:
    """What was compared."""
    losses = join_labels([v.label for v in comparison.variants], limit=6)
    seeds = f"{len(comparison.seeds)} seeds" if len(comparison.seeds) > 1 else "one seed"
    return f"{losses}: each trained from {seeds} with the same settings, and measured on unseen identities."


def finding(comparison: Comparison) -> str:
    """The result in one sentence."""
    if not comparison.ranking:
        return "No run is finished yet."
    best, name = comparison.variants[comparison.ranking[0].variant].label, comparison.metric.title
    if len(comparison.ranking) == 1:
        return f"There is only one loss, {best}."
    if not comparison.tests:
        reasons = dict.fromkeys(verdict(comparison, pair) for pair in comparison.pairs.values())
        return f"{best} has the best {name}, but there is {'; '.join(reasons)}."
    if not comparison.differences_seen:
        return f"By {name}, no difference is seen between any two of these losses. {best} has the best mean."
    alike = [comparison.variants[i].label for i in comparison.ranking[0].alike]
    if not alike:
        return f"By {name}, {best} is better than every other loss here."
    return f"By {name}, {best} has the best mean; it is not distinguished from {join_labels(alike)}."


def caution(comparison: Comparison) -> str:
    """How the verdicts are reached, and their limits."""
    n, tests = len(comparison.seeds), comparison.tests
    if n < MIN_SEEDS:
        return f"Intervals and verdicts need at least {MIN_SEEDS} seeds: give --seeds 5 or more."
    text = (
        "The same seed gives two losses the same identities, initial weights, images and order of images, so they are "
        f"compared seed by seed. A difference in {comparison.metric.title} is seen in {comparison.differences_seen} of "
        f"{len(comparison.pairs)} pairs."
    )
    if tests > 1:
        text += (
            f" The p-values of the paired t-tests are corrected for {tests} pairs by Holm's method: if no two losses"
            f" differed, the probability of any verdict would be at most {100 * (1 - LEVEL):.0f} %."
        )
    return text + (" With so few seeds only large differences can be seen." if n < 5 else "")


def widening_factor(comparison: Comparison) -> str:
    """The factor k of the intervals for this number of seeds."""
    n = len(comparison.seeds)
    return f"(for {n} seeds k = {widening(n):.2f})" if n >= MIN_SEEDS else ""


def sample(comparison: Comparison) -> str:
    """The number of runs, and of the images that each was measured on."""
    done, runs = len(comparison.paths), len(comparison.variants) * len(comparison.seeds)
    finished = f"{done} runs" if done == runs else f"{done} of {runs} runs"
    tests = [run.results["test"] for run in sample_runs(comparison)]
    if not tests:
        return f"{finished}."
    counts = [sorted({test[kind] for test in tests}) for kind in ("images", "identities")]
    images, identities = (f"{c[0]:,}" if len(c) == 1 else f"{c[0]:,} to {c[-1]:,}" for c in counts)
    return f"{finished}, each measured on {images} images of {identities} identities."


def sample_runs(comparison: Comparison) -> list[Run]:
    """One finished run of each seed that has one."""
    first = {s: path for (_, s), path in reversed(comparison.paths.items())}
    return [Run.open(path) for _, path in sorted(first.items())]


def training_length(info: dict[str, Any]) -> str:
    """The number of steps and its origin, from compare.json."""
    steps = info["common"]["steps"]
    if info["budget"] is None:
        return f"{steps:,} steps, as requested"
    slowest = max(info["measured"], key=info["measured"].get)
    return (
        f"{steps:,} steps: those of the slowest method, {slowest} ({info['measured'][slowest]:.3f} s per step, "
        f"measured alone), in the budget of {info['budget']:g} s, rounded down to two digits"
    )


def facts(comparison: Comparison) -> dict[str, str]:
    """Data, seeds, steps, time, network and device."""
    common, runs = comparison.info["common"], sample_runs(comparison)
    data = runs[0].info["data"] if runs else {}
    times = comparison.seconds[np.isfinite(comparison.seconds)]
    counts = f"{data['identities']:,} identities, {data['images']:,} images ({data['source']})" if data else ""
    return {
        "Data": counts or common["data"],
        "Seeds": ", ".join(map(str, comparison.seeds)),
        "Training": f"{common['steps']:,} steps, batch size {common['batch']}",
        "Time of a training": f"{times.min():.0f} to {times.max():.0f} s" if len(times) else "",
        "Network": f"{common['backbone']}, embedding dimension {common['dim']}",
        "Device": f"{runs[0].info['versions']['device']}" if runs else "",
    }


def ranking_table(comparison: Comparison) -> HtmlTable:
    """A row for each variant, best mean first."""
    styles = variant_styles(comparison)
    rows = [
        [styles[place.variant], position, *rest]
        for place, (position, _, *rest) in zip(comparison.ranking, ranking_rows(comparison), strict=True)
    ]
    metrics = [Cell(m.title, m.direction) for m in shown_metrics(comparison)]
    return HtmlTable(["Loss", Cell("Place", f"by {comparison.metric.title}"), *metrics, "Seeds", "Note"], rows)


def pairs_table(comparison: Comparison) -> HtmlTable:
    """A row for each pair that is shown."""
    interval = Cell(f"{100 * LEVEL:.0f} % interval", "points")
    head = ["Difference", Cell("Mean", "points"), interval, Cell("p", "Holm"), "Seeds", "Verdict"]
    return HtmlTable(head, pair_rows(comparison))


def runs_table(comparison: Comparison) -> HtmlTable:
    """A row for each run."""
    metrics, styles = list(METRICS.values()), variant_styles(comparison)
    rows = []
    for v in range(len(comparison.variants)):
        for s, seed in enumerate(comparison.seeds):
            numbers = [percent(float(comparison.values[m.name][v, s])) for m in metrics]
            time = comparison.seconds[v, s]
            rows.append([styles[v], str(seed), *numbers, NOTHING if math.isnan(time) else f"{time:.1f}"])
    return HtmlTable(["Loss", "Seed", *(m.title for m in metrics), Cell("Training", "s")], rows, "numbers")


def variants_table(comparison: Comparison) -> HtmlTable:
    """A row for each variant with its settings; those set by the user are bold."""
    rows = []
    for one, style in zip(comparison.info["variants"], variant_styles(comparison), strict=True):
        settings = [
            Cell(f"{name} = {format_value(v)}", kind="bold" if name in one["parameters"] else "")
            for name, v in one["settings"].items()
        ]
        rows.append([style, [Cell(one["method"], kind="code"), one["preset"]], settings])
    return HtmlTable(["Loss", "Method, preset", "Settings (bold: set by the user)"], rows)


def settings_table(comparison: Comparison) -> HtmlTable:
    """The settings that all runs share."""
    common = comparison.info["common"]
    rows = [[text, format_setting(common[name])] for name, text in SETTINGS.items() if name in common]
    return HtmlTable(["Setting", "Value"], rows)


def python_call(comparison: Comparison) -> str:
    """Python code that repeats the comparison."""
    info, default = comparison.info, Config(recipe=comparison.info["common"]["recipe"], steps=1)
    changed = {
        name: value
        for name, value in info["common"].items()
        if name in vars(default) and name != "steps" and value != getattr(default, name)
    }
    variants = "".join(f"        {variant!r},\n" for variant in comparison.variants)
    return f"""from workbench.compare.engine import compare
from workbench.compare.variants import Variant
from workbench.training.config import Config

comparison = compare(
    [
{variants}    ],
    seeds={len(comparison.seeds)},
    steps={info["common"]["steps"]},
    base=Config({", ".join(f"{name}={value!r}" for name, value in changed.items())}),
    threads={info["threads"]},
    skip_broken={info["skip_broken"]},
    metric={comparison.metric.name!r},
)"""
