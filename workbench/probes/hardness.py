"""Hardness: do the hardest positives also make the hardest negatives? (NPCFace, section IV-A and Fig. 3)"""

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


def hardness(cos: np.ndarray, y: np.ndarray, distance: str = "cosine") -> HardnessCorrelation:
    """Correlate the misclassified samples' distance to their own center with that to the nearest other center.

    cos (n, C): cosine of each sample to every center; y (n,): its class. A sample is misclassified when arg max cosine
    is not y (of equal cosines the first class is the arg max). r is the Pearson correlation of the two distances over
    these samples; negative r means that a sample far from its own center lies close to another one (NPCFace IV-A).
    r is nan for fewer than three misclassified samples and where a distance is the same for all of them.

    distance: "cosine" 1 - cos, "angle" arccos(cos) in radians, "euclidean" sqrt(2 - 2 cos), the chord.

    Raises InputError for an unknown distance, values that are not cosines, and labels that do not fit.
    """
    if distance not in DISTANCES:
        raise unknown("distance", distance, DISTANCES)
    cos, y = checked_cosines(cos, y)
    predicted = cos.argmax(axis=1)
    misclassified = predicted != y
    # The arg max of a misclassified sample is another class, hence it is the nearest other center.
    own, nearest = (
        DISTANCES[distance](clipped(cos[misclassified, classes[misclassified]])) for classes in (y, predicted)
    )
    defined = len(own) >= 3 and np.ptp(own) > 0 and np.ptp(nearest) > 0
    r = float(np.corrcoef(own, nearest)[0, 1]) if defined else float("nan")
    return HardnessCorrelation(r=r, own=own, nearest=nearest, misclassified=misclassified)


def own_and_nearest(cos: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every sample its cosine to the own center, that to the nearest other center, and whose that is; (n,) each.

    cos (n, C) of C >= 2 classes, y (n,), as for `hardness`, whose distances are 1 minus these.
    """
    cos, y = checked_cosines(cos, y)
    rows = np.arange(len(y))
    others = cos.copy()
    others[rows, y] = -np.inf
    other = others.argmax(axis=1)
    return clipped(cos[rows, y]), clipped(cos[rows, other]), other


def checked_cosines(cos: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The arrays cos (n, C) and y (n,), or InputError where they are not cosines of n samples and their classes."""
    cos, y = np.asarray(cos), np.asarray(y)
    if cos.ndim != 2 or 0 in cos.shape or cos.dtype.kind != "f":
        raise InputError(f"cos has shape {cos.shape} and type {cos.dtype}; cosines (samples, classes) are needed")
    if y.shape != (len(cos),) or y.dtype.kind not in "iu":
        raise InputError(f"y has shape {y.shape} and type {y.dtype}; {len(cos)} samples need {len(cos)} integers")
    bad = np.flatnonzero((y < 0) | (y >= cos.shape[1]))
    if bad.size:
        raise InputError(f"y[{bad[0]}] is {y[bad[0]]}; the classes of cos are 0 to {cos.shape[1] - 1}")
    # Rounding may carry a cosine a little past 1, in half precision by a percent; a logit goes much further.
    bad = np.argwhere(~(np.abs(cos) <= 1.01))
    if len(bad):
        i, j = bad[0]
        raise InputError(
            f"cos[{i}, {j}] is {cos[i, j]}; a cosine lies in [-1, 1] (logits: divide by the scale s first)"
        )
    return cos, y


def clipped(cos: np.ndarray) -> np.ndarray:
    """Cosines in float64, brought back into [-1, 1] where rounding carried them out."""
    return np.clip(cos.astype(np.float64), -1.0, 1.0)
