"""Embedding files: reading without code execution (no pickle), validation, sampling for display.

.npy           embeddings (n, D), memory-mapped
.npz           embeddings or x (n, D), labels or y (n,), centers or W (C, D), images (n, H, W) or (n, H, W, 3 or 4)
.safetensors   the same names
.parquet       a column label, labels or y, and a column of lists or all numeric columns
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.arrays import as_array, rescale_extreme
from workbench.core.errors import InputError, missing_extra
from workbench.core.progress import Progress, no_progress
from workbench.data.columns import choose_columns, shorten
from workbench.data.sampling import stratified_sample

NAMES = {
    "embeddings": ("embeddings", "embedding", "x"),
    "labels": ("labels", "label", "y"),
    "centers": ("centers", "W"),
    "images": ("images",),
}
LABELS = ("label", "labels", "y")  # names of the label column of a Parquet file
BLOCK = 1 << 23  # elements processed at once
CELLS = 50_000_000  # maximum cosines of displayed embeddings to centers; views use a few times this memory


@dataclass(frozen=True)
class Arrays:
    """Arrays of a file, unchanged; None for missing ones.

    notes: which columns or arrays were used or ignored. keys: names of all arrays in the file.
    """

    embeddings: np.ndarray | None = None
    labels: np.ndarray | None = None
    centers: np.ndarray | None = None
    images: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A sample of embeddings for display, with all centers.

    x (n, D) float32; y (n,): class indices; W (C, D) float32: unit centers; rows (n,): row indices in the `total` input
    rows; labels (C,): label of each class; names: display name of each class.
    """

    x: np.ndarray
    y: np.ndarray
    W: np.ndarray
    rows: np.ndarray
    total: int
    labels: np.ndarray
    names: tuple[str, ...]


