"""Margins in the positive logit that are equal for all samples: none (softmax), multiplicative (SphereFace), additive
in the cosine (CosFace), additive in the angle (ArcFace), and all three combined.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import (
    ADDITIVE_GUARDS,
    CLIP,
    GRADS,
    GUARDS,
    add_angle,
    angle,
    apply_guard,
    clip_cosine,
    psi,
    straight_through,
)
from workbench.core.parameters import Param, param
from workbench.margins.base import Context, Margin, State


def guard_param(default: str = "wrap", choices: tuple[str, ...] = GUARDS) -> Any:
    """The field `guard`: see `workbench.core.geometry.apply_guard`."""
    return param(default, "guard", "replacement of T where the margin overshoots", choices=choices)


def grad_param(default: str = "exact") -> Any:
    """The field `grad`: the gradient of T."""
    return param(default, "grad", "gradient of T: exact, or that of cos θ_y", choices=GRADS)


def clip_param() -> Any:
    """The field `clip`: the width of guard="clip", 1e-3 or 1e-4 in the released heads of AdaFace."""
    return param(CLIP, "clip", "distance of cosines and angles from their limits (guard = clip)", low=0.0, high=0.1)


def angular(c: Tensor, m: float | Tensor, guard: str, grad: str, width: float = CLIP) -> Tensor:
    """cos(theta_y + m) for the target cosine c (B, 1), with a guard and the selected gradient."""
    return straight_through(apply_guard(add_angle(c, m), c, m, guard, width), c, grad)


def additive(c: Tensor, m: float, guard: str, grad: str) -> Tensor:
    """cos(theta_y) - m for the target cosine c (B, 1), with a guard and the selected gradient."""
    return straight_through(apply_guard(c - m, c, m, guard), c, grad)


@dataclass(frozen=True)
class Softmax(Margin):
    """Separates classes by a linear classifier, without pulling samples of a class together.

    T = w_y . x + b_y,  N = w_j . x + b_j      (NPCFace Eq. 1; the similarity is the dot product, without a scale)

    Gradient: nothing is detached.
    Reduces to: NormSoftmax if x and w_j have unit length and b_j = 0.
    Follows / differs: no difference.
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = w_y^\top x + b_y", r"N = w_j^\top x + b_j")


@dataclass(frozen=True)
class NormSoftmax(Margin):
    """Pulls samples to their class center and away from the others, without a margin: softmax over cosines.

    T = cos(theta_y),  N = cos(theta_j)      (NPCFace Eq. 1; NormFace, Wang et al. 2017)

    Gradient: nothing is detached.
    Reduces to: no other method; most margins reduce to NormSoftmax at their neutral parameters.
    Follows / differs: the paper's scale is learned or fixed; fixed here, as in later methods.
    """


