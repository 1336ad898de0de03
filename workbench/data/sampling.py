"""Stratified sampling of rows by class, and validation and sampling of embeddings for display."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import as_array, rescale_extreme
from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress

BLOCK = 1 << 23  # elements processed at once
CELLS = 50_000_000  # maximum cosines of displayed embeddings to centers; views use a few times this memory


def stratified_sample(labels: np.ndarray, limit: int, per_class: int | None = None, seed: int = 0) -> np.ndarray:
    """Indices, ascending, of at most `limit` rows with labels (n,), and of at most `per_class` rows of each class.

    Rows are drawn at random without replacement, one of each class per round, until all are drawn or a limit is
    reached. If the last round is incomplete, its classes are random too. The same seed gives the same rows.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[labels[order].argsort(kind="stable")]
    first = np.flatnonzero(np.r_[True, np.diff(labels[by_class]) != 0][: len(labels)])
    rounds = np.empty(len(labels), dtype=int)
    rounds[by_class] = np.arange(len(labels)) - np.repeat(first, np.diff(first, append=len(labels)))
    if per_class is not None:
        order = order[rounds[order] < per_class]
    return np.sort(order[np.argsort(rounds[order], kind="stable")][:limit])


@dataclass(frozen=True)
class Sample:
    """A sample of embeddings for display, with all centers.

    x (n, D) float32; y (n,): class indices; W (C, D) float32: unit centers; rows (n,): row indices in the `total` input
    rows; labels (C,): label of each class; names: display name of each class.
    """

    x: np.ndarray
    y: np.ndarray
    W: np.ndarray
    rows: np.ndarray
    total: int
    labels: np.ndarray
    names: tuple[str, ...]


