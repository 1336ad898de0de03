"""Bank: rows of class centers and their momentum, of which a step updates a few; in memory or in a scratch file.

A step is O(active rows): inactive rows neither move nor decay, and their velocity is kept until they are active again
(as in Partial FC's first version and in TFace; dense momentum would cost O(C) and move classes by old batches).
"""

import math
import os
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from workbench.core.errors import InputError, unknown
from workbench.core.geometry import full, unit
from workbench.core.random import generator

# Storage types of rows and velocities. Velocities can be as small as gradients, which fp16 would round to zero.
PRECISIONS = {
    "fp16": (torch.float16, torch.bfloat16),
    "fp32": (torch.float32, torch.float32),
    "fp64": (torch.float64, torch.float64),
}
CHUNK = 16_384  # classes drawn, or written to a file, at a time


class Bank(nn.Module):
    """Rows (C, ...) and, with momentum, their velocities, both zero at first; arithmetic is in float32 at least.

    v <- momentum v + (gradient + weight_decay row);  row <- row - lr v  (nesterov: - lr (gradient + momentum v)),
    as torch.optim.SGD, then at length 1 if renormalise. Rows stored in fp16 are rounded stochastically, in
    proportion to the distance: rounded to the nearest, a step smaller than half an ulp would never move them.

    host: the rows stay in the CPU's memory when the module is moved to a device. folder: they are mapped from a scratch
    file in it, which has no name and is gone with the process; what survives is what a checkpoint copied. Raises
    InputError where the folder cannot hold them.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        precision: str = "fp32",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        renormalise: bool = False,
        host: bool = False,
        folder: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        if not 0 <= momentum < 1:
            raise InputError(f"momentum = {momentum:g} of the centers is outside [0, 1)")
        if weight_decay < 0:
            raise InputError(f"weight_decay = {weight_decay:g} of the centers is below 0")
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        self.renormalise, self.host = renormalise, host or folder is not None
        rows, velocity = PRECISIONS[precision]
        self.register_buffer("rows", zeros(shape, rows, folder))
        self.register_buffer("velocity", zeros(shape, velocity, folder) if momentum else None)

    def gather(self, ids: Tensor) -> Tensor:
        """A copy (n, ...) of the rows of classes ids (n,), in float32 at least."""
        return full(self.rows.index_select(0, ids.to(self.rows.device)))

    @torch.no_grad()
    def move(self, ids: Tensor, grad: Tensor, lr: float, noise: torch.Generator) -> None:
        """One step of the rows of classes ids (n,), each once, by their gradients grad (n, ...); noise rounds fp16."""
        ids = ids.to(self.rows.device)
        rows = self.gather(ids)
        grad = grad.to(rows).view_as(rows).add(rows, alpha=self.weight_decay)
        if self.velocity is not None:
            v = full(self.velocity.index_select(0, ids)).mul_(self.momentum).add_(grad)
            self.velocity.index_copy_(0, ids, v.to(self.velocity.dtype))
            grad = grad.add_(v, alpha=self.momentum) if self.nesterov else v
        self.write(ids, rows.add_(grad, alpha=-lr), noise)

    @torch.no_grad()
    def write(self, ids: Tensor, rows: Tensor, noise: torch.Generator) -> None:
        """Replace the rows of classes ids (n,) by rows (n, ...)."""
        rows = unit(rows)[0] if self.renormalise else rows
        kept = rounded(rows, noise) if self.rows.dtype == torch.float16 else rows.to(self.rows.dtype)
        self.rows.index_copy_(0, ids.to(self.rows.device), kept.to(self.rows.device))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        return self if self.host else super()._apply(fn, recurse)


def rounded(values: Tensor, noise: torch.Generator) -> Tensor:
    """float32 to fp16, up with a probability that makes the mean right; a number that fp16 can hold stays as it is."""
    n = values.numel()
    drawn = torch.empty(-(-n // 4), dtype=torch.long).random_(generator=noise).view(torch.int16)[:n]
    up = drawn.bitwise_and_((1 << 13) - 1).view(values.shape).to(values.device)
    bits = values.contiguous().view(torch.int32)  # the last 13 of which fp16 has no room for
    return bits.add(up).bitwise_and_(-(1 << 13)).view(torch.float32).half()


def directions(rows: Tensor, seed: int) -> None:
    """Fill rows (C, sub, D) with random directions, norms near 1: the ones that FullCenters starts with."""
    rng, scale = generator(seed, "centers"), rows.shape[-1] ** 0.5
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        part.copy_(torch.randn(part.shape, generator=rng) / scale)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, folder: str | os.PathLike | None = None) -> Tensor:
    """Zeros in memory, or in a file in `folder` that has no name. InputError where the folder has no room for them."""
    if folder is None:
        return torch.zeros(shape, dtype=dtype)
    row = math.prod(shape[1:]) * dtype.itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for start in range(0, shape[0], CHUNK):  # written, not left sparse: a full disk shows now, not in a step
                file.write(bytes(row * min(CHUNK, shape[0] - start)))
            file.flush()
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=(row * shape[0],))).view(dtype).view(shape)
    except OSError as error:
        raise InputError(f"cannot write {row * shape[0] / 2**20:.0f} MiB of centers to {folder}: {error}") from None


def others(classes: int, n: int, taken: Tensor, rng: torch.Generator) -> Tensor:
    """At most n distinct classes, drawn evenly from those not in taken (P,), which is sorted; in no order.

    Costs O(n + P), never O(C).
    """
    free = classes - len(taken)
    n = max(0, min(n, free))
    if 16 * n > free:
        ranks = torch.randperm(free, generator=rng)[:n]
    else:
        ranks = torch.zeros(0, dtype=torch.long)
        while len(ranks) < n:  # uniform: duplicates count once, and no draw is discarded
            more = torch.randint(0, free, (n - len(ranks),), generator=rng)
            ranks = torch.cat([ranks, more]).unique()
    # the classes below the i-th taken one that are free number taken[i] - i: ranks count the free ones
    return ranks + torch.searchsorted(taken - torch.arange(len(taken)), ranks, right=True)
