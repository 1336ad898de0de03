"""Which identities are held out and which pairs of images are compared: seeded, so that a run can repeat them."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from workbench.core.errors import InputError


@dataclass(frozen=True)
class Pairs:
    """Verification pairs in the form of LFW's View 2: equal folds in order, each with its genuine pairs first.

    left, right: (P,) int64 positions of the two images, left < right.  same: (P,) bool, True for a genuine pair.
    fold: (P,) int64 in 0..folds-1, ascending. Four flat arrays, so `np.savez(path, **vars(pairs))` saves them and
    `Pairs(**np.load(path))` has them back.
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.same)


def split_identities(classes: int, test: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the identities 0..classes-1 at random into (train, test), both sorted int64.

    test: how many identities to hold out, or which share of them when it is a fraction between 0 and 1 (rounded).
    Raises InputError unless at least two identities are on either side, and for a negative seed.
    """
    if isinstance(test, Integral):
        held = int(test)
    elif 0 < test < 1:
        held = round(classes * test)
    else:
        raise InputError(f"test {test} is neither a whole number of identities nor a share between 0 and 1")
    if not 2 <= held <= classes - 2:
        raise InputError(
            f"test {test} holds out {held} of {classes} identities; at least two must be left on either side"
        )
    order = _generator(seed).permutation(classes)
    return np.sort(order[held:]), np.sort(order[:held])


def sample_pairs(labels: np.ndarray, pairs: int = 6000, folds: int = 10, seed: int = 0) -> Pairs:
    """Draw pairs of images, half genuine and half impostor in every fold, no pair twice and no image with itself.

    labels: (n,) identity of each image, any integers. Genuine pairs are spread over the identities as evenly as their
    numbers of images allow; impostor pairs are uniform over all pairs of images of different identities. Folds share
    identities (unlike LFW's), since small test sets have fewer identities than folds.

    A fold has pairs // (2 folds) pairs of either kind, or fewer when there are not so many distinct ones: with G
    genuine and I impostor pairs in all, min(G, I) // folds. The length of the result says how many there are.

    Raises InputError when no identity has two images, when there is one identity, when a fold would be empty, and for
    a negative seed.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"labels are {labels.dtype} {labels.shape}; they must be integers of shape (n,)")
    if folds < 1 or pairs < 2 * folds:
        raise InputError(f"{pairs} pairs in {folds} folds: every fold needs at least one genuine and one impostor pair")
    order = np.argsort(labels, kind="stable")  # images by identity, so that an identity is a block
    counts = np.unique(labels, return_counts=True)[1]
    capacity = counts * (counts - 1) // 2  # distinct genuine pairs of each identity
    genuine, everything = int(capacity.sum()), len(labels) * (len(labels) - 1) // 2
    if genuine == 0:
        raise InputError(f"no identity among the {len(counts)} has two images, so there is no genuine pair")
    if genuine == everything:
        raise InputError("all images are of one identity, so there is no impostor pair")
    half = min(pairs // 2, genuine, everything - genuine) // folds
    if half == 0:
        raise InputError(
            f"{genuine} genuine and {everything - genuine} impostor pairs do not fill {folds} folds; hold out more"
            " identities (--test), give more images of each, or take fewer folds"
        )

    rng = _generator(seed)
    same = _genuine(counts, capacity, half * folds, rng)
    different = _impostors(counts, half * folds, rng)
    # (2, kind, fold, half) -> fold after fold, genuine before impostor
    blocks = np.stack([same, different], axis=1).reshape(2, 2, folds, half).swapaxes(1, 2)
    ends = np.sort(order[blocks].reshape(2, -1), axis=0)
    return Pairs(
        left=ends[0],
        right=ends[1],
        same=np.tile(np.repeat([True, False], half), folds),
        fold=np.repeat(np.arange(folds), 2 * half),
    )


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise InputError(f"seed {seed} is negative; it must be 0 or more")
    return np.random.default_rng(seed)


def _genuine(counts: np.ndarray, capacity: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """(2, total) positions in the images sorted by identity, in random order."""
    starts = np.cumsum(counts) - counts
    quota = _even(capacity, total, rng)
    chosen = []
    for identity in np.flatnonzero(quota):
        k = rng.choice(capacity[identity], quota[identity], replace=False)
        # Pairs (a, b), a < b, counted as (0,1) (0,2) (1,2) (0,3) ...: pair k has b(b-1)/2 <= k and a = k - b(b-1)/2.
        b = ((1 + np.sqrt(1 + 8 * k)) // 2).astype(np.int64)
        chosen.append(starts[identity] + np.stack([k - b * (b - 1) // 2, b]))
    return rng.permutation(np.concatenate(chosen, axis=1), axis=1)


def _impostors(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """(2, total) positions in the images sorted by identity, in random order."""
    n = int(counts.sum())
    ends = np.repeat(np.cumsum(counts), counts)  # where the identity of each image ends
    # Image a pairs with the n - ends[a] images of later identities; pair k belongs to the a whose span contains it.
    spans = np.cumsum(n - ends)
    k = rng.choice(spans[-1], total, replace=False)
    a = np.searchsorted(spans, k, side="right")
    return np.stack([a, n - (spans[a] - k)])


def _even(capacity: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Share `total` out as evenly as the capacities allow: full ones aside, no two shares differ by more than one."""
    quota = np.zeros_like(capacity)
    while left := total - int(quota.sum()):
        free = np.flatnonzero(quota < capacity)
        if left >= len(free):
            quota[free] = np.minimum(capacity[free], quota[free] + left // len(free))
        else:
            quota[rng.choice(free, left, replace=False)] += 1
    return quota


def stratified(labels: np.ndarray, each: int, limit: int, seed: int) -> np.ndarray:
    """Positions of up to `each` images of every identity, `limit` in all: the same ones for the same seed."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), dtype=int)  # how many of its identity come before an image in that order
    for identity in np.unique(labels):
        mine = order[labels[order] == identity]
        turn[mine] = np.arange(len(mine))
    chosen = order[turn[order] < each]
    return np.sort(chosen[np.argsort(turn[chosen], kind="stable")][:limit])
