"""Bank: class centers and their momentum with sparse SGD steps, in memory or in a scratch file.

A step is O(active rows). Inactive rows are not updated and do not decay; their velocity is kept until they are active
again (as in the first version of Partial FC and in TFace; dense momentum is O(C) and moves classes by old batches).
"""

import math
import os
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from workbench.centers.options import RowOptions
from workbench.core.errors import InputError
from workbench.core.geometry import full, unit
from workbench.core.random import generator

# Storage types of rows and velocities. Velocities can be as small as gradients, which underflow in fp16.
DTYPES = {
    "fp16": (torch.float16, torch.bfloat16),
    "fp32": (torch.float32, torch.float32),
    "fp64": (torch.float64, torch.float64),
}
CHUNK = 16_384  # classes initialized, or written to a file, at a time


class Bank(nn.Module):
    """Rows (C, ...) and, with momentum, their velocities, both initially zero; arithmetic in float32 at least.

    v <- momentum v + (gradient + weight_decay row);  row <- row - lr v  (nesterov: - lr (gradient + momentum v)),
    as torch.optim.SGD; then rows are normalized if options.renormalize. Rows in fp16 are rounded stochastically: with
    rounding to nearest, steps smaller than half an ulp would have no effect.

    host: rows stay in CPU memory when the module is moved to a device. With options.folder they are memory-mapped from
    a scratch file there, which has no name and disappears with the process; checkpoints copy the rows. Raises
    InputError if the folder cannot hold them.
    """

    def __init__(self, shape: tuple[int, ...], options: RowOptions, host: bool = False) -> None:
        super().__init__()
        self.options, self.host = options, host or options.folder is not None
        rows, velocity = DTYPES[options.precision]
        self.register_buffer("rows", allocate(shape, rows, options.folder))
        self.register_buffer("velocity", allocate(shape, velocity, options.folder) if options.momentum else None)

    def gather(self, ids: Tensor) -> Tensor:
        """A copy (n, ...) of the rows of classes ids (n,), in float32 at least."""
        return full(self.rows.index_select(0, ids.to(self.rows.device)))

    @torch.no_grad()
    def update(self, ids: Tensor, grad: Tensor, lr: float, rng: torch.Generator) -> None:
        """One SGD step of the rows of distinct classes ids (n,) with gradients grad (n, ...); rng: rounding to fp16."""
        ids, options = ids.to(self.rows.device), self.options
        rows = self.gather(ids)
        grad = grad.to(rows).view_as(rows).add(rows, alpha=options.weight_decay)
        if self.velocity is not None:
            v = full(self.velocity.index_select(0, ids)).mul_(options.momentum).add_(grad)
            self.velocity.index_copy_(0, ids, v.to(self.velocity.dtype))
            grad = grad.add_(v, alpha=options.momentum) if options.nesterov else v
        self.write(ids, rows.add_(grad, alpha=-lr), rng)

    @torch.no_grad()
    def write(self, ids: Tensor, rows: Tensor, rng: torch.Generator) -> None:
        """Replace the rows of classes ids (n,) by rows (n, ...)."""
        rows = unit(rows)[0] if self.options.renormalize else rows
        rows = round_to_fp16(rows, rng) if self.rows.dtype == torch.float16 else rows.to(self.rows.dtype)
        self.rows.index_copy_(0, ids.to(self.rows.device), rows.to(self.rows.device))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        return self if self.host else super()._apply(fn, recurse)


def round_to_fp16(values: Tensor, rng: torch.Generator) -> Tensor:
    """Stochastic, unbiased rounding from float32 to fp16; values that fp16 represents exactly are unchanged."""
    n = values.numel()
    noise = torch.empty(-(-n // 4), dtype=torch.long).random_(generator=rng).view(torch.int16)[:n]
    up = noise.bitwise_and_((1 << 13) - 1).view(values.shape).to(values.device)
    bits = values.contiguous().view(torch.int32)  # fp16 drops the last 13 bits
    return bits.add(up).bitwise_and_(-(1 << 13)).view(torch.float32).half()


def fill_centers(rows: Tensor, seed: int, start: int = 0, classes: int | None = None) -> None:
    """Fill rows (n, sub, D) with the initial centers of FullCenters: random directions with norms near 1.

    The rows are those of classes start, start + 1, ... out of `classes` (default: n).
    """
    rng, stop = generator(seed, "centers"), start + len(rows)
    for first in range(0, stop, CHUNK):
        part = torch.randn(min(CHUNK, (classes or stop) - first), *rows.shape[1:], generator=rng)
        low, high = max(first, start), min(first + len(part), stop)
        if low < high:
            rows[low - start : high - start] = part[low - first : high - first] / rows.shape[-1] ** 0.5


def allocate(shape: tuple[int, ...], dtype: torch.dtype, folder: str | os.PathLike | None = None) -> Tensor:
    """Zeros in memory, or in an unnamed file in `folder`. Raises InputError if the folder cannot hold them."""
    if folder is None:
        return torch.zeros(shape, dtype=dtype)
    row = math.prod(shape[1:]) * dtype.itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for start in range(0, shape[0], CHUNK):  # not a sparse file: a full disk is an error now, not in a step
                file.write(bytes(row * min(CHUNK, shape[0] - start)))
            file.flush()
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=(row * shape[0],))).view(dtype).view(shape)
    except OSError as error:
        raise InputError(f"cannot write {row * shape[0] / 2**20:.0f} MiB of centers to {folder}: {error}") from None


def sample_others(classes: int, n: int, excluded: Tensor, rng: torch.Generator) -> Tensor:
    """At most n distinct classes in any order, uniformly sampled from those not in excluded (P,), which is sorted.

    The cost is O(n + P), not O(C).
    """
    free = classes - len(excluded)
    n = max(0, min(n, free))
    if 16 * n > free:
        ranks = torch.randperm(free, generator=rng)[:n]
    else:
        ranks = torch.zeros(0, dtype=torch.long)
        while len(ranks) < n:  # duplicates count once and no sample is discarded, so the result is uniform
            more = torch.randint(0, free, (n - len(ranks),), generator=rng)
            ranks = torch.cat([ranks, more]).unique()
    # excluded[i] - i free classes lie below the i-th excluded one; ranks count free classes
    return ranks + torch.searchsorted(excluded - torch.arange(len(excluded)), ranks, right=True)
