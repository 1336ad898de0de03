"""Margins in the positive logit: NormSoftmax (none), CosFace, ArcFace."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from workbench.margins.base import Context, Margin, param
from workbench.sphere import ADDITIVE_GUARDS, GRADS, GUARDS, add_angle, guarded, straight_through


def guard_param(default: str = "wrap", choices: tuple[str, ...] = GUARDS) -> Any:
    return param(default, "guard", "what replaces T where the margin overshoots", choices=choices)


def grad_param() -> Any:
    return param("exact", "grad", "gradient of T: its own, or that of cos θ_y alone", choices=GRADS)


def angular(c: Tensor, m: float | Tensor, guard: str, grad: str) -> Tensor:
    """cos(theta_y + m) for the target cosine c (B, 1), guarded, with the chosen gradient."""
    return straight_through(guarded(add_angle(c, m), c, m, guard), c, grad)


def additive(c: Tensor, m: float, guard: str, grad: str) -> Tensor:
    """cos(theta_y) - m for the target cosine c (B, 1), guarded, with the chosen gradient."""
    return straight_through(guarded(c - m, c, m, guard), c, grad)


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
    """

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos(\theta_y + m)", r"N = \cos\theta_j")
    m: float = param(0.5, "m", "angle added to the target's own", unit="rad", low=0.0, high=1.5, neutral=0.0)
    guard: str = guard_param()
    grad: str = grad_param()

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, self.m, self.guard, self.grad)
