"""Gradients of the training loss with respect to the cosines to the own center and to other centers, by autograd.

The loss is `MarginSoftmax.from_cosines`, as in training, stop-gradients included. A sample has its own center at
theta_y and one other at theta_j; `rest` further centers are all at theta_rest. A negative gradient raises a cosine
(pull), a positive one lowers it (push). Unit: nats per unit of cosine. The shares of the classes in the supervision are
in `workbench.curves.supervision`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.centers.full import FullCenters
from workbench.centers.similarity import Dot
from workbench.core.errors import InputError, unknown
from workbench.curves.slice import StateValues, refine, sign_flips
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.losses.rows import DenseRows
from workbench.losses.scales import Fixed
from workbench.margins.base import Margin, State

GRID = np.linspace(0, math.pi, 61)  # 3 degrees apart: fast enough to recompute while a slider moves
NOISE = 1e-9  # relative to the largest gradient: below, a sign is rounding error
RIGHT = math.pi / 2
Loss = MarginSoftmax | Margin


@dataclass(frozen=True, eq=False)
class GradientMap:
    """Gradients over the plane of theta_y (P,) and theta_j (Q,) in rad; all other arrays (Q, P), a row per theta_j.

    target, negative: dL/dcos(theta_y) and dL/dcos(theta_j) of each sample; T, N: its two logits before scale; loss: in
    nats; p_y: softmax probability of its own class; boundary (K, 2): theta_y, theta_j in rad along T = N, a NaN row
    between two lines. The samples form one batch for losses that depend on the batch (HM-softmax).
    """

    theta_y: np.ndarray
    theta_j: np.ndarray
    target: np.ndarray
    negative: np.ndarray
    T: np.ndarray
    N: np.ndarray
    loss: np.ndarray
    p_y: np.ndarray
    boundary: np.ndarray

    @property
    def wrong_target(self) -> np.ndarray:
        """Where training pushes the sample away from its own center, (Q, P) bool."""
        return self.target > NOISE * np.abs(self.target).max()

    @property
    def wrong_negative(self) -> np.ndarray:
        """Where training pulls the sample towards the other center, (Q, P) bool."""
        return self.negative < -NOISE * np.abs(self.negative).max()

    def summary(self) -> dict[str, float]:
        """The strongest pull and push, and the fractions of the plane with gradients of the wrong sign."""
        return {
            "strongest pull": float(self.target.min()),
            "strongest push": float(self.negative.max()),
            "wrong target": float(self.wrong_target.mean()),
            "wrong negative": float(self.wrong_negative.mean()),
        }


def as_objective(loss: Loss, s: float = 64.0, classes: int = 10, state: StateValues = None) -> MarginSoftmax:
    """The loss itself, or for a margin its softmax loss with scale s.

    state: values of the margin's state by name. Raises InputError for other types, for an unknown state, and for
    `state` with an objective, which has its own.
    """
    if isinstance(loss, MarginSoftmax):
        if state is not None:
            raise InputError("state: an objective has its own state; pass a margin, or set the objective's state")
        return loss
    if not isinstance(loss, Margin):
        raise InputError(f"{type(loss).__name__}: neither a Margin nor a MarginSoftmax; triplet has no T and N")
    objective = MarginSoftmax(loss, FullCenters(classes, 2), Fixed(s))
    set_state(objective, state or {})
    return objective


@torch.no_grad()
def set_state(objective: MarginSoftmax, state: State | Mapping[str, float]) -> None:
    """Set states of an objective by name. Raises InputError for an unknown name."""
    known = objective.state
    for name, value in state.items():
        if name not in known:
            raise unknown(f"state of {type(objective.margin).__name__}", name, known)
        objective.get_buffer(f"state_{name}").copy_(torch.as_tensor(value))


def similarities(objective: MarginSoftmax, cos: Tensor, norm: float) -> Tensor:
    """The similarities that an objective compares: the cosines, or norm * cos for a dot product with unit centers."""
    return norm * cos if isinstance(objective.centers.similarity, Dot) else cos


def gradients(objective: MarginSoftmax, cos: Tensor, norm: float) -> tuple[Tensor, Tensor]:
    """dL/dcos (B, C) and the loss (B,) of samples with cosines (B, C), the target in column 0."""
    cos = cos.detach().requires_grad_()
    y = torch.zeros(len(cos), dtype=torch.long)
    loss = objective.from_cosines(similarities(objective, cos, norm), y, torch.full_like(cos[:, :1], norm).detach())
    (gradient,) = torch.autograd.grad(loss.total * len(cos), cos)  # the total is a mean over the batch
    return gradient, loss.per_sample.detach()


def row_statistics(objective: MarginSoftmax, cos: Tensor, norm: float) -> DenseRows:
    """The row statistics of training, T and N included, for cosines (B, C) with the target in column 0."""
    state, length = objective.state, torch.full_like(cos[:, :1], norm).detach()
    y = torch.zeros(len(cos), 1, dtype=torch.long)
    scale = objective.scale.value(length, state)
    return DenseRows(objective.margin, similarities(objective, cos, norm), length, y, objective.learned, state, scale)


def cosines_at(theta_y: Tensor, theta_j: Tensor, rest: int, theta_rest: float) -> Tensor:
    """Cosines (B, 2 + rest) from angles (B,) in rad: own center, other center, further centers.

    Raises InputError for angles outside [0, pi] and for rest < 0.
    """
    if rest < 0:
        raise InputError(f"rest = {rest}: the number of further centers must be 0 or more")
    for name, angles in (("theta_y", theta_y), ("theta_j", theta_j), ("theta_rest", torch.tensor([theta_rest]))):
        wrong = angles[(angles < 0) | (angles > math.pi + 1e-9)]
        if len(wrong):
            raise InputError(f"{name} = {float(wrong[0]):g}: an angle must be in [0, pi] rad")
    others = torch.full((len(theta_y), rest), math.cos(theta_rest), dtype=torch.float64)
    return torch.cat([theta_y.cos()[:, None], theta_j.cos()[:, None], others], dim=1)


def broadcast(*angles: Any) -> list[Tensor]:
    """Angles, numbers or (P,), as float64 tensors of one length."""
    flat = (torch.as_tensor(a, dtype=torch.float64).reshape(-1) for a in angles)
    return [t.contiguous() for t in torch.broadcast_tensors(*flat)]


def gradient_map(
    loss: Loss,
    theta_y: np.ndarray = GRID,
    theta_j: np.ndarray = GRID,
    rest: int = 0,
    theta_rest: float = RIGHT,
    s: float = 64.0,
    state: StateValues = None,
    norm: float = 1.0,
) -> GradientMap:
    """dL/dcos(theta_y) and dL/dcos(theta_j) over the plane of both angles (rad), as one batch.

    loss: an objective, or a margin with scale s and states by name. norm: norm of the embeddings. Raises InputError for
    angles outside [0, pi] and for a loss without T and N (triplet).
    """
    objective = as_objective(loss, s, rest + 2, state)
    theta_y, theta_j = (torch.as_tensor(t, dtype=torch.float64) for t in (theta_y, theta_j))
    rows, columns = torch.meshgrid(theta_j, theta_y, indexing="ij")
    cos = cosines_at(columns.flatten(), rows.flatten(), rest, theta_rest)
    gradient, per_sample = gradients(objective, cos, norm)
    with torch.no_grad():
        stats = row_statistics(objective, cos, norm)
        p_y = (stats.s * stats.T - stats.logsumexp).sigmoid()
        T, N = stats.T[:, 0], stats.N[:, 1]
        line = boundary(objective, theta_y, theta_j, (T - N).view_as(rows), rest, theta_rest, norm)
    arrays = (gradient[:, 0], gradient[:, 1], T, N, per_sample, p_y[:, 0])
    return GradientMap(theta_y.numpy(), theta_j.numpy(), *(a.view_as(rows).numpy() for a in arrays), line)


def boundary(
    objective: MarginSoftmax, theta_y: Tensor, theta_j: Tensor, lead: Tensor, rest: int, theta_rest: float, norm: float
) -> np.ndarray:
    """T = N as points theta_y, theta_j (K, 2), from the intervals of theta_j where lead = T - N (Q, P) changes sign."""
    column, row = ((lead[:-1] > 0) != (lead[1:] > 0)).T.nonzero(as_tuple=True)

    def scores(ends: Tensor) -> Tensor:
        own = theta_y[column][:, None].expand_as(ends)
        stats = row_statistics(objective, cosines_at(own.flatten(), ends.flatten(), rest, theta_rest), norm)
        return sign_flips((stats.T[:, 0] - stats.N[:, 1]).view_as(ends))

    position, _ = refine(scores, theta_j[row], theta_j[row + 1])
    order = torch.arange(len(column)) - torch.searchsorted(column, column)  # index of the crossing within its column
    lines = torch.full((int(order.max()) + 1 if len(order) else 0, len(theta_y) + 1, 2), torch.nan, dtype=torch.float64)
    lines[order, column] = torch.stack([theta_y[column], position], dim=1)
    return lines.flatten(0, 1).numpy()
