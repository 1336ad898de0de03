"""Comparison: the results of all runs, paired differences with verdicts, and the ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.compare.statistics import LEVEL, MIN_SEEDS, Interval, holm, interval, p_value, sample_std
from workbench.core.errors import unknown

if TYPE_CHECKING:
    from workbench.compare.variants import Variant

ALL_PAIRS = 10  # up to this number, all pairs are shown; of more, the pairs with the first variant


@dataclass(frozen=True)
class Metric:
    """One metric of an evaluation, a share in [0, 1]: its title, and whether larger is better."""

    name: str
    title: str
    larger: bool = True

    def improves(self, difference: float) -> bool:
        """Whether a difference of this sign is an improvement."""
        return difference > 0 if self.larger else difference < 0

    @property
    def direction(self) -> str:
        """'larger is better' or 'smaller is better'."""
        return f"{'larger' if self.larger else 'smaller'} is better"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("eer", "EER", larger=False),
        Metric("tar@0.1", "TAR at FAR 0.1"),
        Metric("tar@0.01", "TAR at FAR 0.01"),
        Metric("tar@0.001", "TAR at FAR 0.001"),
        Metric("accuracy", "Fold accuracy"),
        Metric("auc", "AUC"),
        Metric("rank-1", "Rank-1"),
        Metric("rank-5", "Rank-5"),
    )
}


def get_metric(name: str, option: str = "--metric") -> Metric:
    """The metric of this name. Raises InputError for an unknown name."""
    if name not in METRICS:
        raise unknown(option, name, METRICS)
    return METRICS[name]


@dataclass(frozen=True, eq=False)
class Paired:
    """Differences left - right of two variants (indices) at equal seeds.

    differences: (S,), nan where a run is missing; interval: of their mean, for this pair alone; p: p-value of the
    paired t-test, corrected by Holm's method for all pairs of the comparison (nan: no test).
    """

    left: int
    right: int
    differences: np.ndarray
    interval: Interval
    p: float

    @property
    def different(self) -> bool:
        """Whether a difference is seen: the corrected test rejects equality, and the interval excludes zero."""
        return self.p < 1 - LEVEL and self.interval.away_from_zero


@dataclass(frozen=True)
class Place:
    """The range of places of a variant: after all that are better, before all that are worse.

    alike: the variants that it is not distinguished from.
    """

    variant: int
    first: int
    last: int
    alike: tuple[int, ...]

    @property
    def text(self) -> str:
        """'2', or '2–4' for a range."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of V variants by S seeds; a run that is missing or failed is nan.

    values: {metric: (V, S)} shares; seconds: (V, S) s of training; missing: {(variant, index of the seed): reason};
    paths: the folders of all other runs; metric: of the ranking; info: the plan as in compare.json;
    impostors: the smallest number of impostor pairs of a run.
    """

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    values: dict[str, np.ndarray]
    seconds: np.ndarray
    missing: dict[tuple[int, int], str]
    paths: dict[tuple[int, int], Path]
    metric: Metric
    info: dict[str, Any]
    impostors: float = math.inf

    def of(self, variant: int, metric: str | None = None) -> np.ndarray:
        """The values (S,) of one variant, nan where a run is missing. metric: None for that of the ranking."""
        return self.values[metric or self.metric.name][variant]

    def count(self, variant: int) -> int:
        """The number of seeds with a result."""
        return int(np.isfinite(self.of(variant)).sum())

    def mean(self, variant: int, metric: str | None = None) -> float:
        known = self.of(variant, metric)
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else math.nan

    def std(self, variant: int, metric: str | None = None) -> float:
        """Standard deviation over the seeds, n - 1 in the denominator."""
        return sample_std(self.of(variant, metric))

    @cached_property
    def pairs(self) -> dict[tuple[int, int], Paired]:
        """All pairs of variants in the metric of the ranking; the variant listed earlier is on the right."""
        keys = [(i, j) for j, i in combinations(range(len(self.variants)), 2)]
        differences = [self.of(left) - self.of(right) for left, right in keys]
        corrected = holm(np.array([p_value(d) for d in differences]))
        return {
            key: Paired(*key, d, interval(d), float(p)) for key, d, p in zip(keys, differences, corrected, strict=True)
        }

    @property
    def shown_pairs(self) -> list[Paired]:
        """All pairs if there are at most ALL_PAIRS, else the pairs with the first variant."""
        pairs = list(self.pairs.values())
        return pairs if len(pairs) <= ALL_PAIRS else [pair for pair in pairs if pair.right == 0]

    @property
    def differences_seen(self) -> int:
        """The number of pairs in which a difference is seen."""
        return sum(pair.different for pair in self.pairs.values())

    @property
    def tests(self) -> int:
        """The number of pairs that are tested: those with enough seeds and some spread."""
        return sum(math.isfinite(pair.p) for pair in self.pairs.values())

    def is_better(self, one: int, other: int) -> bool:
        """Whether a difference is seen between two variants, and `one` is the better of them."""
        pair = self.pairs[max(one, other), min(one, other)]
        return pair.different and self.better(pair) == one

    def better(self, pair: Paired) -> int:
        """The variant of a pair with the better mean."""
        return pair.left if self.metric.improves(pair.interval.mean) else pair.right

    @cached_property
    def ranking(self) -> list[Place]:
        """All variants that have a result, best mean first, with their ranges of places."""
        known = [i for i in range(len(self.variants)) if math.isfinite(self.mean(i))]
        best_first = sorted(known, key=lambda i: self.mean(i) * (-1 if self.metric.larger else 1))

        def place(i: int) -> Place:
            others = [j for j in best_first if j != i]
            better = {j for j in others if self.is_better(j, i)}
            worse = {j for j in others if self.is_better(i, j)}
            alike = tuple(j for j in others if j not in better | worse)
            return Place(i, 1 + len(better), len(known) - len(worse), alike)

        return [place(i) for i in best_first]

    def summary(self) -> dict[str, float]:
        """Mean and standard deviation of every metric of every variant: {'npcface eer mean': ...}."""
        return {
            f"{variant.key} {name} {what}": quantity(i, name)
            for i, variant in enumerate(self.variants)
            for name in self.values
            for what, quantity in (("mean", self.mean), ("std", self.std))
        }


def verdict(comparison: Comparison, pair: Paired) -> str:
    """The conclusion about one pair in a few words; where there is none, the reason."""
    if pair.interval.n < MIN_SEEDS:
        return f"no verdict: {pair.interval.n} of at least {MIN_SEEDS} seeds"
    if math.isnan(pair.p):
        return "no verdict: the differences have no spread"
    if pair.different:
        return f"{comparison.variants[comparison.better(pair)].label} is better"
    return "no difference seen" + (" after Holm's correction" if pair.interval.away_from_zero else "")


def place_note(comparison: Comparison, place: Place) -> str:
    """What follows about one variant of the ranking."""
    if comparison.count(place.variant) < MIN_SEEDS:
        return f"no place: fewer than {MIN_SEEDS} seeds"
    if len(comparison.ranking) == 1:
        return ""
    if not place.alike:
        return "better than every other" if place.first == 1 else "differs from every other"
    if len(place.alike) == len(comparison.ranking) - 1:
        return "not distinguished from any other"
    return f"not distinguished from {join_labels([comparison.variants[j].label for j in place.alike])}"


def join_labels(labels: Sequence[str], limit: int = 3) -> str:
    """Labels between commas; beyond `limit`, their number."""
    rest = len(labels) - limit
    return ", ".join(labels[:limit]) + (f" and {rest} more" if rest > 0 else "")
