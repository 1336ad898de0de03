"""Row statistics over ranks: each rank computes those of its classes, dense or streaming, and they are reduced.

A few numbers per sample are exchanged. The target cosine comes from the rank that owns the target's class. So contexts,
T and criteria are those of one process.
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
    """Reduces the statistics of this rank's classes over ranks; a mixin before DenseRows or StreamingRows."""

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
        return all_reduce_sum(super().hard_mean)  # a sum over local classes, divided by the weight of all


@dataclass
class ShardedDense(OverRanks, DenseRows):
    """DenseRows of this rank's classes; y is n, past the last column, where another rank owns the target."""

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

    def below_the_largest(self, K: int) -> Tensor:
        return next_largest(merged(self.largest(K + 1), K + 1), K)


@dataclass
class ShardedStreaming(OverRanks, StreamingRows):
    """StreamingRows of this rank's classes."""

    @property
    def classes(self) -> int:
        return self.tiling.active.ranks.classes


class ShardedTiling(Tiling):
    """The tiles of this rank's classes."""

    def all_pos(self, pos: Tensor) -> Tensor:
        return all_reduce_sum(pos)

    def all_best(self, best: Tensor) -> Tensor:
        return merged(best, self.margin.selects + 1)


def merged(best: Tensor, K: int) -> Tensor:
    """The K largest over ranks, of those of each rank (B, K or fewer): (B, K), -inf where there are fewer."""
    best = pad(best, (0, K - best.shape[1]), value=-torch.inf)
    return stack_ranks(best).movedim(0, 1).flatten(1).topk(K, dim=1).values