def sample_embeddings(
    embeddings: Any,
    labels: Any = None,
    centers: Any = None,
    names: Sequence[str] | None = None,
    limit: int = 20_000,
    progress: Progress = no_progress,
) -> Sample:
    """Validate all rows of embeddings (n, D) and sample at most `limit` of them, stratified by class.

    labels (n,): integers or text; None: a single class. centers (C, D): of classes 0 to C - 1, or of `names` in order
    if labels are text; None: the mean direction of each class. The sample is smaller if it would need more than CELLS
    cosines. Deterministic. Raises InputError for invalid arrays.
    """
    x = matrix(embeddings, "embeddings")
    if limit < 1:
        raise InputError(f"limit = {limit}: at least 1")
    W = None if centers is None else matrix(centers, "centers")
    if W is not None and W.shape[1] != x.shape[1]:
        raise InputError(f"centers has shape {W.shape}; embeddings of dimension {x.shape[1]} need (C, {x.shape[1]})")
    y, values, titles = _class_indices(labels, len(x), None if W is None else len(W), names)
    sums = direction_sums(x, y if W is None else None, len(values), progress)
    W = _unit_centers(sums if W is None else W, titles, given=W is not None)
    rows = stratified_sample(y, max(1, min(limit, CELLS // len(W))))
    return Sample(np.asarray(x[rows], dtype=np.float32), y[rows], W, rows, len(x), values, titles)


def matrix(a: Any, what: str) -> np.ndarray:
    """Validate numbers (n, D), n >= 1 and D >= 2, and return them as an array without a copy if possible."""
    a = as_array(a)
    if a.ndim != 2 or not len(a) or a.shape[1] < 2 or a.dtype.kind not in "fiu":
        raise InputError(f"{what} is {a.dtype} {a.shape}; numbers of shape (n, D) with D >= 2 are needed")
    return a


def direction_sums(x: np.ndarray, y: np.ndarray | None, classes: int, progress: Progress = no_progress) -> np.ndarray:
    """Sum (C, D) float32 of the directions of each class's embeddings x (n, D) with classes y (n,); y None: zeros.

    Raises InputError for rows that are zero or not finite, with their number and the first of them.
    """
    sums = np.zeros((classes, x.shape[1]), dtype=np.float32)
    size = max(1, BLOCK // x.shape[1])
    not_finite: list[np.ndarray] = []
    zero: list[np.ndarray] = []
    for start in range(0, len(x), size):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            block = np.asarray(x[start : start + size], dtype=np.float32)
            length = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            directions = block / length[:, None].astype(np.float32)
        not_finite.append(start + np.flatnonzero(~np.isfinite(length)))
        zero.append(start + np.flatnonzero(length == 0))
        if y is not None:
            labels = y[start : start + size]
            order = labels.argsort(kind="stable")
            ids, first = np.unique(labels[order], return_index=True)
            sums[ids] += np.add.reduceat(directions[order], first, axis=0)
        progress(min(start + size, len(x)), len(x), "embeddings read")
    for fault, blocks in (("NaN or infinite numbers", not_finite), ("length 0, so no direction", zero)):
        if len(rows := np.concatenate(blocks)):
            raise InputError(f"embeddings: {len(rows):,} of {len(x):,} rows have {fault}; the first is row {rows[0]}")
    return sums


def unique_labels(labels: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct labels (C,), sorted, as integers or text, and the class index (n,) of each of `n` embeddings.

    Raises InputError for labels that are neither integers nor text of shape (n,).
    """
    labels = as_array(labels)
    if labels.dtype.kind == "O" and all(isinstance(v, str) for v in labels.flat):  # text columns of tables
        labels = labels.astype(str)
    if labels.shape != (n,) or labels.dtype.kind not in "iuUS":
        form = f"labels is {labels.dtype} {labels.shape}"
        raise InputError(f"{form}; {n} embeddings need integers or text of shape ({n},)")
    values, y = np.unique(labels, return_inverse=True)
    if values.dtype.kind == "S":
        values = np.array([v.decode("utf-8", "replace") for v in values.tolist()])
    return values, y


def label_indices(values: np.ndarray, C: int | None, names: Sequence[str] | None) -> np.ndarray:
    """Index of each distinct label among the names or the C centers. Raises InputError for a label without one."""
    if values.dtype.kind in "iu":
        count = C if C is not None else len(names)
        bad = values[(values < 0) | (values >= count)]
        if len(bad):
            what = "centers" if C is not None else "names"
            raise InputError(f"labels hold {bad[0]}; with {count} {what} they must be 0 to {count - 1}")
        return values.astype(np.intp)
    if names is None:
        raise InputError(f"labels are text such as '{values[0]}': names, one for each of the {C} centers, are needed")
    known = {str(name): j for j, name in enumerate(names)}
    bad = [v for v in values.tolist() if v not in known]
    if bad:
        raise InputError(f"labels hold '{bad[0]}', which is not among the {len(known)} names")
    return np.array([known[v] for v in values.tolist()])


def _class_indices(
    labels: Any, n: int, C: int | None, names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Class indices (n,), the label (C,) and the display name of each class. C: number of given centers, or None."""
    if labels is None:
        if C not in (None, 1):
            raise InputError(f"{C} centers but no labels: labels (n,), the class of each embedding, are needed")
        return np.zeros(n, dtype=np.intp), np.zeros(1, dtype=np.intp), ("all",)
    values, y = unique_labels(labels, n)
    titles = [f"class {v}" if values.dtype.kind in "iu" else str(v) for v in values.tolist()]
    if names is None and C is None:
        return y, values, tuple(titles)
    index = label_indices(values, C, names)
    if C is None:
        return y, values, tuple(str(names[j]) for j in index.tolist())
    if names is not None and len(names) != C:
        raise InputError(f"names has {len(names)} entries; there are {C} centers")
    labels = np.arange(C) if values.dtype.kind in "iu" else np.array([str(name) for name in names])
    return index[y], labels, tuple(f"class {j}" for j in range(C)) if names is None else tuple(map(str, names))


def _unit_centers(W: np.ndarray, names: Sequence[str], given: bool) -> np.ndarray:
    """Normalize centers (C, D) to unit length, float32. given: by the user, not sums of directions."""
    W = rescale_extreme(W).astype(np.float32) if given else W.astype(np.float32)
    length = np.linalg.norm(W, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > (0 if given else 1e-6))))
    if len(bad):
        what = f"center {bad[0]} has length {length[bad[0], 0]:g}: a finite length above 0 is needed"
        cancel = f"the embeddings of '{names[bad[0]]}' cancel out, so it has no mean direction"
        raise InputError(what if given else cancel)
    return W / length
