"""Comparison: every number of a comparison, who is better than whom, and where no difference is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.compare.statistics import Interval, interval, spread
from workbench.core.errors import unknown

if TYPE_CHECKING:
    from workbench.compare.variants import Variant

ALL_PAIRS = 10  # pairs that are shown; of more, each variant's difference to the first one


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation, a share in [0, 1]: how it is called and whether more of it is better."""

    name: str
    title: str
    larger: bool = True

    def better(self, difference: float) -> bool:
        """Whether a difference of this sign is an improvement."""
        return difference > 0 if self.larger else difference < 0


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


def metric_named(name: str, option: str = "--metric") -> Metric:
    """The metric of a name; InputError for another one."""
    if name not in METRICS:
        raise unknown(option, name, METRICS)
    return METRICS[name]


@dataclass(frozen=True, eq=False)
class Paired:
    """left - right of two variants (their numbers), seed by seed: differences (seeds,), nan where one is missing."""

    left: int
    right: int
    differences: np.ndarray
    interval: Interval


@dataclass(frozen=True)
class Place:
    """The places that a variant may have: behind all that are seen to be better, before all that are seen to be worse.

    like: the variants from which no difference is seen.
    """

    variant: int
    first: int
    last: int
    like: tuple[int, ...]

    @property
    def text(self) -> str:
        """'2', or '2–4' where nothing says which."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was measured. V variants by S seeds; a run that is missing or failed has nan, and `missing` says why.

    values: {metric: (V, S)} shares; seconds: (V, S) s of training; missing: {(variant, seed's position): why}, paths:
    the folders of all other runs; metric: what the ranking goes by; info: the plan as compare.json has it;
    impostors: the fewest impostor pairs of a run.
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
        """The values (S,) of one variant, nan where there is none."""
        return self.values[metric or self.metric.name][variant]

    def mean(self, variant: int, metric: str | None = None) -> float:
        known = self.of(variant, metric)
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else math.nan

    def std(self, variant: int, metric: str | None = None) -> float:
        """Standard deviation over the seeds, n - 1 in the denominator."""
        return spread(self.of(variant, metric))

    def paired(self, left: int, right: int) -> Paired:
        """The differences of two variants at the same seeds in the metric of the ranking."""
        differences = self.of(left) - self.of(right)
        return Paired(left, right, differences, interval(differences))

    @cached_property
    def pairs(self) -> dict[tuple[int, int], Paired]:
        """Every pair of variants, the one listed earlier on the right."""
        return {(i, j): self.paired(i, j) for j, i in combinations(range(len(self.variants)), 2)}

    @property
    def shown_pairs(self) -> list[Paired]:
        """Every pair where they are few, else the difference of every variant to the first one."""
        pairs = list(self.pairs.values())
        return pairs if len(pairs) <= ALL_PAIRS else [pair for pair in pairs if pair.right == 0]

    def seen_better(self, one: int, other: int) -> bool:
        """Whether the interval of their difference leaves zero out, on the better side for `one`."""
        pair = self.pairs[max(one, other), min(one, other)]
        sign = 1 if pair.left == one else -1
        return pair.interval.away_from_zero and self.metric.better(sign * pair.interval.mean)

    @cached_property
    def ranking(self) -> list[Place]:
        """Every variant that was measured, best mean first, with the places that it may have."""
        known = [i for i in range(len(self.variants)) if math.isfinite(self.mean(i))]
        best_first = sorted(known, key=lambda i: self.mean(i) * (-1 if self.metric.larger else 1))

        def place(i: int) -> Place:
            others = [j for j in best_first if j != i]
            better = {j for j in others if self.seen_better(j, i)}
            worse = {j for j in others if self.seen_better(i, j)}
            like = tuple(j for j in others if j not in better | worse)
            return Place(i, 1 + len(better), len(known) - len(worse), like)

        return [place(i) for i in best_first]

    @property
    def differences_seen(self) -> int:
        """How many pairs have an interval that leaves zero out."""
        return sum(pair.interval.away_from_zero for pair in self.pairs.values())

    def summary(self) -> dict[str, float]:
        """Mean and standard deviation of every metric of every variant: {'npcface eer mean': ...}."""
        found = {}
        for i, variant in enumerate(self.variants):
            for name in self.values:
                found |= {
                    f"{variant.key} {name} mean": self.mean(i, name),
                    f"{variant.key} {name} std": self.std(i, name),
                }
        return found


def verdict(found: Comparison, pair: Paired) -> str:
    """What one pair's interval allows to say, in a few words."""
    if pair.interval.n < 2:
        return "too few seeds for an interval"
    if not pair.interval.away_from_zero:
        return "no difference seen"
    better = pair.left if found.metric.better(pair.interval.mean) else pair.right
    return f"{found.variants[better].label} is better"


def placed(found: Comparison, place: Place) -> str:
    """What the ranking says of one variant beside its place."""
    if np.isfinite(found.of(place.variant)).sum() < 2:
        return "one seed: no interval, no place"
    if len(found.ranking) == 1:
        return ""
    if not place.like:
        return "better than every other" if place.first == 1 else "differs from every other"
    if len(place.like) == len(found.ranking) - 1:
        return "no difference seen from any other"
    return f"no difference seen from {listed([found.variants[j].label for j in place.like])}"


def listed(labels: Sequence[str], most: int = 3) -> str:
    """Labels in one sentence; of many, the first few and how many more."""
    rest = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {rest} more" if rest > 0 else "")
