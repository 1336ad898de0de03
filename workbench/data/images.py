"""Loading of image data sets as one array of square RGB images and one array of labels.

Sources: `heads` (the embedded synthetic identities), `heads:FILE.zip` (a rendered set), `digits` (scikit-learn's),
`folder:PATH` (one sub-folder for each identity) and `npz:PATH` (arrays `images` and `labels`).

Images are resized to S x S: the longer side is scaled to S (bicubic, antialiased), the shorter side is padded with edge
pixels. There is no cropping and no change of the aspect ratio. `ImageSet.notes` lists what loading changed or skipped.
"""

import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.core.errors import InputError, unknown
from workbench.core.progress import Progress
from workbench.data.pixels import apply_orientation, default_size, pad_to_square, resize, to_bytes, uses_few_bits

SPECS = ("heads", "heads:FILE.zip", "digits", "folder:PATH", "npz:PATH")
SIZES = (8, 512)  # range of `size`, in pixels
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"}
NOTES = {".txt", ".md", ".csv", ".json", ".xml", ".ini", ".db"}  # suffixes of non-image files that are ignored silently
# Files are decoded by content, not by suffix. Formats that execute code (EPS) are excluded.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
NAMED = 3  # maximum broken files named in a message


@dataclass(frozen=True)
class ImageSet:
    """Images with identity labels.

    images: (n, S, S, 3) uint8 RGB. labels: (n,) int64 in 0..C-1. names: of the C identities. source: the spec it was
    loaded from. extra: further values per image, (n,) each, such as the nuisance parameters of synthetic heads. notes:
    one sentence for each change, omission or peculiarity in loading.

    Raises InputError if shapes, types or label range are inconsistent.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    source: str
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images, labels, n = self.images, self.labels, len(self.labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (images.shape[1],) * 2 + (3,):
            raise InputError(f"{self.source}: images are {images.dtype} {images.shape}, not uint8 (n, S, S, 3)")
        if labels.dtype != np.int64 or labels.shape != (len(images),):
            raise InputError(f"{self.source}: labels are {labels.dtype} {labels.shape}, not int64 ({len(images)},)")
        if n and not 0 <= labels.min() <= labels.max() < self.classes:
            raise InputError(f"{self.source}: labels {labels.min()}..{labels.max()} are not in 0..{self.classes - 1}")
        for name, values in self.extra.items():
            if values.shape != (n,):
                raise InputError(f"{self.source}: extra '{name}' has shape {values.shape}, not ({n},)")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of identities C."""
        return len(self.names)

    @property
    def size(self) -> int:
        """Image side S in pixels."""
        return self.images.shape[1]

    def take(self, indices: np.ndarray) -> "ImageSet":
        """The images at these indices, in this order; identities are renumbered 0..k-1 in ascending order."""
        identities, labels = np.unique(self.labels[indices], return_inverse=True)
        return replace(
            self,
            images=self.images[indices],
            labels=labels.astype(np.int64),
            names=tuple(self.names[i] for i in identities),
            extra={name: values[indices] for name, values in self.extra.items()},
        )

    def of(self, identities: Sequence[int] | np.ndarray) -> "ImageSet":
        """All images of these identities, renumbered 0..k-1 in ascending order, such as one side of a split.

        Raises InputError for an identity outside 0..C-1.
        """
        unknown_ids = np.setdiff1d(identities, np.arange(self.classes))
        if len(unknown_ids):
            raise InputError(f"{self.source}: no identity {unknown_ids[0]}; there are 0..{self.classes - 1}")
        return self.take(np.flatnonzero(np.isin(self.labels, identities)))


def load(spec: str, size: int | None = None, skip_broken: bool = False, progress: Progress | None = None) -> ImageSet:
    """Load an image data set.

    spec: one of SPECS, see the module docstring. size: image side S in pixels; default: as rendered for `heads`, 32 for
    `digits`, else the median shorter side clipped to 32..64. skip_broken: skip unreadable image files with a note,
    instead of raising. progress: called as progress(done, total) after each image that is read or resized.

    The EXIF orientation is applied; gray becomes RGB; transparent pixels become mid-gray; 16-bit values become 8-bit
    (v / 257); only the first frame of an animation is read.

    Raises InputError for an unknown spec, a size out of range, missing, broken or malformed data, or fewer than two
    identities.
    """
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"size {size} is out of range; images are {SIZES[0]} to {SIZES[1]} pixels a side")
    kind, colon, location = spec.partition(":")
    path = Path(os.path.expanduser(location))
    if spec in ("folder", "npz") or (colon and not location):
        raise InputError(f"data '{spec}' lacks its path; the known forms are {', '.join(SPECS)}")
    if kind == "heads":
        loaded = _load_heads(path if location else None, spec, size, progress)
    elif spec == "digits":
        loaded = _load_digits(size, progress)
    elif kind == "folder":
        loaded = _load_folder(path, spec, size, skip_broken, progress)
    elif kind == "npz":
        loaded = _load_npz(path, spec, size, progress)
    else:
        raise unknown("data", spec, SPECS)

    if loaded.classes < 2:
        raise InputError(f"{spec}: only {loaded.classes} identity ({loaded.names[0]!r}); at least two are needed")
    if single := np.count_nonzero(np.bincount(loaded.labels) == 1):
        note = f"identities with a single image, so without a genuine pair: {single} of {loaded.classes}"
        loaded = replace(loaded, notes=(*loaded.notes, note))
    return replace(loaded, notes=(*loaded.notes, *_note_similar_names(loaded.names)))


