"""The tables and sentences of a comparison's report."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from workbench.compare.results import METRICS, Comparison, join_labels, verdict
from workbench.compare.statistics import LEVEL, MIN_SEEDS, widening
from workbench.compare.tables import missing_lines, pair_rows, ranking_rows, shown_metrics
from workbench.core.record import Run
from workbench.reports.evidence import value
from workbench.reports.tables import NOTHING, SETTINGS, chip, percent, setting, table
from workbench.training.config import Config
from workbench.views.compare import looks

MEANINGS = {
    "eer": "EER, the equal error rate: the threshold is where as many genuine pairs are refused as impostors accepted.",
    "tar": "TAR at a FAR: the share of genuine pairs accepted by a threshold that accepts that share of impostors.",
    "accuracy": "Fold accuracy: right decisions on ten folds, each at the threshold best on the other nine.",
    "auc": "AUC: the chance that a genuine pair is more alike than an impostor pair.",
    "rank": "Rank-k: the share of test images whose identity is among the k nearest of the gallery.",
}


def written(found: Comparison) -> dict[str, str]:
    """The template's tables and sentences."""
    common = found.info["common"]
    return {
        "intro": escape(intro(found)),
        "facts": facts(found),
        "notices": notices(found),
        "finding": escape(finding(found)),
        "caution": escape(caution(found)),
        "metric_words": " ".join(MEANINGS[k] for k in dict.fromkeys(kind(m.name) for m in shown_metrics(found))),
        "equal": "".join(f"<li>{escape(line)}</li>" for line in equal(found)),
        "widening": escape(widened(found)),
        "recipe": escape(recipe(common)),
        "ranking_table": ranking_table(found),
        "pairs_table": pairs_table(found),
        "seeds_table": seeds_table(found),
        "variants_table": variants_table(found),
        "settings_table": table(
            ["Setting", "Value"],
            [[text, escape(setting(common.get(name)))] for name, text in SETTINGS.items() if name in common],
        ),
        "versions_table": versions_table(found),
        "sweep_link": '<li><a href="#sweeps">Sweeps</a></li>' if any(v.swept for v in found.variants) else "",
        "call": escape(call(found)),
    }


def kind(metric: str) -> str:
    """What a metric is one of: tar@0.1 of tar, rank-1 of rank."""
    return metric.partition("@")[0].partition("-")[0]


def intro(found: Comparison) -> str:
    """What the page is about."""
    losses = join_labels([v.label for v in found.variants], limit=6)
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "one seed"
    return f"{losses}: each trained from {seeds}, all in the same way, and measured on identities that none had seen."


def finding(found: Comparison) -> str:
    """The result in one sentence."""
    if not found.ranking:
        return "No run is finished yet."
    best, name = found.variants[found.ranking[0].variant].label, found.metric.title
    if len(found.ranking) == 1:
        return f"There is one loss only, {best}."
    if not found.tests:
        reasons = list(dict.fromkeys(verdict(found, pair) for pair in found.pairs.values()))
        return f"{best} has the best {name}, but there is {'; '.join(reasons)}."
    if not found.differences_seen:
        return f"By {name}, no difference is seen between any two of these losses. {best} has the best mean."
    alike = [found.variants[i].label for i in found.ranking[0].alike]
    if not alike:
        return f"By {name}, {best} is better than every other loss here."
    return f"By {name}, {best} has the best mean; it is not distinguished from {join_labels(alike)}."


def caution(found: Comparison) -> str:
    """How the verdicts are reached, and how far they can be trusted."""
    n, tests = len(found.seeds), found.tests
    if n < MIN_SEEDS:
        return f"Intervals and verdicts need at least {MIN_SEEDS} seeds: give --seeds 5 or more."
    text = (
        "The same seed gives two losses the same identities, initial weights, images and order of images, so they are "
        f"compared seed by seed. A difference in {found.metric.title} is seen in {found.differences_seen} of "
        f"{len(found.pairs)} pairs."
    )
    if tests > 1:
        text += (
            f" The p-values of the paired t-tests are corrected for {tests} pairs by Holm's method: if no two losses"
            f" differed, the probability of any verdict would be at most {100 * (1 - LEVEL):.0f} %."
        )
    return text + (" With so few seeds only large differences can be seen." if n < 5 else "")


def widened(found: Comparison) -> str:
    """k for this number of seeds."""
    n = len(found.seeds)
    return f"(for {n} seeds k = {widening(n):.2f})" if n >= MIN_SEEDS else ""


def sampled(found: Comparison) -> str:
    """How much was trained and tested."""
    done, runs = len(found.paths), len(found.variants) * len(found.seeds)
    whole = f"{done} runs" if done == runs else f"{done} of {runs} runs"
    tests = [run.results["test"] for run in some_runs(found)]
    if not tests:
        return f"{whole}."
    counts = [sorted({test[kind] for test in tests}) for kind in ("images", "identities")]
    images, identities = (f"{c[0]:,}" if len(c) == 1 else f"{c[0]:,} to {c[-1]:,}" for c in counts)
    return f"{whole}, each measured on {images} images of {identities} identities."


def some_runs(found: Comparison) -> list[Run]:
    """A finished run of each seed, where there is one."""
    first = {s: path for (_, s), path in reversed(found.paths.items())}
    return [Run.open(path) for _, path in sorted(first.items())]


def length(info: dict[str, Any]) -> str:
    """The number of steps and how it was chosen, from what compare.json has."""
    steps = info["common"]["steps"]
    if info["budget"] is None:
        return f"{steps:,} steps, as asked for"
    slowest = max(info["measured"], key=info["measured"].get)
    return (
        f"{steps:,} steps: what the slowest, {slowest} ({info['measured'][slowest]:.3f} s a step, measured alone), "
        f"does in the budget of {info['budget']:g} s, rounded down to two digits"
    )


