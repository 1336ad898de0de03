"""Rivals: which classes lie nearest to a class, and which of its own samples lies nearest to each of them?"""

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.hardness import own_and_nearest


@dataclass(frozen=True)
class Rivals:
    """Rivals of one class, the nearest center first. All arrays (K,).

    ids: the classes; cosine: of the two centers. sample: of the class's own samples, the place of the hardest one
    against that rival, whose cosine to its own center exceeds that to the rival's the least, -1 where the class has
    none; sample_cosine: its cosine to the rival's center, nan without one; nearer: whether it is nearer to that center
    than to its own, hence misclassified.
    """

    ids: np.ndarray
    cosine: np.ndarray
    sample: np.ndarray
    sample_cosine: np.ndarray
    nearer: np.ndarray

    def summary(self) -> dict[str, float]:
        """How near the nearest rival is, and how many rivals an own sample is nearer to."""
        return {"nearest": float(self.cosine[0]) if len(self.ids) else float("nan"), "nearer": int(self.nearer.sum())}


def center_cosines(W: np.ndarray, own: int) -> np.ndarray:
    """Cosines (C,) of the center of one class to those of all, W (C, D); a center of length 0 has cosine 0 to all."""
    lengths = np.sqrt(np.einsum("ij,ij->i", W, W))
    return (W @ W[own]) / np.maximum(lengths * lengths[own], np.finfo(W.dtype).tiny)


def nearest_classes(cos: np.ndarray, own: int, K: int) -> np.ndarray:
    """The K other classes, at most C - 1, of the largest cosines (C,), nearest first; a tie takes the smaller id."""
    others = np.where(np.arange(len(cos)) == own, -np.inf, cos)
    K = min(K, len(cos) - 1)
    if K < 1:
        return np.empty(0, dtype=np.intp)
    least = np.partition(others, -K)[-K]  # everything above it, and of what equals it the smallest ids
    ids = np.flatnonzero(others >= least)
    return ids[np.lexsort((ids, -others[ids]))][:K]


def rivals(snapshot: Snapshot, own: int, ids: np.ndarray, cos: np.ndarray) -> Rivals:
    """What a snapshot says of the classes ids (K,), rivals of class `own`; cos (C,): as `center_cosines` of own.

    A sample's cosine to a class with sub-centers is that to the nearest of them. Raises InputError for a class that
    the snapshot has no center of.
    """
    W = snapshot.W.reshape(len(snapshot.W) // snapshot.sub, snapshot.sub, -1)
    bad = next((int(j) for j in (own, *ids) if not 0 <= j < len(W)), None)
    if bad is not None:
        raise InputError(f"class {bad}: the classes of the snapshot are 0 to {len(W) - 1}")
    ids = np.asarray(ids, dtype=np.intp)
    ids = ids[np.lexsort((ids, -cos[ids]))]
    places = np.flatnonzero(snapshot.y == own)
    if not len(places) or not len(ids):
        none = np.full(len(ids), -1)
        return Rivals(ids, cos[ids], none, np.full(len(ids), np.nan), np.zeros(len(ids), dtype=bool))
    to = np.einsum("nd,csd->ncs", unit(snapshot.x[places]), unit(W[[own, *ids]])).max(axis=2)
    gap = to[:, 1:] - to[:, :1]
    hardest = gap.argmax(axis=0)
    columns = np.arange(len(ids))
    return Rivals(ids, cos[ids], places[hardest], to[hardest, columns + 1], gap[hardest, columns] > 0)


def most_confused(snapshot: Snapshot) -> int:
    """The class with the most samples taken for one and the same other class; a tie takes the smaller id.

    Where nothing is misclassified: the class of the sample whose nearest other center is the least farther than its
    own. 0 where the snapshot has no sample, or one class.
    """
    if not len(snapshot.y) or len(snapshot.W) == snapshot.sub:
        return 0
    cos = snapshot.cos
    predicted = cos.argmax(axis=1)
    wrong = predicted != snapshot.y
    if wrong.any():
        pairs, counts = np.unique(snapshot.y[wrong] * cos.shape[1] + predicted[wrong], return_counts=True)
        return int(pairs[counts.argmax()] // cos.shape[1])
    own, nearest, _ = own_and_nearest(cos, snapshot.y)
    return int(snapshot.y[(nearest - own).argmax()])
