"""Shared operations on numpy arrays: normalization of rows, and blocks of rows of bounded size."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.core.errors import InputError

CHUNK = 1 << 24  # elements of a block of a matrix product: 64 MiB in float32
SAFE = (1e-15, 1e15)  # norms whose squares neither overflow nor underflow in float32


def as_array(a: Any) -> np.ndarray:
    """Convert an array, list or tensor to a numpy array. Raises InputError if it cannot be converted."""
    if hasattr(a, "detach"):  # a torch tensor; numpy has no bfloat16
        a = a.detach().cpu()
        a = a.float() if a.is_floating_point() else a
    try:
        return a if isinstance(a, np.ndarray) else np.asarray(a)
    except ValueError as error:
        raise InputError(f"not an array: {' '.join(str(error).split())}") from None


def rescale_extreme(a: np.ndarray) -> np.ndarray:
    """Multiply the vectors of a (..., D) whose squared norm would overflow or underflow by a power of two.

    Directions do not change. All other vectors are bitwise unchanged.
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
    """Normalize the rows of x (n, D) to unit length, in float32 if that holds the input's type, else in float64.

    Raises InputError if x is not a matrix of numbers or if a row is zero or not finite; the message names that row.
    """
    x = as_array(x)
    if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fiub":
        raise InputError(
            f"{name} has shape {x.shape} and type {x.dtype}; a matrix of numbers (rows, dimensions) is needed"
        )
    # Squares in float64: in float32 the squares of small entries underflow to zero.
    norms = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
    bad = np.flatnonzero(~((norms > 0) & np.isfinite(norms)))
    if bad.size:
        raise InputError(f"{name} row {bad[0]} has norm {norms[bad[0]]}; a cosine needs a finite norm above zero")
    unit = np.empty(x.shape, dtype=np.result_type(x, np.float32))
    return np.divide(x, norms[:, None], out=unit, casting="same_kind")


def chunks(rows: int, width: int) -> Iterator[slice]:
    """Consecutive slices of `rows` rows; a slice times `width` columns has at most about CHUNK elements."""
    step = max(1, CHUNK // width)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def unit(a: np.ndarray) -> np.ndarray:
    """Normalize vectors (..., D) to unit length; a zero vector stays zero."""
    a = rescale_extreme(a)
    return a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), np.finfo(a.dtype).tiny)
