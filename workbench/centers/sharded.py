"""ShardedCenters: the classes are split over ranks, and every margin stays exact.

Each rank owns a contiguous range of classes, held by any other class set: full, sampled or queued. Only the row
statistics of each sample, a few numbers, are exchanged (`objectives.sharded`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.centers.bank import CHUNK
from workbench.centers.base import ActiveClasses, ClassSet, GlobalActive
from workbench.centers.full import FullCenters
from workbench.centers.options import ShardedOptions
from workbench.centers.similarity import Cosine
from workbench.core.distributed import all_gather, gather_to_first, processes, rank, shard_range
from workbench.core.errors import InputError
from workbench.core.random import generator


class ShardedCenters(ClassSet):
    """The classes of this rank, in a class set `local`; without other ranks, all of them.

    make(classes, dim, seed, similarity) makes the local set; its centers then start as those of FullCenters, for any
    number of ranks. Each rank passes its part of the batch to the objective, which compares the whole batch with the
    classes of all ranks. Raises InputError where there are fewer classes than ranks.
    """

    sharded = True
    Options = ShardedOptions

    def __init__(
        self,
        classes: int,
        dim: int,
        seed: int = 0,
        similarity: Cosine = Cosine(),  # noqa: B008
        make: Callable[..., ClassSet] = FullCenters,
    ) -> None:
        super().__init__()
        if classes < processes():
            raise InputError(f"classes = {classes}: at least one for each of {processes()} processes")
        own = shard_range(classes)
        self.similarity, self._classes, self._first, self._end = similarity, classes, own.start, own.stop
        self.local = make(own.stop - own.start, dim, seed * processes() + rank(), similarity)
        self.partial, self.wants_cosines = self.local.partial, self.local.wants_cosines
        with torch.no_grad():
            draw_range(self.local.weight.view(-1, self.sub, dim), own.start, classes, seed)

    @property
    def handle(self) -> nn.Parameter | None:
        """The parameter that stands for the local rows in an optimizer, if no optimizer owns them."""
        return self.local.handle

    @property
    def weight(self) -> Tensor:
        """The centers (n sub, D) of this rank's n classes."""
        return self.local.weight

    @property
    def classes(self) -> int:
        """The number of classes over all ranks."""
        return self._classes

    def of_all_ranks(self, read: bool) -> Tensor:
        if read or processes() == 1:
            return all_gather(self.weight)
        return self.weight.new_full((1, 1), torch.nan).expand(self.classes * self.sub, self.dim)

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        if processes() == 1:
            return self.local.select(y, again)
        mine = self._mine(y)
        active = self.local.select(y[mine] - self._first, again)
        n = len(active.W) // self.sub
        at = torch.full_like(y, n).masked_scatter(mine, active.y)
        if active.ids is None:
            return ActiveClasses(active.W, active.bias, at, None, GlobalActive(y, None, self.classes))
        ids = all_gather(active.ids + self._first)
        ranks = GlobalActive(torch.searchsorted(ids, y), ids, len(ids))
        return ActiveClasses(active.W, active.bias, at, active.ids, ranks)

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        mine = self._mine(y)
        cos, x = (None if value is None else value[mine] for value in (cos, x))
        self.local.observe(y[mine] - self._first, ids, cos, x)

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        self.local.apply_updates(lr, scale)

    @property
    def replaced(self) -> bool:
        return self.local.handle is not None and self.local.replaced

    @property
    def pending(self) -> bool:
        return self.local.pending

    def discard_updates(self) -> None:
        self.local.discard_updates()

    def collect(self, name: str, value: Tensor) -> Tensor:
        """A state entry by its name, of all classes, in the memory of rank 0; every rank must call this."""
        if value.ndim == 0:
            return value
        if name.endswith(".ids"):  # queue entries are class indices, local ones here
            value = torch.where(value >= 0, value + self._first, value)
        return gather_to_first(value, self.classes, len(value) // self.local.classes)

    def part(self, name: str, saved: Any) -> Tensor:
        """This process's part of an entry that was gather_to_first (a slice of a file), by any number of processes."""
        rows, rest = divmod(saved.get_shape()[0], self.classes)
        if rest:  # of another number of classes: loading it fails by its shape
            return saved[:]
        value = saved[self._first * rows : self._end * rows]
        if name.endswith(".ids"):  # entries of other ranks' classes are dropped
            value = torch.where((value >= self._first) & (value < self._end), value - self._first, -1)
        return value

    def _mine(self, y: Tensor) -> Tensor:
        """Whether each label of y (B,) is a class of this rank."""
        return (y >= self._first) & (y < self._end)


def every_center(centers: Any) -> Tensor:
    """All centers (C sub, D) of any class set; of sharded ones on rank 0, and every rank must call this."""
    if isinstance(centers, ShardedCenters):
        return centers.collect("local.weight", centers.weight)
    return centers.weight


def draw_range(rows: Tensor, start: int, classes: int, seed: int) -> None:
    """Fill rows (n, sub, D) with the initial centers of classes start, start + 1, ... of FullCenters."""
    rng, stop = generator(seed, "centers"), start + len(rows)
    for first in range(0, stop, CHUNK):
        part = torch.randn(min(CHUNK, classes - first), *rows.shape[1:], generator=rng) / rows.shape[-1] ** 0.5
        low, high = max(first, start), min(first + len(part), stop)
        if low < high:
            rows[low - start : high - start] = part[low - first : high - first]
