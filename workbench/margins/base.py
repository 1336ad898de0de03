"""Margin: the base class of all margins, a few pure functions of cosines.

    context         per-sample quantities of the target: the hardness threshold tau, the curriculum's t, ...
    hard            which non-target cosines are hard (M_ij)
    N, T            the non-target logits and the target logit, before scale
    learned         parameters for the optimizer
    init, observe   the state between batches

The context is computed for each batch; only `observe` returns a new state. A margin holds no tensors: it is a frozen
dataclass whose fields are its parameters. Symbols are those of the papers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.core.parameters import Declared, param

State = dict[str, Tensor]


class Context:
    """Named columns (B, 1), or scalars that broadcast with them. (torch.compile cannot trace a SimpleNamespace.)"""

    def __init__(self, **columns: Any) -> None:
        for name, value in columns.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Margin(Declared):
    """Base class of all margins. Without changes it is no margin: T = cos(theta_y), N = cos(theta_j)."""

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y", r"N = \cos\theta_j")

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        """The state before the first batch: by default 0 for each name in `states`."""
        return {name: torch.zeros(()) for name in self.states}

    def learned_parameters(self, classes: int, dim: int, seed: int = 0) -> dict[str, Tensor]:
        """Initial values of learned parameters, which `context` and `penalty` receive as params."""
        return {}

    def project(self, params: dict[str, Tensor]) -> None:
        """Project learned params into their range, in place; called after the optimizer's step."""

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        """Columns for N and T from pos = cos(theta_y), norm = |x|, labels y (each (B, 1)), params and state."""
        return Context()

    @property
    def selects(self) -> int:
        """K if the hard set is the K largest non-target cosines of each sample (ctx.tau is then set), else 0."""
        return 0

    def hard(self, c: Tensor, ctx: Context) -> Tensor:
        """M_ij, bool or in [0, 1], of each non-target cosine c (B, n): 1 for a hard negative. Elementwise."""
        return torch.zeros_like(c, dtype=torch.bool)

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        """The logit of each non-target cosine c (B, n), before scale. Elementwise, without gradient into ctx."""
        return c

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        """The logit of the target cosine c (B, 1), before scale; rows: statistics of the non-target cosines."""
        return c

    def caution(self, s: float) -> str | None:
        """A warning if the parameters, at scale s, violate a condition of the paper, else None."""
        return None

    def penalty(self, ctx: Context, params: dict[str, Tensor]) -> Tensor | None:
        """A scalar that the paper adds to the loss, or None."""
        return None

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        """The state after a batch with pos (B, 1), norm (B, 1) and centers W (C, D), as new tensors."""
        return state

    def reads_centers(self, state: State) -> bool:
        """Whether `observe` reads entries of W in this state. If not, sharded centers are not gathered and W is NaN."""
        return type(self).observe is not Margin.observe


def mask_param(*more: str) -> Any:
    """The field `mask`: the definition of a hard negative (NPCFace: 'any off-the-shelf definition')."""
    return param(
        "misclassified",
        "mask",
        "hard negatives: above the target with margin, the K largest, or weighted by the excess",
        choices=("misclassified", "topk", "soft", *more),
    )


def topk_param() -> Any:
    """The field `topk`: number of hard negatives with mask = topk."""
    return param(10, "K", "hard negatives per sample (mask = topk)", low=1, high=1000)


@dataclass(frozen=True)
class HardSet(Margin):
    """Base class of margins with a separate N for hard negatives. They have the fields `mask` and `topk`, and ctx.tau:

    M_ij = [cos(theta_j) > tau]                        mask = misclassified: tau is defined by the margin
    M_ij = [cos(theta_j) is one of the K largest]      mask = topk: tau is the (K+1)-th largest
    M_ij = max(0, cos(theta_j) - tau) / (1 - tau)      mask = soft, similar to online soft mining
    """

    @property
    def selects(self) -> int:
        return int(self.topk) if self.mask == "topk" else 0

    def hard(self, c: Tensor, ctx: Context) -> Tensor:
        if self.mask == "soft":
            return (c.detach() - ctx.tau).clamp_min(0) / (1 - ctx.tau).clamp_min(1e-6)
        return c > ctx.tau

    def split(self, c: Tensor, hardened: Tensor, ctx: Context) -> Tensor:
        """(1 - M) c + M hardened: the cosine of easy negatives, `hardened` for hard ones."""
        M = self.hard(c, ctx)
        return c + M * (hardened - c) if self.mask == "soft" else torch.where(M, hardened, c)
