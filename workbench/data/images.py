"""Loading of image data sets as one array of square RGB images and one array of labels.

Sources: `heads` (the embedded synthetic identities), `heads:FILE.zip` (a rendered set), `digits` (scikit-learn's),
`folder:PATH` (one sub-folder for each identity) and `npz:PATH` (arrays `images` and `labels`).

Images are resized to S x S: the longer side is scaled to S (bicubic, antialiased), the shorter side is padded with edge
pixels. There is no cropping and no change of the aspect ratio. `ImageSet.notes` lists what loading changed or skipped.
"""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from workbench.core.errors import InputError, unknown
from workbench.core.progress import Progress
from workbench.data.folder import load_folder
from workbench.data.pixels import decoding_error, default_size, resize, to_bytes

SPECS = ("heads", "heads:FILE.zip", "digits", "folder:PATH", "npz:PATH")
SIZES = (8, 512)  # range of `size`, in pixels


@dataclass(frozen=True)
class ImageSet:
    """Images with identity labels.

    images: (n, S, S, 3) uint8 RGB. labels: (n,) int64 in 0..C-1. names: of the C identities. source: the spec it was
    loaded from. extra: further values per image, (n,) each: the nuisance parameters of synthetic heads; `path`, the
    files of a folder. notes: one sentence for each change, omission or peculiarity in loading.

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
        images, labels, names, paths, notes = load_folder(path, spec, size, skip_broken, progress)
        loaded = ImageSet(images, labels, names, spec, {"path": paths}, notes)
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


def _read_npz(path: Path, source: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of an npz archive, and why others are unreadable (object arrays need pickle, which runs code)."""
    arrays, unreadable = {}, {}
    try:
        # path.open: np.load does not close a file that it opened if it fails.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                try:
                    arrays[key] = np.asarray(archive[key])
                except Exception as error:  # zip, zlib and numpy raise many exception types
                    unreadable[key] = decoding_error(error)
    except Exception:
        raise InputError(f"{source}: {'not an npz archive' if path.exists() else 'no such file'}") from None
    for key in ("images", "labels"):
        if key in unreadable:
            raise InputError(f"{source}: array '{key}' is unreadable: {unreadable[key]}; store numbers or strings")
        if key not in arrays:
            keys = ", ".join([*arrays, *unreadable]) or "nothing"
            raise InputError(f"{source}: no array '{key}'; it holds {keys}")
    return arrays, unreadable
