"""Projections of embeddings to two dimensions.

Linear maps whose axes stay fixed while the points move: the plane through two centers, the two principal axes, the
tangent plane at a center. A UMAP map is computed on demand, started from the previous map and aligned to it.
"""

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import rescale_extreme, unit
from workbench.core.errors import InputError

TINY = 1e-9  # a sine smaller than this leaves no direction to go
KEPT = 8  # maps that are remembered
NEIGHBOURS = 15
EPOCHS_WARM = 50  # from the map before; from nothing UMAP's own default (500 below 10,000 samples) is needed

_maps: dict[str, np.ndarray] = {}


@dataclass(frozen=True)
class Axes:
    """Two axes held still: basis (2, D), orthonormal, through an origin (D,)."""

    origin: np.ndarray
    basis: np.ndarray

    def of(self, x: np.ndarray) -> np.ndarray:
        """Coordinates (n, 2) of vectors (n, D)."""
        return (x - self.origin) @ self.basis.T

    def share(self, x: np.ndarray) -> float:
        """Share of the variance of vectors (n, D) that lies along the two axes; nan where they are all the same."""
        total = np.var(x, axis=0).sum()
        return float(np.var(self.of(x), axis=0).sum() / total) if total > 0 else float("nan")


def principal(x: np.ndarray) -> Axes:
    """The two axes of the largest variance of vectors (n, D), through their mean.

    From the covariance (D, D), which is small where a decomposition of x is not. Each axis points to where its largest
    component is positive, so the same vectors give the same picture.
    """
    if len(x) < 2 or x.shape[1] < 2:
        raise InputError(f"x has shape {x.shape}; principal axes need at least 2 vectors of 2 numbers")
    mean = x.mean(axis=0)
    basis = np.linalg.eigh((x - mean).T @ (x - mean))[1][:, :-3:-1].T
    largest = np.abs(basis).argmax(axis=1)
    return Axes(mean, basis * np.sign(basis[[0, 1], largest])[:, None])


def plane(first: np.ndarray, second: np.ndarray) -> Axes:
    """The plane through the middle of the sphere and two centers (D,): up the middle between them, right the second.

    The set where both cosines are the same is the vertical axis. Centers that coincide, or are opposite, leave one axis
    undetermined: it is then the coordinate axis farthest from the other.
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
    """Two axes of the tangent space at a center (D,), for what `log_map` gives: toward a center, and a second one.

    Both centers (D,) and their angles to `at` are exact in this plane.
    """
    at = unit(at)
    right = perpendicular(toward, at)
    up = perpendicular(second, at, right)
    return Axes(np.zeros_like(at), np.stack([right, up]))


def log_map(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Tangent vectors (n, D) at a direction `at` (D,) that lead to directions x (n, D); their lengths: angles in rad.

    v = theta (x - cos(theta) at) / sin(theta). The opposite point, which has no one way to it, gives zero.
    """
    cos = x @ at
    side = x - cos[:, None] * at
    sin = np.linalg.norm(side, axis=1)
    scale = np.divide(np.arctan2(sin, cos), sin, out=np.zeros_like(sin), where=sin > TINY)
    return scale[:, None] * side


def perpendicular(a: np.ndarray, *axes: np.ndarray) -> np.ndarray:
    """The direction of what of a (D,) is perpendicular to orthonormal axes; if nothing is, of some coordinate axis."""
    frame = np.stack(axes)
    rest = a - (frame @ a) @ frame
    if np.linalg.norm(rest) < 1e-5 * max(1.0, np.linalg.norm(a)):
        rest = np.eye(len(a), dtype=a.dtype)[np.square(frame).sum(axis=0).argmin()]
    return unit(rest - (frame @ rest) @ frame)


def align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (n, 2), rotated or reflected and translated to the least sum of squared distances to a target (n, 2).

    Row i of both is the same point. Orthogonal Procrustes (Schönemann 1966), without scaling: distances between the
    points are kept. Raises InputError for shapes that differ.
    """
    from scipy.linalg import orthogonal_procrustes

    if points.shape != target.shape:
        raise InputError(f"points have shape {points.shape}; aligning them to the target needs {target.shape}")
    centered, goal = points - points.mean(axis=0), target.mean(axis=0)
    rotation, _ = orthogonal_procrustes(centered, target - goal)
    return centered @ rotation + goal


def umap_map(x: np.ndarray, start: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """UMAP (McInnes, Healy and Melville 2018, cosine distance) of vectors (n, D) -> (n, 2): seconds to minutes.

    start (n, 2): the previous map of the same n vectors, from which few epochs are enough. The new map is aligned to
    it; it is not scaled, although UMAP scales every start to a square of side 10 and a first warm map is often smaller.
    The same arguments give the same bits on the same computer. The last KEPT maps are kept. Raises InputError for
    fewer than 5 vectors and for a start of another shape.
    """
    x = np.asarray(x)
    if x.ndim != 2 or len(x) < 5:
        raise InputError(f"x has shape {x.shape}; UMAP needs at least 5 vectors (n, D)")
    if start is not None and start.shape != (len(x), 2):
        raise InputError(f"start has shape {start.shape}; a map of {len(x)} vectors has {(len(x), 2)}")
    x = np.ascontiguousarray(rescale_extreme(x), dtype=np.float32)
    first = None if start is None else np.ascontiguousarray(start, dtype=np.float32)
    content = hashlib.sha256(repr((x.shape, seed, first is None)).encode() + x.tobytes())
    content.update(b"" if first is None else first.tobytes())
    key = content.hexdigest()
    if key not in _maps:
        found = fit_umap(x, first, seed)
        _maps[key] = found if first is None else align(found, first.astype(np.float64))
        for old in list(_maps)[:-KEPT]:
            _maps.pop(old, None)
    return _maps[key].copy()


def fit_umap(x: np.ndarray, start: np.ndarray | None, seed: int) -> np.ndarray:
    """UMAP of vectors (n, D) -> (n, 2), not aligned; on one thread, which gives the same bits each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of spectral starts of tiny samples: nothing a person can act on
        from umap import UMAP

        settings = {"n_neighbors": min(NEIGHBOURS, len(x) - 1), "metric": "cosine", "random_state": seed, "n_jobs": 1}
        settings |= {"init": "random"} if len(x) < 2 * NEIGHBOURS else {}
        if start is not None:
            settings |= {"init": start, "n_epochs": EPOCHS_WARM}
        return UMAP(**settings).fit_transform(x).astype(np.float64)
