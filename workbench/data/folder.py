"""Reading of a folder of images with one sub-folder for each identity."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.data.pixels import apply_orientation, decoding_error, default_size, pad_to_square, uses_few_bits

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"}
NOTES = {".txt", ".md", ".csv", ".json", ".xml", ".ini", ".db"}  # suffixes of non-image files that are ignored silently
# Files are decoded by content, not by suffix. Formats that execute code (EPS) are excluded.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
NAMED = 3  # maximum broken files named in a message


def load_folder(
    root: Path, source: str, size: int | None, skip_broken: bool, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Images (n, S, S, 3) uint8, labels (n,) int64, identity names, paths (n,) relative to `root`, and notes.

    See `images.load`. Raises InputError, prefixed with `source`, for a folder without readable images or with broken
    ones.
    """
    files, notes = _image_files(root, source)
    with warnings.catch_warnings():
        # PIL warns of odd metadata, which is irrelevant here, and of huge images, which must not be decoded.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        size = size or default_size(_shorter_sides(files))
        images, broken, padded = np.empty((len(files), size, size, 3), np.uint8), {}, 0
        damaged, dark = [], []
        for i, path in enumerate(files):
            try:
                with _open(path) as image:
                    oriented, readable = apply_orientation(image)
                    images[i] = pad_to_square(oriented, size)
                    padded += image.width != image.height
                    damaged += [] if readable else [path]
                    dark += [path] if uses_few_bits(image) else []
            except Exception as error:  # PIL's decoders raise many exception types
                broken[i] = f"{_display_path(path, root)} ({decoding_error(error)})"
            if progress:
                progress(i + 1, len(files))

    if broken:
        count = f"{len(broken)} of {len(files)} image files"
        listed = "; ".join(list(broken.values())[:NAMED]) + ("; ..." if len(broken) > NAMED else "")
        if len(broken) == len(files):
            raise InputError(f"{source}: no readable image; broken: {listed}")
        if not skip_broken:
            raise InputError(f"{source}: {count} cannot be read: {listed}; use --skip-broken to skip them")
        notes.append(f"{count} skipped: {listed}")
    if padded:
        notes.append(f"non-square images, padded with edge pixels: {padded}")
    notes += _count_notes((damaged, "images with damaged metadata, EXIF orientation ignored"), root=root)
    notes += _count_notes(
        (dark, "16-bit images that use 12 bits or fewer, read as 16-bit and therefore dark"), root=root
    )
    good = [i for i in range(len(files)) if i not in broken]
    images = images[good] if broken else images
    # Only folders with readable files are numbered: an identity whose files are all broken gets no label.
    names, labels = np.unique([files[i].parent.name for i in good], return_inverse=True)
    paths = np.array([files[i].relative_to(root).as_posix() for i in good])
    return images, labels.astype(np.int64), tuple(map(str, names)), paths, tuple(notes)


def _image_files(root: Path, source: str) -> tuple[list[Path], list[str]]:
    """Image files in the sub-folders, sorted, and notes on skipped files; hidden files are skipped without a note."""
    if not root.is_dir():
        raise InputError(f"{source}: {'not a folder' if root.exists() else 'no such folder'}")
    home = Path(os.path.realpath(root))

    def entries(folder: Path) -> list[Path]:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))

    def is_image(entry: Path) -> bool:
        return entry.suffix.lower() in SUFFIXES and not entry.is_dir()

    def is_other(entry: Path) -> bool:
        return entry.suffix.lower() not in NOTES and not entry.is_dir()

    def leaves(entry: Path) -> bool:
        return not Path(os.path.realpath(entry)).is_relative_to(home)

    files, outside, empty, others = [], [], [], []
    try:
        top = entries(root)
        for folder in filter(Path.is_dir, top):
            if leaves(folder):
                outside.append(folder)
                continue
            inside = entries(folder)
            images = list(filter(is_image, inside))
            others += [entry for entry in inside if entry not in images and is_other(entry)]
            for image in images:
                (outside if leaves(image) else files).append(image)
            if not images:
                empty.append(folder)
    except OSError as error:
        raise InputError(f"{source}: {error.filename!r}: {decoding_error(error)}") from None
    notes = _count_notes(
        (outside, "links that leave the folder, not followed"),
        (others, f"files with other suffixes, skipped ({_count_suffixes(others)})"),
        (empty, "sub-folders without images"),
        (list(filter(is_image, top)), "images outside the sub-folders, skipped"),
        root=root,
    )
    if not files:
        skipped = f"; found: {'; '.join(notes)}" if notes else ""
        raise InputError(f"{source}: no image in a sub-folder; one sub-folder for each identity is needed{skipped}")
    return files, notes


def _count_notes(*groups: tuple[list[Path], str], root: Path) -> list[str]:
    """A note for each non-empty group of files: its description, the count and the first file."""
    return [
        f"{what}: {len(paths)} ({_display_path(paths[0], root)}{', ...' if len(paths) > 1 else ''})"
        for paths, what in groups
        if paths
    ]


def _count_suffixes(files: Sequence[Path]) -> str:
    """Count files by suffix, most frequent first, such as '.avif 2, .heic 1'."""
    counts = Counter(path.suffix.lower() or "none" for path in files).most_common(NAMED)
    return ", ".join(f"{ascii(suffix)[1:-1][:20]} {count}" for suffix, count in counts)


def _open(path: Path) -> Image.Image:
    if not path.is_file():  # reading a pipe would block; a link may be broken
        raise OSError("not a file")
    return Image.open(path, formats=FORMATS)


def _shorter_sides(files: Sequence[Path]) -> list[int]:
    """Shorter sides in pixels from the file headers; unreadable files are skipped here and reported by decoding."""
    sides = []
    for path in files:
        with suppress(Exception), _open(path) as image:  # PIL's decoders raise many exception types
            sides.append(min(image.size))
    return sides


def _display_path(path: Path, root: Path) -> str:
    """A path relative to root for a message, on one line for any characters."""
    return repr(path.relative_to(root).as_posix())
