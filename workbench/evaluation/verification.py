"""Verification: do two images show one person? Scored pairs -> fold accuracy, EER, AUC and TAR at FAR.

A pair is accepted when score >= threshold. Scores may be any finite numbers that are larger for more alike pairs.
The scores are sorted once; everything else is sums along that order, so a million pairs take about a second.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import as_array, chunks, unit_rows
from workbench.core.errors import InputError, quote

MIN_ACCEPTED = 10  # impostor pairs above a threshold without which its FAR is not measured


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


def verify(
    scores: np.ndarray, same: np.ndarray, folds: np.ndarray | None = None, fars: Iterable[float] = (1e-1, 1e-2, 1e-3)
) -> Verification:
    """Measure how well `scores` (n,) tell genuine pairs (`same` (n,) true) from impostor pairs.

    Fold accuracy: for each fold, the threshold among the other folds' scores that is most accurate there (a tie takes
    the highest), applied to the fold left out. `folds` (n,) integers names the fold of each pair; None: 10 equal blocks
    in order, whose sizes differ by at most one.
    EER: linear interpolation of the ROC at FAR = 1 - TAR. AUC: area under the ROC by trapezoids.
    TAR at FAR: the largest TAR among ROC points with FAR <= the target, for each target in `fars`.

    Raises InputError for scores that are not finite, arrays that do not fit together, `same` with one kind of pair
    only, a FAR outside (0, 1), and folds that leave nothing to choose a threshold from.
    """
    scores, same = _checked_pairs(scores, same)
    folds = _checked_folds(folds, len(scores))
    fars = numbers(fars, "fars")
    for far in fars:
        if not 0 < far < 1:
            raise InputError(f"fars holds {far}; a target FAR lies between 0 and 1, both excluded")

    order = np.argsort(scores)[::-1]
    scores, same, folds = scores[order], same[order], folds[order]
    roc = _roc(scores, same)
    accuracies = _fold_accuracies(scores, same, folds)
    genuine = int(same.sum())
    return Verification(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        # FAR - (1 - TAR) climbs from -1 to 1 with every point of the ROC; the EER is the FAR where it crosses zero.
        eer=float(np.interp(0.0, roc.far + roc.tar - 1.0, roc.far)),
        auc=float(np.trapezoid(roc.tar, roc.far)),
        tar={far: float(roc.tar[np.searchsorted(roc.far, far, side="right") - 1]) for far in fars},
        roc=roc,
        genuine=genuine,
        impostor=len(same) - genuine,
    )


def too_few_impostors(metric: str, impostors: float) -> str | None:
    """The text to print instead of the metric tar@FAR where fewer than MIN_ACCEPTED / FAR impostor pairs were scored.

    None where there are enough, and for other metrics.
    """
    kind, _, far = metric.partition("@")
    needed = math.ceil(round(MIN_ACCEPTED / float(far), 6)) if kind == "tar" else 0
    return f"needs {needed:,} impostor pairs" if impostors < needed else None


def pair_scores(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosines (p,) of the pairs (left[i], right[i]) of rows of `embeddings` (n, D), which need not be normalised.

    Raises InputError for a row that has no direction, for indices outside the rows, and where left and right differ in
    length.
    """
    x = unit_rows(embeddings, "embeddings")
    left, right = _checked_indices(left, "left", len(x)), _checked_indices(right, "right", len(x))
    if len(left) != len(right):
        raise InputError(f"left has {len(left)} entries and right {len(right)}; a pair needs one of each")
    scores = np.empty(len(left), dtype=x.dtype)
    for rows in chunks(len(left), x.shape[1]):
        scores[rows] = np.einsum("pd,pd->p", x[left[rows]], x[right[rows]])
    return np.clip(scores, -1.0, 1.0, out=scores)


def all_pairs(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sameness of every pair i < j of n embeddings (n, D) with labels (n,): two arrays (n(n-1)/2,).

    The pairs come row by row: (0, 1), (0, 2), ..., (1, 2), ... (the order of `np.triu_indices(n, 1)`).
    Raises InputError for a row that has no direction, for labels that do not fit, and for fewer than two embeddings.
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


def numbers(values: float | Iterable[float], name: str) -> list[float]:
    """One number or several as a list; InputError for anything else."""
    found = as_array(values if isinstance(values, float | int) or hasattr(values, "dtype") else list(values))
    if found.dtype.kind not in "fiu" and found.size:
        raise InputError(f"{name} = {quote(values)}; numbers are needed")
    return [float(value) for value in np.atleast_1d(found).ravel()]


def _last_of_ties(scores: np.ndarray) -> np.ndarray:
    """Where each run of equal scores ends in sorted `scores`: accepting down to there is a threshold one can set."""
    return np.flatnonzero(np.append(scores[1:] != scores[:-1], True))


def _roc(scores: np.ndarray, same: np.ndarray) -> Roc:
    """ROC of pairs sorted by falling score."""
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
    """Accuracy on each fold at the others' best threshold, for pairs sorted by falling score."""
    accuracies = []
    for fold in np.unique(folds):
        held_out = folds == fold
        others = scores[~held_out]
        last = _last_of_ties(others)
        # Accepting a genuine pair adds one right answer, accepting an impostor pair takes one away.
        right = np.cumsum(np.where(same[~held_out], 1, -1))[last]
        threshold = others[last[np.argmax(right)]]  # the first maximum is the highest threshold
        accuracies.append(np.mean((scores[held_out] >= threshold) == same[held_out]))
    return accuracies


def _checked_pairs(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, same = as_array(scores), as_array(same)
    for name, values in (("scores", scores), ("same", same)):
        if values.dtype.kind not in "fiub":
            raise InputError(f"{name} has type {values.dtype}; numbers are needed, one a pair")
    scores = scores.astype(np.float64)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise InputError(f"scores has shape {scores.shape} and same {same.shape}; both need one entry a pair")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise InputError(f"scores[{bad[0]}] is {scores[bad[0]]}; every pair needs a finite score")
    if same.dtype != bool:
        bad = np.flatnonzero((same != 0) & (same != 1))
        if bad.size:
            raise InputError(f"same[{bad[0]}] is {same[bad[0]]}; a pair is the same person (1) or not (0)")
        same = same.astype(bool)
    if same.all() or not same.any():
        missing = "impostor" if same.all() else "genuine"
        raise InputError(f"same holds no {missing} pair among {len(same)}; both kinds are needed")
    return scores, same


def _checked_folds(folds: np.ndarray | None, pairs: int) -> np.ndarray:
    if folds is None:
        if pairs < 10:
            raise InputError(f"scores holds {pairs} pairs; 10 folds need at least 10, or give folds of your own")
        return np.sort(np.arange(pairs) % 10)
    folds = as_array(folds)
    if folds.shape != (pairs,) or folds.dtype.kind not in "iu":
        raise InputError(f"folds has shape {folds.shape} and type {folds.dtype}; {pairs} pairs need {pairs} integers")
    if (folds == folds[0]).all():
        raise InputError(f"folds puts every pair into fold {folds[0]}; at least two folds are needed")
    return folds


def _checked_indices(indices: Sequence[int] | np.ndarray, name: str, rows: int) -> np.ndarray:
    indices = as_array(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(f"{name} has shape {indices.shape} and type {indices.dtype}; a list of row numbers is needed")
    bad = np.flatnonzero((indices < 0) | (indices >= rows))
    if bad.size:
        raise InputError(f"{name}[{bad[0]}] is {indices[bad[0]]}; the embeddings have rows 0 to {rows - 1}")
    return indices
