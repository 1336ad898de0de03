"""ShardedCenters: classes are split over ranks; every margin is computed exactly.

Each rank owns a contiguous range of classes in a local class set: full, sampled or queued. Only row statistics, a few
numbers per sample, are exchanged (`losses.sharded`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workbench.centers.bank import fill_centers
from workbench.centers.base import ActiveClasses, ClassSet, GlobalActive
from workbench.centers.full import FullCenters
from workbench.centers.options import ShardedOptions
from workbench.centers.similarity import Cosine
from workbench.core.distributed import all_gather, gather_to_first, processes, rank, shard_range
from workbench.core.errors import InputError


class ShardedCenters(ClassSet):
    """The classes of this rank in a class set `local`; in a single process, all classes.

    make(classes, dim, seed, similarity) makes the local class set. The initial centers are those of FullCenters for any
    number of ranks. Each rank passes its part of the batch to the objective, which compares the whole batch with the
    classes of all ranks. Raises InputError if there are fewer classes than ranks.
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
        shard = shard_range(classes)
        self.similarity, self._classes, self._first, self._end = similarity, classes, shard.start, shard.stop
        self.local = make(shard.stop - shard.start, dim, seed * processes() + rank(), similarity)
        self.partial, self.wants_cosines = self.local.partial, self.local.wants_cosines
        with torch.no_grad():
            fill_centers(self.local.weight.view(-1, self.sub, dim), seed, shard.start, classes)

    @property
    def handle(self) -> nn.Parameter | None:
        """The parameter that represents the local rows in an optimizer, if no optimizer owns them."""
        return self.local.handle

    @property
    def weight(self) -> Tensor:
        """The centers (n sub, D) of this rank's n classes."""
        return self.local.weight

    @property
    def classes(self) -> int:
        """The number of classes over all ranks."""
        return self._classes

    def weight_of_all_ranks(self, read: bool) -> Tensor:
        if read or processes() == 1:
            return all_gather(self.weight)
        return self.weight.new_full((1, 1), torch.nan).expand(self.classes * self.sub, self.dim)

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        if processes() == 1:
            return self.local.select(y, again)
        local = self._is_local(y)
        active = self.local.select(y[local] - self._first, again)
        n = len(active.W) // self.sub
        at = torch.full_like(y, n).masked_scatter(local, active.y)
        if active.ids is None:
            return ActiveClasses(active.W, active.bias, at, None, GlobalActive(y, None, self.classes))
        ids = all_gather(active.ids + self._first)
        ranks = GlobalActive(torch.searchsorted(ids, y), ids, len(ids))
        return ActiveClasses(active.W, active.bias, at, active.ids, ranks)

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        local = self._is_local(y)
        cos, x = (None if value is None else value[local] for value in (cos, x))
        self.local.observe(y[local] - self._first, ids, cos, x)

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        self.local.apply_updates(lr, scale)

    @property
    def handle_replaced(self) -> bool:
        return self.local.handle is not None and self.local.handle_replaced

    @property
    def pending(self) -> bool:
        return self.local.pending

    def discard_updates(self) -> None:
        self.local.discard_updates()

    def gather_state(self, name: str, value: Tensor) -> Tensor:
        """A state entry for all classes, on the CPU of rank 0; every rank must call this."""
        if value.ndim == 0:
            return value
        if name.endswith(".ids"):  # queue entries are local class indices
            value = torch.where(value >= 0, value + self._first, value)
        return gather_to_first(value, self.classes, len(value) // self.local.classes)

    def shard_state(self, name: str, saved: Any) -> Tensor:
        """This rank's part of an entry of `gather_state` (a slice of a file) that any number of ranks saved."""
        rows, rest = divmod(saved.get_shape()[0], self.classes)
        if rest:  # another number of classes: loading fails with an error about the shape
            return saved[:]
        value = saved[self._first * rows : self._end * rows]
        if name.endswith(".ids"):  # drop entries of other ranks' classes
            value = torch.where((value >= self._first) & (value < self._end), value - self._first, -1)
        return value

    def _is_local(self, y: Tensor) -> Tensor:
        """Whether each label of y (B,) is a class of this rank."""
        return (y >= self._first) & (y < self._end)


def gather_centers(centers: Any) -> Tensor:
    """All centers (C sub, D) of a class set; sharded ones are gathered on rank 0, and every rank must call this."""
    if isinstance(centers, ShardedCenters):
        return centers.gather_state("local.weight", centers.weight)
    return centers.weight
