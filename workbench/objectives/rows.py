"""Row statistics: the few sums over a sample's non-target classes that the softmax loss and the margins need.

    z = s T(pos, ctx, rows) - rows.logsumexp;   per_sample = -logsigmoid(z)

is the whole loss, however the statistics were gathered. Here they come from all B x C cosines at once (dense): the
readable reference, differentiated by autograd.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from workbench.margins.base import Context, Margin, State


@dataclass
class DenseRows:
    """Statistics of the non-target classes of each sample, each computed when it is first asked for; all (B, 1).

    cos (B, C): all cosines, y (B, 1): the target column, s: the scale.
    """

    margin: Margin
    ctx: Context
    cos: Tensor
    y: Tensor
    s: float | Tensor

    @cached_property
    def hard(self) -> Tensor:
        """M_ij (B, C), the target column empty; a constant."""
        with torch.no_grad():
            return self.margin.hard(self.cos, self.ctx).scatter(1, self.y, 0)

    @cached_property
    def hard_weight(self) -> Tensor:
        """sum_j M_ij: how many hard negatives the sample has."""
        return self.hard.sum(dim=1, keepdim=True)

    @cached_property
    def hard_mean(self) -> Tensor:
        """The mean cosine of the sample's hard negatives, 0 where it has none; a constant (NPCFace Eq. 11)."""
        with torch.no_grad():
            return (self.cos * self.hard).sum(dim=1, keepdim=True) / self.hard_weight.clamp_min(1e-12)

    @cached_property
    def N(self) -> Tensor:
        """The transformed non-target cosines (B, C); the target column holds a value that means nothing."""
        return self.margin.N(self.cos, self.ctx)

    @cached_property
    def logsumexp(self) -> Tensor:
        """log sum_{j != y} exp(s N(cos_j))."""
        return (self.s * self.N).scatter(1, self.y, -torch.inf).logsumexp(dim=1, keepdim=True)


def transform(
    margin: Margin, cos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State, s: float | Tensor
) -> tuple[Tensor, DenseRows]:
    """T (B, 1) and the row statistics of cosines cos (B, C) with targets y (B, 1) and embedding norms (B, 1)."""
    pos = cos.gather(1, y)
    ctx = margin.context(pos, norm, y, params, state)
    rows = DenseRows(margin, ctx, cos, y, s)
    return margin.T(pos, ctx, rows), rows


def logits(
    margin: Margin, cos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State
) -> tuple[Tensor, DenseRows]:
    """The logits (B, C) before scale, T in the target column and N elsewhere, and the row statistics behind them."""
    T, rows = transform(margin, cos, norm, y, params, state, s=1.0)
    return rows.N.scatter(1, y, T), rows
