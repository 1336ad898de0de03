"""Images of identities from any source the workbench reads, as one array of square RGB images and one of labels.

The sources: `heads` (the embedded synthetic identities), `heads:FILE.zip` (an own render), `digits` (scikit-learn's),
`folder:PATH` (one sub-folder an identity) and `npz:PATH` (arrays `images` and `labels`).

Every image ends up S x S: its longer side is scaled to S (bicubic, with antialiasing) and the shorter one is filled up
with its edge pixels, so that shapes are never stretched and nothing is cut off. What loading changed or left out is
said in `ImageSet.notes`.
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
from workbench.data.pixels import few_bits, resized, square, to_bytes, upright, usual_size

SPECS = ("heads", "heads:FILE.zip", "digits", "folder:PATH", "npz:PATH")
SIZES = (8, 512)  # pixels a side: the range of `size`
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"}
NOTES = {".txt", ".md", ".csv", ".json", ".xml", ".ini", ".db"}  # endings of files beside images that are no images
# A file is decoded by its content, whatever its suffix says; formats that run programs (EPS) are not among these.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
NAMED = 3  # broken files named in a message; the others are counted


@dataclass(frozen=True)
class ImageSet:
    """Images with the identity of each.

    images: (n, S, S, 3) uint8 RGB.  labels: (n,) int64 in 0..C-1.  names: the C identities' names.  source: the spec it
    was loaded from.  extra: further values per image, (n,) each (the nuisance of synthetic heads; `path`, the files of
    a folder).  notes: one sentence for each thing that loading changed, left out or found worth knowing.

    Raises InputError when the shapes or the labels do not fit together.
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
        """C, the number of identities."""
        return len(self.names)

    @property
    def size(self) -> int:
        """S, the side of every image in pixels."""
        return self.images.shape[1]

    def take(self, indices: np.ndarray) -> "ImageSet":
        """The images at these positions, in this order; their identities are renumbered 0..k-1, in order."""
        identities, labels = np.unique(self.labels[indices], return_inverse=True)
        return replace(
            self,
            images=self.images[indices],
            labels=labels.astype(np.int64),
            names=tuple(self.names[i] for i in identities),
            extra={name: values[indices] for name, values in self.extra.items()},
        )

    def of(self, identities: Sequence[int] | np.ndarray) -> "ImageSet":
        """All images of these identities, renumbered 0..k-1, in order: one side of an identity-disjoint split.

        Raises InputError for an identity outside 0..C-1.
        """
        strangers = np.setdiff1d(identities, np.arange(self.classes))
        if len(strangers):
            raise InputError(f"{self.source}: no identity {strangers[0]}; there are 0..{self.classes - 1}")
        return self.take(np.flatnonzero(np.isin(self.labels, identities)))


def load(spec: str, size: int | None = None, skip_broken: bool = False, progress: Progress | None = None) -> ImageSet:
    """Load the images that `spec` names (the module's first lines list the forms).

    size: the side S in pixels. Default: `heads` as rendered, `digits` 32, others the median shorter side in 32..64.
    skip_broken: leave out image files that cannot be read, and say so in the notes, instead of stopping.
    progress: called as progress(done, total) after each image that is read or resized.

    Images are turned as their EXIF orientation says; grey becomes RGB; transparent pixels show mid-grey; 16-bit values
    become 8-bit (v / 257); only the first frame of an animation is read.

    Raises InputError for an unknown spec, a size out of range, data that is missing, broken or of the wrong form, and
    fewer than two identities.
    """
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"size {size} is out of range; images are {SIZES[0]} to {SIZES[1]} pixels a side")
    kind, colon, place = spec.partition(":")
    path = Path(os.path.expanduser(place))
    if spec in ("folder", "npz") or (colon and not place):
        raise InputError(f"data '{spec}' lacks its path; the known forms are {', '.join(SPECS)}")
    if kind == "heads":
        loaded = _heads(path if place else None, spec, size, progress)
    elif spec == "digits":
        loaded = _digits(size, progress)
    elif kind == "folder":
        loaded = _folder(path, spec, size, skip_broken, progress)
    elif kind == "npz":
        loaded = _npz(path, spec, size, progress)
    else:
        raise unknown("data", spec, SPECS)

    if loaded.classes < 2:
        raise InputError(f"{spec}: only {loaded.classes} identity ({loaded.names[0]!r}); at least two are needed")
    if single := np.count_nonzero(np.bincount(loaded.labels) == 1):
        note = f"identities with a single image, which forms no genuine pair: {single} of {loaded.classes}"
        loaded = replace(loaded, notes=(*loaded.notes, note))
    return replace(loaded, notes=(*loaded.notes, *_alike(loaded.names)))


