"""Mining of embeddings or centers: hard pairs of classes, likely duplicate identities, likely label errors.

A class center is the mean direction of the embeddings. The center that a sample is compared with for label errors is
computed without the sample (leave-one-out), which would pull it towards itself.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress
from workbench.core.random import generator
from workbench.mining.dataset import MiningData, class_sums
from workbench.mining.exact import exact_neighbors
from workbench.mining.index import nearest_neighbors

CHUNK = 4096  # samples per block
SAME_SHARE = 0.95  # share of identities, split in two halves, that exceed the measured threshold
OUTLIER = 5.0  # robust standard deviations above the median cosine to the nearest center
ENOUGH = 10  # minimum number of split identities
COPY = 1 - 1e-4  # cosine that only copies reach


@dataclass(frozen=True)
class ClassPairs:
    """Pairs of classes a < b (P,) with the cosine (P,) of their centers, in descending order of cosine."""

    a: np.ndarray
    b: np.ndarray
    cosine: np.ndarray


@dataclass(frozen=True)
class LabelErrors:
    """Samples nearer to another class center than to their own, in descending order of the gap. All arrays (E,).

    sample: row; label, nearer: class indices; own_cosine, nearer_cosine: cosines to the centers of both.
    """

    sample: np.ndarray
    label: np.ndarray
    nearer: np.ndarray
    own_cosine: np.ndarray
    nearer_cosine: np.ndarray


@dataclass(frozen=True)
class MiningResult:
    """Result of `mine`.

    threshold: cosine of centers above which pairs are `duplicates`; measured: description of its measurement. single:
    samples that are single in their class and not tested for label errors. index, recall: of the search.
    """

    pairs: ClassPairs
    threshold: float
    measured: str
    errors: LabelErrors | None
    single: int
    index: str
    recall: float

    @property
    def duplicates(self) -> ClassPairs:
        """The pairs above the threshold."""
        keep = self.pairs.cosine > self.threshold
        return ClassPairs(self.pairs.a[keep], self.pairs.b[keep], self.pairs.cosine[keep])


def mine(
    data: MiningData,
    K: int = 32,
    kind: str = "auto",
    device: str = "auto",
    duplicate: float | None = None,
    margin: float = 0.1,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MiningResult:
    """Search hard pairs of classes, likely duplicate identities and likely label errors.

    K: nearest classes searched for each class. kind, device, seed: see `nearest_neighbors`. duplicate: cosine of two
    centers above which the classes are likely one person; None: `duplicate_threshold`. margin: see `label_errors`.
    Raises InputError for an option out of range.
    """
    if K < 1:
        raise InputError(f"--k {K}: at least 1")
    if duplicate is not None and not -1 <= duplicate <= 1:
        raise InputError(f"--duplicate {duplicate}: a cosine in [-1, 1]")
    if not 0 <= margin <= 2:
        raise InputError(f"--margin {margin}: a difference of cosines in [0, 2]")
    K = min(K, len(data.centers) - 1)
    result = nearest_neighbors(
        data.centers, K, kind, device, progress=lambda d, n: progress(d, n, "classes"), seed=seed
    )
    pairs = _unique_pairs(result.ids, result.cosines)
    if duplicate is None:
        duplicate, measured = duplicate_threshold(data, result.cosines[:, 0], seed)
    else:
        measured = f"cosine above {duplicate:g}, as given"
    errors, single = (None, 0) if data.x is None else label_errors(data, margin, progress)
    return MiningResult(pairs, duplicate, measured, errors, single, f"{result.kind}: {result.reason}", result.recall)


def duplicate_threshold(data: MiningData, nearest_cosine: Tensor, seed: int = 0) -> tuple[float, str]:
    """The cosine of centers above which two classes are likely one person, and a description of its measurement.

    The larger of two values: OUTLIER robust standard deviations above the median cosine (C,) to the nearest center;
    and, with at least ENOUGH identities of two or more embeddings, the cosine that SAME_SHARE of the identities exceed
    if their embeddings are split in two halves at random.
    """
    median = nearest_cosine.median()
    spread = 1.4826 * (nearest_cosine - median).abs().median()
    outlier = min(float(median + OUTLIER * spread), COPY)
    words = f"cosine above {outlier:.3f}, {OUTLIER:g} robust standard deviations over the usual nearest center"
    halves = _split_cosines(data, seed)
    if len(halves) < ENOUGH:
        return outlier, words
    same = float(halves.quantile(1 - SAME_SHARE))
    threshold = max(same, outlier)
    if same > outlier:
        words = f"cosine above {same:.3f}, which {SAME_SHARE:.0%} of the identities reach when split in two"
    again = float((halves > threshold).float().mean())
    return threshold, f"{words}; {again:.0%} of {len(halves):,} split identities would be found again"


def label_errors(data: MiningData, margin: float, progress: Progress) -> tuple[LabelErrors, int]:
    """Samples whose cosine to another class center exceeds the cosine to their own by more than `margin`.

    The own center is computed without the sample. Also returns the number of samples that are single in their class:
    they have no such center and are not tested.
    """
    x, y = data.x, data.y
    sums, counts = class_sums(x, y, len(data.names)), torch.bincount(y)
    own, other, cosine = torch.empty(len(x)), torch.empty(len(x), dtype=torch.long), torch.empty(len(x))
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        rest = sums[y[rows]] - x[rows]
        own[rows] = (rest * x[rows]).sum(1) / rest.norm(dim=1).clamp_min(1e-12)
        ids, cos = exact_neighbors(x[rows], data.centers, 1, y[rows])
        other[rows], cosine[rows] = ids[:, 0].long(), cos[:, 0]
        progress(min(start + CHUNK, len(x)), len(x), "samples")
    single = counts[y] == 1
    gap = (cosine - own).masked_fill(single, float("-inf"))
    order = gap.argsort(descending=True, stable=True)
    order = order[gap[order] > margin]
    errors = LabelErrors(*(a.numpy() for a in (order, y[order], other[order], own[order], cosine[order])))
    return errors, int(single.sum())


def _split_cosines(data: MiningData, seed: int) -> Tensor:
    """Cosines of the mean directions of two random halves of each identity with at least two embeddings."""
    if data.x is None:
        return torch.empty(0)
    shuffled = torch.randperm(len(data.x), generator=generator(seed, "halves"))
    by_class = shuffled[data.y[shuffled].argsort(stable=True)]
    counts = torch.bincount(data.y)
    position = torch.arange(len(data.x)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    half = by_class[position % 2 == 0]
    one = class_sums(data.x[half], data.y[half], len(data.names))
    two = class_sums(data.x, data.y, len(data.names)) - one
    return torch.nn.functional.cosine_similarity(one, two)[counts > 1]


def _unique_pairs(ids: Tensor, cosines: Tensor) -> ClassPairs:
    """Each pair of classes once, in descending order of cosine; ties in the order of the classes."""
    a = torch.arange(len(ids))[:, None].expand_as(ids)
    valid = ids >= 0
    a, b, cos = a[valid], ids[valid].long(), cosines[valid]
    key, first = np.unique((torch.minimum(a, b) * len(ids) + torch.maximum(a, b)).numpy(), return_index=True)
    cos = cos.numpy()[first]
    order = np.argsort(-cos, kind="stable")
    return ClassPairs(key[order] // len(ids), key[order] % len(ids), cos[order])
