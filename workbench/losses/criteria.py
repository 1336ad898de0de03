"""Criteria (loss of each sample from T and the row statistics) and weightings (loss of a batch from its samples)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core.parameters import Declared, param
from workbench.losses.tiles import exponent


@dataclass(frozen=True)
class CrossEntropy(Declared):
    """-log(e^{sT} / (e^{sT} + sum_j e^{sN_j}))      (NPCFace Eq. 13)"""

    name: ClassVar[str] = "softmax"
    latex: ClassVar[tuple[str, ...]] = (r"L = -\log\frac{e^{sT}}{e^{sT} + \sum_{j \ne y} e^{sN_j}}",)

    def learned_parameters(self, classes: int) -> dict[str, Tensor]:
        """Initial values of the criterion's learned parameters, by name."""
        return {}

    def __call__(self, rows: Any, params: dict[str, Tensor]) -> Tensor:
        """The loss (B, 1) of each sample, from row statistics and learned parameters."""
        return -logsigmoid(rows.s * rows.T - rows.logsumexp)


@dataclass(frozen=True)
class SmoothedCrossEntropy(CrossEntropy):
    """Cross-entropy with label smoothing: target 1 - smoothing + smoothing / C, smoothing / C for every other class."""

    latex: ClassVar[tuple[str, ...]] = (
        *CrossEntropy.latex,
        r"L \leftarrow (1 - \varepsilon) L + \frac{\varepsilon}{C} \sum_k -\log p_k",
    )
    smoothing: float = param(0.0, "ε", "label smoothing: share of the target given to all classes", low=0.0, high=0.5)

    def __call__(self, rows: Any, params: dict[str, Tensor]) -> Tensor:
        plain = super().__call__(rows, params)
        if self.smoothing == 0:
            return plain
        log_sum = plain + rows.s * rows.T  # log of the softmax's denominator
        mean_logit = rows.s * (rows.T + rows.N_sum) / rows.classes
        return (1 - self.smoothing) * plain + self.smoothing * (log_sum - mean_logit)


@dataclass(frozen=True)
class BinaryCrossEntropy(CrossEntropy):
    """Pulls target logits above one learned threshold and pushes all others below it      (UniFace, Zhou et al., Eq. 8)

    L = log(1 + e^{-(sT - b)}) + lambda sum_{j != y} log(1 + e^{sN_j - b});  b is learned, initially ln(10 C).

    Follows / differs: the released code clamps both exponents to [-s, s], without gradient outside
    (exponents="clipped").
    """

    name: ClassVar[str] = "bce"
    latex: ClassVar[tuple[str, ...]] = (
        r"L = \log(1 + e^{-(sT - b)}) + \lambda \sum_{j \ne y} \log(1 + e^{sN_j - b}),\quad b \;\mathrm{learned}",
    )
    lam: float = param(1.0, "λ", "weight of the negatives", low=0.0, high=100.0)
    exponents: str = param(
        "full", "exponents", "exponents as they are, or clamped to [-s, s]", choices=("full", "clipped")
    )

    def learned_parameters(self, classes: int) -> dict[str, Tensor]:
        return {"b": torch.tensor(math.log(10 * classes))}

    def __call__(self, rows: Any, params: dict[str, Tensor]) -> Tensor:
        clipped = self.exponents == "clipped"
        margin = exponent(rows.T, rows.s, params["b"], clipped)
        return -logsigmoid(margin) + self.lam * rows.softplus_sum(params["b"], clipped)


@dataclass(frozen=True)
class Mean(Declared):
    """The mean over samples."""

    def __call__(self, per_sample: Tensor) -> Tensor:
        """The loss of a batch, from the losses (B,) of its samples."""
        return per_sample.mean()


@dataclass(frozen=True)
class HardMining(Mean):
    """The mean over the ceil(keep B) samples with the largest losses (OHEM; HM-softmax).

    Follows / differs: SV-X rounds keep B down (rounding="down"), to one sample at least.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"L = \mathrm{mean\ of\ the}\; \lceil \mathrm{keep}\cdot B\rceil \;\mathrm{largest}\; L_i",
    )
    keep: float = param(0.9, "keep", "share of the batch that is kept", low=0.01, high=1.0)
    rounding: str = param("up", "rounding", "rounding of the number of samples kept", choices=("up", "down"))

    def __call__(self, per_sample: Tensor) -> Tensor:
        share = self.keep * len(per_sample)
        kept = math.ceil(share - 1e-9) if self.rounding == "up" else max(1, math.floor(share + 1e-9))
        return per_sample.topk(kept).values.mean()


@dataclass(frozen=True)
class Focal(Mean):
    """Down-weights samples with a confident target: mean of (1 - p_y)^gamma L, p_y = e^{-L} (Lin et al.).

    Gradient: also through the weight.
    Follows / differs: face.evoLVe and CurricularFace's code compute p from the batch's mean loss (p="batch").
    """

    latex: ClassVar[tuple[str, ...]] = (r"L = \mathrm{mean}_i\,(1 - p_i)^\gamma L_i,\quad p_i = e^{-L_i}",)
    gamma: float = param(2.0, "γ", "strength of the down-weighting; 0: none", low=0.0, high=5.0)
    p: str = param("sample", "p", "p of each sample, or of the batch's mean loss", choices=("sample", "batch"))

    def __call__(self, per_sample: Tensor) -> Tensor:
        if self.p == "batch":
            per_sample = per_sample.mean(dim=0, keepdim=True)
        weight = -torch.expm1(-per_sample)
        return (weight.clamp_min(torch.finfo(weight.dtype).tiny) ** self.gamma * per_sample).mean()


WEIGHTINGS = {"mean": Mean, "hard mining": HardMining, "focal": Focal}
