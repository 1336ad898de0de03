"""Geometry of the unit hypersphere: directions, cosines, angle addition, two-class slices, nearest centers.

All functions take cosines rather than angles: a matrix product gives cosines, and the derivative of arccos is infinite
at cos = 1, where a sample coincides with its center. Angles are in radians.
"""

import math
from typing import Any

import torch
from torch import Tensor

from workbench.core.errors import InputError

GUARDS = ("wrap", "mm", "easy", "plain", "gtm", "clip")
ADDITIVE_GUARDS = ("wrap", "easy", "gtm")  # valid for cos(theta) - m, which is monotonic in theta
GRADS = ("exact", "detached")
SAFE = (1e-15, 1e15)  # norms whose squares neither overflow nor underflow in float32
CLIP = 1e-3  # distance that the guard "clip" keeps: angles from 0 and pi, in rad, and cosines from -1 and 1


def full(x: Tensor) -> Tensor:
    """Convert to float32 unless x is float32 or float64; margins are not computed in lower precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (..., D) and norms (..., 1) of vectors (..., D). The direction of a zero vector is NaN.

    Vectors whose squared norm would overflow or underflow are first multiplied by a power of two; all others are not
    changed.
    """
    norm = x.norm(dim=-1, keepdim=True)
    outside = ~((norm > SAFE[0]) & (norm < SAFE[1]))
    if not torch.compiler.is_compiling() and not bool(outside.any()):  # a compiled graph has no branch on data
        return x / norm, norm
    scale = torch.where(outside, power_of_two(x), 1.0)
    x = x * scale
    norm = x.norm(dim=-1, keepdim=True)
    return x / norm, norm / scale


def power_of_two(x: Tensor) -> Tensor:
    """The power of two (..., 1) that scales the largest entry of each row of x (..., D) into [0.5, 1); else 1."""
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    limit = math.frexp(torch.finfo(x.dtype).max)[1] - 2
    exponent = torch.frexp(largest)[1].clamp(-limit, limit)
    usable = (largest > 0) & largest.isfinite()
    return torch.where(usable, torch.ldexp(torch.ones_like(largest), -exponent), 1.0)


class Direction(torch.autograd.Function):
    """Directions of vectors (..., D), with a backward pass of half the memory traffic of autograd's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        direction, norm = unit(x)
        ctx.save_for_backward(direction, norm)
        return direction

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        direction, norm = ctx.saved_tensors
        radial = (g * direction).sum(dim=-1, keepdim=True)
        return torch.addcmul(g, direction, radial, value=-1).div_(norm)


def sine(c: Tensor) -> Tensor:
    """sin(theta) from c = cos(theta); value and gradient are finite at |c| = 1 and slightly beyond (rounding)."""
    return (1 - c * c).clamp_min(torch.finfo(c.dtype).tiny).sqrt()


def cos_sin(angle: float | Tensor) -> tuple[float, float] | tuple[Tensor, Tensor]:
    """Cosine and sine of an angle in rad (a number or a tensor)."""
    return (angle.cos(), angle.sin()) if isinstance(angle, Tensor) else (math.cos(angle), math.sin(angle))


def add_angle(c: Tensor, m: float | Tensor) -> Tensor:
    """cos(theta + m) from c = cos(theta). m in rad: a number, or a tensor that broadcasts with c."""
    cos_m, sin_m = cos_sin(m)
    return c * cos_m - sine(c) * sin_m


def angle(c: Tensor) -> Tensor:
    """theta in rad from c = cos(theta); the gradient is finite at |c| = 1."""
    return torch.atan2(sine(c), c)


def psi(c: Tensor, m: float) -> Tensor:
    """SphereFace's psi(theta) = (-1)^k cos(m theta) - 2k, k = floor(m theta / pi); decreasing on [0, pi]."""
    m_theta = m * angle(c)
    k = (m_theta.detach() / math.pi).floor()
    return (1 - 2 * (k % 2)) * m_theta.cos() - 2 * k


def apply_guard(T: Tensor, c: Tensor, m: float | Tensor, guard: str, width: float = CLIP) -> Tensor:
    """Replace the target logit T where the margin m takes theta_y out of range; c = cos(theta_y).

    wrap   none: cos(theta + m) increases again for theta + m > pi (the papers' formula)
    mm     c - m sin m for theta + m > pi: decreasing, with a step down at pi (CurricularFace's and TFace's code)
    easy   c (no margin) for theta > pi/2 (NPCFace's and MV-softmax's code)
    plain  c (no margin) for theta + m > pi: a step up at pi (FaceX-Zoo's ArcFace)
    gtm    c (no margin) for c <= m (FaceX-Zoo's AM form of MV-softmax)
    clip   theta + m clamped to [width, pi - width] rad (AdaFace's code, which also clips cosines: `clip_cosine`)

    With m < 0, theta + m does not exceed pi and "mm" and "plain" change nothing.
    """
    if guard == "wrap":
        return T
    if guard == "easy":
        return torch.where(c > 0, T, c)
    if guard == "gtm":
        return torch.where(c > m, T, c)
    cos_m, sin_m = cos_sin(m)
    inside = (c > -cos_m) | (m < 0)  # theta + m < pi
    if guard == "plain":
        return torch.where(inside, T, c)
    if guard == "mm":
        return torch.where(inside, T, c - m * sin_m)
    theta = c.detach().clamp(-1, 1).acos()
    edge = cos_sin(width)[0]
    T = torch.where(theta + m < width, edge, T)
    return torch.where(theta + m > math.pi - width, -edge, T)


def clip_cosine(c: Tensor, guard: str, width: float | Tensor) -> Tensor:
    """c clamped to +-(1 - width), without gradient outside, for the guard "clip"; c for any other guard."""
    return c.clamp(width - 1, 1 - width) if guard == "clip" else c


def straight_through(T: Tensor, c: Tensor, grad: str) -> Tensor:
    """T with its exact gradient ("exact") or with the gradient of c ("detached": insightface, OpenSphere)."""
    return T if grad == "exact" else c + (T - c).detach()


def two_class_slice(theta: float, phi: Tensor) -> Tensor:
    """Cosines (P, 2) to two centers `theta` rad apart, for samples on their arc at phi (P,) rad from the first."""
    return torch.stack([phi.cos(), (theta - phi).cos()], dim=1)


def nearest_center_angles(W: Tensor, chunk: int = 4096) -> Tensor:
    """Angle (C,) in rad of each center of W (C, D) to its nearest other center; uses chunk x C cosines of memory."""
    directions = unit(W)[0]
    best = []
    for start in range(0, len(W), chunk):
        cos = directions[start : start + chunk] @ directions.T
        rows = torch.arange(len(cos), device=cos.device)
        cos[rows, rows + start] = -1
        best.append(cos.amax(dim=1))
    return torch.cat(best).clamp(-1, 1).acos()


def expected_angle(classes: int, dim: int) -> float:
    """ReCurricularFace Eq. (2) as printed: the smallest angle in rad expected between `classes` centers in R^dim.

    With the printed exponent -2/(d-1) it is the small-angle limit of the *global* minimum, well below the mean
    nearest-center angle (10,572 centers in 512 dimensions: 55.7 degrees against a measured mean of 80.2).
    """
    if dim < 2:
        raise InputError(f"dim = {dim}: directions need at least 2 dimensions")
    k = dim - 1
    log_ratio = math.lgamma(dim / 2) - math.log(2 * math.sqrt(math.pi) * k) - math.lgamma(k / 2)
    return classes ** (-2 / k) * math.gamma(1 + 1 / k) * math.exp(-log_ratio / k)
