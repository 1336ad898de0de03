"""Input of mining: embeddings with labels, or class centers, from a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.data import embeddings
from workbench.data.sampling import label_indices, matrix, unique_labels
from workbench.mining.exact import directions


@dataclass(frozen=True)
class MiningData:
    """Unit centers (C, D) float32 to mine, and the embeddings whose mean directions they are, if any.

    names: of the C classes. x (n, D) float32, y (n,): unit embeddings and class indices, or None. images: (n, H, W) or
    (n, H, W, 3 or 4) uint8, one per embedding, or per center without embeddings, or None. paths (n,): image files, or
    None. notes: which arrays or columns of the file were used or ignored.
    """

    centers: Tensor
    names: tuple[str, ...]
    x: Tensor | None = None
    y: Tensor | None = None
    images: np.ndarray | None = None
    paths: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def read(path: Path) -> MiningData:
    """Read embeddings with labels, or centers, from a file of `workbench.data.embeddings`; images are optional.

    If the file has both, the embeddings are used. Raises InputError with the path and the array that is missing,
    unreadable or malformed.
    """
    arrays = embeddings.read(path)
    try:
        return _from_centers(arrays) if arrays.embeddings is None else _from_embeddings(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def class_sums(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Sum (C, D) of the embeddings x (n, D) of each class y (n,)."""
    return torch.zeros(classes, x.shape[1]).index_add_(0, y, x)


def _from_centers(arrays: embeddings.Arrays) -> MiningData:
    centers = _normalize_rows(arrays.centers, "centers")
    images = embeddings.check_images(arrays.images, len(centers), "images")
    names = range(len(centers)) if arrays.names is None else arrays.names
    if len(names) != len(centers):
        raise InputError(f"names has {len(names)} entries; there are {len(centers)} centers")
    return MiningData(centers, tuple(map(str, names)), images=images, notes=arrays.notes)


def _from_embeddings(arrays: embeddings.Arrays) -> MiningData:
    x = _normalize_rows(arrays.embeddings, "embeddings")
    if arrays.labels is None:
        raise InputError(f"labels is missing; integers or text of shape ({len(x)},) are needed")
    values, y = unique_labels(arrays.labels, len(x))
    if len(values) < 2:
        raise InputError("labels name one class; at least two are needed")
    names = values if arrays.names is None else arrays.names[label_indices(values, None, arrays.names)]
    images = embeddings.check_images(arrays.images, len(x), "images")
    both = ("has embeddings and centers: the embeddings are used",) if arrays.centers is not None else ()
    y = torch.from_numpy(y.astype(np.int64))
    try:
        centers = directions(class_sums(x, y, len(values)), slice(0, None))
    except InputError as error:
        raise InputError(f"the embeddings of one class cancel out: {error}") from None
    return MiningData(centers, tuple(map(str, names)), x, y, images, arrays.paths, (*arrays.notes, *both))


def _normalize_rows(a: np.ndarray, what: str) -> Tensor:
    """Rows of a (n, D) at unit length, float32. Raises InputError; `what` names the array."""
    x = torch.from_numpy(matrix(a, what).astype(np.float32))
    try:
        return directions(x, slice(0, None))
    except InputError as error:
        raise InputError(f"{what}: {str(error).replace('center', 'row', 1)}") from None
