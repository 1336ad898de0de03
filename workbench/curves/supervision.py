"""How the softmax supervision of a sample is shared among the classes (NPCFace, section III), by autograd.

The identity of the softmax gradient (Eq. 3-5), the effect of a positive margin on the negatives (Eq. 6-7), and the
effect of a negative margin on a hard negative (Eq. 8-10). Geometry, signs and units: see `workbench.curves.gradients`.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.curves.gradients import RIGHT, Loss, as_objective, broadcast, cosines_at, gradients, row_statistics
from workbench.curves.slice import StateValues
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins import MVSoftmax, NormSoftmax, NPCFace
from workbench.margins.base import Margin


@dataclass(frozen=True, eq=False)
class Supervision:
    """Gradients with respect to the logits before scale: target (B,) is dL/dT, negatives (B, C - 1) are dL/dN_j.

    For softmax the negatives sum to -target = s (1 - p_y), for any margin (NPCFace Eq. 3-5).
    """

    target: np.ndarray
    negatives: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Fraction (B, C - 1) of each negative in the sum over all negatives; 0 where the sum is 0."""
        total = self.negatives.sum(axis=1, keepdims=True)
        return np.divide(self.negatives, total, out=np.zeros_like(self.negatives), where=total != 0)

    def summary(self) -> dict[str, float]:
        """Both sides of the identity for the first sample, their largest difference over all, the largest share."""
        pushed = self.negatives.sum(axis=1)
        return {
            "-dL/dT": float(-self.target[0]),
            "sum of dL/dN_j": float(pushed[0]),
            "difference": float(np.abs(pushed + self.target).max()),
            "largest share": float(self.share.max()),
        }


def supervision(
    loss: Loss,
    cos: np.ndarray | Sequence[float],
    s: float = 64.0,
    state: StateValues = None,
    norm: float = 1.0,
) -> Supervision:
    """dL/dT and all dL/dN_j of samples with cosines (C,) or (B, C), the target first (NPCFace Eq. 3-5)."""
    cos = torch.atleast_2d(torch.as_tensor(cos, dtype=torch.float64))
    objective = as_objective(loss, s, cos.shape[1], state)
    rows = row_statistics(objective, cos, norm)
    rows.T, rows.N = (logits.detach().requires_grad_() for logits in (rows.T, rows.N))  # the free variables
    total = objective.weighting(objective.criterion(rows, objective.learned).squeeze(1)) * len(cos)
    target, negatives = torch.autograd.grad(total, (rows.T, rows.N))
    return Supervision(target[:, 0].numpy(), negatives[:, 1:].numpy())


@dataclass(frozen=True, eq=False)
class Pushes:
    """Gradients (P,) on the cosines to the target, to the first negative and to one of the rest; share (P,): fraction
    of the first negative in the sum over all negatives."""

    target: np.ndarray
    negative: np.ndarray
    other: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class MarginEffect:
    """Gradients over theta_y (P,) in rad with and without the margin (NPCFace Eq. 6-7).

    hard (P,): number of negatives that the margin treats as hard.
    """

    theta_y: np.ndarray
    margined: Pushes
    plain: Pushes
    hard: np.ndarray

    def summary(self) -> dict[str, float]:
        """How often the first negative is pushed harder with the margin, and the largest change of its share."""
        return {
            "negative pushed harder": float((self.margined.negative > self.plain.negative).mean()),
            "largest change of share": float(np.abs(self.margined.share - self.plain.share).max()),
        }


