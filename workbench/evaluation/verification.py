"""Face verification (1:1): fold accuracy, EER, AUC and TAR at FAR from scored pairs.

A pair is accepted when score >= threshold. Scores are finite numbers, larger for more similar pairs.
The scores are sorted once and all metrics are cumulative sums in that order: a million pairs take about a second.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import as_array, chunks, unit_rows
from workbench.core.errors import InputError, quote


@dataclass(frozen=True, eq=False)
class Roc:
    """Receiver operating characteristic: (0, 0) at threshold +inf, then one point per distinct score, descending.

    far, tar, thresholds (K + 1,): far[k] and tar[k] are the fractions of impostor and genuine pairs with
    score >= thresholds[k].
    """

    far: np.ndarray
    tar: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True, eq=False)
class Verification:
    """Verification metrics.

    accuracy, accuracy_std: mean and population standard deviation over the folds; eer: equal error rate; auc: area
    under the ROC; tar: {FAR: TAR}; genuine, impostor: numbers of pairs.
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


def verify(
    scores: np.ndarray, same: np.ndarray, folds: np.ndarray | None = None, fars: Iterable[float] = (1e-1, 1e-2, 1e-3)
) -> Verification:
    """Verification metrics of `scores` (n,) for genuine (`same` (n,) true) and impostor pairs.

    Fold accuracy: for each fold, the most accurate threshold among the other folds' scores (ties: the highest) is
    applied to the held-out fold. folds (n,): integer fold of each pair; None: 10 contiguous blocks whose sizes differ
    by at most one.
    EER: linear interpolation of the ROC at FAR = 1 - TAR. AUC: area under the ROC by trapezoids.
    TAR at FAR: the largest TAR among ROC points with FAR <= the target, for each target in `fars`.

    Raises InputError for non-finite scores, mismatched shapes, `same` without genuine or without impostor pairs, a FAR
    outside (0, 1), and fewer than two folds.
    """
    scores, same = _check_pairs(scores, same)
    folds = _check_folds(folds, len(scores))
    fars = as_floats(fars, "fars")
    for far in fars:
        if not 0 < far < 1:
            raise InputError(f"fars contains {far}; a target FAR must be in (0, 1)")

    order = np.argsort(scores)[::-1]
    scores, same, folds = scores[order], same[order], folds[order]
    roc = _roc(scores, same)
    accuracies = _fold_accuracies(scores, same, folds)
    genuine = int(same.sum())
    return Verification(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        # FAR - (1 - TAR) rises from -1 to 1 along the ROC; the EER is the FAR at its zero.
        eer=float(np.interp(0.0, roc.far + roc.tar - 1.0, roc.far)),
        auc=float(np.trapezoid(roc.tar, roc.far)),
        tar={far: float(roc.tar[np.searchsorted(roc.far, far, side="right") - 1]) for far in fars},
        roc=roc,
        genuine=genuine,
        impostor=len(same) - genuine,
    )


def pairs_needed(far: float) -> int:
    """The impostor pairs that a FAR above 0 and at most `far` needs: with fewer, TAR at that FAR is one at FAR 0."""
    return math.ceil(1 / far - 1e-9)


