"""Margins in the positive logit, the same for every sample: none (softmax), multiplied (SphereFace), taken off the
cosine (CosFace), added to the angle (ArcFace), and all three together.
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
    clip_cosine,
    guarded,
    psi,
    straight_through,
)
from workbench.core.parameters import Param, param
from workbench.margins.base import Context, Margin, State


def guard_param(default: str = "wrap", choices: tuple[str, ...] = GUARDS) -> Any:
    return param(default, "guard", "what replaces T where the margin overshoots", choices=choices)


def grad_param(default: str = "exact") -> Any:
    return param(default, "grad", "gradient of T: its own, or that of cos θ_y alone", choices=GRADS)


def clip_param() -> Any:
    """The field `clip`: the width of guard = clip, which the released heads of AdaFace set to 1e-3 or 1e-4."""
    return param(CLIP, "clip", "guard = clip keeps cosines and angles this far from their ends", low=0.0, high=0.1)


def angular(c: Tensor, m: float | Tensor, guard: str, grad: str, width: float = CLIP) -> Tensor:
    """cos(theta_y + m) for the target cosine c (B, 1), guarded, with the chosen gradient."""
    return straight_through(guarded(add_angle(c, m), c, m, guard, width), c, grad)


def additive(c: Tensor, m: float, guard: str, grad: str) -> Tensor:
    """cos(theta_y) - m for the target cosine c (B, 1), guarded, with the chosen gradient."""
    return straight_through(guarded(c - m, c, m, guard), c, grad)


@dataclass(frozen=True)
class Softmax(Margin):
    """Sorts samples by class, with nothing that pulls those of one class together.

    T = w_y . x + b_y,  N = w_j . x + b_j      (NPCFace Eq. 1; the similarity is the dot product, there is no scale)

    Gradient: nothing is detached.
    Reduces to: itself; NormSoftmax when x and w_j have unit length and b_j = 0.
    Follows / differs: nothing differs.
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = w_y^\top x + b_y", r"N = w_j^\top x + b_j")


@dataclass(frozen=True)
class NormSoftmax(Margin):
    """Pulls samples to their own center and away from the others, with no margin: softmax over cosines.

    T = cos(theta_y),  N = cos(theta_j)      (NPCFace Eq. 1; NormFace, Wang et al. 2017)

    Gradient: nothing is detached.
    Reduces to: itself; every margin here reduces to it when its parameters vanish.
    Follows / differs: the paper learns the scale or fixes it; fixed here, as in every later method.
    """


@dataclass(frozen=True)
class CosFace(Margin):
    """Pulls samples closer to their own center by asking for a lead of m in cosine.

    T = cos(theta_y) - m,  N = cos(theta_j)      (CosFace Eq. 4; AM-softmax Eq. 5)

    Gradient: nothing is detached (grad="detached" gives T the gradient of cos(theta_y); here the two are equal).
    Reduces to: NormSoftmax at m = 0.
    Follows / differs: no guard in the papers; SV-X drops the margin past 90 degrees (guard="easy").
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y - m", r"N = \cos\theta_j")
    m: float = param(0.35, "m", "lead asked of the target, as a difference of cosines", low=0.0, high=1.0, neutral=0.0)
    guard: str = guard_param(choices=ADDITIVE_GUARDS)
    grad: str = grad_param()

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return additive(c, self.m, self.guard, self.grad)


@dataclass(frozen=True)
class ArcFace(Margin):
    """Pulls samples closer to their own center by asking for a lead of m in angle.

    T = cos(theta_y + m),  N = cos(theta_j)      (ArcFace Eq. 3)

    Gradient: exact; grad="detached" is insightface's, where the slope of T is that of cos(theta_y).
    Reduces to: NormSoftmax at m = 0.
    Follows / differs: the paper has no guard (wrap); released codes add mm, plain or clip, named in the presets.
    AdaFace's code (guard="clip") holds every cosine inside +-(1 - clip), and theta_y + m inside [clip, pi - clip].
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos(\theta_y + m)", r"N = \cos\theta_j")
    m: float = param(0.5, "m", "angle added to the target's own", unit="rad", low=0.0, high=1.5, neutral=0.0)
    guard: str = guard_param()
    grad: str = grad_param()
    clip: float = clip_param()

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return clip_cosine(c, self.guard, self.clip)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(clip_cosine(c, self.guard, self.clip), self.m, self.guard, self.grad, self.clip)


