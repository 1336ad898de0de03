"""Projections of embeddings to two dimensions.

Linear projections on fixed axes: the plane through two centers, the two principal axes, the tangent plane at a center.
UMAP is computed on demand, initialized with the previous map and aligned to it.
"""

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import rescale_extreme, unit
from workbench.core.errors import InputError

TINY = 1e-9  # below this sine the tangent direction is undefined
MAX_MAPS = 8  # in the cache
NEIGHBORS = 15
EPOCHS_WARM = 50  # with an initial map; without one UMAP's default (500 below 10,000 samples)

MAPS: dict[str, np.ndarray] = {}  # cache of umap_map, by a hash of its arguments


@dataclass(frozen=True)
class Axes:
    """Two fixed axes: an orthonormal basis (2, D) and an origin (D,)."""

    origin: np.ndarray
    basis: np.ndarray

    def of(self, x: np.ndarray) -> np.ndarray:
        """Coordinates (n, 2) of vectors (n, D)."""
        return (x - self.origin) @ self.basis.T

    def share(self, x: np.ndarray) -> float:
        """Fraction of the variance of vectors (n, D) along the two axes; nan if the variance is 0."""
        total = np.var(x, axis=0).sum()
        return float(np.var(self.of(x), axis=0).sum() / total) if total > 0 else float("nan")


def principal(x: np.ndarray) -> Axes:
    """The two principal axes of vectors (n, D), through their mean, from the covariance (D, D).

    The largest component of each axis is positive, so the result is deterministic. Raises InputError for fewer than 2
    vectors or dimensions.
    """
    if len(x) < 2 or x.shape[1] < 2:
        raise InputError(f"x has shape {x.shape}; principal axes need at least 2 vectors of dimension 2")
    mean = x.mean(axis=0)
    basis = np.linalg.eigh((x - mean).T @ (x - mean))[1][:, :-3:-1].T
    largest = np.abs(basis).argmax(axis=1)
    return Axes(mean, basis * np.sign(basis[[0, 1], largest])[:, None])


def plane(first: np.ndarray, second: np.ndarray) -> Axes:
    """The plane through the origin and two centers (D,): up is their midpoint, the second center is to the right.

    On the vertical axis both cosines are equal. For parallel or opposite centers the undetermined axis is the
    coordinate axis farthest from the other one.
    """
    first, second = unit(first), unit(second)
    up, right = first + second, second - first
    if np.linalg.norm(up) < np.linalg.norm(right):
        right = unit(right)
        up = perpendicular(up, right)
    else:
        up = unit(up)
        right = perpendicular(right, up)
    return Axes(np.zeros_like(up), np.stack([right, up]))


def tangent(at: np.ndarray, toward: np.ndarray, second: np.ndarray) -> Axes:
    """Two axes of the tangent space at a center (D,) for `log_map`: toward one center (D,), then toward a second.

    The angles of both centers to `at` are exact in this plane.
    """
    at = unit(at)
    right = perpendicular(toward, at)
    up = perpendicular(second, at, right)
    return Axes(np.zeros_like(at), np.stack([right, up]))


def log_map(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Logarithmic map: tangent vectors (n, D) at a direction `at` (D,) to directions x (n, D); lengths: angles in rad.

    v = theta (x - cos(theta) at) / sin(theta); zero for the antipode, where it is not unique.
    """
    cos = x @ at
    side = x - cos[:, None] * at
    sin = np.linalg.norm(side, axis=1)
    scale = np.divide(np.arctan2(sin, cos), sin, out=np.zeros_like(sin), where=sin > TINY)
    return scale[:, None] * side


def perpendicular(a: np.ndarray, *axes: np.ndarray) -> np.ndarray:
    """Direction of the component of a (D,) perpendicular to orthonormal axes; of a coordinate axis if it is zero."""
    frame = np.stack(axes)
    rest = a - (frame @ a) @ frame
    if np.linalg.norm(rest) < 1e-5 * max(1.0, np.linalg.norm(a)):
        rest = np.eye(len(a), dtype=a.dtype)[np.square(frame).sum(axis=0).argmin()]
    return unit(rest - (frame @ rest) @ frame)


def align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (n, 2) aligned to a target (n, 2), row by row, by a rotation or reflection and a translation.

    Orthogonal Procrustes (Schönemann 1966) without scaling: minimizes the sum of squared distances to the target and
    preserves the distances between points. Raises InputError for different shapes.
    """
    from scipy.linalg import orthogonal_procrustes

    if points.shape != target.shape:
        raise InputError(f"points has shape {points.shape} and target {target.shape}; they must be equal")
    centered, goal = points - points.mean(axis=0), target.mean(axis=0)
    rotation, _ = orthogonal_procrustes(centered, target - goal)
    return centered @ rotation + goal


def umap_map(x: np.ndarray, start: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """UMAP (McInnes, Healy and Melville 2018, cosine distance) of vectors (n, D) -> (n, 2); takes seconds to minutes.

    start (n, 2): the previous map of the same n vectors, used as initialization for EPOCHS_WARM epochs. The new map is
    aligned to it but not scaled (UMAP scales every initialization to a square of side 10). Deterministic on one
    machine. The last MAX_MAPS maps are cached. Raises InputError for fewer than 5 vectors and for a start of another
    shape.
    """
    x = np.asarray(x)
    if x.ndim != 2 or len(x) < 5:
        raise InputError(f"x has shape {x.shape}; UMAP needs at least 5 vectors (n, D)")
    if start is not None and start.shape != (len(x), 2):
        raise InputError(f"start has shape {start.shape}; it must be {(len(x), 2)}, one point per vector")
    x = np.ascontiguousarray(rescale_extreme(x), dtype=np.float32)
    first = None if start is None else np.ascontiguousarray(start, dtype=np.float32)
    content = hashlib.sha256(repr((x.shape, seed, first is None)).encode() + x.tobytes())
    content.update(b"" if first is None else first.tobytes())
    key = content.hexdigest()
    if key not in MAPS:
        points = fit_umap(x, first, seed)
        MAPS[key] = points if first is None else align(points, first.astype(np.float64))
        for old in list(MAPS)[:-MAX_MAPS]:
            MAPS.pop(old, None)
    return MAPS[key].copy()


def fit_umap(x: np.ndarray, start: np.ndarray | None, seed: int) -> np.ndarray:
    """UMAP of vectors (n, D) -> (n, 2), not aligned; single-threaded, hence deterministic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, and of spectral initialization of tiny samples
        from umap import UMAP

        settings = {"n_neighbors": min(NEIGHBORS, len(x) - 1), "metric": "cosine", "random_state": seed, "n_jobs": 1}
        settings |= {"init": "random"} if len(x) < 2 * NEIGHBORS else {}
        if start is not None:
            settings |= {"init": start, "n_epochs": EPOCHS_WARM}
        return UMAP(**settings).fit_transform(x).astype(np.float64)
