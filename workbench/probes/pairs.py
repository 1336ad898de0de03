"""Cosines of genuine and of impostor pairs: histograms, and FAR and TAR at every threshold."""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError

FINE = 256  # thresholds per unit of cosine: a power of two, so that comparisons are exact in floating point
BINS = 64  # of the histograms on [-1, 1]; each covers 2 FINE / BINS thresholds


@dataclass(frozen=True, eq=False)
class PairSimilarity:
    """Distribution of the cosines of genuine and of impostor pairs, and the accept rates at each threshold.

    edges (bins + 1,) from -1 to 1; genuine, impostor (bins,): normalized histograms, zeros without such pairs; overlap:
    of the two, in [0, 1], nan if one is empty; n_genuine, n_impostor: numbers of pairs; thresholds (K,), ascending;
    far, tar (K,): fractions of the impostor and the genuine pairs with score >= threshold.
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


def pair_similarity(scores: np.ndarray, same: np.ndarray) -> PairSimilarity:
    """Histograms of the cosines of genuine (`same` true) and impostor pairs, and FAR and TAR at each threshold.

    scores (p,): cosines; same (p,): bool; both as returned by `workbench.evaluation.verification.all_pairs`. The bins
    are equal on [-1, 1] and each histogram sums to 1; overlap = sum over bins of the minimum of the two. Without pairs
    of a kind its histogram is zeros, its rate nan, and overlap nan.

    Raises InputError for mismatched shapes and for scores that are not cosines.
    """
    scores, same = np.asarray(scores), np.asarray(same)
    if scores.ndim != 1 or scores.shape != same.shape or same.dtype != bool:
        raise InputError(
            f"scores has shape {scores.shape}, same {same.shape} and dtype {same.dtype}; a number and a bool per pair"
        )
    bad = np.flatnonzero(~(np.abs(scores) <= 1))
    if bad.size:
        raise InputError(f"scores[{bad[0]}] is {scores[bad[0]]}; cosines must be in [-1, 1]")
    steps = 2 * FINE + 1  # the last contains only the cosine 1
    step = np.floor(scores * FINE).astype(np.intp) + FINE
    counts = np.bincount(step + steps * same, minlength=2 * steps).reshape(2, steps)
    impostor, genuine = (histogram(row) for row in counts)
    far, tar = (accept_rates(row) for row in counts)
    n_impostor, n_genuine = counts.sum(axis=1).tolist()
    overlap = float(np.minimum(genuine, impostor).sum()) if n_genuine and n_impostor else float("nan")
    edges, thresholds = np.linspace(-1, 1, BINS + 1), np.arange(-FINE, FINE + 1) / FINE
    return PairSimilarity(edges, genuine, impostor, overlap, n_genuine, n_impostor, thresholds, far, tar)


def histogram(counts: np.ndarray) -> np.ndarray:
    """Normalized histogram (BINS,) from counts between adjacent thresholds; a cosine of 1 is in the last bin."""
    shares = counts[:-1].reshape(BINS, -1).sum(axis=1)
    shares[-1] += counts[-1]
    return shares / max(counts.sum(), 1)


def accept_rates(counts: np.ndarray) -> np.ndarray:
    """Fraction of the pairs with score >= each threshold; nan without pairs."""
    above = counts[::-1].cumsum()[::-1]
    return above / above[0] if above[0] else np.full(len(above), np.nan)
