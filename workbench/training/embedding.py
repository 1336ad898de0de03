"""Embed images with the network of a trained run, and write embeddings to a file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.core.device import resolve_device
from workbench.core.errors import InputError, missing_extra, unknown
from workbench.core.files import write
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run
from workbench.core.tables import escape_text
from workbench.data.images import ImageSet, load
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.fit import embed_images
from workbench.training.run import CHECKPOINT, no_message
from workbench.training.split import SIDES, image_size, load_side

SPLITS = ("test", "train", "all")


@dataclass(frozen=True)
class ImageEmbeddings:
    """Embeddings of images, in the order of the images.

    embeddings: (n, D) float32, not normalized. labels: (n,) int64 in 0..C-1. names: (C,) str, the identities. paths:
    (n,) str, the image files relative to the data folder; "" for images that are not files.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    paths: np.ndarray

    def save(self, path: Path | str) -> Path:
        """Write a .npz, .safetensors or .parquet file atomically, and return its path.

        npz: the four arrays. safetensors: embeddings and labels; names and paths are JSON lists in its metadata.
        parquet: a row for each image with the columns path, label, name and embedding (list of float32). Raises
        InputError for another suffix, WriteError where the file cannot be written.
        """
        path = check_suffix(path)
        write(path, lambda temporary: WRITERS[path.suffix.lower()](self, temporary))
        return path


def embed(
    run: Run | Path | str,
    data: str | ImageSet | None = None,
    split: str | None = None,
    device: str | None = None,
    mirror: bool = True,
    skip_broken: bool = False,
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = no_message,
) -> ImageEmbeddings:
    """Embed images with a run's network at its last checkpoint.

    data: a data source, as of Config.data, or loaded images; None: the run's own data, of which `split` selects the
    test identities (default), the train identities, or all (train, then test). device: in place of the run's own.
    mirror: add the embedding of the mirror image, as `evaluate` does. skip_broken: leave out unreadable image files.
    on_message: called with each harmless change of the run's data. Raises InputError for an unknown split, a split of
    other data, and where the run's images have changed.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if split is not None and split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if split is not None and data is not None:
        raise InputError(f"split = {split}: only the run's own data has one; leave out split, or data")
    config = Config.from_json(run.config)
    where = resolve_device(config.device if device is None else device)
    size = image_size(run, config)
    read = lambda done, total: progress(done, total, "reading images")  # noqa: E731
    if isinstance(data, ImageSet):
        parts = [data]
    elif data is not None:
        parts = [load(data, size, skip_broken, read)]
    else:
        sides = SIDES if split == "all" else (split or "test",)
        parts = [load_side(run, side, skip_broken, read, on_message) for side in sides]
    net = checkpoint.load_network(config, parts[0].size, run.path / CHECKPOINT)
    net = net.to(where, memory_format=torch.channels_last)
    first = np.cumsum([0, *(part.classes for part in parts)])
    return ImageEmbeddings(
        np.concatenate([embed_images(net, part.images, where, mirror, progress=progress) for part in parts]),
        np.concatenate([part.labels + start for part, start in zip(parts, first, strict=False)]),
        np.array([name for part in parts for name in part.names], dtype=str),
        np.concatenate([part.extra.get("path", np.full(len(part), "")).astype(str) for part in parts]),
    )


def check_suffix(path: Path | str) -> Path:
    """The path of a file that `save` can write; InputError for another suffix or a folder that does not exist."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"{path}: '{path.suffix}' is not one of {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    return path


def write_npz(images: ImageEmbeddings, path: Path) -> None:
    np.savez(path, **vars(images))


def write_safetensors(images: ImageEmbeddings, path: Path) -> None:
    from safetensors.numpy import save_file

    metadata = {name: json.dumps(getattr(images, name).tolist()) for name in ("names", "paths")}
    save_file({"embeddings": images.embeddings, "labels": images.labels}, path, metadata)


def write_parquet(images: ImageEmbeddings, path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("pyarrow", f"{path.suffix[1:]} files") from None
    n, dim = images.embeddings.shape
    offsets = np.arange(n + 1, dtype=np.int32) * dim
    columns = {
        "path": [escape_text(value) for value in images.paths.tolist()],
        "label": images.labels,
        "name": [escape_text(value) for value in images.names[images.labels].tolist()],
        "embedding": pyarrow.ListArray.from_arrays(offsets, images.embeddings.reshape(-1)),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


WRITERS = {".npz": write_npz, ".safetensors": write_safetensors, ".parquet": write_parquet}