def facts(found: Comparison) -> str:
    """The few numbers to know before reading."""
    common, runs = found.info["common"], some_runs(found)
    data = runs[0].info["data"] if runs else {}
    spent = found.seconds[np.isfinite(found.seconds)]
    known = {
        "Data": f"{data['identities']:,} identities, {data['images']:,} images ({data['source']})"
        if data
        else common["data"],
        "Seeds": ", ".join(map(str, found.seeds)),
        "Training": f"{common['steps']:,} steps of {common['batch']} images",
        "Time of a training": f"{spent.min():.0f} to {spent.max():.0f} s" if len(spent) else "",
        "Network": f"{common['backbone']}, {common['dim']} numbers an embedding",
        "Device": f"{runs[0].info['versions']['device']}" if runs else "",
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in known.items() if v)
    return f"<dl class='facts'>{items}</dl>"


def notices(found: Comparison) -> str:
    """What is missing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in missing_lines(found))
    return f"<div class='notice' role='note'><b>Not everything is here</b><ul>{items}</ul></div>" if items else ""


def equal(found: Comparison) -> list[str]:
    """What every loss had in common."""
    return [
        "For one seed: the identities trained on and tested on, the pairs of the test, the first weights of the "
        "network, the first directions of the centers, the images of every batch and how each was changed.",
        f"The number of steps: {length(found.info)}.",
        "The learning rate, its schedule and every other setting, listed below. None of them was tuned for a loss; "
        "one that needs others is at a disadvantage here.",
        "Measured: ROC, EER, AUC and TAR over every pair of test images; rank-k with the first image of each identity "
        "as the gallery.",
    ]


def recipe(common: dict[str, Any]) -> str:
    """What the recipe does to presets, and that it leaves alone what was set."""
    return (
        f"Recipe “{common['recipe']}”: {common['recipe_says']}. Values that a sweep, an ablation or a person set are "
        "final: they are not weakened; where the recipe has a warm-up, it ends at them."
    )


def chips(found: Comparison) -> list[str]:
    """Each variant's name behind its mark."""
    return [chip(one) for one in looks(found)]


def ranking_table(found: Comparison) -> str:
    """A row for each variant, best mean first."""
    names, metrics = chips(found), shown_metrics(found)
    rows = [
        [names[place.variant], position, *map(escape, rest)]
        for place, (position, _, *rest) in zip(found.ranking, ranking_rows(found), strict=True)
    ]
    head = [f"{m.title}<small>{m.direction}</small>" for m in metrics]
    return table(["Loss", f"Place<small>by {found.metric.title}</small>", *head, "Seeds", "Note"], rows)


def pairs_table(found: Comparison) -> str:
    """A row for each pair that is shown."""
    if len(found.seeds) < 2 or not found.pairs:
        return ""
    head = [
        "Difference",
        "Mean<small>points</small>",
        f"{100 * LEVEL:.0f} % interval<small>points</small>",
        "p<small>Holm</small>",
        "Seeds",
        "Verdict",
    ]
    return table(head, [[escape(cell) for cell in row] for row in pair_rows(found)])


def seeds_table(found: Comparison) -> str:
    """One row a run."""
    metrics, names = list(METRICS.values()), chips(found)
    rows = []
    for v in range(len(found.variants)):
        for s, seed in enumerate(found.seeds):
            numbers = [percent(float(found.values[m.name][v, s])) for m in metrics]
            time = found.seconds[v, s]
            rows.append([names[v], str(seed), *numbers, NOTHING if math.isnan(time) else f"{time:.1f}"])
    return table(["Loss", "Seed", *(m.title for m in metrics), "Training<small>s</small>"], rows, "numbers")


def variants_table(found: Comparison) -> str:
    """One row a variant: its settings, those that were set marked."""
    rows = []
    for one, name in zip(found.info["variants"], chips(found), strict=True):
        said = [
            f"<b>{escape(key)} = {escape(value(v))}</b>"
            if key in one["parameters"]
            else f"{escape(key)} = {escape(value(v))}"
            for key, v in one["settings"].items()
        ]
        rows.append([name, f"<code>{escape(one['method'])}</code>, {escape(one['preset'])}", ", ".join(said)])
    return table(["Loss", "Method, preset", "Settings (bold: set by hand)"], rows)


def versions_table(found: Comparison) -> str:
    """What the runs depended on beside their settings."""
    known: dict[str, dict[str, None]] = {}
    for run in some_runs(found):
        for name, version in run.info["versions"].items():
            known.setdefault(name, {})[str(version)] = None
    return table(["What", "Version"], [[escape(name), escape(" / ".join(values))] for name, values in known.items()])


def call(found: Comparison) -> str:
    """Python that makes the comparison again."""
    lines: Sequence[str] = [f"        {variant!r}," for variant in found.variants]
    info, plain = found.info, Config(recipe=found.info["common"]["recipe"], steps=1)
    own = {k: v for k, v in info["common"].items() if k in vars(plain) and k != "steps" and v != getattr(plain, k)}
    settings = ", ".join(f"{name}={v!r}" for name, v in own.items())
    return "\n".join(
        [
            "from workbench.compare.engine import compare",
            "from workbench.compare.variants import Variant",
            "from workbench.training.config import Config",
            "",
            "found = compare(",
            "    [",
            *lines,
            "    ],",
            f"    seeds={len(found.seeds)},",
            f"    steps={info['common']['steps']},",
            f"    base=Config({settings}),",
            f"    threads={info['threads']},",
            f"    skip_broken={info['skip_broken']},",
            f"    metric={found.metric.name!r},",
            ")",
        ]
    )
