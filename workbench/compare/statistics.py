"""Statistics over few seeds: confidence intervals of a mean, p-values of paired differences, Holm's correction."""

import math
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of intervals; verdicts use the significance level 1 - LEVEL
RESAMPLES = 9999
MIN_SEEDS = 3  # for an interval or a verdict: the coverage of an interval from two values is not known well enough
ROUNDING = 1e-12  # values that differ by less are equal, up to rounding


@dataclass(frozen=True, eq=False)
class Interval:
    """A mean of n values and its confidence interval [low, high]; both nan for n < MIN_SEEDS or equal values."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def away_from_zero(self) -> bool:
        """Whether the interval exists and excludes zero."""
        return self.low > 0 or self.high < 0


def finite(values: np.ndarray) -> np.ndarray:
    """The finite values, in float64."""
    values = np.asarray(values, dtype=np.float64)
    return values[np.isfinite(values)]


def has_spread(values: np.ndarray) -> bool:
    """Whether finite values (n,) differ by more than rounding."""
    return len(values) > 1 and bool(np.ptp(values) > ROUNDING * max(1.0, np.abs(values).max()))


def interval(values: np.ndarray, level: float = LEVEL, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean of values (n,) and its bootstrap confidence interval. Values that are not finite are left out.

    The percentile bootstrap is too narrow for small n: it neglects that the mean is estimated, and it uses a normal
    quantile in place of Student's (Hesterberg, What Teachers Should Know About the Bootstrap, 2015). The deviations
    from the mean are therefore widened before they are resampled:

        d_i' = mean + k (d_i - mean),   k = sqrt(n / (n - 1)) t_{n-1} / z

    with the quantiles t and z of the level. For large n, k is 1. Without it, three differences of equal sign, which
    have probability 1/4 under the null hypothesis, would exclude zero. Fewer than MIN_SEEDS values, and values without
    spread, have no interval.
    """
    values = finite(values)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < MIN_SEEDS or not has_spread(values):
        return Interval(mean, math.nan, math.nan, n)
    low, high = percentile_bootstrap(mean + widening(n, level) * (values - mean), level, seed, resamples)
    return Interval(mean, low, high, n)


def widening(n: int, level: float = LEVEL) -> float:
    """The factor k by which the deviations of n values from their mean are widened, see `interval`."""
    from scipy.special import ndtri, stdtrit

    tail = (1 + level) / 2
    return math.sqrt(n / (n - 1)) * float(stdtrit(n - 1, tail) / ndtri(tail))


def percentile_bootstrap(values: np.ndarray, level: float, seed: int, resamples: int) -> tuple[float, float]:
    """The percentile bootstrap of the mean: quantiles of the means of samples drawn with replacement."""
    from scipy.stats import bootstrap

    rng = np.random.default_rng(seed)
    options = {"n_resamples": resamples, "confidence_level": level, "method": "percentile"}
    result = bootstrap((values,), np.mean, rng=rng, **options).confidence_interval
    return float(result.low), float(result.high)


def p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of the paired t-test of differences (n,); nan where `interval` gives no interval."""
    from scipy.special import stdtr

    values = finite(differences)
    n = len(values)
    if n < MIN_SEEDS or not has_spread(values):
        return math.nan
    t = values.mean() / (values.std(ddof=1) / math.sqrt(n))
    return float(2 * stdtr(n - 1, -abs(t)))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted by Holm's step-down method (Holm, Scand. J. Statist. 6, 1979); nan stays and is no test.

    p_(k)' = max_{i <= k} min(1, (m - i + 1) p_(i)) for the sorted p-values. Rejecting where p' <= alpha keeps the
    probability of any false rejection at or below alpha, for any dependence of the tests.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # nan is last
    adjusted = np.full(len(p), math.nan)
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, factors * p[order]))
    return adjusted


def sample_std(values: np.ndarray) -> float:
    """Standard deviation of the finite values, n - 1 in the denominator; nan for fewer than two."""
    values = finite(values)
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
