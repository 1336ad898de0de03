"""Embedding files: reading without code execution (no pickle).

.npy           embeddings (n, D), memory-mapped
.npz           embeddings or x (n, D), labels or y (n,), centers or W (C, D), images (n, H, W) or (n, H, W, 3 or 4),
               names (C,) and paths (n,), text
.safetensors   the same tensors; names and paths in the metadata, as JSON lists
.parquet       one row per image: labels, names and paths in columns of these names, the embedding in a column of lists
               or in all numeric columns

The singular of each name is accepted too.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.arrays import as_array
from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress
from workbench.data.parquet import read_parquet, shorten

NAMES = {
    "embeddings": ("embeddings", "embedding", "x"),
    "labels": ("labels", "label", "y"),
    "centers": ("centers", "W"),
    "images": ("images",),
    "names": ("names", "name"),
    "paths": ("paths", "path"),
}


@dataclass(frozen=True)
class Arrays:
    """Arrays of a file; None for missing ones.

    names (C,): class names, of the labels 0..C-1; paths (n,): image files. notes: which columns or arrays were used or
    ignored. keys: names of all arrays in the file.
    """

    embeddings: np.ndarray | None = None
    labels: np.ndarray | None = None
    centers: np.ndarray | None = None
    images: np.ndarray | None = None
    names: np.ndarray | None = None
    paths: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def read(path: Path, progress: Progress = no_progress) -> Arrays:
    """Read the arrays of a file by its suffix.

    `names` and `paths` that are not text are ignored with a note. Raises InputError for a missing, damaged or unknown
    file, and for a file without embeddings and centers.
    """
    path = Path(path)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".safetensors": _read_safetensors, ".parquet": _read_columns}
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


def check_images(images: Any, n: int, what: str) -> np.ndarray | None:
    """Validate images: uint8 (n, H, W) or (n, H, W, 3 or 4), or None. Raises InputError; `what` names them."""
    if images is None:
        return None
    images = as_array(images)
    valid = images.ndim >= 3 and 0 not in images.shape and images.shape[3:] in ((), (3,), (4,))
    if images.dtype != np.uint8 or not valid or len(images) != n:
        form = f"uint8 ({n}, H, W) or ({n}, H, W, 3 or 4)"
        raise InputError(f"{what} is {images.dtype} {images.shape}; it must be {form}")
    return images


def _read_npy(path: Path, _: Progress) -> Arrays:
    return Arrays(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_npz(path: Path, _: Progress) -> Arrays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return _read_arrays(path, archive.files, archive.__getitem__)


def _read_safetensors(path: Path, _: Progress) -> Arrays:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        text = {key: value for key, value in (file.metadata() or {}).items() if key in NAMES["names"] + NAMES["paths"]}

        def load(key: str) -> np.ndarray:
            return np.array(json.loads(text[key])) if key in text else as_array(file.get_tensor(key))

        return _read_arrays(path, [*file.keys(), *text], load)


def _read_columns(path: Path, progress: Progress) -> Arrays:
    return _as_arrays(*read_parquet(path, NAMES, progress))


def _read_arrays(path: Path, keys: Sequence[str], load: Callable[[str], np.ndarray]) -> Arrays:
    """Load the arrays whose keys are in NAMES."""
    arrays = {}
    for kind, names in NAMES.items():
        for key in [name for name in names if name in keys][:1]:
            try:
                arrays[kind] = np.asarray(load(key))
            except Exception as error:  # zip, zlib, json and numpy raise many exception types
                raise InputError(f"{path}: array '{key}' is unreadable: {' '.join(str(error).split())}") from None
    return _as_arrays(arrays, [], keys)


def _as_arrays(arrays: dict[str, np.ndarray], notes: Sequence[str], keys: Sequence[str] = ()) -> Arrays:
    """Arrays without names and paths that are not text of the right shape."""
    notes = list(notes)
    for kind in arrays.keys() & {"names", "paths"}:
        a = arrays[kind]
        n = arrays.get("embeddings", a).shape[:1] if kind == "paths" else a.shape[:1]
        if a.dtype.kind != "U" or a.shape != n:
            notes.append(f"{kind} ignored: {a.dtype} {a.shape}; text of shape {n} is needed")
            del arrays[kind]
    return Arrays(**arrays, notes=tuple(notes), keys=tuple(keys))
