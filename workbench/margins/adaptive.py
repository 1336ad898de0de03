"""Margins in the positive logit that differ between samples: by class (AdaptiveFace), by embedding length (MagFace,
AdaFace), random (ElasticFace).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import ADDITIVE_GUARDS, clip_cosine
from workbench.core.parameters import Param, param
from workbench.core.random import generator
from workbench.margins.base import Context, Margin, State
from workbench.margins.positive import additive, angular, clip_param, grad_param, guard_param


@dataclass(frozen=True)
class AdaptiveFace(Margin):
    """Pulls samples closer to their class center: subtracts from the target cosine a margin learned for each class.

    T = cos(theta_y) - m_y,  N = cos(theta_j);  m_y is learned, in [0, 1]           (AdaptiveFace Eq. 5)
    loss + lambda_m (-mean_k m_k)                                                   (Eq. 6: rewards large margins)

    Gradient: nothing is detached; m_y has a gradient.
    Reduces to: CosFace if all m_y are equal and lambda_m = 0.
    Follows / differs: m_y is initialized in U(0.3, 0.4) and clamped after the optimizer's step; FaceX-Zoo clamps in the
    forward pass and adds lambda_m (1 - mean m), which differs by a constant. The paper's hard-prototype mining and
    adaptive sampling are not part of the loss.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = \cos\theta_y - m_y,\quad m_y \;\mathrm{learned}",
        r"N = \cos\theta_j",
        r"L \leftarrow L - \lambda_m\,\mathrm{mean}_k\, m_k",
    )
    lam: float = param(70.0, "λₘ", "weight of the reward for large margins", low=0.0, high=500.0)

    def learned_parameters(self, classes: int, dim: int, seed: int = 0) -> dict[str, Tensor]:
        return {"m": 0.3 + 0.1 * torch.rand(classes, generator=generator(seed, "class margins"))}

    def project(self, params: dict[str, Tensor]) -> None:
        params["m"].clamp_(0, 1)

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(m=params["m"][y])

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return c - ctx.m

    def penalty(self, ctx: Context, params: dict[str, Tensor]) -> Tensor:
        return -self.lam * params["m"].mean()


