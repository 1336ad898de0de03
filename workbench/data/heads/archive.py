"""Archives of the data set `heads`: reading and rendering of synthetic identities.

An archive is a .zip of image files `0000/00.webp` (identity / image), `nuisance.npy` (n, 8) and `meta.json`. Identity k
depends only on (seed, k) and its image j only on (seed, k, j), so a small set is a prefix of a larger one with the same
seed and size.
"""

import io
import json
import os
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.core.errors import InputError
from workbench.core.files import check_writable, write
from workbench.core.progress import Progress
from workbench.data.heads.look import random_appearance
from workbench.data.heads.model import ASSETS, head_model
from workbench.data.heads.scene import NUISANCE, HeadRenderer, random_nuisance

EMBEDDED = ASSETS / "heads.zip"
QUALITY = 90  # WebP quality
FORMAT = 1  # incremented when the same settings produce different images
SMALLEST, LARGEST = 16, 1024  # pixels


def load_heads(path: Path | None = None) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Read an archive; None: the embedded set of 200 identities x 14 images of 56 x 56 pixels.

    Returns images (n, S, S, 3) uint8, labels (n,) int64 in identity order, and the nuisance parameters: each name of
    NUISANCE -> (n,) float32. Raises InputError for a missing or damaged file or one of another format.
    """
    path = Path(path or EMBEDDED)
    try:
        with zipfile.ZipFile(path) as archive:
            pictures, nuisance, meta = _read(archive)
    except FileNotFoundError:
        raise InputError(f"no such file: '{path}'; render one with: workbench data render") from None
    except Exception as error:  # zip, zlib, json, numpy and Pillow raise many exception types
        raise InputError(f"'{path}' is not a readable archive of heads ({error}); render it again") from None
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
    """Render a data set into the archive `out` and return its path. Needs the extra `synth`, but no display.

    size: image side in pixels. Finished identities are stored in the folder `out` + ".part", so an interrupted call can
    be repeated and continues; progress(done, identities) is called after each. The same settings give the same bytes
    with the same versions of VTK and Pillow. Raises InputError for settings out of range, an existing `out`, a part
    folder with different settings, or a missing pyvista.
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
    with HeadRenderer(head_model(), size) as renderer:
        part = out.with_name(out.name + ".part")
        settings = {"format": FORMAT, "images": images, "size": size, "seed": seed, "vtk": renderer.vtk_version}
        _begin_part(part, settings)
        for k in range(identities):
            if not (file := part / f"{k:04d}.zip").exists():
                write(file, partial(_render_identity, renderer=renderer, k=k, images=images, seed=seed))
            if progress:
                progress(k + 1, identities)
    meta = {"identities": identities, **settings, "nuisance": dict(NUISANCE)}
    write(out, partial(_merge_parts, part=part, meta=meta))
    shutil.rmtree(part)
    return out


def _read(archive: zipfile.ZipFile) -> tuple[np.ndarray, np.ndarray, dict]:
    """Images, nuisance values and meta.json of an open archive. Raises any exception type if it is damaged."""
    meta = json.loads(archive.read("meta.json"))
    identities, images, size = (meta[key] for key in ("identities", "images", "size"))
    count = sum(name.endswith(".webp") for name in archive.namelist())
    if identities * images != count or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"meta.json lists {identities} x {images} images of {size} px, the archive holds {count}")
    pictures = np.empty((identities, images, size, size, 3), np.uint8)
    for k, j in np.ndindex(identities, images):
        with Image.open(io.BytesIO(archive.read(_image_name(k, j))), formats=["WEBP"]) as image:
            if image.size != (size, size):
                raise ValueError(
                    f"{_image_name(k, j)} is {image.size[0]} x {image.size[1]} px instead of {size} x {size}"
                )
            pictures[k, j] = image.convert("RGB")
    return pictures.reshape(-1, size, size, 3), _read_nuisance(archive, count), meta


def _begin_part(part: Path, settings: dict) -> None:
    """Create the part folder, or check that an existing one has the same settings. Raises InputError."""
    file = part / "settings.json"
    part.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        if any(part.iterdir()):  # the folder is removed at the end
            raise InputError(
                f"'{part}' holds other files, not an unfinished render; choose another name than '{part.stem}'"
            )
        write(file, lambda target: target.write_text(json.dumps(settings)))
    existing = json.loads(file.read_text())
    for name, value in settings.items():
        if existing.get(name) != value:
            raise InputError(
                f"'{part}' was rendered with {name} {existing.get(name)}, not {value}: use that or delete the folder"
            )


def _render_identity(target: Path, renderer: HeadRenderer, k: int, images: int, seed: int) -> None:
    """Render all images of one identity into an archive."""
    renderer.wear(random_appearance(renderer.model, image_rng(seed, k)))
    values = []
    with zipfile.ZipFile(target, "w") as archive:
        for j in range(images):
            rng = image_rng(seed, k, j)
            nuisance = random_nuisance(renderer.model, rng)
            encoded = io.BytesIO()
            Image.fromarray(renderer.render_image(nuisance, rng)).save(encoded, "webp", quality=QUALITY)
            archive.writestr(_zip_entry(_image_name(k, j)), encoded.getvalue())
            values.append(nuisance.values())
        _write_nuisance(archive, np.array(values, np.float32))


def _merge_parts(target: Path, part: Path, meta: dict) -> None:
    """Merge the archives of all identities."""
    values = []
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_zip_entry("meta.json"), json.dumps(meta, indent=1))
        for k in range(meta["identities"]):
            with zipfile.ZipFile(part / f"{k:04d}.zip") as identity:
                for j in range(meta["images"]):
                    archive.writestr(_zip_entry(_image_name(k, j)), identity.read(_image_name(k, j)))
                values.append(_read_nuisance(identity, meta["images"]))
        _write_nuisance(archive, np.concatenate(values))


def image_rng(seed: int, k: int, j: int = -1) -> np.random.Generator:
    """Random generator of identity k, or of its image j."""
    # j + 1: numpy ignores trailing zeros of a seed list
    return np.random.default_rng([seed, k, j + 1])


def _image_name(k: int, j: int) -> str:
    return f"{k:04d}/{j:02d}.webp"


def _zip_entry(name: str) -> zipfile.ZipInfo:
    """A zip entry with a fixed date, so that equal content gives equal bytes."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _write_nuisance(archive: zipfile.ZipFile, values: np.ndarray) -> None:
    encoded = io.BytesIO()
    np.save(encoded, values, allow_pickle=False)
    archive.writestr(_zip_entry("nuisance.npy"), encoded.getvalue())


def _read_nuisance(archive: zipfile.ZipFile, images: int) -> np.ndarray:
    values = np.load(io.BytesIO(archive.read("nuisance.npy")), allow_pickle=False)
    if values.shape != (images, len(NUISANCE)) or values.dtype != np.float32:
        raise ValueError(f"nuisance.npy is {values.dtype} {values.shape}, not float32 {(images, len(NUISANCE))}")
    return values
