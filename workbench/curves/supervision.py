"""Who is supervised, and how strongly: what the classes of one sample share (NPCFace section III), by autograd.

The identity of the softmax (Eq. 3-5), what a positive margin does to the negatives (Eq. 6-7), and what a margin on the
negatives does to a hard one (Eq. 8-10). Geometry, signs and units are those of `workbench.curves.gradients`.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench.curves.gradients import RIGHT, Loss, cosines_at, gradients, objective_of, rows_of, spread
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins import MVSoftmax, NormSoftmax, NPCFace
from workbench.margins.base import Margin, State


@dataclass(frozen=True, eq=False)
class Supervision:
    """How the supervision of samples is split: target (B,) is dL/dT, negatives (B, C - 1) are dL/dN_j, before scale.

    Of a softmax, the negatives' sum is -target = s (1 - p_y), whatever the margin (NPCFace Eq. 3-5).
    """

    target: np.ndarray
    negatives: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """The share (B, C - 1) that each negative has of the supervision of all of them; 0 where there is none."""
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


@dataclass(frozen=True, eq=False)
class Pushes:
    """Gradients (P,): on the target's cosine, on that of the negative looked at, on that of one of the rest; and the
    share that the first negative has of the push on all."""

    target: np.ndarray
    negative: np.ndarray
    other: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class MarginEffect:
    """The gradients over theta_y (P,) in rad with the margin, and with none (NPCFace Eq. 6-7).

    hard (P,): how many of the negatives the margin treats as hard ones.
    """

    theta_y: np.ndarray
    margined: Pushes
    plain: Pushes
    hard: np.ndarray

    def summary(self) -> dict[str, float]:
        """How often the negative is pushed harder with the margin than without, and the largest change of its share."""
        return {
            "negative pushed harder": float((self.margined.negative > self.plain.negative).mean()),
            "largest change of share": float(np.abs(self.margined.share - self.plain.share).max()),
        }


@dataclass(frozen=True, eq=False)
class Emphasis:
    """What margins do to one hard negative, against x (P,): its cosine, or a parameter. A row (K, P) for each margin.

    labels, families (K,): how each margin is called, and its class; along: what x is; s: the scale; added: N minus the
    cosine, before scale; negative: dL/dcos(theta_j), what training pushes it with; hard: whether M_ij > 0.
    """

    labels: tuple[str, ...]
    families: tuple[str, ...]
    along: str
    x: np.ndarray
    s: float
    added: np.ndarray
    negative: np.ndarray
    hard: np.ndarray

    @property
    def log10_odds(self) -> np.ndarray:
        """By how many powers of ten (K, P) the margin multiplies the odds of the negative against the other classes."""
        return self.s * self.added / math.log(10)

    def summary(self) -> dict[str, float]:
        """For each margin the largest push and the largest power of ten."""
        push = {f"push, {label}": float(row.max()) for label, row in zip(self.labels, self.negative, strict=True)}
        odds = {f"log10 odds, {label}": float(o.max()) for label, o in zip(self.labels, self.log10_odds, strict=True)}
        return push | odds


def supervision(
    loss: Loss,
    cos: np.ndarray | Sequence[float],
    s: float = 64.0,
    state: State | Mapping[str, float] | None = None,
    norm: float = 1.0,
) -> Supervision:
    """dL/dT and every dL/dN_j of samples with cosines (C,) or (B, C), the target first (NPCFace Eq. 3-5)."""
    cos = torch.atleast_2d(torch.as_tensor(cos, dtype=torch.float64))
    objective = objective_of(loss, s, cos.shape[1], state)
    rows = rows_of(objective, cos, norm)
    rows.T, rows.N = (logits.detach().requires_grad_() for logits in (rows.T, rows.N))  # now the free variables
    total = objective.weighting(objective.criterion(rows, objective.learned).squeeze(1)) * len(cos)
    target, negatives = torch.autograd.grad(total, (rows.T, rows.N))
    return Supervision(target[:, 0].numpy(), negatives[:, 1:].numpy())


def margin_effect(
    loss: Loss,
    theta_y: np.ndarray,
    theta_j: float,
    rest: int = 98,
    theta_rest: float = RIGHT,
    s: float = 64.0,
    state: State | Mapping[str, float] | None = None,
    norm: float = 1.0,
) -> MarginEffect:
    """What the margin does to the gradients of a sample that moves from its own center: with it and without.

    Eq. 6: a positive margin raises 1 - p_y, and with it the pull dL/dT; dL/dcos(theta_y) is that times T's slope, which
    for ArcFace is below 1 past (pi - m) / 2. Eq. 7: it raises every negative's gradient by the same factor, so that a
    hard one's share stays as it was.
    """
    objective = objective_of(loss, s, rest + 2, state)
    plain = copy.copy(objective)
    plain.margin = NormSoftmax()
    theta_y, theta_j = spread(theta_y, theta_j)
    cos = cosines_at(theta_y, theta_j, rest, theta_rest)

    def pushes(objective: MarginSoftmax) -> Pushes:
        found = gradients(objective, cos, norm)[0].numpy()
        other = found[:, 2] if rest else np.zeros(len(found))
        return Pushes(found[:, 0], found[:, 1], other, found[:, 1] / found[:, 1:].sum(axis=1))

    hard = (rows_of(objective, cos, norm).hard > 0).sum(dim=1)
    return MarginEffect(theta_y.numpy(), pushes(objective), pushes(plain), hard.numpy())


def hard_forms(m: float = 0.5, alpha: float = 0.25) -> dict[str, Margin]:
    """MV-softmax (Eq. 8) and NPCFace (Eq. 10) at t = 1.1, 1.2, 1.3 with one T and one mask: only N differs."""
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

    Eq. 9: the push is p_j s t, and p_j depends on t too. Of MV-softmax a step dt of t multiplies the negative's odds by
    e^(s dt (1 + cos_j)); of NPCFace, whose shift is alpha, by e^(s dt cos_j) only.
    """
    theta_j = np.arccos(np.asarray(cos_j, dtype=np.float64))
    rows = [emphasised(m, theta_y, theta_j, rest, theta_rest, s) for m in margins.values()]
    return gathered(margins, "cos θⱼ", cos_j, s, np.stack(rows, axis=1))


