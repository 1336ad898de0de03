"""Scales, which multiply T and N before the criterion: a number, the embedding's length, or AdaCos's rule."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.core.parameters import Declared, Param, param
from workbench.margins.base import State


@dataclass(frozen=True)
class Scale(Declared):
    """No scale: s = 1."""

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        """The state before the first batch."""
        return {}

    def value(self, norm: Tensor, state: State) -> float | Tensor:
        """The scale of a batch with embeddings of length norm (B, 1): a number, or a column (B, 1)."""
        return 1.0

    def observe(self, pos: Tensor, rows: Any, state: State) -> State:
        """The state after a batch with pos (B, 1) and row statistics computed with the scale before."""
        return {}


@dataclass(frozen=True)
class Fixed(Scale):
    """A fixed s."""

    s: float = param(64.0, "s", "scale of the logits", low=0.1, high=1000)

    def value(self, norm: Tensor, state: State) -> float:
        return self.s


@dataclass(frozen=True)
class Length(Scale):
    """|x|, the length of the embedding itself: features that are not normalised (SphereFace). Carries gradient.

    Follows / differs: the papers' |x|; SV-X and OpenSphere normalise the features and use a fixed s (by="s").
    """

    latex: ClassVar[tuple[str, ...]] = (r"s = \|x\|",)
    by: str = param("length", "by", "scale: the embedding's length, or a fixed s", choices=("length", "s"))
    s: float = param(32.0, "s", "scale where it is fixed (by = s)", low=0.1, high=1000)

    def value(self, norm: Tensor, state: State) -> float | Tensor:
        return norm if self.by == "length" else self.s


@dataclass(frozen=True)
class AdaCos(Scale):
    """A scale from the number of classes and the current batch (AdaCos, Zhang et al. 2019).

    s_0 = sqrt(2) ln(C - 1)                                                        (Eq. 12; rule="fixed" stays there)
    s   = ln B_avg / cos(min(pi / 4, theta_med)),  before the batch uses it        (Eq. 15)
    B_avg = mean_i sum_{j != y} exp(s_old cos(theta_j));  theta_med: the (lower) median of the batch's theta_y

    Gradient: s is a constant.
    Follows / differs: released codes keep s outside the checkpoint; here it is state. Two classes have ln 1 = 0: s_0
    is then 1.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"s_0 = \sqrt 2\,\ln(C - 1)",
        r"s \leftarrow \frac{\ln B_{\mathrm{avg}}}{\cos(\min(\pi/4,\; \theta_{\mathrm{med}}))}"
        r" \;(\mathrm{dynamic}),\quad"
        r" B_{\mathrm{avg}} = \mathrm{mean}_i \sum_{j \ne y_i} e^{s \cos\theta_j}",
    )
    states: ClassVar[dict[str, Param]] = {"s": Param("s", "current scale", low=0.1, high=1000)}
    rule: str = param(
        "dynamic", "rule", "s updated by every batch, or fixed at its value for C", choices=("dynamic", "fixed")
    )

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"s": torch.tensor(math.sqrt(2) * math.log(classes - 1) if classes > 2 else 1.0)}

    def value(self, norm: Tensor, state: State) -> Tensor:
        return state["s"]

    def observe(self, pos: Tensor, rows: Any, state: State) -> State:
        if self.rule == "fixed":
            return {"s": state["s"]}
        log_B = rows.logsumexp.logsumexp(dim=0).squeeze() - math.log(len(pos))
        cos_med = torch.sort(pos.squeeze(1), descending=True).values[(len(pos) - 1) // 2]  # of the lower median angle
        return {"s": (log_B / cos_med.clamp_min(math.cos(math.pi / 4))).clamp_min(self.states["s"].low)}
