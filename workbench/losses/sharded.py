"""Row statistics over several processes: those of this process's classes, added to those of the others.

Each statistic is computed where its classes are, dense or streaming, and then summed: a few numbers for each sample.
The target cosine comes from the process that owns the target's class. So contexts, T and criteria are those of one
process.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.centers.base import Whole
from workbench.core.distributed import logsumexp, stacked, summed
from workbench.losses.rows import DenseRows, next_largest
from workbench.losses.streaming import StreamingRows, Tiling


class OverProcesses:
    """Turns the statistics of the classes here into those of all classes; stands before DenseRows or StreamingRows."""

    @cached_property
    def pos(self) -> Tensor:
        return summed(super().pos)

    @cached_property
    def logsumexp(self) -> Tensor:
        return logsumexp(super().logsumexp)

    @cached_property
    def N_sum(self) -> Tensor:
        return summed(super().N_sum)

    def softplus_sum(self, b: Tensor) -> Tensor:
        return summed(super().softplus_sum(b))

    @cached_property
    def hard_weight(self) -> Tensor:
        return summed(super().hard_weight)

    @cached_property
    def hard_mean(self) -> Tensor:
        return summed(super().hard_mean)  # each is a sum over the classes here, by the weight everywhere


@dataclass
class ShardedDense(OverProcesses, DenseRows):
    """DenseRows of this process's classes; y is n, past the last column, where another process has the target."""

    whole: Whole | None = None

    @property
    def labels(self) -> Tensor:
        return self.whole.y[:, None]

    @property
    def classes(self) -> int:
        return self.whole.classes

    def target(self, values: Tensor) -> Tensor:
        last = values.shape[1] - 1
        return torch.where(self.y > last, 0, values.gather(1, self.y.clamp_max(last)))

    def with_target(self, values: Tensor, filler: float | Tensor) -> Tensor:
        columns = torch.arange(values.shape[1], device=values.device)
        return torch.where(columns == self.y, filler, values)

    def below_the_largest(self, K: int) -> Tensor:
        return next_largest(merged(self.largest(K + 1), K + 1), K)


@dataclass
class ShardedStreaming(OverProcesses, StreamingRows):
    """StreamingRows of this process's classes."""

    @property
    def classes(self) -> int:
        return self.tiling.met.whole.classes


class ShardedTiling(Tiling):
    """The tiles of this process's classes."""

    def all_pos(self, pos: Tensor) -> Tensor:
        return summed(pos)

    def all_best(self, best: Tensor) -> Tensor:
        return merged(best, self.margin.selects + 1)


def merged(best: Tensor, K: int) -> Tensor:
    """The K largest of what each process found in its classes (B, K or fewer): (B, K), -inf where there are none."""
    best = pad(best, (0, K - best.shape[1]), value=-torch.inf)
    return stacked(best).movedim(0, 1).flatten(1).topk(K, dim=1).values