@dataclass(frozen=True)
class MagFace(Margin):
    """Pulls samples closer to their class center by a margin that grows with the embedding length.

    a    = |x| clipped to [l_a, u_a]
    m(a) = l_m + (u_m - l_m) (a - l_a) / (u_a - l_a)
    T    = cos(theta_y + m(a)),  N = cos(theta_j)                                   (MagFace Eq. 2)
    loss + lambda_g mean(g(a)),  g(a) = a / u_a^2 + 1 / a                           (Eq. 3)

    Gradient: exact, also into the length |x| through m(a) and g(a); none where |x| lies outside [l_a, u_a].
    Reduces to: ArcFace(m) at l_m = u_m = m and lambda_g = 0.
    Follows / differs: paper silent on the guard (wrap); the authors' code drops the margin past 90 degrees
    (guard="easy"), FaceX-Zoo past pi (plain). The loss is convex in a only if lambda_g >= s k u_a^2 l_a^2 /
    (u_a^2 - l_a^2), with k the slope of m(a): 22.59 at the defaults and s = 64. A warning is given below that bound
    (the authors' trainer: 20).
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"a = \min(\max(\|x\|, l_a), u_a)",
        r"m(a) = l_m + (u_m - l_m)\,\frac{a - l_a}{u_a - l_a}",
        r"T = \cos(\theta_y + m(a))",
        r"N = \cos\theta_j",
        r"L \leftarrow L + \lambda_g\,\mathrm{mean}\left(\frac{a}{u_a^2} + \frac{1}{a}\right)",
    )
    l_a: float = param(10.0, "lₐ", "embedding length at the smallest margin", low=0.1, high=1000.0)
    u_a: float = param(110.0, "uₐ", "embedding length at the largest margin", low=0.2, high=2000.0)
    l_m: float = param(0.45, "lₘ", "smallest margin", unit="rad", low=0.0, high=1.5, neutral=0.0)
    u_m: float = param(0.80, "uₘ", "largest margin", unit="rad", low=0.0, high=1.5, neutral=0.0)
    lam_g: float = param(35.0, "λ_g", "weight of the reward for long embeddings", low=0.0, high=500.0)
    guard: str = guard_param()
    grad: str = grad_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.l_a >= self.u_a or self.l_m > self.u_m:
            raise InputError(
                f"MagFace: l_a = {self.l_a:g}, u_a = {self.u_a:g}, l_m = {self.l_m:g}, u_m = {self.u_m:g};"
                " needs l_a < u_a and l_m <= u_m"
            )

    def caution(self, s: float) -> str | None:
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        bound = s * slope * (self.u_a * self.l_a) ** 2 / (self.u_a**2 - self.l_a**2)
        if self.lam_g >= bound:
            return None
        return (
            f"MagFace: lam_g = {self.lam_g:g} is below {bound:.2f}, the bound above which the loss is convex in the"
            f" embedding length (s = {s:g}); lengths may not converge. Try lam_g = {math.ceil(bound)}."
        )

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        a = norm.clamp(self.l_a, self.u_a)
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return Context(a=a, m=self.l_m + slope * (a - self.l_a))

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, ctx.m, self.guard, self.grad)

    def penalty(self, ctx: Context, params: dict[str, Tensor]) -> Tensor:
        return self.lam_g * (ctx.a / self.u_a**2 + 1 / ctx.a).mean()


@dataclass(frozen=True)
class AdaFace(Margin):
    """Emphasizes hard samples if their embedding is long (high image quality), and easy samples if it is short.

    z   = (|x| - mu) / sigma * h, clipped to [-1, 1]                                (AdaFace Eq. 17)
    T   = cos(theta_y - m z) - (m + m z),  N = cos(theta_j)                         (Eq. 18-20)
    mu, sigma <- (1 - momentum) old + momentum mean(|x|), std(|x|) of the batch, before the batch uses them

    Gradient: z is a constant; T is differentiated exactly.
    Reduces to: CosFace(m) at h = 0; NormSoftmax at m = 0.
    Follows / differs: momentum 0.01 as in the paper (class default of the released code: 1, no moving average). Paper
    silent on the guard (wrap); the code (guard="clip") clamps every cosine to +-(1 - clip) and the target angle to
    [clip, pi - clip]. A batch of one sample has no standard deviation: sigma is unchanged (the code gives NaN).
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"z = \min\left(\max\left(h\,\frac{\|x\| - \mu}{\sigma}, -1\right), 1\right)",
        r"T = \cos(\theta_y - m z) - (m + m z)",
        r"N = \cos\theta_j",
    )
    states: ClassVar[dict[str, Param]] = {
        "mu": Param("μ", "moving average of the embedding lengths", low=0.0, high=100.0),
        "sigma": Param("σ", "moving standard deviation of the embedding lengths", low=0.001, high=100.0),
    }
    EPS: ClassVar[float] = 1e-3  # added to sigma; lengths are clipped to [EPS, 100], as in the released code
    m: float = param(0.4, "m", "margin of the angle in rad and of the cosine", low=0.0, high=1.0, neutral=0.0)
    h: float = param(0.333, "h", "influence of the embedding length", low=-1.0, high=1.0)
    momentum: float = param(0.01, "momentum", "weight of the new batch in μ and σ", low=0.0, high=1.0)
    guard: str = guard_param("wrap", ("wrap", "clip"))
    grad: str = grad_param()
    clip: float = clip_param()

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"mu": torch.tensor(20.0), "sigma": torch.tensor(100.0)}

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        length = norm.detach().clamp(self.EPS, 100)
        return Context(z=((length - state["mu"]) / (state["sigma"] + self.EPS) * self.h).clamp(-1, 1))

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return clip_cosine(c, self.guard, self.clip)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        c = clip_cosine(c, self.guard, self.clip)
        return angular(c, -self.m * ctx.z, self.guard, self.grad, self.clip) - (self.m + self.m * ctx.z)

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        length = norm.clamp(self.EPS, 100)
        std = length.std() if len(length) > 1 else state["sigma"]
        new = {"mu": length.mean(), "sigma": std}
        return {name: (1 - self.momentum) * state[name] + self.momentum * new[name] for name in new}

    def reads_centers(self, state: State) -> bool:
        return False