@dataclass(frozen=True)
class CombinedMargin(Margin):
    """Pulls samples closer to their own center by a factor, an angle and a cosine at once.

    T = cos(m1 theta_y + m2) - m3,  N = cos(theta_j)      (ArcFace Eq. 4)

    Gradient: exact; grad="detached" is insightface's, where the slope of T is that of cos(theta_y).
    Reduces to: ArcFace(m2) at m1 = 1, m3 = 0; CosFace(m3) at m1 = 1, m2 = 0; NormSoftmax at (1, 0, 0).
    Follows / differs: no guard in the paper. insightface's code (form="insightface") is pure CosFace(m3) wherever
    m3 > 0, whatever m1 and m2; at m3 = 0 it is ArcFace(m2) with a detached gradient, and raises unless m1 = 1.
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos(m_1\theta_y + m_2) - m_3", r"N = \cos\theta_j")
    m1: float = param(1.0, "m₁", "factor on the target's own angle", low=0.5, high=2.0, neutral=1.0)
    m2: float = param(0.3, "m₂", "angle added to it", unit="rad", low=0.0, high=1.5, neutral=0.0)
    m3: float = param(0.2, "m₃", "cosine taken off", low=0.0, high=1.0, neutral=0.0)
    form: str = param("full", "form", "the paper's whole formula, or insightface's", choices=("full", "insightface"))
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
    """Pulls samples closer to their own center by multiplying the angle, more and more as training goes on.

    psi    = (-1)^k cos(m theta_y) - 2k,  k = floor(m theta_y / pi)             (SphereFace Eq. 7; A-softmax)
    T      = (lambda cos(theta_y) + psi) / (1 + lambda),  N = cos(theta_j);  the scale is |x|
    lambda = max(lambda_min, lambda_base (1 + decay step)^(-power))

    Gradient: k is a constant; psi has its own slope.
    Reduces to: NormSoftmax (scaled by |x|) at m = 1, or while lambda is large.
    Follows / differs: any real m here (the released codes expand cos(m theta) for whole m). SV-X decays by
    (1 + 1e-4 step)^-2 and uses a fixed s, PML does not anneal; both lose lambda's step on resume, here it is state.
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
    m: float = param(4.0, "m", "factor on the target's own angle", low=1.0, high=6.0, neutral=1.0)
    lam_base: float = param(1000.0, "λ_base", "λ before the first step", low=0.0, high=1e5)
    lam_min: float = param(5.0, "λ_min", "λ in the end", low=0.0, high=1000.0)
    decay: float = param(0.12, "decay", "how fast λ falls, per step", low=0.0, high=10.0)
    power: float = param(1.0, "p", "power with which λ falls", low=0.0, high=4.0)

    def annealed(self, step: Tensor) -> Tensor:
        """lambda after a number of steps."""
        return (self.lam_base * (1 + self.decay * step) ** -self.power).clamp_min(self.lam_min)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"lam": self.annealed(torch.zeros(())), "step": torch.zeros(())}

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(lam=state["lam"])

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return (ctx.lam * c + psi(c, self.m)) / (1 + ctx.lam)

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        step = state["step"] + 1
        return {"lam": self.annealed(step), "step": step}

    def reads_centers(self, state: State) -> bool:
        return False


@dataclass(frozen=True)
class SphereFaceR(Margin):
    """Pulls samples closer to their own center by multiplying the angle, on the sphere and without annealing.

    psi = (-1)^k cos(m theta_y) - 2k,  k = floor(m theta_y / pi);  T = psi,  N = cos(theta_j)
    (SphereFace Revived, Liu et al.: SphereFace-R v1 with the characteristic gradient detached)

    Gradient: grad="detached", as published: psi - cos(theta_y) is a constant, T has the slope of cos(theta_y);
    grad="exact" is psi's own. k is a constant in both.
    Reduces to: NormSoftmax at m = 1.
    Follows / differs: OpenSphere's constructor (m = 1.7, s = 30); its shipped configuration has s = 64. OpenSphere
    also writes unit rows back into W at every forward; here W is only normalised when compared.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = (-1)^k \cos(m\theta_y) - 2k,\quad k = \lfloor m\theta_y / \pi \rfloor",
        r"N = \cos\theta_j",
    )
    m: float = param(1.7, "m", "factor on the target's own angle", low=1.0, high=6.0, neutral=1.0)
    grad: str = grad_param("detached")

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return straight_through(psi(c, self.m), c, self.grad)
