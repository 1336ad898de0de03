"""Correlation of hard positives and hard negatives (NPCFace, section IV-A and Fig. 3)."""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError, unknown

DISTANCES = {
    "cosine": lambda cos: 1.0 - cos,
    "angle": np.arccos,
    "euclidean": lambda cos: np.sqrt(2.0 - 2.0 * cos),
}


@dataclass(frozen=True, eq=False)
class HardnessCorrelation:
    """Hardness of misclassified samples as positives and as negatives.

    r: Pearson correlation of own and nearest, nan where undefined; own, nearest (count,): distances of the
    misclassified samples to their own center and to the nearest other center; misclassified (n,): bool, over all
    samples.
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


def hardness(cos: np.ndarray, y: np.ndarray, distance: str = "cosine") -> HardnessCorrelation:
    """Correlation of the misclassified samples' distances to their own center and to the nearest other center.

    cos (n, C): cosine of each sample to every center; y (n,): labels. A sample is misclassified if arg max cosine is
    not y (ties: the first class). r is the Pearson correlation of the two distances over these samples; r < 0: samples
    far from their own center are close to another one (NPCFace IV-A). r is nan for fewer than three misclassified
    samples and for a constant distance.

    distance: "cosine" 1 - cos, "angle" arccos(cos) in rad, "euclidean" sqrt(2 - 2 cos).

    Raises InputError for an unknown distance, values that are not cosines, and mismatched labels.
    """
    if distance not in DISTANCES:
        raise unknown("distance", distance, DISTANCES)
    cos, y = check_cosines(cos, y)
    predicted = cos.argmax(axis=1)
    misclassified = predicted != y
    # The arg max of a misclassified sample is its nearest other center.
    own, nearest = (
        DISTANCES[distance](clip_cosines(cos[misclassified, classes[misclassified]])) for classes in (y, predicted)
    )
    defined = len(own) >= 3 and np.ptp(own) > 0 and np.ptp(nearest) > 0
    r = float(np.corrcoef(own, nearest)[0, 1]) if defined else float("nan")
    return HardnessCorrelation(r=r, own=own, nearest=nearest, misclassified=misclassified)


def own_and_nearest(cos: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per sample (n,): cosine to the own center, cosine to the nearest other center, and the class of the latter.

    cos (n, C) of C >= 2 classes, y (n,): as for `hardness`.
    """
    cos, y = check_cosines(cos, y)
    rows = np.arange(len(y))
    others = cos.copy()
    others[rows, y] = -np.inf
    other = others.argmax(axis=1)
    return clip_cosines(cos[rows, y]), clip_cosines(cos[rows, other]), other


def check_cosines(cos: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos (n, C) and y (n,) as arrays. Raises InputError if they are not cosines of n samples and their labels."""
    cos, y = np.asarray(cos), np.asarray(y)
    if cos.ndim != 2 or 0 in cos.shape or cos.dtype.kind != "f":
        raise InputError(f"cos has shape {cos.shape} and dtype {cos.dtype}; floats (samples, classes) are needed")
    if y.shape != (len(cos),) or y.dtype.kind not in "iu":
        raise InputError(f"y has shape {y.shape} and dtype {y.dtype}; {len(cos)} samples need {len(cos)} integers")
    bad = np.flatnonzero((y < 0) | (y >= cos.shape[1]))
    if bad.size:
        raise InputError(f"y[{bad[0]}] is {y[bad[0]]}; the classes of cos are 0 to {cos.shape[1] - 1}")
    # Rounding may exceed 1, by up to 1 % in half precision; logits are much larger.
    bad = np.argwhere(~(np.abs(cos) <= 1.01))
    if len(bad):
        i, j = bad[0]
        raise InputError(f"cos[{i}, {j}] is {cos[i, j]}; cosines must be in [-1, 1] (divide logits by the scale s)")
    return cos, y


def clip_cosines(cos: np.ndarray) -> np.ndarray:
    """Cosines in float64, clipped to [-1, 1]."""
    return np.clip(cos.astype(np.float64), -1.0, 1.0)


def cosine_histogram(cos: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (bins + 1,) of equal bins on [-1, 1], and the fraction (bins,) of the cosines (n,) in each; zeros for none.

    Raises InputError for fewer than one bin.
    """
    if bins < 1:
        raise InputError(f"bins is {bins}; a histogram needs at least one")
    counts, edges = np.histogram(cos, np.linspace(-1.0, 1.0, bins + 1))
    return edges, counts / max(len(cos), 1)
