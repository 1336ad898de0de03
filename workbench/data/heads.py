"""The data set `heads`: synthetic identities, embedded in the package or rendered on demand; no real person.

An archive is a .zip that a person can unzip and look at: `0000/00.webp` (identity / image), `nuisance.npy` (n, 8) and
`meta.json`. Identity k depends on (seed, k) alone, so a small set is the beginning of a larger one with the same
seed, size and images per identity.
"""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.data.head_model import ASSETS, head_model
from workbench.data.head_scene import NUISANCE, Scene, random_nuisance
from workbench.data.head_look import random_look
from workbench.errors import InputError

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
            meta = json.loads(archive.read("meta.json"))
            identities, images, size = (int(meta[key]) for key in ("identities", "images", "size"))
            if not SMALLEST <= size <= LARGEST or identities * images != len(archive.namelist()) - 2:
                raise ValueError(f"{identities} x {images} images of {size} px, but {len(archive.namelist())} entries")
            names = [_name(k, j) for k in range(identities) for j in range(images)]
            pictures = np.empty((len(names), size, size, 3), np.uint8)
            for picture, name in zip(pictures, names, strict=True):
                picture[:] = _decode(archive.read(name), size)
            nuisance = _array(archive, (len(names), len(NUISANCE)))
    except FileNotFoundError:
        raise InputError(f"no such file: '{path}'; render one with: workbench data render") from None
    except (
        zipfile.BadZipFile,
        zipfile.zlib.error,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        SyntaxError,
        EOFError,
    ) as error:
        raise InputError(f"'{path}' is no readable archive of heads ({error}); render it again") from None
    labels = np.repeat(np.arange(identities), images)
    return pictures, labels, {name: nuisance[:, i] for i, (name, _) in enumerate(NUISANCE)}


def render(
    out: Path,
    identities: int,
    images: int,
    size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
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
    if out.exists():
        raise InputError(f"'{out}' exists already; choose another name or remove it")
    model = head_model()
    with Scene(model, size) as scene:
        part = _part_folder(out, {"format": FORMAT, "images": images, "size": size, "seed": seed, "vtk": scene.version})
        for k in range(identities):
            if not (file := part / f"{k:04d}.zip").exists():
                _write(file, lambda target, k=k: _render_identity(target, scene, k, images, seed))
            if progress:
                progress(k + 1, identities)
    meta = {**json.loads((part / "settings.json").read_text()), "identities": identities, "nuisance": dict(NUISANCE)}
    _write(out, lambda target: _gather(target, part, meta))
    shutil.rmtree(part)
    return out


def _part_folder(out: Path, settings: dict) -> Path:
    part = out.with_name(out.name + ".part")
    file = part / "settings.json"
    part.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _write(file, lambda target: target.write_text(json.dumps(settings)))
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = {}
    for name, value in settings.items():
        if found.get(name) != value:
            raise InputError(
                f"'{part}' was begun with {name} {found.get(name)}, not {value}; remove it or use the same {name}"
            )
    return part


def _render_identity(target: Path, scene: Scene, k: int, images: int, seed: int) -> None:
    scene.wear(random_look(scene.model, np.random.default_rng([seed, k])))
    rows = []
    with zipfile.ZipFile(target, "w") as archive:
        for j in range(images):
            rng = np.random.default_rng([seed, k, j])
            nuisance = random_nuisance(scene.model, rng)
            encoded = io.BytesIO()
            Image.fromarray(scene.draw(nuisance, rng)).save(encoded, "webp", quality=QUALITY, method=6)
            archive.writestr(_entry(_name(k, j)), encoded.getvalue())
            rows.append(nuisance.values())
        _store_array(archive, np.array(rows, np.float32))


def _gather(target: Path, part: Path, meta: dict) -> None:
    """The archive from the finished identities."""
    rows = []
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_entry("meta.json"), json.dumps(meta, indent=1))
        for k in range(meta["identities"]):
            with zipfile.ZipFile(part / f"{k:04d}.zip") as identity:
                for j in range(meta["images"]):
                    archive.writestr(_entry(_name(k, j)), identity.read(_name(k, j)))
                rows.append(_array(identity, (meta["images"], len(NUISANCE))))
        _store_array(archive, np.concatenate(rows))


def _name(k: int, j: int) -> str:
    return f"{k:04d}/{j:02d}.webp"


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without today's date, so that the same content gives the same bytes."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _store_array(archive: zipfile.ZipFile, values: np.ndarray) -> None:
    encoded = io.BytesIO()
    np.save(encoded, values, allow_pickle=False)
    archive.writestr(_entry("nuisance.npy"), encoded.getvalue())


def _array(archive: zipfile.ZipFile, shape: tuple[int, int]) -> np.ndarray:
    values = np.load(io.BytesIO(archive.read("nuisance.npy")), allow_pickle=False)
    if values.shape != shape or values.dtype != np.float32:
        raise ValueError(f"nuisance.npy is {values.dtype} {values.shape}, not float32 {shape}")
    return values


def _decode(data: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        if image.size != (size, size):
            raise ValueError(f"an image of {image.size} instead of {size} x {size}")
        return np.asarray(image.convert("RGB"))


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary file beside `path` and move it there, so that `path` is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fill(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
