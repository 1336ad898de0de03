"""The data set `heads`: synthetic identities, embedded in the package or rendered on demand; no real person.

An archive is a .zip that a person can unzip and look at: `0000/00.webp` (identity / image), `nuisance.npy` (n, 8) and
`meta.json`. Identity k depends on (seed, k) alone and its image j on (seed, k, j), so a small set is the beginning of
a larger one with the same seed and size.
"""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.core.errors import InputError
from workbench.core.files import check_writable
from workbench.core.progress import Progress
from workbench.data.heads.look import random_look
from workbench.data.heads.model import ASSETS, head_model
from workbench.data.heads.scene import NUISANCE, Scene, random_nuisance

EMBEDDED = ASSETS / "heads.zip"
QUALITY = 90  # of WebP
FORMAT = 1  # to be raised when the same settings would draw other pictures
SMALLEST, LARGEST = 16, 1024  # pixels


def load_heads(path: Path | None = None) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Read an archive; None is the embedded set of 200 identities x 14 images of 56 x 56.

    Returns images (n, S, S, 3) uint8, labels (n,) int64 in identity order, and nuisance: each name of NUISANCE ->
    (n,) float32. Raises InputError naming the file when it is missing, damaged, or no archive of heads.
    """
    path = Path(path or EMBEDDED)
    try:
        with zipfile.ZipFile(path) as archive:
            pictures, nuisance, meta = _read(archive)
    except FileNotFoundError:
        raise InputError(f"no such file: '{path}'; render one with: workbench data render") from None
    except Exception as error:  # a damaged file may fail in any of its readers: zip, zlib, json, numpy, Pillow
        raise InputError(f"'{path}' is no readable archive of heads ({error}); render it again") from None
    labels = np.repeat(np.arange(meta["identities"]), meta["images"])
    return pictures, labels, {name: nuisance[:, i] for i, (name, _) in enumerate(NUISANCE)}


def render(
    out: Path,
    identities: int,
    images: int,
    size: int,
    seed: int,
    progress: Progress | None = None,
) -> Path:
    """Render a data set into the archive `out` and return its path; needs the extra `synth` but no display.

    size: pixels of a side. Each finished identity is kept in the folder `out` + ".part", so that the same call
    continues after an interruption; progress(done, identities) is called after each. The same settings give the
    same bytes on the same versions of VTK and Pillow. Raises InputError for settings out of range, an `out` that
    exists, a part folder of other settings, or a missing pyvista.
    """
    out = Path(out)
    for name, value, low, high in (
        ("identities", identities, 1, 1_000_000),
        ("images", images, 1, 10_000),
        ("size", size, SMALLEST, LARGEST),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} is {value}; it must lie between {low} and {high}")
    check_writable(out.parent)
    if os.path.lexists(out):
        raise InputError(f"'{out}' exists already; choose another name or remove it")
    with Scene(head_model(), size) as scene:
        part = out.with_name(out.name + ".part")
        settings = {"format": FORMAT, "images": images, "size": size, "seed": seed, "vtk": scene.vtk_version}
        _begin(part, settings)
        for k in range(identities):
            if not (file := part / f"{k:04d}.zip").exists():
                _write(file, partial(_render_identity, scene=scene, k=k, images=images, seed=seed))
            if progress:
                progress(k + 1, identities)
    meta = {"identities": identities, **settings, "nuisance": dict(NUISANCE)}
    _write(out, partial(_gather, part=part, meta=meta))
    shutil.rmtree(part)
    return out


def _read(archive: zipfile.ZipFile) -> tuple[np.ndarray, np.ndarray, dict]:
    """The images, the nuisance values and meta.json of an open archive; raises one of many errors if it is damaged."""
    meta = json.loads(archive.read("meta.json"))
    identities, images, size = (meta[key] for key in ("identities", "images", "size"))
    found = sum(name.endswith(".webp") for name in archive.namelist())
    if identities * images != found or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"meta.json speaks of {identities} x {images} images of {size} px, the archive has {found}")
    pictures = np.empty((identities, images, size, size, 3), np.uint8)
    for k, j in np.ndindex(identities, images):
        with Image.open(io.BytesIO(archive.read(_name(k, j))), formats=["WEBP"]) as image:
            if image.size != (size, size):
                raise ValueError(f"{_name(k, j)} is {image.size[0]} x {image.size[1]} px instead of {size} x {size}")
            pictures[k, j] = image.convert("RGB")
    return pictures.reshape(-1, size, size, 3), _read_nuisance(archive, found), meta


def _begin(part: Path, settings: dict) -> None:
    """Make the work folder, or make sure that the one found was begun with the same settings."""
    file = part / "settings.json"
    part.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        if any(part.iterdir()):  # it will be removed at the end, so it must be ours
            raise InputError(
                f"'{part}' holds other files, not an unfinished render; choose another name than '{part.stem}'"
            )
        _write(file, lambda target: target.write_text(json.dumps(settings)))
    found = json.loads(file.read_text())
    for name, value in settings.items():
        if found.get(name) != value:
            raise InputError(f"'{part}' was begun with {name} {found.get(name)}, not {value}: use that, or remove it")


def _render_identity(target: Path, scene: Scene, k: int, images: int, seed: int) -> None:
    """All images of one identity into a small archive of its own."""
    scene.wear(random_look(scene.model, _generator(seed, k)))
    values = []
    with zipfile.ZipFile(target, "w") as archive:
        for j in range(images):
            rng = _generator(seed, k, j)
            nuisance = random_nuisance(scene.model, rng)
            encoded = io.BytesIO()
            Image.fromarray(scene.draw(nuisance, rng)).save(encoded, "webp", quality=QUALITY)
            archive.writestr(_entry(_name(k, j)), encoded.getvalue())
            values.append(nuisance.values())
        _write_nuisance(archive, np.array(values, np.float32))


def _gather(target: Path, part: Path, meta: dict) -> None:
    """The whole archive from those of the identities."""
    values = []
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_entry("meta.json"), json.dumps(meta, indent=1))
        for k in range(meta["identities"]):
            with zipfile.ZipFile(part / f"{k:04d}.zip") as identity:
                for j in range(meta["images"]):
                    archive.writestr(_entry(_name(k, j)), identity.read(_name(k, j)))
                values.append(_read_nuisance(identity, meta["images"]))
        _write_nuisance(archive, np.concatenate(values))


def _generator(seed: int, k: int, j: int = -1) -> np.random.Generator:
    """The generator of identity k, or of its image j."""
    # j + 1: numpy seeds alike from two lists that differ only by a 0 at the end
    return np.random.default_rng([seed, k, j + 1])


def _name(k: int, j: int) -> str:
    return f"{k:04d}/{j:02d}.webp"


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without today's date, so that the same content gives the same bytes."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _write_nuisance(archive: zipfile.ZipFile, values: np.ndarray) -> None:
    encoded = io.BytesIO()
    np.save(encoded, values, allow_pickle=False)
    archive.writestr(_entry("nuisance.npy"), encoded.getvalue())


def _read_nuisance(archive: zipfile.ZipFile, images: int) -> np.ndarray:
    values = np.load(io.BytesIO(archive.read("nuisance.npy")), allow_pickle=False)
    if values.shape != (images, len(NUISANCE)) or values.dtype != np.float32:
        raise ValueError(f"nuisance.npy is {values.dtype} {values.shape}, not float32 {(images, len(NUISANCE))}")
    return values


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary file beside `path` and move it there, so that `path` is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fill(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
