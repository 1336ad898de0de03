"""The nearest classes of a class, and its own hardest sample against each of them."""

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.hardness import own_and_nearest


@dataclass(frozen=True)
class Rivals:
    """Rivals of one class, the nearest center first. All arrays (K,).

    ids: classes; cosine: between the two centers; sample: index of the class's own sample with the smallest difference
    of the cosines to its own and to the rival's center, -1 if the class has no samples; sample_cosine: its cosine to
    the rival's center, nan without one; nearer: whether it is nearer to the rival's center, hence misclassified.
    """

    ids: np.ndarray
    cosine: np.ndarray
    sample: np.ndarray
    sample_cosine: np.ndarray
    nearer: np.ndarray

    def summary(self) -> dict[str, float]:
        """Cosine of the nearest rival, and the number of rivals with an own sample nearer to them."""
        return {"nearest": float(self.cosine[0]) if len(self.ids) else float("nan"), "nearer": int(self.nearer.sum())}


def center_cosines(W: np.ndarray, own: int) -> np.ndarray:
    """Cosines (C,) of the center of class `own` to all centers W (C, D); 0 for centers of norm 0."""
    lengths = np.sqrt(np.einsum("ij,ij->i", W, W))
    return (W @ W[own]) / np.maximum(lengths * lengths[own], np.finfo(W.dtype).tiny)


def nearest_classes(cos: np.ndarray, own: int, K: int) -> np.ndarray:
    """The K (at most C - 1) other classes of largest cosine (C,), descending; ties: the smaller id first."""
    others = np.where(np.arange(len(cos)) == own, -np.inf, cos)
    K = min(K, len(cos) - 1)
    if K < 1:
        return np.empty(0, dtype=np.intp)
    least = np.partition(others, -K)[-K]
    ids = np.flatnonzero(others >= least)
    return ids[np.lexsort((ids, -others[ids]))][:K]


def rivals(snapshot: Snapshot, own: int, ids: np.ndarray, cos: np.ndarray) -> Rivals:
    """The hardest samples of class `own` against the classes ids (K,); cos (C,): `center_cosines` of own.

    With sub-centers, the cosine to a class is that to the nearest sub-center. Raises InputError for a class without a
    center in the snapshot.
    """
    W = snapshot.W.reshape(len(snapshot.W) // snapshot.sub, snapshot.sub, -1)
    bad = next((int(j) for j in (own, *ids) if not 0 <= j < len(W)), None)
    if bad is not None:
        raise InputError(f"class {bad}: the classes of the snapshot are 0 to {len(W) - 1}")
    ids = np.asarray(ids, dtype=np.intp)
    ids = ids[np.lexsort((ids, -cos[ids]))]
    samples = np.flatnonzero(snapshot.y == own)
    if not len(samples) or not len(ids):
        none = np.full(len(ids), -1)
        return Rivals(ids, cos[ids], none, np.full(len(ids), np.nan), np.zeros(len(ids), dtype=bool))
    to = np.einsum("nd,csd->ncs", unit(snapshot.x[samples]), unit(W[[own, *ids]])).max(axis=2)
    gap = to[:, 1:] - to[:, :1]
    hardest = gap.argmax(axis=0)
    columns = np.arange(len(ids))
    return Rivals(ids, cos[ids], samples[hardest], to[hardest, columns + 1], gap[hardest, columns] > 0)


def most_confused_class(snapshot: Snapshot) -> int:
    """The class with the largest off-diagonal entry of the confusion matrix; ties: the smallest id.

    Without misclassified samples: the class of the sample with the smallest difference of its cosines to the own and to
    the nearest other center. 0 for a snapshot without samples or with one class.
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
