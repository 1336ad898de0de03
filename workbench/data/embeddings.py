"""Anyone's embeddings: read from a file without executing anything in it, checked, sampled for display.

.npy           embeddings (n, D), memory-mapped
.npz           embeddings or x (n, D), labels or y (n,), centers or W (C, D), images (n, H, W) or (n, H, W, 3 or 4)
.safetensors   the same names
.parquet       a column label, labels or y, and a column of lists or else all columns of numbers
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.arrays import as_array, rescale_extreme
from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress
from workbench.data.columns import chosen_columns, some

NAMES = {
    "embeddings": ("embeddings", "embedding", "x"),
    "labels": ("labels", "label", "y"),
    "centers": ("centers", "W"),
    "images": ("images",),
}
LABELS = ("label", "labels", "y")  # names of a parquet file's column of labels
BLOCK = 1 << 23  # numbers looked at at once
CELLS = 50_000_000  # cosines of the shown embeddings to the centers: their views hold a few times this many numbers


@dataclass(frozen=True)
class Arrays:
    """What a file holds, as it holds it; None for what it does not. notes: what was taken and what was left out.

    held: the names of all arrays in the file.
    """

    embeddings: np.ndarray | None = None
    labels: np.ndarray | None = None
    centers: np.ndarray | None = None
    images: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Embeddings drawn for display, with all centers.

    x (n, D) float32; y (n,): classes; rows (n,): their places among the `total` that were given; W (C, D) float32 of
    length one; labels (C,): each class as the labels call it; names: for people.
    """

    x: np.ndarray
    y: np.ndarray
    W: np.ndarray
    rows: np.ndarray
    total: int
    labels: np.ndarray
    names: tuple[str, ...]


