"""Row statistics over ranks: each rank computes those of its classes, dense or streaming; an all-reduce combines them.

A few numbers per sample are exchanged. The target cosine comes from the rank that owns the target class, so contexts, T
and criteria are the same as in one process.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.centers.base import GlobalActive
from workbench.core.distributed import all_reduce_sum, logsumexp, stack_ranks
from workbench.losses.rows import DenseRows, cached_property, next_largest
from workbench.losses.streaming import StreamingRows, Tiling


class OverRanks:
    """Mixin for DenseRows and StreamingRows that reduces the statistics of this rank's classes over ranks."""

    @cached_property
    def pos(self) -> Tensor:
        return all_reduce_sum(super().pos)

    @cached_property
    def logsumexp(self) -> Tensor:
        return logsumexp(super().logsumexp)

    @cached_property
    def N_sum(self) -> Tensor:
        return all_reduce_sum(super().N_sum)

    def softplus_sum(self, b: Tensor, clipped: bool = False) -> Tensor:
        return all_reduce_sum(super().softplus_sum(b, clipped))

    @cached_property
    def hard_weight(self) -> Tensor:
        return all_reduce_sum(super().hard_weight)

    @cached_property
    def hard_mean(self) -> Tensor:
        return all_reduce_sum(super().hard_mean)  # sum over local classes, divided by the weight over all ranks


@dataclass
class ShardedDense(OverRanks, DenseRows):
    """DenseRows of this rank's n classes; y is n if another rank owns the target."""

    ranks: GlobalActive | None = None

    @property
    def labels(self) -> Tensor:
        return self.ranks.y[:, None]

    @property
    def classes(self) -> int:
        return self.ranks.classes

    def target(self, values: Tensor) -> Tensor:
        last = values.shape[1] - 1
        return torch.where(self.y > last, 0, values.gather(1, self.y.clamp_max(last)))

    def with_target(self, values: Tensor, filler: float | Tensor) -> Tensor:
        columns = torch.arange(values.shape[1], device=values.device)
        return torch.where(columns == self.y, filler, values)

    def topk_threshold(self, K: int) -> Tensor:
        return next_largest(merge_largest(self.top_cosines(K + 1), K + 1), K)


@dataclass
class ShardedStreaming(OverRanks, StreamingRows):
    """StreamingRows of this rank's classes."""

    @property
    def classes(self) -> int:
        return self.tiling.active.ranks.classes


class ShardedTiling(Tiling):
    """The tiles of this rank's classes."""

    def reduce_pos(self, pos: Tensor) -> Tensor:
        return all_reduce_sum(pos)

    def reduce_best(self, best: Tensor) -> Tensor:
        return merge_largest(best, self.margin.selects + 1)


def merge_largest(best: Tensor, K: int) -> Tensor:
    """The K largest values (B, K) over ranks from each rank's largest (B, at most K); missing ones are -inf."""
    best = pad(best, (0, K - best.shape[1]), value=-torch.inf)
    return stack_ranks(best).movedim(0, 1).flatten(1).topk(K, dim=1).values
