"""Stratified sampling of rows by class."""

import numpy as np


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
