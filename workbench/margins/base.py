"""What a margin is: a few small pure functions of cosines, between a batch and the loss.

    context   per-sample columns from the target side: the hardness threshold tau, the curriculum's t, ...
    hard      which non-target cosines are hard ones (M_ij)
    N, T      the non-target and the target logit, before scale
    learned   what the optimiser owns;  init, observe: the state that survives between batches

Context is computed anew from every batch, state survives between batches, and only observe returns a new one. A margin
never holds a tensor itself: it is a frozen dataclass whose fields are the numbers a slider may move. Equation letters
are those of the papers.
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
    """Leaves every cosine as it is: T = cos(theta_y), N = cos(theta_j). The base of every margin."""

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y", r"N = \cos\theta_j")

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        """The state before the first batch: scalar tensors, 0 for each name in `states` unless a margin says else."""
        return {name: torch.zeros(()) for name in self.states}

    def learned(self, classes: int, dim: int, seed: int = 0) -> dict[str, Tensor]:
        """What the optimiser owns, as it is before the first step; passed to `context` and `penalty` as params."""
        return {}

    def project(self, params: dict[str, Tensor]) -> None:
        """Put the learned params back into their range, in place; called after the optimiser's step."""

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        """Columns that N and T need, from pos = cos(theta_y), norm = |x|, y (each (B, 1)), learned params and state."""
        return Context()

    @property
    def selects(self) -> int:
        """K if the hard set is each sample's K largest non-target cosines, which sets ctx.tau; else 0."""
        return 0

    def hard(self, c: Tensor, ctx: Context) -> Tensor:
        """M_ij in [0, 1] (or bool) of each non-target cosine c (B, n): 1 where it is a hard negative. Elementwise."""
        return torch.zeros_like(c, dtype=torch.bool)

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        """The logit of each non-target cosine c (B, n), before scale. Elementwise; sends no gradient into ctx."""
        return c

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        """The logit of the target cosine c (B, 1), before scale; rows are the statistics of its non-target cosines."""
        return c

    def caution(self, s: float) -> str | None:
        """One sentence where the parameters, with scale s, break a condition of the paper; None if all is well."""
        return None

    def penalty(self, ctx: Context, params: dict[str, Tensor]) -> Tensor | None:
        """What the paper adds to the loss, a scalar; None if nothing."""
        return None

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        """The state after a batch with pos (B, 1), norm (B, 1) and centers W (C, D): new tensors, none changed."""
        return state

    def reads_centers(self, state: State) -> bool:
        """Whether `observe` reads entries of W at this state; if not, sharded centers are not gathered: W is NaN."""
        return type(self).observe is not Margin.observe


def mask_param(*more: str) -> Any:
    """The field `mask`: what counts as a hard negative; NPCFace leaves it to 'any off-the-shelf definition'."""
    return param(
        "misclassified",
        "mask",
        "hard negatives: past the margined target, the K largest, or weighted by how far past",
        choices=("misclassified", "topk", "soft", *more),
    )


def topk_param() -> Any:
    """The field `topk`: how many negatives are hard under mask = topk."""
    return param(10, "K", "hard negatives a sample (mask = topk)", low=1, high=1000)


@dataclass(frozen=True)
class HardSet(Margin):
    """The base of margins that treat hard negatives apart. They have the fields `mask` and `topk`, and ctx.tau:

    M_ij = [cos(theta_j) > tau]                                 misclassified: tau is theirs, cos(theta_y + m)
    M_ij = [cos(theta_j) is one of the K largest]               topk: tau lies below the K-th largest
    M_ij = max(0, cos(theta_j) - tau) / (1 - tau)               soft, in the spirit of online soft mining
    """

    @property
    def selects(self) -> int:
        return int(self.topk) if self.mask == "topk" else 0

    def hard(self, c: Tensor, ctx: Context) -> Tensor:
        if self.mask == "soft":
            return (c.detach() - ctx.tau).clamp_min(0) / (1 - ctx.tau).clamp_min(1e-6)
        return c > ctx.tau

    def split(self, c: Tensor, hardened: Tensor, ctx: Context) -> Tensor:
        """(1 - M) c + M hardened: the cosine itself where it is easy, the margin's own form where it is hard."""
        M = self.hard(c, ctx)
        return c + M * (hardened - c) if self.mask == "soft" else torch.where(M, hardened, c)
