"""Anyone's embeddings or centers -> hard pairs of classes, likely duplicate identities, likely label errors.

A class's center is the mean direction of its embeddings. A sample's own center is taken without the sample itself
(leave-one-out), which would otherwise pull its center towards it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.random import generator
from workbench.data import embeddings
from workbench.mining.index import directions, exact, nearest

CHUNK = 4096
FOUND_AGAIN = 0.95  # share of identities, split in two, whose halves the threshold would call one person
OUTLIER = 5.0  # robust standard deviations above the usual nearest center that make a center suspiciously near
ENOUGH = 10  # identities with two images that the split needs
COPY = 1 - 1e-4  # a cosine that only copies reach


@dataclass(frozen=True)
class Collection:
    """What is mined: centers (C, D) float32 of length one, and where they come from.

    names: of the C classes. x (n, D), y (n,): the embeddings, length one, and their classes; None for centers alone.
    images: (n, H, W) or (n, H, W, 3 or 4) uint8, one an embedding, or one a center without embeddings; or None.
    notes: what was taken from the file and what was left out.
    """

    centers: Tensor
    names: tuple[str, ...]
    x: Tensor | None = None
    y: Tensor | None = None
    images: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """Pairs of classes, a < b, with the cosine of their centers, the hardest first. All arrays (P,)."""

    a: np.ndarray
    b: np.ndarray
    cosine: np.ndarray

    def above(self, threshold: float) -> "Pairs":
        keep = self.cosine > threshold
        return Pairs(self.a[keep], self.b[keep], self.cosine[keep])


@dataclass(frozen=True)
class LabelErrors:
    """Samples nearer to another class's center than to their own, the widest gap first. All arrays (E,)."""

    sample: np.ndarray
    label: np.ndarray
    nearer: np.ndarray
    own_cosine: np.ndarray
    nearer_cosine: np.ndarray


@dataclass(frozen=True)
class Findings:
    """What was found, and how. threshold: cosine of duplicates, why in `measured`; single: samples nobody can judge."""

    pairs: Pairs
    threshold: float
    measured: str
    errors: LabelErrors | None
    single: int
    index: str
    recall: float

    @property
    def duplicates(self) -> Pairs:
        return self.pairs.above(self.threshold)


def read(path: Path) -> Collection:
    """A collection from a file of `workbench.data.embeddings`: embeddings with labels, or centers; images optional.

    Raises InputError naming the file and the array that is missing, unreadable or of the wrong form.
    """
    found = embeddings.read(path)
    if found.embeddings is not None and found.centers is not None:
        raise InputError(f"{path}: holds both; either 'embeddings' with 'labels', or 'centers', is needed")
    if found.centers is not None:
        centers = _directions(found.centers, f"{path}: centers")
        _check_images(found.images, len(centers), path)
        return Collection(centers, tuple(map(str, range(len(centers)))), images=found.images, notes=found.notes)
    x = _directions(found.embeddings, f"{path}: embeddings")
    labels = found.labels
    if labels is None or labels.shape != (len(x),) or labels.dtype.kind not in "iuUS":
        form = "missing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise InputError(f"{path}: labels is {form}; integers or strings of shape ({len(x)},) are needed")
    _check_images(found.images, len(x), path)
    values, y = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        raise InputError(f"{path}: labels name one class; at least two are needed")
    names = tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    y = torch.from_numpy(y.astype(np.int64))
    return Collection(_lengthened(_sums(x, y, len(names)), path), names, x, y, found.images, found.notes)


def mine(
    data: Collection,
    K: int = 32,
    kind: str = "auto",
    device: str = "auto",
    duplicate: float | None = None,
    margin: float = 0.1,
    seed: int = 0,
    progress: Progress = lambda done, total, what: None,
) -> Findings:
    """Hard pairs among the K nearest classes of each, duplicates above a cosine, label errors beyond a margin.

    duplicate: cosine of centers above which two classes are likely one person; None: measured (`duplicate_threshold`).
    margin: how much larger the cosine to another class's center must be than to the own one. Raises InputError.
    """
    if K < 1:
        raise InputError(f"--k {K}: at least 1")
    if duplicate is not None and not -1 <= duplicate <= 1:
        raise InputError(f"--duplicate {duplicate}: a cosine in [-1, 1]")
    if not 0 <= margin <= 2:
        raise InputError(f"--margin {margin}: a difference of cosines in [0, 2]")
    K = min(K, len(data.centers) - 1)
    found = nearest(data.centers, K, kind, device, progress=lambda d, n: progress(d, n, "classes"), seed=seed)
    pairs = _pairs(found.ids, found.cosines)
    if duplicate is None:
        duplicate, measured = duplicate_threshold(data, found.cosines[:, 0], seed)
    else:
        measured = f"cosine above {duplicate:g}, as given"
    errors, single = (None, 0) if data.x is None else label_errors(data, margin, progress)
    return Findings(pairs, duplicate, measured, errors, single, f"{found.kind}: {found.why}", found.recall)


