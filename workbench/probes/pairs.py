"""Pairs: where do the cosines of genuine and of impostor pairs lie, and what would each threshold accept?"""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError

FINE = 256  # thresholds in a unit of cosine: a power of two, so that comparing with one is exact in floating point
BINS = 64  # of the histograms on [-1, 1], each of 2 FINE / BINS of the steps between two thresholds


@dataclass(frozen=True, eq=False)
class PairSimilarity:
    """Where the cosines of genuine and of impostor pairs lie, and what each threshold accepts.

    edges (bins + 1,) from -1 to 1; genuine, impostor (bins,): histograms, each of sum 1, or zeros where there are no
    such pairs; overlap: of the two, in [0, 1], nan where one is empty; n_genuine, n_impostor: pairs of each kind;
    thresholds (K,) in rising order; far, tar (K,): shares of impostor and genuine pairs with score >= threshold.
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
    """Histogram the cosines of genuine pairs (`same` true) and of impostor pairs, and the rates at each threshold.

    scores (p,): cosines; same (p,) bool, as `workbench.evaluation.verification.all_pairs` gives them. FAR and TAR are
    the shares of impostor and genuine pairs with score >= threshold. The bins are equal on [-1, 1] and each histogram
    sums to 1; overlap = sum over bins of the smaller of the two. A kind without pairs has a histogram of zeros, rates
    of nan, and overlap is nan.

    Raises InputError for arrays that do not fit together and for scores that are not cosines.
    """
    scores, same = np.asarray(scores), np.asarray(same)
    if scores.ndim != 1 or scores.shape != same.shape or same.dtype != bool:
        raise InputError(
            f"scores has shape {scores.shape}, same {same.shape} and type {same.dtype}; one number and one bool a pair"
        )
    bad = np.flatnonzero(~(np.abs(scores) <= 1))
    if bad.size:
        raise InputError(f"scores[{bad[0]}] is {scores[bad[0]]}; a cosine lies in [-1, 1]")
    steps = 2 * FINE + 1  # the last one holds the cosine 1 alone
    step = np.floor(scores * FINE).astype(np.intp) + FINE
    counts = np.bincount(step + steps * same, minlength=2 * steps).reshape(2, steps)
    impostor, genuine = (binned(row) for row in counts)
    far, tar = (accepted(row) for row in counts)
    n_impostor, n_genuine = counts.sum(axis=1).tolist()
    overlap = float(np.minimum(genuine, impostor).sum()) if n_genuine and n_impostor else float("nan")
    edges, thresholds = np.linspace(-1, 1, BINS + 1), np.arange(-FINE, FINE + 1) / FINE
    return PairSimilarity(edges, genuine, impostor, overlap, n_genuine, n_impostor, thresholds, far, tar)


def binned(counts: np.ndarray) -> np.ndarray:
    """The histogram (BINS,) of sum 1 from counts between neighbouring thresholds; a cosine of 1 is in the last bin."""
    shares = counts[:-1].reshape(BINS, -1).sum(axis=1)
    shares[-1] += counts[-1]
    return shares / max(counts.sum(), 1)


def accepted(counts: np.ndarray) -> np.ndarray:
    """The share of the pairs at or above each threshold; nan where there are no pairs."""
    above = counts[::-1].cumsum()[::-1]
    return above / above[0] if above[0] else np.full(len(above), np.nan)