def _heads(path: Path | None, source: str, size: int | None, progress: Progress | None) -> ImageSet:
    from workbench.data.heads import load_heads

    images, labels, nuisance = load_heads(path)
    names = tuple(f"head {i}" for i in range(labels.max() + 1))
    return ImageSet(resized(images, size or images.shape[1], progress), labels, names, source, nuisance)


def _digits(size: int | None, progress: Progress | None) -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 8 x 8 pixels, values 0..16
    images = resized(images, size or 32, progress)
    notes = (f"8 x 8 pixels enlarged to {images.shape[1]} x {images.shape[1]}",)
    return ImageSet(images, digits.target.astype(np.int64), tuple("0123456789"), "digits", notes=notes)


def _folder(root: Path, source: str, size: int | None, skip_broken: bool, progress: Progress | None) -> ImageSet:
    files, notes = _image_files(root, source)
    with warnings.catch_warnings():
        # PIL warns of odd metadata, which does not matter here, and of huge images, which must not be decoded.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        size = size or usual_size(_shorter_sides(files))
        images, broken, padded = np.empty((len(files), size, size, 3), np.uint8), {}, 0
        damaged, dark = [], []
        for i, path in enumerate(files):
            try:
                with _open(path) as image:
                    turned, readable = upright(image)
                    images[i] = square(turned, size)
                    padded += image.width != image.height
                    damaged += [] if readable else [path]
                    dark += [path] if few_bits(image) else []
            except Exception as error:  # PIL's decoders raise many kinds
                broken[i] = f"{_shown(path, root)} ({_reason(error)})"
            if progress:
                progress(i + 1, len(files))

    if broken:
        count = f"{len(broken)} of {len(files)} image files"
        listed = "; ".join(list(broken.values())[:NAMED]) + ("; ..." if len(broken) > NAMED else "")
        if len(broken) == len(files):
            raise InputError(f"{source}: no readable image; broken: {listed}")
        if not skip_broken:
            raise InputError(f"{source}: {count} cannot be read: {listed}; --skip-broken leaves them out")
        notes.append(f"{count} skipped: {listed}")
    if padded:
        notes.append(f"images not square, filled up at the edges: {padded}")
    notes += _counted((damaged, "images with damaged metadata, not turned"), root=root)
    notes += _counted((dark, "16-bit images that use 12 bits or fewer, read as 16-bit and so dark"), root=root)
    good = [i for i in range(len(files)) if i not in broken]
    images = images[good] if broken else images
    # Only the folders of good files are numbered: an identity whose files are all broken has no label.
    names, labels = np.unique([files[i].parent.name for i in good], return_inverse=True)
    paths = np.array([files[i].relative_to(root).as_posix() for i in good])
    return ImageSet(images, labels.astype(np.int64), tuple(map(str, names)), source, {"path": paths}, tuple(notes))


def _npz(path: Path, source: str, size: int | None, progress: Progress | None) -> ImageSet:
    arrays, unreadable = _npz_arrays(path, source)
    images, labels = arrays.pop("images"), arrays.pop("labels")
    shapes = images.ndim >= 3 and images.shape[3:] in ((), (1,), (3,), (4,))
    if not shapes or not images.size or images.dtype.kind not in "biuf":
        form = "numbers of shape (n, H, W) or (n, H, W, 1, 3 or 4)"
        raise InputError(f"{source}: images is {images.dtype} {images.shape}; it must be {form}, n > 0")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iuUS":
        form = f"integers or strings of shape ({len(images)},), one an image"
        raise InputError(f"{source}: labels is {labels.dtype} {labels.shape}; it must be {form}")
    pixels, notes = to_bytes(images, source)
    if images.shape[1] != images.shape[2]:
        notes.append(f"images not square, filled up at the edges: {len(images)}")
    values, labels = np.unique(labels, return_inverse=True)
    names = tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    extra = {key: a for key, a in arrays.items() if a.shape == labels.shape and a.dtype.kind in "biuf"}
    left = sorted((arrays.keys() | unreadable.keys()) - extra.keys())
    if left:
        notes.append(f"arrays left out, not one number an image: {', '.join(left)}")
    pixels = resized(pixels, size or usual_size([min(images.shape[1:3])]), progress)
    return ImageSet(pixels, labels.astype(np.int64), names, source, extra, tuple(notes))


