"""What the measurements return: frozen records of numpy arrays, each with `summary()`, its numbers as {name: float}.

Probes and evaluation make them, views draw them, runs store them. Angles are in radians, rates are shares in [0, 1].
They compare by identity, because two arrays have no single truth value of being equal.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Roc:
    """The ROC, one point for each distinct score in falling order, after (0, 0) at threshold +inf.

    far, tar, thresholds: (K + 1,); far[k] and tar[k] are the shares of impostor and genuine pairs with
    score >= thresholds[k].
    """

    far: np.ndarray
    tar: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True, eq=False)
class Verification:
    """How well scores tell genuine pairs from impostor pairs.

    accuracy, accuracy_std: mean and population standard deviation over the folds; tar: {FAR: TAR};
    genuine, impostor: how many pairs of each kind were scored.
    """

    accuracy: float
    accuracy_std: float
    eer: float
    auc: float
    tar: dict[float, float]
    roc: Roc
    genuine: int
    impostor: int

    def summary(self) -> dict[str, float]:
        return {
            "accuracy": self.accuracy,
            "accuracy_std": self.accuracy_std,
            "eer": self.eer,
            "auc": self.auc,
            **{f"tar@{far:g}": tar for far, tar in self.tar.items()},
            "genuine": float(self.genuine),
            "impostor": float(self.impostor),
        }


@dataclass(frozen=True, eq=False)
class Identification:
    """How often a probe finds its identity in the gallery.

    rank: {k: share of probes whose identity is among the k best}; cmc: (identities,), the same share for k = 1, 2, ...;
    dir: {FPIR: DIR}, empty where no unknown probes were given.
    """

    rank: dict[int, float]
    cmc: np.ndarray
    dir: dict[float, float]

    def summary(self) -> dict[str, float]:
        return {
            **{f"rank-{k}": rate for k, rate in self.rank.items()},
            **{f"dir@{fpir:g}": rate for fpir, rate in self.dir.items()},
        }


@dataclass(frozen=True, eq=False)
class HardnessCorrelation:
    """How the hardness of a misclassified sample as a positive goes with its hardness as a negative.

    r: Pearson correlation of own and nearest, nan where it is not defined; own, nearest: (count,) distances of the
    misclassified samples to their own center and to the nearest other one; misclassified: (n,) bool over all samples.
    """

    r: float
    own: np.ndarray
    nearest: np.ndarray
    misclassified: np.ndarray

    @property
    def count(self) -> int:
        """The number of misclassified samples."""
        return len(self.own)

    def summary(self) -> dict[str, float]:
        return {"r": self.r, "count": float(self.count), "misclassified": float(self.misclassified.mean())}


@dataclass(frozen=True, eq=False)
class Similarity:
    """Where the cosines to the own center lie, for well-classified and for misclassified samples.

    edges: (bins + 1,) from -1 to 1; well, mis: (bins,) histograms, each of sum 1, or zeros where the group is empty;
    overlap: in [0, 1], nan where a group is empty; n_well, n_mis: samples in each group.
    """

    edges: np.ndarray
    well: np.ndarray
    mis: np.ndarray
    overlap: float
    n_well: int
    n_mis: int

    def summary(self) -> dict[str, float]:
        return {"overlap": self.overlap, "n_well": float(self.n_well), "n_mis": float(self.n_mis)}


@dataclass(frozen=True, eq=False)
class CenterAngles:
    """How far apart the class centers lie, in radians.

    nearest: (C,) angle of each center to its nearest other center; mean, minimum: of these; expected: what
    ReCurricularFace's Eq. 2 predicts for so many classes in so many dimensions, nan where nobody asked.
    """

    nearest: np.ndarray
    mean: float
    minimum: float
    expected: float

    def summary(self) -> dict[str, float]:
        return {"mean": self.mean, "minimum": self.minimum, "expected": self.expected}


@dataclass(frozen=True, eq=False)
class DimensionSimilarity:
    """How near the nearest other center of misclassified samples is, for embeddings of several dimensions.

    dims (K,): the dimensions D, in rising order; edges (bins + 1,) from -1 to 1; nearest (K, bins): histograms of the
    cosine, each of sum 1, or zeros where D has none; mean (K,): of the cosines, nan where there are none; count,
    samples (K,): misclassified samples, and all; overlap: of all the histograms, in [0, 1], nan where one is empty.
    """

    dims: np.ndarray
    edges: np.ndarray
    nearest: np.ndarray
    mean: np.ndarray
    count: np.ndarray
    samples: np.ndarray
    overlap: float

    @property
    def share(self) -> np.ndarray:
        """Share of the samples that is misclassified, (K,)."""
        return self.count / self.samples

    def summary(self) -> dict[str, float]:
        columns = {"mean": self.mean, "share": self.share, "count": self.count}
        each = {
            f"{name}@{dim}": float(column[k]) for k, dim in enumerate(self.dims) for name, column in columns.items()
        }
        return {"overlap": self.overlap, **each}


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


@dataclass(frozen=True, eq=False)
class PairSimilarity:
    """Where the cosines of genuine and of impostor pairs lie, and what each threshold accepts.

    edges (bins + 1,) from -1 to 1; genuine, impostor (bins,): histograms, each of sum 1, or zeros where there are no
    such pairs; overlap: of the two, in [0, 1], nan where one is empty; n_genuine, n_impostor: pairs of each kind;
    thresholds (K,) in rising order; far, tar (K,): shares of impostor and genuine pairs with score >= threshold.
    """

    edges: np.ndarray
    genuine: np.ndarray
    impostor: np.ndarray
    overlap: float
    n_genuine: int
    n_impostor: int
    thresholds: np.ndarray
    far: np.ndarray
    tar: np.ndarray

    def summary(self) -> dict[str, float]:
        return {"overlap": self.overlap, "genuine": float(self.n_genuine), "impostor": float(self.n_impostor)}
