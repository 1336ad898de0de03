"""Conversion of pixel arrays and PIL images to square 8-bit RGB, with notes on the assumed value range."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.core.errors import InputError

BACKGROUND = (128, 128, 128, 255)  # color behind transparent pixels
OVERSHOOT = 0.1  # fraction of the range by which interpolation may exceed it; such values are clipped
ORIENTATION = 0x0112  # EXIF tag
TURNS = dict(zip(range(2, 9), (Image.Transpose(i) for i in (0, 3, 1, 5, 4, 6, 2)), strict=True))
DEEP = 4096  # 16-bit values below this use at most 12 bits, so their scale is ambiguous


def to_bytes(images: np.ndarray, source: str) -> tuple[np.ndarray, list[str]]:
    """Convert pixel values (n, ...) to uint8, with notes on the assumed range.

    Raises InputError, prefixed with `source`, for an ambiguous or invalid range: NaN, values outside 0..255, a
    floating-point maximum between 1 and 2, images of different ranges, 16-bit arrays that use 9 to 12 bits.
    """
    images = images.astype(images.dtype.newbyteorder("="), copy=False)
    low, high = images.min(), images.max()
    if images.dtype.kind == "f":
        return float_to_bytes(images, source, float(low), float(high))
    if images.dtype == np.uint16 and high > 255:
        if high < DEEP:
            raise InputError(
                f"{source}: images has 16-bit values up to {high}, which use 12 bits or fewer; scale them to 0..255 or"
                " 0..65535"
            )
        return np.rint(images / 257).astype(np.uint8), ["16-bit values scaled to 0..255"]
    if not (low >= 0 and high <= 255):
        raise InputError(f"{source}: images has values from {low:g} to {high:g}; they must lie in 0..1 or 0..255")
    if high <= 1:
        return images.astype(np.uint8) * np.uint8(255), ["values 0..1 scaled to 0..255"]
    notes = [] if images.dtype == np.uint8 else [f"{images.dtype} values, range 0..255 assumed"]
    return images.astype(np.uint8), notes


def float_to_bytes(images: np.ndarray, source: str, low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Convert floating-point pixel values to uint8. The range, 0..1 or 0..255, is determined from the entire set."""
    top = 1.0 if high <= 1 + OVERSHOOT else 255.0
    if not (low >= -OVERSHOOT * top and high <= top * (1 + OVERSHOOT)):  # NaN fails too
        raise InputError(f"{source}: images has values from {low:g} to {high:g}; they must lie in 0..1 or 0..255")
    if high < 2 and top == 255:
        raise InputError(f"{source}: images has values up to {high:g}, so neither 0..1 nor 0..255; scale or clip them")
    if top == 255:
        check_one_range(images, source)
    beyond = int(np.count_nonzero((images < 0) | (images > top)))
    note = "values 0..1 scaled to 0..255" if top == 1 else "floating-point values, range 0..255 assumed"
    clipped = [f"values outside 0..{top:g} clipped: {beyond} (from {low:.9g} to {high:.9g})"] if beyond else []
    scale = np.float32(255 / top)
    return np.rint(np.clip(images, 0, top) * scale).astype(np.uint8), [note, *clipped]


def check_one_range(images: np.ndarray, source: str) -> None:
    """Check that no image of a set in 0..255 has mostly fractional values in 0..1. Raises InputError."""
    for i, image in enumerate(images):
        small = (image > 0) & (image <= 1 + OVERSHOOT)
        fractions = np.count_nonzero(small & (image != np.rint(image)))
        if fractions and 2 * np.count_nonzero(small) > np.count_nonzero(image > 0):
            raise InputError(
                f"{source}: most values of image {i} lie in 0..1 (maximum {image.max():g}), but the set reaches"
                f" {images.max():g}; all images must be in 0..1 or in 0..255"
            )


def resize(arrays: np.ndarray, size: int, progress: Callable[[int, int], None] | None) -> np.ndarray:
    """Resize and pad uint8 images (n, H, W) or (n, H, W, 1, 3 or 4) to RGB (n, size, size, 3)."""
    if arrays.shape[1:] == (size, size, 3):
        return arrays
    if arrays.shape[3:] == (1,):
        arrays = arrays[..., 0]
    images = np.empty((len(arrays), size, size, 3), np.uint8)
    for i, array in enumerate(arrays):
        images[i] = pad_to_square(Image.fromarray(array), size)
        if progress:
            progress(i + 1, len(arrays))
    return images


def pad_to_square(image: Image.Image, size: int) -> Image.Image:
    """Resize a PIL image to size x size RGB; the shorter side is padded, transparent pixels become mid-gray."""
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode.startswith("I"):  # 16-bit gray; PIL reads a 16-bit PGM as 32-bit "I"
        gray = np.asarray(image)
        if not 0 <= gray.min() <= gray.max() <= 65535:
            raise ValueError("pixels of more than 16 bits")
        image = Image.fromarray(np.rint(gray / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    longer = max(image.size)
    width, height = (max(1, round(side * size / longer)) for side in image.size)
    pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    left, top = (size - width) // 2, (size - height) // 2
    edges = (top, size - height - top), (left, size - width - left), (0, 0)
    return Image.fromarray(np.pad(pixels, edges, mode="edge"))


def default_size(shorter_sides: Sequence[int]) -> int:
    """Default image side: the median of the shorter sides, clipped to 32..64; 32 without images."""
    return int(np.clip(np.median(shorter_sides), 32, 64)) if shorter_sides else 32


def uses_few_bits(image: Image.Image) -> bool:
    """Whether a 16-bit gray image uses only 9 to 12 bits; if its scale is 12-bit, it is read too dark."""
    return image.mode.startswith("I") and 255 < np.asarray(image).max() < DEEP


def apply_orientation(image: Image.Image) -> tuple[Image.Image, bool]:
    """Apply the EXIF orientation. Returns the image and whether the metadata were readable.

    With damaged metadata the image is returned unchanged.
    """
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # PIL's parsers raise many exception types
        return image, False
    return (image if turn is None else image.transpose(turn)), True


def decoding_error(error: Exception) -> str:
    """The one-line cause of an error of PIL, numpy or the operating system."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