def read(path: Path, progress: Progress = no_progress) -> Arrays:
    """Read the arrays of a file by its suffix.

    Raises InputError for a missing, damaged or unknown file, and for a file without embeddings and centers.
    """
    path = Path(path)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
    kind = path.suffix.lower()
    if kind not in readers:
        raise InputError(f"{path}: '{path.suffix}' is not one of {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        arrays = readers[kind](path, progress)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise any exception type
        raise InputError(f"{path}: not a readable {kind[1:]} file: {' '.join(str(error).split())}") from None
    if arrays.embeddings is None and arrays.centers is None:
        names = ", ".join(name for kind in ("embeddings", "centers") for name in NAMES[kind])
        keys = f"; it holds {shorten(arrays.keys)}" if arrays.keys else ""
        raise InputError(f"{path}: holds neither embeddings nor centers under these names: {names}{keys}")
    return arrays


def sample_embeddings(
    embeddings: Any,
    labels: Any = None,
    centers: Any = None,
    names: Sequence[str] | None = None,
    limit: int = 20_000,
    progress: Progress = no_progress,
) -> Sample:
    """Validate all rows of embeddings (n, D) and sample at most `limit` of them, stratified by class.

    labels (n,): integers or text; None: a single class. centers (C, D): of classes 0 to C - 1, or of `names` in order
    if labels are text; None: the mean direction of each class. The sample is smaller if it would need more than CELLS
    cosines. Deterministic. Raises InputError for invalid arrays.
    """
    x = matrix(embeddings, "embeddings")
    if limit < 1:
        raise InputError(f"limit = {limit}: at least 1")
    W = None if centers is None else matrix(centers, "centers")
    if W is not None and W.shape[1] != x.shape[1]:
        raise InputError(f"centers has shape {W.shape}; embeddings of dimension {x.shape[1]} need (C, {x.shape[1]})")
    y, values, titles = _class_indices(labels, len(x), None if W is None else len(W), names)
    sums = direction_sums(x, y if W is None else None, len(values), progress)
    W = _unit_centers(sums if W is None else W, titles, given=W is not None)
    rows = stratified_sample(y, max(1, min(limit, CELLS // len(W))))
    return Sample(np.asarray(x[rows], dtype=np.float32), y[rows], W, rows, len(x), values, titles)


def matrix(a: Any, what: str) -> np.ndarray:
    """Validate numbers (n, D), n >= 1 and D >= 2, and return them as an array without a copy if possible."""
    a = as_array(a)
    if a.ndim != 2 or not len(a) or a.shape[1] < 2 or a.dtype.kind not in "fiu":
        raise InputError(f"{what} is {a.dtype} {a.shape}; numbers of shape (n, D) with D >= 2 are needed")
    return a


def direction_sums(x: np.ndarray, y: np.ndarray | None, classes: int, progress: Progress = no_progress) -> np.ndarray:
    """Sum (C, D) float32 of the directions of each class's embeddings x (n, D) with classes y (n,); y None: zeros.

    Raises InputError for rows that are zero or not finite, with their number and the first of them.
    """
    sums = np.zeros((classes, x.shape[1]), dtype=np.float32)
    size = max(1, BLOCK // x.shape[1])
    not_finite: list[np.ndarray] = []
    zero: list[np.ndarray] = []
    for start in range(0, len(x), size):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            block = np.asarray(x[start : start + size], dtype=np.float32)
            length = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            directions = block / length[:, None].astype(np.float32)
        not_finite.append(start + np.flatnonzero(~np.isfinite(length)))
        zero.append(start + np.flatnonzero(length == 0))
        if y is not None:
            labels = y[start : start + size]
            order = labels.argsort(kind="stable")
            ids, first = np.unique(labels[order], return_index=True)
            sums[ids] += np.add.reduceat(directions[order], first, axis=0)
        progress(min(start + size, len(x)), len(x), "embeddings read")
    for fault, blocks in (("NaN or infinite numbers", not_finite), ("length 0, so no direction", zero)):
        if len(rows := np.concatenate(blocks)):
            raise InputError(f"embeddings: {len(rows):,} of {len(x):,} rows have {fault}; the first is row {rows[0]}")
    return sums


def check_images(images: Any, n: int, what: str) -> np.ndarray:
    """Validate images: uint8 (n, H, W) or (n, H, W, 3 or 4). Raises InputError; `what` names them."""
    images = as_array(images)
    valid = images.ndim >= 3 and 0 not in images.shape and images.shape[3:] in ((), (3,), (4,))
    if images.dtype != np.uint8 or not valid or len(images) != n:
        form = f"uint8 ({n}, H, W) or ({n}, H, W, 3 or 4)"
        raise InputError(f"{what} is {images.dtype} {images.shape}; it must be {form}")
    return images


def _class_indices(
    labels: Any, n: int, C: int | None, names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Class indices (n,), the label (C,) and the display name of each class. C: number of given centers, or None."""
    if labels is None:
        if C not in (None, 1):
            raise InputError(f"{C} centers but no labels: labels (n,), the class of each embedding, are needed")
        return np.zeros(n, dtype=np.intp), np.zeros(1, dtype=np.intp), ("all",)
    labels = as_array(labels)
    if labels.dtype.kind == "O" and all(isinstance(v, str) for v in labels.flat):  # text columns of tables
        labels = labels.astype(str)
    if labels.shape != (n,) or labels.dtype.kind not in "iuUS":
        form = f"labels is {labels.dtype} {labels.shape}"
        raise InputError(f"{form}; {n} embeddings need integers or text of shape ({n},)")
    values, y = np.unique(labels, return_inverse=True)
    if values.dtype.kind == "S":
        values = np.array([v.decode("utf-8", "replace") for v in values.tolist()])
    titles = [f"class {v}" if values.dtype.kind in "iu" else str(v) for v in values.tolist()]
    if names is None and C is None:
        return y, values, tuple(titles)
    index = _label_indices(values, C, names)
    if C is None:
        return y, values, tuple(str(names[j]) for j in index.tolist())
    if names is not None and len(names) != C:
        raise InputError(f"names has {len(names)} entries; there are {C} centers")
    labels = np.arange(C) if values.dtype.kind in "iu" else np.array([str(name) for name in names])
    return index[y], labels, tuple(f"class {j}" for j in range(C)) if names is None else tuple(map(str, names))


def _label_indices(values: np.ndarray, C: int | None, names: Sequence[str] | None) -> np.ndarray:
    """Index of each label among the names or the C centers."""
    if values.dtype.kind in "iu":
        count = C if C is not None else len(names)
        bad = values[(values < 0) | (values >= count)]
        if len(bad):
            what = "centers" if C is not None else "names"
            raise InputError(f"labels hold {bad[0]}; with {count} {what} they must be 0 to {count - 1}")
        return values.astype(np.intp)
    if names is None:
        raise InputError(f"labels are text such as '{values[0]}': names, one for each of the {C} centers, are needed")
    known = {str(name): j for j, name in enumerate(names)}
    bad = [v for v in values.tolist() if v not in known]
    if bad:
        raise InputError(f"labels hold '{bad[0]}', which is not among the {len(known)} names")
    return np.array([known[v] for v in values.tolist()])


def _unit_centers(W: np.ndarray, names: Sequence[str], given: bool) -> np.ndarray:
    """Normalize centers (C, D) to unit length, float32. given: by the user, not sums of directions."""
    W = rescale_extreme(W).astype(np.float32) if given else W.astype(np.float32)
    length = np.linalg.norm(W, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > (0 if given else 1e-6))))
    if len(bad):
        what = f"center {bad[0]} has length {length[bad[0], 0]:g}: a finite length above 0 is needed"
        cancel = f"the embeddings of '{names[bad[0]]}' cancel out, so it has no mean direction"
        raise InputError(what if given else cancel)
    return W / length


def _read_npy(path: Path, _: Progress) -> Arrays:
    return Arrays(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_npz(path: Path, _: Progress) -> Arrays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _read_arrays(path, archive.files, archive.__getitem__)


def _read_safetensors(path: Path, _: Progress) -> Arrays:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return _read_arrays(path, file.keys(), lambda key: as_array(file.get_tensor(key)))


def _read_arrays(path: Path, keys: Sequence[str], load: Callable[[str], np.ndarray]) -> Arrays:
    """Load the arrays whose keys are in NAMES."""
    arrays = {}
    for kind, names in NAMES.items():
        for key in [name for name in names if name in keys][:1]:
            try:
                arrays[kind] = np.asarray(load(key))
            except Exception as error:  # zip, zlib and numpy raise many exception types
                raise InputError(f"{path}: array '{key}' is unreadable: {' '.join(str(error).split())}") from None
    return Arrays(**arrays, keys=tuple(keys))


def _read_parquet(path: Path, progress: Progress) -> Arrays:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_extra("pyarrow", f"{path}: parquet") from None
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        label = next((name for name in LABELS if name in file.schema_arrow.names), None)
        columns, lists, notes = choose_columns(path, file.schema_arrow, label, NAMES["embeddings"])
        blocks, labels, total = [], [], file.metadata.num_rows
        for batch in file.iter_batches(columns=[*columns, *([label] if label else [])]):
            blocks.append(_list_rows(path, batch.column(columns[0])) if lists else _stack_columns(batch, columns))
            if label:
                labels.extend(batch.column(label).to_pylist())
            progress(sum(map(len, blocks)), total, "rows read")
    if len({block.shape[1] for block in blocks}) != 1:
        raise InputError(f"{path}: column '{columns[0]}' has no rows, or lists of different lengths")
    return Arrays(np.concatenate(blocks), np.array(labels) if label else None, notes=notes)


def _list_rows(path: Path, column: Any) -> np.ndarray:
    """A batch of a column of equally long lists as (n, D) float32."""
    from pyarrow.compute import list_value_length, unique

    flat, lengths = column.flatten().to_numpy(zero_copy_only=False), unique(list_value_length(column)).to_pylist()
    if len(lengths) != 1 or None in lengths:
        raise InputError(
            f"{path}: the lists have {', '.join(map(str, lengths[:3]))} ... numbers; all lists need the same length"
        )
    return flat.astype(np.float32).reshape(len(column), -1)


def _stack_columns(batch: Any, columns: Sequence[str]) -> np.ndarray:
    """A batch of numeric columns as (n, D) float32; a missing value becomes NaN."""
    return np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], 1).astype(np.float32)
