"""Synthetic identities without images: class centers on the unit hypersphere, alone or in families of similar classes,
and samples spread around them. Nothing is stored: centers and samples are drawn when they are asked for, so ten million
identities cost no more than those that are looked at.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from workbench.core.errors import InputError

TOGETHER = 64  # classes, about, whose centers come from one random stream: whole families of them


@dataclass(frozen=True)
class Identities:
    """`classes` identities in R^dim in families of `family` neighbouring ids; see `families`."""

    classes: int
    dim: int
    family: int
    spread: float
    within: tuple[float, float]
    toward: float
    seed: int

    def centers(self, start: int = 0, end: int | None = None) -> np.ndarray:
        """The unit centers (end - start, D) of the classes from `start` up to `end` (default: the last), float32."""
        end = self.classes if end is None else end
        if not 0 <= start < end <= self.classes:
            raise InputError(f"centers {start} to {end}: expected 0 <= start < end <= {self.classes}")
        first = start // self._size
        drawn = [self._drawn(stream) for stream in range(first, -(-end // self._size))]
        return np.concatenate(drawn)[start - first * self._size : end - first * self._size]

    def centers_of(self, y: np.ndarray) -> np.ndarray:
        """The unit centers (n, D) of the classes y (n,), float32."""
        y = self._checked(y)
        centers = np.empty((len(y), self.dim), np.float32)
        for stream in np.unique(y // self._size):
            here = y // self._size == stream
            centers[here] = self._drawn(stream)[y[here] % self._size]
        return centers

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, np.ndarray]]:
        """All centers in order: pairs of the first class and about `size` centers (n, D)."""
        step = -(-size // self._size) * self._size
        for start in range(0, self.classes, step):
            yield start, self.centers(start, min(start + step, self.classes))

    def samples(self, y: np.ndarray, draw: int = 0) -> np.ndarray:
        """A unit sample (n, D), float32, of each of the classes y (n,); another `draw` gives other samples."""
        y, rng = self._checked(y), self._rng("samples", draw)
        middles = self.centers_of(y)
        if self.toward:
            step = rng.integers(1, self.family, len(y))
            others = self.centers_of(self._sibling(y, step))
            share = rng.uniform(0, self.toward, (len(y), 1)).astype(np.float32)
            middles = between(middles, others, share)
        angles = rng.uniform(*self.within, len(y))
        return von_mises_fisher(middles, concentration(angles, self.dim), rng)

    @property
    def _size(self) -> int:
        """How many classes one random stream draws."""
        return max(1, TOGETHER // self.family) * self.family

    def _drawn(self, stream: int) -> np.ndarray:
        """The centers (size, D) of one stream's families."""
        rng = self._rng("centers", int(stream))
        middles = directions(rng.standard_normal((self._size // self.family, 1, self.dim), np.float32))
        if self.family == 1:
            return middles[:, 0]
        away = tangents(rng.standard_normal((len(middles), self.family, self.dim), np.float32), middles)
        centers = np.float32(math.cos(self.spread)) * middles + np.float32(math.sin(self.spread)) * away
        return centers.reshape(-1, self.dim)

    def _sibling(self, y: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Another class of the family of each class y (n,), `step` (n,) places on, round and round."""
        first = y // self.family * self.family
        count = np.minimum(self.family, self.classes - first)  # the last family may be cut short
        return first + (y - first + 1 + (step - 1) % np.maximum(count - 1, 1)) % count

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, crc32(purpose.encode()), number])

    def _checked(self, y: np.ndarray) -> np.ndarray:
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
    """`classes` identities in R^dim, `family` similar ones next to each other; family = 1: all in random directions.

    spread: angle in rad between the center of a family, a random direction, and each of its classes' centers, which lie
    around it in random directions: two classes of a family have a cosine of about cos(spread)^2. within: the angle in
    rad at which a sample lies from its class's center, or the (smallest, largest) between which it is drawn evenly for
    each sample: how hard they are. The cosine of a von Mises-Fisher sample has cos(angle) for its mean. toward: samples
    look like somebody else: they lie not around their class's center but around a point of the arc from there to
    another class of the family, drawn evenly up to this share of the arc. Same seed: same bits, whatever is asked for
    first, and the first classes are the same however many follow.

    Raises InputError for fewer than 2 classes or dimensions, a family smaller than 1, angles outside their ranges.
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
        raise InputError(f"toward = {toward}: a share in [0, 1] is needed, and 0 where a family is a single class")
    return Identities(
        int(classes), int(dim), int(family), float(spread), (float(low), float(high)), float(toward), int(seed)
    )


def von_mises_fisher(centers: np.ndarray, kappa: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exact samples (n, D) of density proportional to exp(kappa mu . x) around unit centers mu (n, D), in their dtype.

    kappa: a positive number, or one for each sample (n,). The cosine to the center is drawn by rejection (Wood,
    Simulation of the von Mises Fisher distribution, 1994), the direction away from it evenly.
    """
    cos = wood(np.broadcast_to(np.asarray(kappa, float), len(centers)), centers.shape[1], rng)
    sin = np.sqrt(np.maximum(1 - cos * cos, 0))
    away = tangents(rng.standard_normal(centers.shape), centers.astype(float))
    return directions(cos[:, None] * centers + sin[:, None] * away).astype(centers.dtype)


def wood(kappa: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Cosines (n,) of von Mises-Fisher samples to their centers, for concentrations kappa (n,) in R^dim (Wood 1994)."""
    k = dim - 1
    b = k / (2 * kappa + np.sqrt(4 * kappa**2 + k**2))
    x0 = (1 - b) / (1 + b)
    c = kappa * x0 + k * np.log1p(-(x0**2))
    cos, open_ = np.empty(len(kappa)), np.arange(len(kappa))
    while open_.size:
        beta = rng.beta(k / 2, k / 2, open_.size)
        b_, kappa_, x_ = b[open_], kappa[open_], x0[open_]
        tried = (1 - (1 + b_) * beta) / (1 - (1 - b_) * beta)
        taken = kappa_ * tried + k * np.log1p(-x_ * tried) - c[open_] >= np.log(1 - rng.random(open_.size))
        cos[open_[taken]] = tried[taken]
        open_ = open_[~taken]
    return cos


def between(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The unit vectors (n, D) that lie `share` (n, 1) of the way along the arcs from unit vectors a to b (n, D)."""
    arc = np.arccos(np.clip((a * b).sum(axis=1, keepdims=True), -1, 1))
    return directions(np.sin((1 - share) * arc) * a + np.sin(share * arc) * b)


def concentration(angle: np.ndarray, dim: int) -> np.ndarray:
    """The kappa whose von Mises-Fisher samples in R^dim have a mean cosine of cos(angle), angle in rad below pi/2.

    Banerjee et al., Clustering on the Unit Hypersphere, 2005, Eq. 4.4: the mean cosine is met within 2 %.
    """
    r = np.cos(angle)
    return r * (dim - r**2) / (1 - r**2)


def directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) at unit length."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def tangents(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The directions (..., D) that are left of vectors (..., D) at right angles to unit centers (..., D)."""
    return directions(vectors - (vectors * centers).sum(axis=-1, keepdims=True) * centers)
