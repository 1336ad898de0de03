"""Scale: what changes as the number of identities grows. Do hard positives become hard negatives (NPCFace, Fig. 2b and
Fig. 3), and which few of the classes hold the softmax mass of all the negatives?
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.data.identities import Identities
from workbench.probes.hardness import hardness


@dataclass(frozen=True, eq=False)
class Scale:
    """What changes as more and more identities join, for the same samples.

    classes (k,): how many identities, in rising order; samples: how many samples; r (k,): the hardness correlation, nan
    where it is not defined; count (k,): the misclassified samples it rests on; K (q,): lengths of queues, in rising
    order; captured (k, q): share of the negatives' softmax mass in the K classes nearest to the sample's own; share:
    of the classes that a random choice takes; random (k,): the mass in it.
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
    progress: Progress | None = None,
) -> Scale:
    """The same samples beside more and more of a population of identities, the larger sets holding the smaller ones.

    The identities are the population, and data sets of `sizes` classes are drawn from it at random: who looks like
    somebody in the population is seldom in a small one. The samples are of classes of the smallest set. For each size:
    the hardness correlation r (`workbench.probes.hardness`) over the misclassified samples, and the share of the
    negatives' softmax mass, sum_A p / sum_{j != y} p over all samples with T = cos(theta_y + m) and N = cos(theta_j)
    (ArcFace, scale s), that lies in

        the K classes whose centers are nearest to the center of the sample's own class: a full, exact queue
        a random `share` of the classes, the same for all samples: Partial FC's choice

    Holds samples x (a block of classes) numbers at a time. progress: called with (classes met, all of them). Raises
    InputError for sizes that do not rise within the population and for values out of range.
    """
    sizes, K = list(sizes), sorted(K)
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 2 or sizes[-1] > identities.classes:
        raise InputError(f"sizes = {sizes}: rising numbers from 2 to {identities.classes} (the population) are needed")
    if not K or K[0] < 1 or samples < 1 or not 0 < share <= 1:
        raise InputError(
            f"K = {K}, samples = {samples}, share = {share}: at least 1, 1 and a share in (0, 1] are needed"
        )
    rng = np.random.default_rng(seed)
    rank = rng.permutation(identities.classes)
    drawn = rng.random(identities.classes) < share
    y = rng.choice(np.flatnonzero(rank < sizes[0]), samples)
    x, own = identities.samples(y, seed), identities.centers_of(y)
    added = np.searchsorted(sizes, rank, side="right")  # with which size a class comes in; after the last: never
    met = [Met.none(samples, K[-1]) for _ in sizes]
    for start, W in identities.blocks():
        cos, between = s * (x @ W.T), own @ W.T
        here = np.flatnonzero((y >= start) & (y < start + len(W)))
        cos[here, y[here] - start] = between[here, y[here] - start] = -np.inf
        block = slice(start, start + len(W))
        for k in range(len(sizes)):
            new = added[block] == k
            met[k] = met[k] | Met.of(cos[:, new], between[:, new], drawn[block][new], K[-1])
        if progress:
            progress(start + len(W), identities.classes)
    found, so_far = [], Met.none(samples, K[-1])
    for more in met:
        so_far = so_far | more
        found.append(measured(so_far, np.einsum("nd,nd->n", x, own), K, s, m))
    r, count, captured, random = (np.array(column) for column in zip(*found, strict=True))
    return Scale(np.array(sizes), samples, r, count, np.array(K), captured, share, random)


@dataclass(frozen=True, eq=False)
class Met:
    """What samples remember of the other classes they met: `a | b` is after meeting both. n samples, K neighbours.

    nearest (n,): the largest logit s cos; mass, drawn (n,): log sum exp of the logits, of all and of the drawn ones;
    beside (n, K): how near the K nearest centers are to the own center, in falling order; logits (n, K): of those.
    """

    nearest: np.ndarray
    mass: np.ndarray
    drawn: np.ndarray
    beside: np.ndarray
    logits: np.ndarray

    @classmethod
    def none(cls, n: int, K: int) -> "Met":
        """After no class at all."""
        return cls(*(np.full(n, -np.inf) for _ in range(3)), *(np.full((n, K), -np.inf, np.float32) for _ in range(2)))

    @classmethod
    def of(cls, logits: np.ndarray, beside: np.ndarray, drawn: np.ndarray, K: int) -> "Met":
        """After classes with logits (n, c), cosines of centers beside (n, c), of which those `drawn` (c,) are drawn."""
        nearest = logits.max(axis=1, initial=-np.inf).astype(float)
        return cls(nearest, log_sum(logits), log_sum(logits[:, drawn]), *largest(beside, logits, K))

    def __or__(self, other: "Met") -> "Met":
        beside, logits = (np.hstack([getattr(self, name), getattr(other, name)]) for name in ("beside", "logits"))
        return Met(
            np.maximum(self.nearest, other.nearest),
            np.logaddexp(self.mass, other.mass),
            np.logaddexp(self.drawn, other.drawn),
            *largest(beside, logits, self.beside.shape[1]),
        )


def measured(met: Met, pos: np.ndarray, K: Sequence[int], s: float, m: float) -> tuple:
    """r, the number of misclassified samples, the captured mass for each of K, and that of the drawn classes."""
    two = np.clip(np.stack([pos, met.nearest / s], axis=1), -1, 1)
    found = hardness(two, np.zeros(len(pos), int))
    total = np.logaddexp(s * np.cos(np.arccos(two[:, 0]) + m), met.mass)
    all_, drawn, *queues = (
        np.exp(part - total).sum() for part in (met.mass, met.drawn, *(log_sum(met.logits[:, :k]) for k in K))
    )
    return found.r, found.count, [queue / all_ for queue in queues], drawn / all_


def largest(beside: np.ndarray, logits: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """The K largest of beside (n, c) in falling order and the logits (n, c) that go with them; fewer if c < K."""
    if beside.shape[1] > K:
        best = np.argpartition(-beside, K - 1, axis=1)[:, :K]
        beside, logits = (np.take_along_axis(values, best, axis=1) for values in (beside, logits))
    order = np.argsort(-beside, axis=1, kind="stable")
    return np.take_along_axis(beside, order, axis=1), np.take_along_axis(logits, order, axis=1)


def log_sum(logits: np.ndarray) -> np.ndarray:
    """log sum_j exp(logits) (n,) of logits (n, c), in float64; -inf for none."""
    top = np.maximum(logits.max(axis=1, initial=-np.inf), -1e30).astype(float)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(logits - top[:, None]).sum(axis=1, dtype=float))
