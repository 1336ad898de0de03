"""Identity-disjoint splits and verification pairs, reproducible from a seed."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from workbench.core.errors import InputError


@dataclass(frozen=True)
class Pairs:
    """Verification pairs in the form of LFW's View 2: folds of equal size, in each the genuine pairs first.

    left, right: (P,) int64 indices of the two images, left < right. same: (P,) bool, True for a genuine pair. fold:
    (P,) int64 in 0..folds-1, ascending. `np.savez(path, **vars(pairs))` saves them and `Pairs(**np.load(path))` loads
    them.
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.same)


def split_identities(classes: int, test: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the identities 0..classes-1 at random into (train, test), both sorted, int64.

    test: number of test identities, or their fraction (rounded) if between 0 and 1. Raises InputError if a side has
    fewer than two identities, or for a negative seed.
    """
    if isinstance(test, Integral):
        size = int(test)
    elif 0 < test < 1:
        size = round(classes * test)
    else:
        raise InputError(f"test {test} is neither a number of identities nor a fraction between 0 and 1")
    if not 2 <= size <= classes - 2:
        raise InputError(
            f"test {test} holds out {size} of {classes} identities; training and test need at least two each"
        )
    order = _make_rng(seed).permutation(classes)
    return np.sort(order[size:]), np.sort(order[:size])


def sample_pairs(labels: np.ndarray, pairs: int = 6000, folds: int = 10, seed: int = 0) -> Pairs:
    """Sample distinct pairs of images, in each fold half genuine and half impostor.

    labels: (n,) identity of each image, integers. Genuine pairs are distributed over the identities as evenly as their
    image counts allow; impostor pairs are uniform over all pairs of images of different identities. Folds share
    identities (unlike LFW's), since small test sets have fewer identities than folds.

    A fold has pairs // (2 folds) pairs of each kind, at most min(G, I) // folds for G distinct genuine and I distinct
    impostor pairs in the data.

    Raises InputError if no identity has two images, if there is only one identity, if a fold would be empty, or for a
    negative seed.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"labels are {labels.dtype} {labels.shape}; they must be integers of shape (n,)")
    if folds < 1 or pairs < 2 * folds:
        raise InputError(f"{pairs} pairs in {folds} folds: every fold needs at least one genuine and one impostor pair")
    order = np.argsort(labels, kind="stable")  # image indices grouped by identity
    counts = np.unique(labels, return_counts=True)[1]
    capacity = counts * (counts - 1) // 2  # distinct genuine pairs of each identity
    genuine, total = int(capacity.sum()), len(labels) * (len(labels) - 1) // 2
    if genuine == 0:
        raise InputError(f"no identity among the {len(counts)} has two images, so there is no genuine pair")
    if genuine == total:
        raise InputError("all images are of one identity, so there is no impostor pair")
    half = min(pairs // 2, genuine, total - genuine) // folds
    if half == 0:
        raise InputError(
            f"{genuine} genuine and {total - genuine} impostor pairs do not fill {folds} folds; use more"
            " test identities (--test), more images of each, or fewer folds"
        )

    rng = _make_rng(seed)
    same = _sample_genuine(counts, capacity, half * folds, rng)
    different = _sample_impostors(counts, half * folds, rng)
    # (2, kind, fold, half) -> fold after fold, genuine before impostor
    blocks = np.stack([same, different], axis=1).reshape(2, 2, folds, half).swapaxes(1, 2)
    ends = np.sort(order[blocks].reshape(2, -1), axis=0)
    return Pairs(
        left=ends[0],
        right=ends[1],
        same=np.tile(np.repeat([True, False], half), folds),
        fold=np.repeat(np.arange(folds), 2 * half),
    )


def _make_rng(seed: int) -> np.random.Generator:
    if seed < 0:
        raise InputError(f"seed {seed} is negative; it must be at least 0")
    return np.random.default_rng(seed)


def _sample_genuine(counts: np.ndarray, capacity: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Genuine pairs (2, total) in random order, as indices of images sorted by identity."""
    starts = np.cumsum(counts) - counts
    quota = _allocate(capacity, total, rng)
    chosen = []
    for identity in np.flatnonzero(quota):
        k = rng.choice(capacity[identity], quota[identity], replace=False)
        # Pairs (a, b), a < b, enumerated as (0,1) (0,2) (1,2) (0,3) ...: pair k has b(b-1)/2 <= k and a = k - b(b-1)/2.
        b = ((1 + np.sqrt(1 + 8 * k)) // 2).astype(np.int64)
        chosen.append(starts[identity] + np.stack([k - b * (b - 1) // 2, b]))
    return rng.permutation(np.concatenate(chosen, axis=1), axis=1)


def _sample_impostors(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Impostor pairs (2, total) in random order, as indices of images sorted by identity."""
    n = int(counts.sum())
    ends = np.repeat(np.cumsum(counts), counts)  # end of the identity of each image
    # Image a forms pairs with the n - ends[a] images of later identities; pair k belongs to the a whose span holds k.
    spans = np.cumsum(n - ends)
    k = rng.choice(spans[-1], total, replace=False)
    a = np.searchsorted(spans, k, side="right")
    return np.stack([a, n - (spans[a] - k)])


def _allocate(capacity: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Distribute `total` evenly under capacities: two counts below capacity differ by at most one."""
    quota = np.zeros_like(capacity)
    while left := total - int(quota.sum()):
        free = np.flatnonzero(quota < capacity)
        if left >= len(free):
            quota[free] = np.minimum(capacity[free], quota[free] + left // len(free))
        else:
            quota[rng.choice(free, left, replace=False)] += 1
    return quota
