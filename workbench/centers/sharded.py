"""ShardedCenters: the classes are split over the processes of a training, and every margin stays exact.

Each process owns neighbouring classes and, within them, any other class set: all of them, a sample, or queues. What a
sample needs from the classes of the others are the statistics of its row, a few numbers (`objectives.sharded`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workbench.centers.bank import CHUNK
from workbench.centers.base import ClassSet, Selected, Whole
from workbench.centers.full import FullCenters
from workbench.centers.similarity import Cosine
from workbench.core.distributed import collected, gathered, own_stretch, processes, rank
from workbench.core.errors import InputError
from workbench.core.random import generator


class ShardedCenters(ClassSet):
    """This process's stretch of the classes, in a class set `local` of its own; alone, all of them.

    make(classes, dim, seed, similarity) makes the local set; its centers then start as those of FullCenters, whatever
    the number of processes. Each process hands its share of the batch to the objective, which compares the whole batch
    with the classes of all. Raises InputError where there are fewer classes than processes.
    """

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
        own = own_stretch(classes)
        self.similarity, self._classes, self._first, self._end = similarity, classes, own.start, own.stop
        self.local = make(own.stop - own.start, dim, seed * processes() + rank(), similarity)
        self.wants_cosines = self.local.wants_cosines
        with torch.no_grad():
            draw_stretch(self.local.weight.view(-1, self.sub, dim), own.start, classes, seed)

    @property
    def weight(self) -> Tensor:
        """The centers (n sub, D) of this process's n classes."""
        return self.local.weight

    @property
    def classes(self) -> int:
        """How many classes all processes have together."""
        return self._classes

    def batch(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return gathered(x), gathered(y)

    def select(self, y: Tensor) -> Selected:
        if processes() == 1:
            return self.local.select(y)
        mine = self._mine(y)
        met = self.local.select(y[mine] - self._first)
        n = len(met.W) // self.sub
        place = torch.full_like(y, n).masked_scatter(mine, met.y)
        if met.ids is None:
            return Selected(met.W, met.bias, place, None, Whole(y, None, self.classes))
        ids = gathered(met.ids + self._first)
        return Selected(met.W, met.bias, place, met.ids, Whole(torch.searchsorted(ids, y), ids, len(ids)))

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        mine = self._mine(y)
        cos, x = (None if value is None else value[mine] for value in (cos, x))
        self.local.observe(y[mine] - self._first, ids, cos, x)

    def settle(self, lr: float) -> None:
        self.local.settle(lr)

    def collect(self, name: str, value: Tensor) -> Tensor:
        """An entry of the state by its name, of all classes and in the leader's memory; every process takes part."""
        if value.ndim == 0:
            return value
        if name.endswith(".ids"):  # queues name classes: here those of this process
            value = torch.where(value >= 0, value + self._first, value)
        return collected(value, self.classes, len(value) // self.local.classes)

    def part(self, name: str, saved: Any) -> Tensor:
        """This process's part of an entry that was collected (a slice of a file), by any number of processes."""
        each, more = divmod(saved.get_shape()[0], self.classes)
        if more:  # of another number of classes: as it is, it fits nowhere
            return saved[:]
        value = saved[self._first * each : self._end * each]
        if name.endswith(".ids"):  # and only those: others are no neighbours any more
            value = torch.where((value >= self._first) & (value < self._end), value - self._first, -1)
        return value

    def _mine(self, y: Tensor) -> Tensor:
        """Which labels y (B,) are this process's classes."""
        return (y >= self._first) & (y < self._end)


def every_center(centers: Any) -> Tensor:
    """All centers (C sub, D) of any class set; of sharded ones in the leader's memory, every process taking part."""
    if isinstance(centers, ShardedCenters):
        return centers.collect("local.weight", centers.weight)
    return centers.weight


def draw_stretch(rows: Tensor, start: int, classes: int, seed: int) -> None:
    """Fill rows (n, sub, D) with the directions that classes start, start + 1, ... of FullCenters begin with."""
    own, stop = generator(seed, "centers"), start + len(rows)
    for first in range(0, stop, CHUNK):
        part = torch.randn(min(CHUNK, classes - first), *rows.shape[1:], generator=own) / rows.shape[-1] ** 0.5
        low, high = max(first, start), min(first + len(part), stop)
        if low < high:
            rows[low - start : high - start] = part[low - first : high - first]