def _load_heads(path: Path | None, source: str, size: int | None, progress: Progress | None) -> ImageSet:
    from workbench.data.heads import load_heads

    images, labels, nuisance = load_heads(path)
    names = tuple(f"head {i}" for i in range(labels.max() + 1))
    return ImageSet(resize(images, size or images.shape[1], progress), labels, names, source, nuisance)


def _load_digits(size: int | None, progress: Progress | None) -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 8 x 8 pixels, values 0..16
    images = resize(images, size or 32, progress)
    notes = (f"8 x 8 pixels enlarged to {images.shape[1]} x {images.shape[1]}",)
    return ImageSet(images, digits.target.astype(np.int64), tuple("0123456789"), "digits", notes=notes)


def _load_folder(root: Path, source: str, size: int | None, skip_broken: bool, progress: Progress | None) -> ImageSet:
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
                broken[i] = f"{_display_path(path, root)} ({_reason(error)})"
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
    return ImageSet(images, labels.astype(np.int64), tuple(map(str, names)), source, notes=tuple(notes))


def _load_npz(path: Path, source: str, size: int | None, progress: Progress | None) -> ImageSet:
    arrays, unreadable = _read_npz(path, source)
    images, labels = arrays.pop("images"), arrays.pop("labels")
    valid = images.ndim >= 3 and images.shape[3:] in ((), (1,), (3,), (4,))
    if not valid or not images.size or images.dtype.kind not in "biuf":
        form = "numbers of shape (n, H, W) or (n, H, W, 1, 3 or 4)"
        raise InputError(f"{source}: images is {images.dtype} {images.shape}; it must be {form} with n > 0")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iuUS":
        form = f"integers or strings of shape ({len(images)},)"
        raise InputError(f"{source}: labels is {labels.dtype} {labels.shape}; it must be {form}")
    pixels, notes = to_bytes(images, source)
    if images.shape[1] != images.shape[2]:
        notes.append(f"non-square images, padded with edge pixels: {len(images)}")
    values, labels = np.unique(labels, return_inverse=True)
    names = tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    extra = {key: a for key, a in arrays.items() if a.shape == labels.shape and a.dtype.kind in "biuf"}
    ignored = sorted((arrays.keys() | unreadable.keys()) - extra.keys())
    if ignored:
        notes.append(f"ignored arrays, not one number per image: {', '.join(ignored)}")
    pixels = resize(pixels, size or default_size([min(images.shape[1:3])]), progress)
    return ImageSet(pixels, labels.astype(np.int64), names, source, extra, tuple(notes))


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
        raise InputError(f"{source}: {error.filename!r}: {_reason(error)}") from None
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


def _note_similar_names(names: Sequence[str]) -> list[str]:
    """A note on identities whose names differ only in Unicode form, case or surrounding blanks."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()
        spellings.setdefault(plain, []).append(name)
    similar = [group for group in spellings.values() if len(group) > 1]
    if not similar:
        return []
    first = " and ".join(f"{name!r} ({len(name)} characters)" for name in similar[0][:2])
    what = "identities whose names differ only in Unicode form, case or blanks; each is a separate identity"
    return [f"{what}: {len(similar)} ({first}{', ...' if len(similar) > 1 else ''})"]


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


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _read_npz(path: Path, source: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of an npz archive, and why others are unreadable (object arrays need pickle, which runs code)."""
    arrays, unreadable = {}, {}
    try:
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):  # np.load does not close it on errors
            for key in archive.files:
                try:
                    arrays[key] = np.asarray(archive[key])
                except Exception as error:  # zip, zlib and numpy raise many exception types
                    unreadable[key] = _reason(error)
    except Exception:
        raise InputError(f"{source}: {'not an npz archive' if path.exists() else 'no such file'}") from None
    for key in ("images", "labels"):
        if key in unreadable:
            raise InputError(f"{source}: array '{key}' is unreadable: {unreadable[key]}; store numbers or strings")
        if key not in arrays:
            keys = ", ".join([*arrays, *unreadable]) or "nothing"
            raise InputError(f"{source}: no array '{key}'; it holds {keys}")
    return arrays, unreadable