@dataclass(frozen=True)
class Elastic(Margin):
    """Base class of both ElasticFaces: a random margin for each sample, eps ~ N(m, sigma).

    The random numbers depend on the seed and the step, both in the state, so reading a batch again gives the same
    margins. Before the first step every margin is m; curves show this.
    """

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"seed": torch.tensor(seed), "step": torch.zeros(())}

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        step = int(state["step"])
        if step == 0:
            return Context(eps=torch.full_like(pos, self.m))
        normal = torch.randn(len(pos), 1, generator=generator(int(state["seed"]), f"elastic {step}"))
        eps = self.m + self.sigma * normal.to(pos)
        if self.plus == "none":
            return Context(eps=eps)
        order = pos.detach().argsort(dim=0, descending=True)
        ascending = eps.sort(dim=0).values
        if self.plus == "repo":
            return Context(eps=ascending.gather(0, order))
        return Context(eps=torch.empty_like(eps).scatter(0, order, ascending))

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        return {"seed": state["seed"], "step": state["step"] + 1}

    def reads_centers(self, state: State) -> bool:
        return False


def plus_param() -> Any:
    """The field `plus`: the assignment of random margins to samples (ElasticFace+)."""
    return param(
        "none",
        "plus",
        "random margins: in any order; larger for samples farther from their center; or in the released code's order",
        choices=("none", "matched", "repo"),
    )


@dataclass(frozen=True)
class ElasticArc(Elastic):
    """Pulls samples closer to their class center: adds a random margin to each target angle.

    eps ~ N(m, sigma);  T = cos(theta_y + eps),  N = cos(theta_j)      (ElasticFace Eq. 5)
    plus="matched": larger margins for samples farther from their class center (ElasticFace+)

    Gradient: eps is a constant.
    Reduces to: ArcFace(m) at sigma = 0.
    Follows / differs: eps is not clipped, as in paper and code. The code of the plus form indexes with the inverse
    permutation, so ranks do not match for three or more samples (plus="repo"). No guard.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"\epsilon \sim \mathcal{N}(m, \sigma)",
        r"T = \cos(\theta_y + \epsilon)",
        r"N = \cos\theta_j",
    )
    m: float = param(0.5, "m", "mean margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    sigma: float = param(0.05, "σ", "standard deviation of the margin", unit="rad", low=0.0, high=0.5)
    plus: str = plus_param()
    guard: str = guard_param()
    grad: str = grad_param()

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, ctx.eps, self.guard, self.grad)


@dataclass(frozen=True)
class ElasticCos(Elastic):
    """Pulls samples closer to their class center: subtracts a random margin from each target cosine.

    eps ~ N(m, sigma);  T = cos(theta_y) - eps,  N = cos(theta_j)      (ElasticFace Eq. 6)
    plus="matched": larger margins for samples farther from their class center (ElasticFace+)

    Gradient: eps is a constant.
    Reduces to: CosFace(m) at sigma = 0.
    Follows / differs: same as ElasticArc.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"\epsilon \sim \mathcal{N}(m, \sigma)",
        r"T = \cos\theta_y - \epsilon",
        r"N = \cos\theta_j",
    )
    m: float = param(0.35, "m", "mean margin subtracted from the target cosine", low=0.0, high=1.0, neutral=0.0)
    sigma: float = param(0.05, "σ", "standard deviation of the margin", low=0.0, high=0.5)
    plus: str = plus_param()
    guard: str = guard_param(choices=ADDITIVE_GUARDS)
    grad: str = grad_param()

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return additive(c, ctx.eps, self.guard, self.grad)