def pair_scores(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine similarities (p,) of the row pairs (left[i], right[i]) of `embeddings` (n, D), normalized here.

    Raises InputError for a zero or non-finite row, indices out of range, and left and right of different lengths.
    """
    x = unit_rows(embeddings, "embeddings")
    left, right = _check_indices(left, "left", len(x)), _check_indices(right, "right", len(x))
    if len(left) != len(right):
        raise InputError(f"left has {len(left)} entries and right {len(right)}; they must have the same length")
    scores = np.empty(len(left), dtype=x.dtype)
    for rows in chunks(len(left), x.shape[1]):
        scores[rows] = np.einsum("pd,pd->p", x[left[rows]], x[right[rows]])
    return np.clip(scores, -1.0, 1.0, out=scores)


def all_pairs(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarity and label equality of all pairs i < j of embeddings (n, D) with labels (n,).

    Two arrays (n(n-1)/2,) in the order of `np.triu_indices(n, 1)`. Raises InputError for a zero or non-finite row,
    mismatched labels, and fewer than two embeddings.
    """
    x, labels = unit_rows(embeddings, "embeddings"), as_array(labels)
    if labels.shape != (len(x),):
        raise InputError(f"labels has shape {labels.shape}; {len(x)} embeddings need shape ({len(x)},)")
    if len(x) < 2:
        raise InputError("embeddings has one row; a pair needs two")
    scores = []
    for rows in chunks(len(x), len(x)):
        block = x[rows] @ x[rows.start :].T
        scores.append(np.concatenate([row[i + 1 :] for i, row in enumerate(block)]).clip(-1.0, 1.0))
    same = np.concatenate([labels[i + 1 :] == label for i, label in enumerate(labels)])
    return np.concatenate(scores), same


def as_floats(values: float | Iterable[float], name: str) -> list[float]:
    """One or several numbers as a list of floats; InputError for anything else."""
    array = as_array(values if isinstance(values, float | int) or hasattr(values, "dtype") else list(values))
    if array.dtype.kind not in "fiu" and array.size:
        raise InputError(f"{name} = {quote(values)}; numbers are needed")
    return array.ravel().astype(float).tolist()


def _last_of_ties(scores: np.ndarray) -> np.ndarray:
    """Index of the last entry of each run of equal values in sorted `scores`: the possible thresholds."""
    return np.flatnonzero(np.append(scores[1:] != scores[:-1], True))


def _roc(scores: np.ndarray, same: np.ndarray) -> Roc:
    """ROC of pairs in descending order of score."""
    last = _last_of_ties(scores)
    accepted = np.cumsum(same)
    genuine = accepted[last]
    impostor = last + 1 - genuine
    return Roc(
        far=np.append(0.0, impostor / impostor[-1]),
        tar=np.append(0.0, genuine / genuine[-1]),
        thresholds=np.append(np.inf, scores[last]),
    )


def _fold_accuracies(scores: np.ndarray, same: np.ndarray, folds: np.ndarray) -> list[float]:
    """Accuracy of each fold at the other folds' best threshold, for pairs in descending order of score."""
    accuracies = []
    for fold in np.unique(folds):
        held_out = folds == fold
        others = scores[~held_out]
        last = _last_of_ties(others)
        # Up to a constant, the number of correct decisions: +1 for a genuine, -1 for an impostor pair accepted.
        correct = np.cumsum(np.where(same[~held_out], 1, -1))[last]
        threshold = others[last[np.argmax(correct)]]  # the first maximum is the highest threshold
        accuracies.append(np.mean((scores[held_out] >= threshold) == same[held_out]))
    return accuracies


def _check_pairs(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, same = as_array(scores), as_array(same)
    for name, values in (("scores", scores), ("same", same)):
        if values.dtype.kind not in "fiub":
            raise InputError(f"{name} has dtype {values.dtype}; one number per pair is needed")
    scores = scores.astype(np.float64)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise InputError(f"scores has shape {scores.shape} and same {same.shape}; both need one entry per pair")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise InputError(f"scores[{bad[0]}] is {scores[bad[0]]}; scores must be finite")
    if same.dtype != bool:
        bad = np.flatnonzero((same != 0) & (same != 1))
        if bad.size:
            raise InputError(f"same[{bad[0]}] is {same[bad[0]]}; it must be 1 (genuine) or 0 (impostor)")
        same = same.astype(bool)
    if same.all() or not same.any():
        missing = "impostor" if same.all() else "genuine"
        raise InputError(f"same has no {missing} pair among {len(same)}; both kinds are needed")
    return scores, same


def _check_folds(folds: np.ndarray | None, pairs: int) -> np.ndarray:
    if folds is None:
        if pairs < 10:
            raise InputError(f"scores has {pairs} pairs; the default 10 folds need at least 10; pass folds for fewer")
        return np.sort(np.arange(pairs) % 10)
    folds = as_array(folds)
    if folds.shape != (pairs,) or folds.dtype.kind not in "iu":
        raise InputError(f"folds has shape {folds.shape} and dtype {folds.dtype}; {pairs} pairs need {pairs} integers")
    if (folds == folds[0]).all():
        raise InputError(f"folds assigns every pair to fold {folds[0]}; at least two folds are needed")
    return folds


def _check_indices(indices: Sequence[int] | np.ndarray, name: str, rows: int) -> np.ndarray:
    indices = as_array(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(f"{name} has shape {indices.shape} and dtype {indices.dtype}; a list of row indices is needed")
    bad = np.flatnonzero((indices < 0) | (indices >= rows))
    if bad.size:
        raise InputError(f"{name}[{bad[0]}] is {indices[bad[0]]}; the embeddings have rows 0 to {rows - 1}")
    return indices
