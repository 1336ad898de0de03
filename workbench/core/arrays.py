"""Operations on numpy arrays that measurements share: rows of unit length, and blocks of rows of bounded size."""

from collections.abc import Iterator

import numpy as np

from workbench.core.errors import InputError

CHUNK = 1 << 24  # numbers held at once by a product of embeddings: 64 MiB in float32


def unit_rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows of `x` (n, D) scaled to length one, in float32 where that holds the input's type and in float64 elsewhere.

    Raises InputError, naming the first row at fault, where a row is zero or not finite, and where `x` is not a matrix.
    """
    x = np.asarray(x)
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
