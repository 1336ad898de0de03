"""Operations on numpy arrays that measurements share: rows of unit length, and blocks of rows of bounded size."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.core.errors import InputError

CHUNK = 1 << 24  # numbers held at once by a product of embeddings: 64 MiB in float32
SAFE = (1e-15, 1e15)  # lengths whose squares float32 sums without overflow or underflow


def as_array(a: Any) -> np.ndarray:
    """An array, list or tensor as a numpy array; InputError for what is none."""
    if hasattr(a, "detach"):  # a torch tensor; numpy has no bfloat16
        a = a.detach().cpu()
        a = a.float() if a.is_floating_point() else a
    try:
        return a if isinstance(a, np.ndarray) else np.asarray(a)
    except ValueError as error:
        raise InputError(f"not an array: {' '.join(str(error).split())}") from None


def in_safe_range(a: np.ndarray) -> np.ndarray:
    """Vectors (..., D) of which those whose squares would overflow or underflow are multiplied by a power of two.

    The directions stay the same; all other vectors keep their bits.
    """
    if a.dtype.kind != "f":
        return a
    with np.errstate(over="ignore", under="ignore"):
        length = np.linalg.norm(a, axis=-1, keepdims=True)
    outside = ~((length > SAFE[0]) & (length < SAFE[1]))
    if not outside.any():
        return a
    largest = np.abs(a).max(axis=-1, keepdims=True)
    limit = np.finfo(a.dtype).maxexp - 2
    exponent = np.clip(np.frexp(largest)[1], -limit, limit)
    outside &= (largest > 0) & np.isfinite(largest)
    return a * np.where(outside, np.ldexp(np.ones_like(largest), -exponent), np.ones_like(largest))


def unit_rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows of `x` (n, D) scaled to length one, in float32 where that holds the input's type and in float64 elsewhere.

    Raises InputError, naming the first row at fault, where a row is zero or not finite, and where `x` is not a matrix.
    """
    x = as_array(x)
    if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fiub":
        raise InputError(
            f"{name} has shape {x.shape} and type {x.dtype}; a matrix of numbers (rows, dimensions) is needed"
        )
    # Squares in float64: in float32 the norm of a short but healthy row would underflow to zero.
    norms = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
    bad = np.flatnonzero(~((norms > 0) & np.isfinite(norms)))
    if bad.size:
        raise InputError(f"{name} row {bad[0]} has norm {norms[bad[0]]}; a cosine needs a finite norm above zero")
    unit = np.empty(x.shape, dtype=np.result_type(x, np.float32))
    return np.divide(x, norms[:, None], out=unit, casting="same_kind")


def chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices that cover `rows` rows in order, so that each holds at most about CHUNK numbers of `width` a row."""
    step = max(1, CHUNK // width)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def unit(a: np.ndarray) -> np.ndarray:
    """Directions of vectors (..., D), or (D,); a zero vector stays zero."""
    a = in_safe_range(a)
    return a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), np.finfo(a.dtype).tiny)
