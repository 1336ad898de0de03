"""Synthetic identities without images: unit class centers, independent or in families of similar classes, and
von Mises-Fisher samples around them. Centers and samples are drawn on demand and not stored, so memory does not depend
on the number of classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from workbench.core.arrays import unit
from workbench.core.errors import InputError

STREAM = 64  # approximate number of classes of one random stream, rounded to entire families


@dataclass(frozen=True)
class Identities:
    """`classes` identities in R^dim, in families of `family` consecutive ids; see `families`."""

    classes: int
    dim: int
    family: int
    spread: float
    within: tuple[float, float]
    toward: float
    seed: int

    def centers(self, start: int = 0, end: int | None = None) -> np.ndarray:
        """Unit centers (end - start, D), float32, of the classes start..end-1; end None: all from `start`."""
        end = self.classes if end is None else end
        if not 0 <= start < end <= self.classes:
            raise InputError(f"centers {start} to {end}: expected 0 <= start < end <= {self.classes}")
        first = start // self._size
        streams = [self._draw_centers(stream) for stream in range(first, -(-end // self._size))]
        return np.concatenate(streams)[start - first * self._size : end - first * self._size]

    def centers_of(self, y: np.ndarray) -> np.ndarray:
        """Unit centers (n, D), float32, of the classes y (n,)."""
        y = self._check_classes(y)
        centers = np.empty((len(y), self.dim), np.float32)
        for stream in np.unique(y // self._size):
            mask = y // self._size == stream
            centers[mask] = self._draw_centers(stream)[y[mask] % self._size]
        return centers

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over all centers in blocks of about `size`: pairs of the first class and the centers (n, D)."""
        step = -(-size // self._size) * self._size
        for start in range(0, self.classes, step):
            yield start, self.centers(start, min(start + step, self.classes))

    def samples(self, y: np.ndarray, draw: int = 0) -> np.ndarray:
        """One unit sample (n, D), float32, of each of the classes y (n,). draw: index of the random draw."""
        y, rng = self._check_classes(y), self._rng("samples", draw)
        means = self.centers_of(y)
        if self.toward:
            step = rng.integers(1, self.family, len(y))
            others = self.centers_of(self._sibling(y, step))
            share = rng.uniform(0, self.toward, (len(y), 1)).astype(np.float32)
            means = slerp(means, others, share)
        angles = rng.uniform(*self.within, len(y))
        return von_mises_fisher(means, concentration(angles, self.dim), rng)

    @property
    def _size(self) -> int:
        """Number of classes of one random stream."""
        return max(1, STREAM // self.family) * self.family

    def _draw_centers(self, stream: int) -> np.ndarray:
        """Centers (size, D) of the families of one random stream."""
        rng = self._rng("centers", int(stream))
        means = unit(rng.standard_normal((self._size // self.family, 1, self.dim), np.float32))
        if self.family == 1:
            return means[:, 0]
        away = tangents(rng.standard_normal((len(means), self.family, self.dim), np.float32), means)
        centers = np.float32(math.cos(self.spread)) * means + np.float32(math.sin(self.spread)) * away
        return centers.reshape(-1, self.dim)

    def _sibling(self, y: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The class `step` (n,) positions after y (n,) in its family, cyclically, never y itself."""
        first = y // self.family * self.family
        count = np.minimum(self.family, self.classes - first)  # the last family may be smaller
        return first + (y - first + 1 + (step - 1) % np.maximum(count - 1, 1)) % count

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, crc32(purpose.encode()), number])

    def _check_classes(self, y: np.ndarray) -> np.ndarray:
        y = np.asarray(y)
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise InputError(f"y has shape {y.shape} and type {y.dtype}; whole numbers (n,) are needed")
        bad = np.flatnonzero((y < 0) | (y >= self.classes))
        if bad.size:
            raise InputError(f"y[{bad[0]}] is {y[bad[0]]}; the classes are 0 to {self.classes - 1}")
        return y


def families(
    classes: int,
    dim: int,
    family: int = 50,
    spread: float = 0.9,
    within: float | tuple[float, float] = 0.6,
    toward: float = 0.0,
    seed: int = 0,
) -> Identities:
    """`classes` identities in R^dim, in families of `family` similar classes; family = 1: independent directions.

    spread: angle in rad between the center of a family (a random direction) and the centers of its classes (in random
    directions around it); two classes of a family have a cosine of about cos(spread)^2. within: angle in rad between a
    sample and its class center, such that the mean cosine of the von Mises-Fisher samples is cos(within); a pair
    (smallest, largest) is a uniform distribution over samples. toward: samples are drawn around a point on the arc from
    their class center to another class of the family, uniform in [0, toward] of the arc. The same seed gives the same
    bits in any order of access, and the first classes do not depend on `classes`.

    Raises InputError for fewer than 2 classes or dimensions, a family smaller than 1, or angles outside their ranges.
    """
    low, high = (within, within) if isinstance(within, int | float) else within
    for name, value, least in (("classes", classes, 2), ("dim", dim, 2), ("family", family, 1), ("seed", seed, 0)):
        if value != int(value) or value < least:
            raise InputError(f"{name} = {value}: a whole number of at least {least} is needed")
    if not 0 < spread <= math.pi / 2:
        raise InputError(f"spread = {spread}: an angle in (0, pi/2] rad is needed")
    if not 0 < low <= high < math.pi / 2:
        raise InputError(f"within = {within}: angles 0 < smallest <= largest < pi/2 rad are needed")
    if not 0 <= toward <= 1 or (toward and family == 1):
        raise InputError(f"toward = {toward}: a fraction in [0, 1] is needed, and 0 if a family is a single class")
    return Identities(
        int(classes), int(dim), int(family), float(spread), (float(low), float(high)), float(toward), int(seed)
    )


def von_mises_fisher(centers: np.ndarray, kappa: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exact samples (n, D) of density proportional to exp(kappa mu . x) around unit centers mu (n, D), in their dtype.

    kappa > 0: a number, or one for each sample (n,). The cosine to the center is drawn by rejection sampling (Wood,
    Simulation of the von Mises Fisher distribution, 1994), the tangent direction uniformly.
    """
    cos = sample_cosines(np.broadcast_to(np.asarray(kappa, float), len(centers)), centers.shape[1], rng)
    sin = np.sqrt(np.maximum(1 - cos * cos, 0))
    away = tangents(rng.standard_normal(centers.shape), centers.astype(float))
    return unit(cos[:, None] * centers + sin[:, None] * away).astype(centers.dtype)


def sample_cosines(kappa: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Cosines (n,) of von Mises-Fisher samples to their centers, for concentrations kappa (n,) in R^dim (Wood 1994)."""
    k = dim - 1
    b = k / (2 * kappa + np.sqrt(4 * kappa**2 + k**2))
    x0 = (1 - b) / (1 + b)
    c = kappa * x0 + k * np.log1p(-(x0**2))
    cos, todo = np.empty(len(kappa)), np.arange(len(kappa))
    while todo.size:
        beta = rng.beta(k / 2, k / 2, todo.size)
        b_, kappa_, x_ = b[todo], kappa[todo], x0[todo]
        proposal = (1 - (1 + b_) * beta) / (1 - (1 - b_) * beta)
        accept = kappa_ * proposal + k * np.log1p(-x_ * proposal) - c[todo] >= np.log(1 - rng.random(todo.size))
        cos[todo[accept]] = proposal[accept]
        todo = todo[~accept]
    return cos


def slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Spherical linear interpolation (n, D) from unit vectors a to b (n, D) at fractions `share` (n, 1) of the arc."""
    arc = np.arccos(np.clip((a * b).sum(axis=1, keepdims=True), -1, 1))
    return unit(np.sin((1 - share) * arc) * a + np.sin(share * arc) * b)


def concentration(angle: np.ndarray, dim: int) -> np.ndarray:
    """Concentration kappa of von Mises-Fisher samples in R^dim with mean cosine cos(angle), angle in rad < pi/2.

    Banerjee et al., Clustering on the Unit Hypersphere, 2005, Eq. 4.4; the error of the mean cosine is below 2 %.
    """
    r = np.cos(angle)
    return r * (dim - r**2) / (1 - r**2)


def tangents(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Unit components (..., D) of vectors (..., D) orthogonal to unit centers (..., D)."""
    return unit(vectors - (vectors * centers).sum(axis=-1, keepdims=True) * centers)