def margin_effect(
    loss: Loss,
    theta_y: np.ndarray,
    theta_j: float,
    rest: int = 98,
    theta_rest: float = RIGHT,
    s: float = 64.0,
    state: StateValues = None,
    norm: float = 1.0,
) -> MarginEffect:
    """Gradients of a sample at angles theta_y (P,) rad from its own center, with and without the margin.

    Eq. 6: a positive margin raises 1 - p_y and thus the pull dL/dT; dL/dcos(theta_y) is that times the slope of T,
    which for ArcFace is below 1 past (pi - m) / 2. Eq. 7: it raises the gradients of all negatives by the same factor;
    the share of a hard negative stays the same.
    """
    objective = as_objective(loss, s, rest + 2, state)
    plain = copy.copy(objective)
    plain.margin = NormSoftmax()
    theta_y, theta_j = broadcast(theta_y, theta_j)
    cos = cosines_at(theta_y, theta_j, rest, theta_rest)

    def pushes(objective: MarginSoftmax) -> Pushes:
        gradient = gradients(objective, cos, norm)[0].numpy()
        other = gradient[:, 2] if rest else np.zeros(len(gradient))
        return Pushes(gradient[:, 0], gradient[:, 1], other, gradient[:, 1] / gradient[:, 1:].sum(axis=1))

    hard = (row_statistics(objective, cos, norm).hard > 0).sum(dim=1)
    return MarginEffect(theta_y.numpy(), pushes(objective), pushes(plain), hard.numpy())


@dataclass(frozen=True, eq=False)
class Emphasis:
    """Effect of K margins on one negative of cosine x (P,).

    labels, families (K,): name and class of each margin; s: scale. (K, P) each: added: N minus the cosine, before
    scale; negative: dL/dcos(theta_j); hard: whether M_ij > 0.
    """

    labels: tuple[str, ...]
    families: tuple[str, ...]
    x: np.ndarray
    s: float
    added: np.ndarray
    negative: np.ndarray
    hard: np.ndarray

    @property
    def log10_odds(self) -> np.ndarray:
        """log10 (K, P) of the factor of the margin on the odds of the negative against the other classes."""
        return self.s * self.added / math.log(10)

    def summary(self) -> dict[str, float]:
        """The largest push and the largest log10 odds of each margin."""
        push = {f"push, {label}": float(row.max()) for label, row in zip(self.labels, self.negative, strict=True)}
        odds = {f"log10 odds, {label}": float(o.max()) for label, o in zip(self.labels, self.log10_odds, strict=True)}
        return push | odds


def hard_forms(m: float = 0.5, alpha: float = 0.25) -> dict[str, Margin]:
    """MV-softmax (Eq. 8) and NPCFace (Eq. 10) at t = 1.1, 1.2, 1.3 with the same T and mask: only N differs."""
    t = (1.1, 1.2, 1.3)
    mv = {f"MV-softmax, t = {k}": MVSoftmax(m=m, t=k, positive="arc") for k in t}
    return mv | {f"NPCFace, t = {k}, α = {alpha:g}": NPCFace(m0=m, m1=0, t=k, alpha=alpha, m_mask=m) for k in t}


def emphasis(
    margins: Mapping[str, Margin],
    cos_j: np.ndarray,
    theta_y: float,
    rest: int = 998,
    theta_rest: float = RIGHT,
    s: float = 64.0,
) -> Emphasis:
    """What each margin adds to a negative of cosine cos_j (P,), and how hard training pushes it (NPCFace Eq. 8-10).

    Eq. 9: the push is p_j s t, and p_j depends on t. For MV-softmax, an increment dt of t multiplies the odds of the
    negative by e^(s dt (1 + cos_j)); for NPCFace, whose shift is alpha, by e^(s dt cos_j).
    """
    x = np.asarray(cos_j, dtype=np.float64)
    cos = cosines_at(*broadcast(theta_y, np.arccos(x)), rest, theta_rest)
    added, negative, hard = [], [], []
    for margin in margins.values():
        objective = as_objective(margin, s, rest + 2)
        negative.append(gradients(objective, cos, 1.0)[0][:, 1].numpy())
        with torch.no_grad():
            rows = row_statistics(objective, cos, 1.0)
            added.append((rows.N[:, 1] - cos[:, 1]).numpy())
            hard.append((rows.hard[:, 1] > 0).numpy())
    families = tuple(type(m).__name__ for m in margins.values())
    return Emphasis(tuple(margins), families, x, s, np.stack(added), np.stack(negative), np.stack(hard))