def read(path: Path, progress: Progress = no_progress) -> Arrays:
    """The arrays of a file, by its ending. Raises InputError that names the file and what is wrong with it."""
    path = Path(path)
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
    kind = path.suffix.lower()
    if kind not in readers:
        raise InputError(f"{path}: '{path.suffix}' is not one of {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        found = readers[kind](path, progress)
    except InputError:
        raise
    except Exception as error:  # damaged and foreign files raise many kinds
        raise InputError(f"{path}: not a readable {kind[1:]} file: {' '.join(str(error).split())}") from None
    if found.embeddings is None and found.centers is None:
        held = f"; it holds {some(found.held)}" if found.held else ""
        raise InputError(f"{path}: holds neither embeddings nor centers under these names: {', '.join(_known())}{held}")
    return found


def sampled(
    embeddings: Any,
    labels: Any = None,
    centers: Any = None,
    names: Sequence[str] | None = None,
    limit: int = 20_000,
    progress: Progress = no_progress,
) -> Sample:
    """Check embeddings (n, D), every row of them, and draw at most `limit` for display, stratified by class.

    labels (n,): integers or text; None: all are one class. centers (C, D): of classes 0 to C - 1, or of `names` in
    their order where labels are text; None: the mean direction of each class that there is. Fewer are drawn where so
    many classes would need more than CELLS cosines. The same arguments give the same sample. Raises InputError.
    """
    x = matrix(embeddings, "embeddings")
    if limit < 1:
        raise InputError(f"limit = {limit}: at least 1")
    W = None if centers is None else matrix(centers, "centers")
    if W is not None and W.shape[1] != x.shape[1]:
        raise InputError(f"centers has shape {W.shape}; embeddings of {x.shape[1]} numbers need (C, {x.shape[1]})")
    y, values, titles = _classes(labels, len(x), None if W is None else len(W), names)
    sums = direction_sums(x, y if W is None else None, len(values), progress)
    W = _unit_centers(sums if W is None else W, titles, given=W is not None)
    rows = stratified(y, max(1, min(limit, CELLS // len(W))))
    return Sample(np.asarray(x[rows], dtype=np.float32), y[rows], W, rows, len(x), values, titles)


def matrix(a: Any, what: str) -> np.ndarray:
    """An array or tensor of numbers (n, D), at least one row and two columns; not copied where it is an array."""
    a = as_array(a)
    if a.ndim != 2 or not len(a) or a.shape[1] < 2 or a.dtype.kind not in "fiu":
        raise InputError(f"{what} is {a.dtype} {a.shape}; numbers of shape (n, D), D at least 2, are needed")
    return a


def direction_sums(x: np.ndarray, y: np.ndarray | None, classes: int, progress: Progress = no_progress) -> np.ndarray:
    """The sum (C, D) float32 of the directions of each class's embeddings x (n, D), y (n,); y None: zeros.

    Raises InputError that counts the rows without a direction and names the first.
    """
    sums = np.zeros((classes, x.shape[1]), dtype=np.float32)
    size = max(1, BLOCK // x.shape[1])
    broken: list[np.ndarray] = []
    empty: list[np.ndarray] = []
    for start in range(0, len(x), size):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            block = np.asarray(x[start : start + size], dtype=np.float32)
            length = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            directions = block / length[:, None].astype(np.float32)
        broken.append(start + np.flatnonzero(~np.isfinite(length)))
        empty.append(start + np.flatnonzero(length == 0))
        if y is not None:
            here = y[start : start + size]
            order = here.argsort(kind="stable")
            ids, first = np.unique(here[order], return_index=True)
            sums[ids] += np.add.reduceat(directions[order], first, axis=0)
        progress(min(start + size, len(x)), len(x), "embeddings read")
    for kind, found in (("NaN or infinite numbers", broken), ("length 0, so no direction", empty)):
        if len(rows := np.concatenate(found)):
            raise InputError(f"embeddings: {len(rows):,} of {len(x):,} rows have {kind}; the first is row {rows[0]}")
    return sums


def stratified(y: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
    """Rows (at most `limit`) of classes y (n,), ascending: every class in turn gives one at random until it is full."""
    if len(y) <= limit:
        return np.arange(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[y[order].argsort(kind="stable")]
    first = np.flatnonzero(np.diff(y[order], prepend=-1))
    turn = np.arange(len(y)) - np.repeat(first, np.diff(first, append=len(y)))
    ahead = np.random.default_rng([seed, 1]).permutation(len(y))  # which classes come first in the last turn
    return np.sort(order[np.lexsort((ahead, turn))[:limit]])


def checked_images(images: Any, n: int, what: str) -> np.ndarray:
    """Images as they are, uint8, (n, H, W) or (n, H, W, 3 or 4); InputError for anything else."""
    images = as_array(images)
    shapes = images.ndim >= 3 and 0 not in images.shape and images.shape[3:] in ((), (3,), (4,))
    if images.dtype != np.uint8 or not shapes or len(images) != n:
        form = f"uint8 ({n}, H, W) or ({n}, H, W, 3 or 4)"
        raise InputError(f"{what} is {images.dtype} {images.shape}; it must be {form}")
    return images


def _classes(
    labels: Any, n: int, C: int | None, names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Classes (n,), what the labels call each, and its name; C: how many centers were given, if any were."""
    if labels is None:
        if C not in (None, 1):
            raise InputError(f"{C} centers but no labels: labels (n,) say whose each embedding is")
        return np.zeros(n, dtype=np.intp), np.zeros(1, dtype=np.intp), ("all",)
    labels = as_array(labels)
    if labels.dtype.kind == "O" and all(isinstance(v, str) for v in labels.flat):  # text as tables hold it
        labels = labels.astype(str)
    if labels.shape != (n,) or labels.dtype.kind not in "iuUS":
        found = f"labels is {labels.dtype} {labels.shape}"
        raise InputError(f"{found}; {n} embeddings need integers or text of shape ({n},)")
    values, y = np.unique(labels, return_inverse=True)
    if values.dtype.kind == "S":
        values = np.array([v.decode("utf-8", "replace") for v in values.tolist()])
    titles = [f"class {v}" if values.dtype.kind in "iu" else str(v) for v in values.tolist()]
    if names is None and C is None:
        return y, values, tuple(titles)
    place = _places(values, C, names)
    if C is None:
        return y, values, tuple(str(names[j]) for j in place.tolist())
    if names is not None and len(names) != C:
        raise InputError(f"names has {len(names)} entries; there are {C} centers")
    called = np.arange(C) if values.dtype.kind in "iu" else np.array([str(name) for name in names])
    return place[y], called, tuple(f"class {j}" for j in range(C)) if names is None else tuple(map(str, names))


def _places(values: np.ndarray, C: int | None, names: Sequence[str] | None) -> np.ndarray:
    """The place of each label among the names or the C centers."""
    if values.dtype.kind in "iu":
        most = C if C is not None else len(names)
        bad = values[(values < 0) | (values >= most)]
        if len(bad):
            there = f"{most} centers" if C is not None else f"{most} names"
            raise InputError(f"labels hold {bad[0]}; with {there} they must be 0 to {most - 1}")
        return values.astype(np.intp)
    if names is None:
        raise InputError(f"labels are text such as '{values[0]}': names must say whose each of the {C} centers is")
    known = {str(name): j for j, name in enumerate(names)}
    bad = [v for v in values.tolist() if v not in known]
    if bad:
        raise InputError(f"labels hold '{bad[0]}', which is not among the {len(known)} names")
    return np.array([known[v] for v in values.tolist()])


def _unit_centers(W: np.ndarray, names: Sequence[str], given: bool) -> np.ndarray:
    """Centers (C, D) float32 of length one."""
    W = rescale_extreme(W).astype(np.float32) if given else W.astype(np.float32)
    length = np.linalg.norm(W, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > (0 if given else 1e-6))))
    if len(bad):
        what = f"center {bad[0]} has length {length[bad[0], 0]:g}: it needs a finite one above 0"
        cancel = f"the embeddings of '{names[bad[0]]}' cancel out, so it has no mean direction"
        raise InputError(what if given else cancel)
    return W / length


def _known() -> list[str]:
    return [name for what in ("embeddings", "centers") for name in NAMES[what]]


def _npy(path: Path, _: Progress) -> Arrays:
    return Arrays(np.load(path, mmap_mode="r", allow_pickle=False))


def _npz(path: Path, _: Progress) -> Arrays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _named(path, archive.files, archive.__getitem__)


def _safetensors(path: Path, _: Progress) -> Arrays:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return _named(path, file.keys(), lambda key: as_array(file.get_tensor(key)))


def _named(path: Path, keys: Sequence[str], load: Callable[[str], np.ndarray]) -> Arrays:
    """The arrays of NAMES that are among the keys."""
    found = {}
    for what, names in NAMES.items():
        for key in [name for name in names if name in keys][:1]:
            try:
                found[what] = np.asarray(load(key))
            except Exception as error:  # zip, zlib and numpy raise many kinds
                raise InputError(f"{path}: array '{key}' is unreadable: {' '.join(str(error).split())}") from None
    return Arrays(**found, held=tuple(keys))


def _parquet(path: Path, progress: Progress) -> Arrays:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            f"{path}: parquet needs pyarrow, which is not installed: pip install 'hypersphere-workbench[parquet]'"
        ) from None
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        label = next((name for name in LABELS if name in file.schema_arrow.names), None)
        columns, lists, notes = chosen_columns(path, file.schema_arrow, label, NAMES["embeddings"])
        blocks, labels, total = [], [], file.metadata.num_rows
        for batch in file.iter_batches(columns=[*columns, *([label] if label else [])]):
            blocks.append(_listed(path, batch.column(columns[0])) if lists else _stacked(batch, columns))
            if label:
                labels.extend(batch.column(label).to_pylist())
            progress(sum(map(len, blocks)), total, "rows read")
    if len({block.shape[1] for block in blocks}) != 1:
        raise InputError(f"{path}: column '{columns[0]}' has no rows, or lists of different lengths")
    return Arrays(np.concatenate(blocks), np.array(labels) if label else None, notes=notes)


def _listed(path: Path, column: Any) -> np.ndarray:
    """A batch of lists of numbers, all of one length, as (n, D) float32."""
    from pyarrow.compute import list_value_length, unique

    flat, lengths = column.flatten().to_numpy(zero_copy_only=False), unique(list_value_length(column)).to_pylist()
    if len(lengths) != 1 or None in lengths:
        raise InputError(f"{path}: the lists have {', '.join(map(str, lengths[:3]))} ... numbers; all need the same")
    return flat.astype(np.float32).reshape(len(column), -1)


def _stacked(batch: Any, columns: Sequence[str]) -> np.ndarray:
    """A batch of columns of numbers as (n, D) float32; nothing in a cell is NaN."""
    return np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], 1).astype(np.float32)
