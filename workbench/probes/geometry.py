"""Angles between class centers on the hypersphere (ReCurricularFace, section 3)."""

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import chunks, unit_rows
from workbench.core.errors import InputError


@dataclass(frozen=True, eq=False)
class CenterAngles:
    """Angles between class centers, in rad.

    nearest (C,): angle of each selected center to its nearest other center; mean, minimum: of these;
    expected: the prediction of ReCurricularFace Eq. 2 for C centers in D dimensions, nan if not given.
    """

    nearest: np.ndarray
    mean: float
    minimum: float
    expected: float

    def summary(self) -> dict[str, float]:
        return {"mean": self.mean, "minimum": self.minimum, "expected": self.expected}


def center_angles(W: np.ndarray, expected: float = float("nan"), of: np.ndarray | None = None) -> CenterAngles:
    """Angle in rad of each class center of W (C, D), normalized here, to its nearest other center.

    of (n,): the classes whose angles are computed, such as `Snapshot.complete`; None: all.

    expected: the angle in rad of `workbench.core.geometry.expected_angle`, stored in the result. Raises InputError for
    fewer than two centers and for a zero or non-finite center.
    """
    W = unit_rows(W, "W")
    if len(W) < 2:
        raise InputError("W has one row; a nearest other center needs at least two")
    of = np.arange(len(W)) if of is None else of
    nearest = np.empty(len(of))
    for rows in chunks(len(of), max(W.shape)):
        cos = W[of[rows]] @ W.T
        cos[np.arange(len(cos)), of[rows]] = -np.inf
        a, b = W[of[rows]].astype(np.float64), W[cos.argmax(axis=1)].astype(np.float64)
        # Accurate also for nearly parallel and nearly opposite centers, unlike arccos.
        nearest[rows] = 2.0 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return CenterAngles(nearest, float(nearest.mean()), float(nearest.min()), float(expected))