def emphasis_over(
    name: str,
    values: np.ndarray,
    margins: Mapping[str, Margin],
    theta_y: float,
    theta_j: float,
    rest: int = 998,
    theta_rest: float = RIGHT,
    s: float = 64.0,
) -> Emphasis:
    """The same for one negative at theta_j rad, as the parameter `name` of each margin takes the values (P,)."""

    def at(margin: Margin, value: float) -> np.ndarray:
        return emphasised(replace(margin, **{name: value}), theta_y, theta_j, rest, theta_rest, s)

    rows = [np.concatenate([at(m, float(v)) for v in values], axis=1) for m in margins.values()]
    return gathered(margins, name, values, s, np.stack(rows, axis=1))


def emphasised(
    margin: Margin, theta_y: float, theta_j: np.ndarray | float, rest: int, theta_rest: float, s: float
) -> np.ndarray:
    """N - cos(theta_j), dL/dcos(theta_j) and M_ij at every theta_j: (3, P)."""
    objective = objective_of(margin, s, rest + 2)
    cos = cosines_at(*spread(theta_y, theta_j), rest, theta_rest)
    with torch.no_grad():
        rows = rows_of(objective, cos, 1.0)
        added, hard = rows.N[:, 1] - cos[:, 1], rows.hard[:, 1]
    return torch.stack([added, gradients(objective, cos, 1.0)[0][:, 1], hard.double()]).numpy()


def gathered(margins: Mapping[str, Margin], along: str, x: np.ndarray, s: float, rows: np.ndarray) -> Emphasis:
    """The result from what `emphasised` found, (3, K, P)."""
    families = tuple(type(m).__name__ for m in margins.values())
    added, negative, hard = rows
    return Emphasis(tuple(margins), families, along, np.asarray(x, dtype=np.float64), s, added, negative, hard > 0)
