"""Hardness correlation (NPCFace, Fig. 2b and Fig. 3) and captured softmax mass against the number of identities."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import or_

import numpy as np

from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress
from workbench.data.identities import Identities
from workbench.probes.hardness import hardness


@dataclass(frozen=True, eq=False)
class ScaleStudy:
    """Hardness correlation and captured mass of the same samples for several numbers of identities.

    classes (k,): numbers of identities, ascending; samples: number of samples; r (k,): hardness correlation, nan where
    undefined; count (k,): numbers of misclassified samples; K (q,): queue lengths, ascending; captured (k, q): fraction
    of the negatives' softmax mass in the K classes nearest to the sample's own; share: sampling rate of the random
    classes; random (k,): the mass in these.
    """

    classes: np.ndarray
    samples: int
    r: np.ndarray
    count: np.ndarray
    K: np.ndarray
    captured: np.ndarray
    share: float
    random: np.ndarray

    def summary(self) -> dict[str, float]:
        columns = {"r": self.r, "count": self.count, "random": self.random}
        columns |= {f"captured{K}": self.captured[:, q] for q, K in enumerate(self.K)}
        return {
            f"{name}@{classes}": float(column[k])
            for k, classes in enumerate(self.classes)
            for name, column in columns.items()
        }


def scale(
    identities: Identities,
    sizes: Sequence[int],
    samples: int = 512,
    K: Sequence[int] = (32, 64),
    share: float = 0.1,
    s: float = 64.0,
    m: float = 0.4,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ScaleStudy:
    """Hardness correlation and captured mass of fixed samples among nested random subsets of identities.

    Subsets of `sizes` classes are drawn at random from `identities`; each contains the smaller ones. The samples belong
    to classes of the smallest subset. For each size: the hardness correlation r (`workbench.probes.hardness`), and the
    fraction of the negatives' softmax mass, sum_A p / sum_{j != y} p over all samples with T = cos(theta_y + m) and
    N = cos(theta_j) (ArcFace, scale s), for two sets A:

        the K classes whose centers are nearest to the center of the sample's class: a full, exact queue
        a random `share` of the classes, the same for all samples: Partial FC

    Memory: O(samples x block of classes). progress: called with (classes done, all classes). Raises InputError unless
    2 <= sizes <= identities.classes, ascending, and for other values out of range.
    """
    sizes, K = list(sizes), sorted(K)
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 2 or sizes[-1] > identities.classes:
        raise InputError(f"sizes = {sizes}: ascending integers from 2 to {identities.classes} are needed")
    if not K or K[0] < 1 or samples < 1 or not 0 < share <= 1:
        raise InputError(
            f"K = {K}, samples = {samples}, share = {share}: K >= 1, samples >= 1 and share in (0, 1] are needed"
        )
    rng = np.random.default_rng(seed)
    rank = rng.permutation(identities.classes)
    drawn = rng.random(identities.classes) < share
    y = rng.choice(np.flatnonzero(rank < sizes[0]), samples)
    x, own = identities.samples(y, seed), identities.centers_of(y)
    added = np.searchsorted(sizes, rank, side="right")  # index of the smallest subset with the class
    parts = [NegativeSums.empty(samples, K[-1]) for _ in sizes]
    for start, W in identities.blocks():
        cos, between = s * (x @ W.T), own @ W.T
        here = np.flatnonzero((y >= start) & (y < start + len(W)))
        cos[here, y[here] - start] = between[here, y[here] - start] = -np.inf
        block = slice(start, start + len(W))
        for k in range(len(sizes)):
            new = added[block] == k
            parts[k] |= NegativeSums.of(cos[:, new], between[:, new], drawn[block][new], K[-1])
        progress(start + len(W), identities.classes)
    pos = np.einsum("nd,nd->n", x, own)
    results = [measure(sums, pos, K, s, m) for sums in accumulate(parts, or_)]
    r, count, captured, random = (np.array(column) for column in zip(*results, strict=True))
    return ScaleStudy(np.array(sizes), samples, r, count, np.array(K), captured, share, random)


@dataclass(frozen=True, eq=False)
class NegativeSums:
    """Statistics of n samples over a set of other classes; `a | b`: over the union of two disjoint sets.

    nearest (n,): largest logit s cos; mass, drawn (n,): log-sum-exp of all logits and of those of the random classes;
    between (n, K): cosines of the own center to its K nearest centers, descending; logits (n, K): their logits.
    """

    nearest: np.ndarray
    mass: np.ndarray
    drawn: np.ndarray
    between: np.ndarray
    logits: np.ndarray

    @classmethod
    def empty(cls, n: int, K: int) -> "NegativeSums":
        """Over no classes."""
        return cls(*(np.full(n, -np.inf) for _ in range(3)), *(np.full((n, K), -np.inf, np.float32) for _ in range(2)))

    @classmethod
    def of(cls, logits: np.ndarray, between: np.ndarray, drawn: np.ndarray, K: int) -> "NegativeSums":
        """Over c classes: logits (n, c), cosines of centers between (n, c), random classes drawn (c,) bool."""
        nearest = logits.max(axis=1, initial=-np.inf).astype(float)
        return cls(nearest, log_sum(logits), log_sum(logits[:, drawn]), *top_k(between, logits, K))

    def __or__(self, other: "NegativeSums") -> "NegativeSums":
        between, logits = (np.hstack([getattr(self, name), getattr(other, name)]) for name in ("between", "logits"))
        return NegativeSums(
            np.maximum(self.nearest, other.nearest),
            np.logaddexp(self.mass, other.mass),
            np.logaddexp(self.drawn, other.drawn),
            *top_k(between, logits, self.between.shape[1]),
        )


def measure(sums: NegativeSums, pos: np.ndarray, K: Sequence[int], s: float, m: float) -> tuple:
    """r, the number of misclassified samples, the captured mass for each of K, and that of the random classes."""
    cos = np.clip(np.stack([pos, sums.nearest / s], axis=1), -1, 1)
    result = hardness(cos, np.zeros(len(pos), int))
    total = np.logaddexp(s * np.cos(np.arccos(cos[:, 0]) + m), sums.mass)
    all_, drawn, *queues = (
        np.exp(part - total).sum() for part in (sums.mass, sums.drawn, *(log_sum(sums.logits[:, :k]) for k in K))
    )
    return result.r, result.count, [queue / all_ for queue in queues], drawn / all_


def top_k(between: np.ndarray, logits: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """The K largest of `between` (n, c), descending, and the logits (n, c) of the same classes; fewer if c < K."""
    if between.shape[1] > K:
        best = np.argpartition(-between, K - 1, axis=1)[:, :K]
        between, logits = (np.take_along_axis(values, best, axis=1) for values in (between, logits))
    order = np.argsort(-between, axis=1, kind="stable")
    return np.take_along_axis(between, order, axis=1), np.take_along_axis(logits, order, axis=1)


def log_sum(logits: np.ndarray) -> np.ndarray:
    """Log-sum-exp (n,) of logits (n, c), in float64; -inf for c = 0."""
    top = np.maximum(logits.max(axis=1, initial=-np.inf), -1e30).astype(float)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(logits - top[:, None]).sum(axis=1, dtype=float))
