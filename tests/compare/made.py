"""Comparisons made of given numbers, without any training."""

import math

import numpy as np

from workbench.compare.plan import Plan
from workbench.compare.results import METRICS, Comparison
from workbench.compare.variants import Variant
from workbench.methods import METHODS
from workbench.training.config import Config


def comparison_of(values, metric="eer", listed=None, missing=None, out="runs/compare"):
    """A comparison with the given values (V, S) of one metric; the other metrics are noise around them."""
    values = np.array(values, dtype=float)
    listed = listed or [Variant(name, key) for name, key in zip("ABCDE", METHODS, strict=False)][: len(values)]
    rng = np.random.default_rng(0)
    numbers = {name: values + rng.normal(size=values.shape) / 1000 for name in METRICS} | {metric: values}
    plan = Plan(out, tuple(listed), tuple(range(values.shape[1])), Config(steps=10), 1, 60.0, {"arcface": 0.05})
    seconds, why = np.where(np.isfinite(values), 30.0, math.nan), missing or {}
    return Comparison(plan.variants, plan.seeds, numbers, seconds, why, {}, METRICS[metric], plan.to_json())