def duplicate_threshold(data: Collection, nearest_cosine: Tensor, seed: int = 0) -> tuple[float, str]:
    """The cosine of centers above which two classes are likely one person, and in words how it was measured.

    The larger of two: what 95 % of the identities reach when their own images are split in two at random (with enough
    embeddings), and OUTLIER robust standard deviations above the median cosine (C,) to the nearest center.
    """
    median = nearest_cosine.median()
    spread = 1.4826 * (nearest_cosine - median).abs().median()
    outlier = min(float(median + OUTLIER * spread), COPY)
    words = f"cosine above {outlier:.3f}, {OUTLIER:g} robust standard deviations over the usual nearest center"
    halves = _split_cosines(data, seed)
    if len(halves) < ENOUGH:
        return outlier, words
    same = float(halves.quantile(1 - FOUND_AGAIN))
    threshold = max(same, outlier)
    if same > outlier:
        words = f"cosine above {same:.3f}, which {FOUND_AGAIN:.0%} of the identities reach when split in two"
    again = float((halves > threshold).float().mean())
    return threshold, f"{words}; {again:.0%} of {len(halves):,} split identities would be found again"


def label_errors(data: Collection, margin: float, progress: Progress) -> tuple[LabelErrors, int]:
    """Samples whose cosine to another center exceeds that to their own, made without them, by more than `margin`.

    Also the number of samples that are alone in their class, which have no such center.
    """
    x, y = data.x, data.y
    sums, counts = _sums(x, y, len(data.names)), torch.bincount(y)
    own, other, cosine = torch.empty(len(x)), torch.empty(len(x), dtype=torch.long), torch.empty(len(x))
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        rest = sums[y[rows]] - x[rows]
        own[rows] = (rest * x[rows]).sum(1) / rest.norm(dim=1).clamp_min(1e-12)
        ids, cos = exact(x[rows], data.centers, 1, y[rows])
        other[rows], cosine[rows] = ids[:, 0].long(), cos[:, 0]
        progress(min(start + CHUNK, len(x)), len(x), "samples")
    alone = counts[y] == 1
    gap = (cosine - own).masked_fill(alone, float("-inf"))
    order = gap.argsort(descending=True, stable=True)
    order = order[gap[order] > margin]
    errors = LabelErrors(*(a.numpy() for a in (order, y[order], other[order], own[order], cosine[order])))
    return errors, int(alone.sum())


def _split_cosines(data: Collection, seed: int) -> Tensor:
    """Cosines of the mean directions of two random halves of each identity with at least two embeddings."""
    if data.x is None:
        return torch.empty(0)
    shuffled = torch.randperm(len(data.x), generator=generator(seed, "halves"))
    by_class = shuffled[data.y[shuffled].argsort(stable=True)]
    counts = torch.bincount(data.y)
    place = torch.arange(len(data.x)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    first = by_class[place % 2 == 0]
    one = _sums(data.x[first], data.y[first], len(data.names))
    two = _sums(data.x, data.y, len(data.names)) - one
    return torch.nn.functional.cosine_similarity(one, two)[counts > 1]


def _pairs(ids: Tensor, cosines: Tensor) -> Pairs:
    """Each pair of classes once, the hardest first; a tie in the order of the classes."""
    a = torch.arange(len(ids))[:, None].expand_as(ids)
    real = ids >= 0
    a, b, cos = a[real], ids[real].long(), cosines[real]
    key, first = np.unique((torch.minimum(a, b) * len(ids) + torch.maximum(a, b)).numpy(), return_index=True)
    cos = cos.numpy()[first]
    order = np.argsort(-cos, kind="stable")
    return Pairs(key[order] // len(ids), key[order] % len(ids), cos[order])


def _sums(x: Tensor, y: Tensor, classes: int) -> Tensor:
    return torch.zeros(classes, x.shape[1]).index_add_(0, y, x)


def _lengthened(sums: Tensor, path: Path) -> Tensor:
    try:
        return directions(sums, slice(0, None))
    except InputError as error:
        raise InputError(f"{path}: the embeddings of one class cancel out: {error}") from None


def _directions(a: np.ndarray, what: str) -> Tensor:
    if a.ndim != 2 or len(a) < 2 or not a.shape[1] or a.dtype.kind not in "fiu":
        raise InputError(f"{what} is {a.dtype} {a.shape}; numbers of shape (n, D), n at least 2, are needed")
    try:
        return directions(torch.from_numpy(a.astype(np.float32)), slice(0, None))
    except InputError as error:
        raise InputError(f"{what}: {str(error).replace('center', 'row', 1)}") from None


def _check_images(images: np.ndarray | None, n: int, path: Path) -> None:
    if images is not None:
        embeddings.check_images(images, n, f"{path}: images")