def _image_files(root: Path, source: str) -> tuple[list[Path], list[str]]:
    """The image files one level down, by folder and name, and notes on what was passed over; hidden files are not."""
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

    files, leaving, empty, others = [], [], [], []
    try:
        top = entries(root)
        for folder in filter(Path.is_dir, top):
            if leaves(folder):
                leaving.append(folder)
                continue
            inside = entries(folder)
            images = list(filter(is_image, inside))
            others += [entry for entry in inside if entry not in images and is_other(entry)]
            for image in images:
                (leaving if leaves(image) else files).append(image)
            if not images:
                empty.append(folder)
    except OSError as error:
        raise InputError(f"{source}: {error.filename!r}: {_reason(error)}") from None
    notes = _counted(
        (leaving, "links that leave the folder, not followed"),
        (others, f"files with other endings, left out ({_endings(others)})"),
        (empty, "sub-folders without an image of their own"),
        (list(filter(is_image, top)), "images outside the sub-folders, left out"),
        root=root,
    )
    if not files:
        found = f"; found: {'; '.join(notes)}" if notes else ""
        raise InputError(
            f"{source}: no image in a sub-folder; it must hold one sub-folder an identity, images in each{found}"
        )
    return files, notes


def _counted(*found: tuple[list[Path], str], root: Path) -> list[str]:
    """A note for each kind of file that there is: what it is, how many and the first of them."""
    return [
        f"{what}: {len(paths)} ({_shown(paths[0], root)}{', ...' if len(paths) > 1 else ''})"
        for paths, what in found
        if paths
    ]


def _endings(files: Sequence[Path]) -> str:
    """'.avif 2, .heic 1': how many files have each ending, the most frequent first."""
    counts = Counter(path.suffix.lower() or "none" for path in files).most_common(NAMED)
    return ", ".join(f"{ascii(ending)[1:-1][:20]} {count}" for ending, count in counts)


def _alike(names: Sequence[str]) -> list[str]:
    """A note where names of two identities are the same but for Unicode form, case or blanks around them."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()
        spellings.setdefault(plain, []).append(name)
    twice = [found for found in spellings.values() if len(found) > 1]
    if not twice:
        return []
    first = " and ".join(f"{name!r} ({len(name)} characters)" for name in twice[0][:2])
    what = "identities whose names differ only in Unicode form, case or blanks; each counts as another person"
    return [f"{what}: {len(twice)} ({first}{', ...' if len(twice) > 1 else ''})"]


def _open(path: Path) -> Image.Image:
    if not path.is_file():  # a pipe would be waited for; a link may lead nowhere
        raise OSError("not a file")
    return Image.open(path, formats=FORMATS)


def _shorter_sides(files: Sequence[Path]) -> list[int]:
    """In pixels, as the files' headers say; what cannot be read is left for decoding to report."""
    sides = []
    for path in files:
        with suppress(Exception), _open(path) as image:  # PIL's decoders raise many kinds
            sides.append(min(image.size))
    return sides


def _shown(path: Path, root: Path) -> str:
    """The path as a message shows it: below the root, on one line whatever characters it has."""
    return repr(path.relative_to(root).as_posix())


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _npz_arrays(path: Path, source: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of an npz archive, and why others are unreadable (objects would need pickle: it runs code)."""
    arrays, unreadable = {}, {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves it open
            for key in archive.files:
                try:
                    arrays[key] = np.asarray(archive[key])
                except Exception as error:  # zip, zlib and numpy raise many kinds
                    unreadable[key] = _reason(error)
    except Exception:
        raise InputError(f"{source}: {'not an npz archive' if path.exists() else 'no such file'}") from None
    for key in ("images", "labels"):
        if key in unreadable:
            raise InputError(f"{source}: array '{key}' is unreadable: {unreadable[key]}; store numbers or strings")
        if key not in arrays:
            held = ", ".join([*arrays, *unreadable]) or "nothing"
            raise InputError(f"{source}: no array '{key}'; it holds {held}")
    return arrays, unreadable
