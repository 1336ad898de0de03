"""Pixel values of arrays and pictures as square 8-bit RGB images, and notes on how the values were read."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from workbench.core.errors import InputError

BACKGROUND = (128, 128, 128, 255)  # what shows through transparent pixels
OVERSHOOT = 0.1  # of the range: how far an interpolation may leave it; such values are clipped
ORIENTATION = 0x0112  # EXIF tag
TURNS = dict(zip(range(2, 9), (Image.Transpose(i) for i in (0, 3, 1, 5, 4, 6, 2)), strict=True))
DEEP = 4096  # 16-bit values that all lie below this use at most 12 bits: their scale is not known


def to_bytes(images: np.ndarray, source: str) -> tuple[np.ndarray, list[str]]:
    """Pixel values (n, ...) as uint8 in 0..255, with notes on the range that was taken.

    Raises InputError, which begins with `source`, for values whose range is not known: NaN, values outside 0..255,
    floats whose largest value lies between 1 and 2, images of different ranges, 16-bit arrays that use 9 to 12 bits.
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
    notes = [] if images.dtype == np.uint8 else [f"{images.dtype} values taken as 0..255"]
    return images.astype(np.uint8), notes


def float_to_bytes(images: np.ndarray, source: str, low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Floating-point pixel values as uint8. The range is 0..1 or 0..255 for the whole set, as its values show."""
    top = 1.0 if high <= 1 + OVERSHOOT else 255.0
    if not (low >= -OVERSHOOT * top and high <= top * (1 + OVERSHOOT)):  # written so that NaN fails too
        raise InputError(f"{source}: images has values from {low:g} to {high:g}; they must lie in 0..1 or 0..255")
    if high < 2 and top == 255:
        raise InputError(f"{source}: images has values up to {high:g}: neither 0..1 nor 0..255; scale or clip them")
    if top == 255:
        refuse_mixed(images, source)
    beyond = int(np.count_nonzero((images < 0) | (images > top)))
    taken = "values 0..1 scaled to 0..255" if top == 1 else "floating-point values taken as 0..255"
    clipped = [f"values outside 0..{top:g} clipped: {beyond} (from {low:.9g} to {high:.9g})"] if beyond else []
    scale = np.float32(255 / top)
    return np.rint(np.clip(images, 0, top) * scale).astype(np.uint8), [taken, *clipped]


def refuse_mixed(images: np.ndarray, source: str) -> None:
    """InputError where a set of values up to 255 holds an image of fractions in 0..1, or little else than those."""
    for i, image in enumerate(images):
        small = (image > 0) & (image <= 1 + OVERSHOOT)
        fractions = np.count_nonzero(small & (image != np.rint(image)))
        if fractions and 2 * np.count_nonzero(small) > np.count_nonzero(image > 0):
            raise InputError(
                f"{source}: most values of image {i} lie in 0..1 ({image.max():g} at most), while the set reaches"
                f" {images.max():g}; give all images in 0..1 or in 0..255"
            )


def resized(arrays: np.ndarray, size: int, progress: Callable[[int, int], None] | None) -> np.ndarray:
    """(n, H, W) or (n, H, W, 1, 3 or 4) uint8 -> (n, size, size, 3) uint8 RGB."""
    if arrays.shape[1:] == (size, size, 3):
        return arrays
    if arrays.shape[3:] == (1,):
        arrays = arrays[..., 0]
    images = np.empty((len(arrays), size, size, 3), np.uint8)
    for i, array in enumerate(arrays):
        images[i] = square(Image.fromarray(array), size)
        if progress:
            progress(i + 1, len(arrays))
    return images


def square(image: Image.Image, size: int) -> Image.Image:
    """Any PIL image as size x size RGB: transparent pixels on mid-grey, the shorter side filled up with edge pixels."""
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode.startswith("I"):  # 16-bit grey; PIL gives a 16-bit PGM as 32-bit "I"
        grey = np.asarray(image)
        if not 0 <= grey.min() <= grey.max() <= 65535:
            raise ValueError("pixels of more than 16 bits")
        image = Image.fromarray(np.rint(grey / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    longer = max(image.size)
    width, height = (max(1, round(side * size / longer)) for side in image.size)
    pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    left, top = (size - width) // 2, (size - height) // 2
    edges = (top, size - height - top), (left, size - width - left), (0, 0)
    return Image.fromarray(np.pad(pixels, edges, mode="edge"))


def usual_size(shorter_sides: Sequence[int]) -> int:
    """The default S for images with these shorter sides: their median, within 32..64."""
    return int(np.clip(np.median(shorter_sides), 32, 64)) if shorter_sides else 32


def few_bits(image: Image.Image) -> bool:
    """Whether a picture of 16-bit grey values uses only 9 to 12 bits: it may be 12-bit, and is then read too dark."""
    return image.mode.startswith("I") and 255 < np.asarray(image).max() < DEEP


def upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture turned as its EXIF orientation says, and whether its metadata could be read.

    Damaged metadata leave the pixels as they are stored.
    """
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # PIL's parsers raise many kinds
        return image, False
    return (image if turn is None else image.transpose(turn)), True