@dataclass(frozen=True)
class CosFace(Margin):
    """Pulls samples closer to their class center: subtracts a margin m from the target cosine.

    T = cos(theta_y) - m,  N = cos(theta_j)      (CosFace Eq. 4; AM-softmax Eq. 5)

    Gradient: nothing is detached (grad="detached" gives T the gradient of cos(theta_y); here the two are equal).
    Reduces to: NormSoftmax at m = 0.
    Follows / differs: no guard in the papers; SV-X drops the margin past 90 degrees (guard="easy").
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y - m", r"N = \cos\theta_j")
    m: float = param(0.35, "m", "margin subtracted from the target cosine", low=0.0, high=1.0, neutral=0.0)
    guard: str = guard_param(choices=ADDITIVE_GUARDS)
    grad: str = grad_param()

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return additive(c, self.m, self.guard, self.grad)


@dataclass(frozen=True)
class ArcFace(Margin):
    """Pulls samples closer to their class center: adds a margin m to the target angle.

    T = cos(theta_y + m),  N = cos(theta_j)      (ArcFace Eq. 3)

    Gradient: exact; with grad="detached" (insightface) the gradient of T is that of cos(theta_y).
    Reduces to: NormSoftmax at m = 0.
    Follows / differs: the paper has no guard (wrap); released codes have mm, plain or clip, see the presets.
    AdaFace's code (guard="clip") clamps every cosine to +-(1 - clip), and theta_y + m to [clip, pi - clip].
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos(\theta_y + m)", r"N = \cos\theta_j")
    m: float = param(0.5, "m", "margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    guard: str = guard_param()
    grad: str = grad_param()
    clip: float = clip_param()

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return clip_cosine(c, self.guard, self.clip)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(clip_cosine(c, self.guard, self.clip), self.m, self.guard, self.grad, self.clip)


@dataclass(frozen=True)
class CombinedMargin(Margin):
    """Pulls samples closer to their class center: a factor and a margin on the target angle, a margin on its cosine.

    T = cos(m1 theta_y + m2) - m3,  N = cos(theta_j)      (ArcFace Eq. 4)

    Gradient: exact; with grad="detached" (insightface) the gradient of T is that of cos(theta_y).
    Reduces to: ArcFace(m2) at m1 = 1, m3 = 0; CosFace(m3) at m1 = 1, m2 = 0; NormSoftmax at (1, 0, 0).
    Follows / differs: no guard in the paper. insightface's code (form="insightface") is CosFace(m3) if m3 > 0, for any
    m1 and m2; with m3 = 0 it is ArcFace(m2) with a detached gradient, and raises an error unless m1 = 1.
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos(m_1\theta_y + m_2) - m_3", r"N = \cos\theta_j")
    m1: float = param(1.0, "m₁", "factor on the target angle", low=0.5, high=2.0, neutral=1.0)
    m2: float = param(0.3, "m₂", "margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    m3: float = param(0.2, "m₃", "margin subtracted from the cosine", low=0.0, high=1.0, neutral=0.0)
    form: str = param("full", "form", "formula of the paper, or of insightface", choices=("full", "insightface"))
    grad: str = grad_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form == "insightface" and self.m3 == 0 and self.m1 != 1:
            raise InputError(f"CombinedMargin: m1 = {self.m1:g}, m3 = 0; form = 'insightface' needs m1 = 1 or m3 > 0")

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        if self.form == "insightface":
            T = c - self.m3 if self.m3 > 0 else add_angle(c, self.m2)
        else:
            T = (self.m1 * angle(c) + self.m2).cos() - self.m3
        return straight_through(T, c, self.grad)


@dataclass(frozen=True)
class SphereFace(Margin):
    """Pulls samples closer to their class center: multiplies the target angle by m, increasingly during training.

    psi    = (-1)^k cos(m theta_y) - 2k,  k = floor(m theta_y / pi)             (SphereFace Eq. 7; A-softmax)
    T      = (lambda cos(theta_y) + psi) / (1 + lambda),  N = cos(theta_j);  the scale is |x|
    lambda = max(lambda_min, lambda_base (1 + decay step)^(-power))

    Gradient: k is a constant; psi is differentiated exactly.
    Reduces to: NormSoftmax (scaled by |x|) at m = 1, or while lambda is large.
    Follows / differs: any real m (released codes expand cos(m theta) for integer m). SV-X decays by (1 + 1e-4 step)^-2
    and uses a fixed s, PML does not anneal; both lose the step of lambda on resume, here it is state.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"\psi = (-1)^k \cos(m\theta_y) - 2k,\quad k = \lfloor m\theta_y / \pi \rfloor",
        r"T = \frac{\lambda\cos\theta_y + \psi}{1 + \lambda}",
        r"N = \cos\theta_j",
        r"\lambda = \max(\lambda_{\min},\; \lambda_{\mathrm{base}}\,(1 + \mathrm{decay}\cdot\mathrm{step})^{-p})",
    )
    states: ClassVar[dict[str, Param]] = {
        "lam": Param("λ", "weight of the cosine without a margin", low=0.0, high=1000.0),
    }
    m: float = param(4.0, "m", "factor on the target angle", low=1.0, high=6.0, neutral=1.0)
    lam_base: float = param(1000.0, "λ_base", "initial λ", low=0.0, high=1e5)
    lam_min: float = param(5.0, "λ_min", "minimum of λ", low=0.0, high=1000.0)
    decay: float = param(0.12, "decay", "decay rate of λ per step", low=0.0, high=10.0)
    power: float = param(1.0, "p", "exponent of the decay of λ", low=0.0, high=4.0)

    def lambda_at(self, step: Tensor) -> Tensor:
        """lambda after a number of steps."""
        return (self.lam_base * (1 + self.decay * step) ** -self.power).clamp_min(self.lam_min)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"lam": self.lambda_at(torch.zeros(())), "step": torch.zeros(())}

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(lam=state["lam"])

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return (ctx.lam * c + psi(c, self.m)) / (1 + ctx.lam)

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        step = state["step"] + 1
        return {"lam": self.lambda_at(step), "step": step}

    def reads_centers(self, state: State) -> bool:
        return False


@dataclass(frozen=True)
class SphereFaceR(Margin):
    """Pulls samples closer to their class center: multiplies the target angle by m, at fixed scale, without annealing.

    psi = (-1)^k cos(m theta_y) - 2k,  k = floor(m theta_y / pi);  T = psi,  N = cos(theta_j)
    (SphereFace Revived, Liu et al.: SphereFace-R v1 with the characteristic gradient detached)

    Gradient: grad="detached", as published: that of cos(theta_y), since psi - cos(theta_y) is a constant; grad="exact":
    that of psi. k is a constant in both.
    Reduces to: NormSoftmax at m = 1.
    Follows / differs: OpenSphere's constructor (m = 1.7, s = 30); its shipped configuration has s = 64. OpenSphere
    also normalizes the rows of W in place at every forward; here W is normalized in the comparison only.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = (-1)^k \cos(m\theta_y) - 2k,\quad k = \lfloor m\theta_y / \pi \rfloor",
        r"N = \cos\theta_j",
    )
    m: float = param(1.7, "m", "factor on the target angle", low=1.0, high=6.0, neutral=1.0)
    grad: str = grad_param("detached")

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return straight_through(psi(c, self.m), c, self.grad)
