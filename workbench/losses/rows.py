"""Row statistics: the sums over a sample's non-target classes that criteria and margins need.

    per_sample = -logsigmoid(s T - rows.logsumexp)

is the softmax loss for every way of computing the statistics. DenseRows computes them from all B x C cosines with
autograd: the readable reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.losses.tiles import exponent
from workbench.margins.base import Context, Margin, State
from workbench.margins.source import evaluate, formula_error


class cached_property:
    """functools.cached_property without its lock: torch.compile cannot trace the lock in Python 3.11."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.function(instance)
        return value


@dataclass
class DenseRows:
    """Statistics of the non-target classes of each sample, all (B, 1), computed at first access.

    cos (B, C): all cosines; norm (B, 1): embedding lengths; y (B, 1): target columns; s: the scale; params: learned
    parameters; state: the state of the loss.
    """

    margin: Margin
    cos: Tensor
    norm: Tensor
    y: Tensor
    params: dict[str, Tensor]
    state: State
    s: float | Tensor = 1.0

    @property
    def labels(self) -> Tensor:
        """The labels (B, 1), as positions in the parameters learned per class."""
        return self.y

    @cached_property
    def pos(self) -> Tensor:
        """cos(theta_y)."""
        return self.target(self.cos)

    @cached_property
    def ctx(self) -> Context:
        """The margin's context; tau is set here if the hard set is the K largest cosines."""
        try:
            ctx = self.margin.context(self.pos, self.norm, self.labels, self.params, self.state)
        except Exception as error:
            raise formula_error(self.margin, error) from error
        if self.margin.selects:
            ctx.tau = self.topk_threshold(self.margin.selects)
        return ctx

    @cached_property
    def T(self) -> Tensor:
        """The target's logit, before scale."""
        return evaluate(self.margin, "T", self.pos, self.ctx, self)

    @cached_property
    def N(self) -> Tensor:
        """The non-target logits (B, C), before scale; the target column is not used."""
        return evaluate(self.margin, "N", self.cos, self.ctx)

    @cached_property
    def hard(self) -> Tensor:
        """M_ij (B, C) as numbers, 0 in the target column; without gradient."""
        with torch.no_grad():
            return self.with_target(evaluate(self.margin, "hard", self.cos, self.ctx).to(self.cos.dtype), 0)

    @cached_property
    def hard_weight(self) -> Tensor:
        """sum_j M_ij: the number of hard negatives of the sample."""
        return self.hard.sum(dim=1, keepdim=True)

    @cached_property
    def hard_mean(self) -> Tensor:
        """Mean cosine of the sample's hard negatives, 0 without any; without gradient (NPCFace Eq. 11)."""
        with torch.no_grad():
            return torch.linalg.vecdot(self.cos, self.hard)[:, None] / self.hard_weight.clamp_min(1e-12)

    @cached_property
    def logsumexp(self) -> Tensor:
        """log sum_{j != y} exp(s N(cos_j))."""
        return self.with_target(self.s * self.N, -torch.inf).logsumexp(dim=1, keepdim=True)

    @cached_property
    def N_sum(self) -> Tensor:
        """sum_{j != y} N(cos_j)."""
        return self.with_target(self.N, 0).sum(dim=1, keepdim=True)

    def softplus_sum(self, b: float | Tensor, clipped: bool = False) -> Tensor:
        """sum_{j != y} log(1 + exp(s N(cos_j) - b)); clipped: exponents clamped to [-s, s]."""
        return self.with_target(-logsigmoid(-exponent(self.N, self.s, b, clipped)), 0).sum(dim=1, keepdim=True)

    def topk_threshold(self, K: int) -> Tensor:
        """A threshold that only the K largest non-target cosines exceed: the next one, or -inf."""
        return next_largest(self.top_cosines(K + 1), K)

    def top_cosines(self, K: int) -> Tensor:
        """The K largest non-target cosines (B, K), or all if there are fewer; the target counts as -inf."""
        others = self.with_target(self.cos.detach(), -torch.inf)
        return others.topk(min(K, others.shape[1]), dim=1).values

    @property
    def classes(self) -> int:
        """The number of active classes, the target included."""
        return self.cos.shape[1]

    @property
    def logits(self) -> Tensor:
        """The logits (B, C) before scale, T in the target column and N elsewhere."""
        return self.with_target(self.N, self.T)

    def target(self, values: Tensor) -> Tensor:
        """The entries of values (B, n) in the target's column (B, 1)."""
        return values.gather(1, self.y)

    def with_target(self, values: Tensor, filler: float | Tensor) -> Tensor:
        """values (B, n), a new tensor, with `filler` in the target's column."""
        return values.scatter(1, self.y, filler)


def next_largest(best: Tensor, K: int) -> Tensor:
    """The (K+1)-th largest of each row of best (B, n), sorted in descending order: (B, 1); -inf where n <= K."""
    return best[:, K : K + 1] if best.shape[1] > K else torch.full_like(best[:, :1], -torch.inf)
