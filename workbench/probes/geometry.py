"""Geometry: how far apart do the class centers lie on the hypersphere? (ReCurricularFace, section 3)"""

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import chunks, unit_rows
from workbench.core.errors import InputError


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


def center_angles(W: np.ndarray, expected: float = float("nan")) -> CenterAngles:
    """Angle in radians of each class center to its nearest other center.

    W (C, D): class centers, which need not be normalised; `expected` is kept beside the measurement: the angle in
    radians that Eq. 2 of ReCurricularFace predicts for C centers in D dimensions.

    Raises InputError for fewer than two centers and for a center that has no direction.
    """
    W = unit_rows(W, "W")
    if len(W) < 2:
        raise InputError("W has one row; a nearest other center needs at least two")
    nearest = np.empty(len(W))
    for rows in chunks(len(W), max(W.shape)):
        cos = W[rows] @ W.T
        cos[np.arange(len(cos)), np.arange(rows.start, rows.stop)] = -np.inf
        a, b = W[rows].astype(np.float64), W[cos.argmax(axis=1)].astype(np.float64)
        # Unlike arccos of the cosine, exact also for centers that nearly coincide or nearly oppose each other.
        nearest[rows] = 2.0 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return CenterAngles(
        nearest=nearest, mean=float(nearest.mean()), minimum=float(nearest.min()), expected=float(expected)
    )
