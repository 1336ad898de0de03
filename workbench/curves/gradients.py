"""Gradients, seen: how hard training pulls a sample to its own center and pushes it off the others, by autograd.

Every gradient is that of the training loss itself, `objective.from_cosines`, with whatever the code detaches detached.
A sample has its own center at theta_y and one other at theta_j; `rest` more centers all stand at theta_rest. A negative
gradient raises a cosine (a pull), a positive one lowers it (a push). Units: nats per unit of cosine. How the classes
share the supervision is in `workbench.curves.supervision`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from workbench.centers.full import FullCenters
from workbench.centers.similarity import Dot
from workbench.core.errors import InputError, unknown
from workbench.curves.slice import narrow
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.losses.rows import DenseRows
from workbench.losses.scales import Fixed
from workbench.margins.base import Margin, State

GRID = np.linspace(0, math.pi, 61)  # 3 degrees apart: small enough to be drawn again while a slider moves
NOISE = 1e-9  # of the largest gradient: below, a sign is rounding
RIGHT = math.pi / 2
Loss = MarginSoftmax | Margin


@dataclass(frozen=True, eq=False)
class GradientMap:
    """The gradient over the plane of theta_y (P,) and theta_j (Q,) in rad; every array (Q, P), a row for each theta_j.

    target, negative: dL/dcos(theta_y) and dL/dcos(theta_j) of each sample; T, N: its two logits before scale; loss: in
    nats; p_y: the softmax probability of its own class; boundary (K, 2): theta_y, theta_j in rad along T = N, a NaN row
    between two lines. The plane's samples are one batch where a loss looks at the batch (HM-softmax's selection).
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
        """Where training moves the sample away from its own center, (Q, P) bool."""
        return self.target > NOISE * np.abs(self.target).max()

    @property
    def wrong_negative(self) -> np.ndarray:
        """Where training moves the sample towards the other center, (Q, P) bool."""
        return self.negative < -NOISE * np.abs(self.negative).max()

    def summary(self) -> dict[str, float]:
        """The strongest pull and push, and the shares of the plane where training moves a cosine the wrong way."""
        return {
            "strongest pull": float(self.target.min()),
            "strongest push": float(self.negative.max()),
            "wrong target": float(self.wrong_target.mean()),
            "wrong negative": float(self.wrong_negative.mean()),
        }


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes of T and N where a sample has its centers at theta_y and theta_j (P,), in rad; every array (P,).

    T, N, T_of_j: dT/dcos(theta_y), dN/dcos(theta_j), dT/dcos(theta_j) of the logits as drawn, with nothing detached;
    the trained ones are what training uses: its gradient is dL/dT and dL/dN times those.
    """

    theta_y: np.ndarray
    theta_j: np.ndarray
    T: np.ndarray
    N: np.ndarray
    T_of_j: np.ndarray
    T_trained: np.ndarray
    N_trained: np.ndarray
    T_of_j_trained: np.ndarray

    def summary(self) -> dict[str, float]:
        """The largest difference between a slope as drawn and as trained."""
        names = ("T", "N", "T_of_j")
        return {name: float(np.abs(getattr(self, name) - getattr(self, f"{name}_trained")).max()) for name in names}


def objective_of(
    loss: Loss, s: float = 64.0, classes: int = 10, state: State | Mapping[str, float] | None = None
) -> MarginSoftmax:
    """The loss itself, or for a margin the softmax loss it makes at scale s.

    state: values of the margin's states by name, as if training had reached them; an objective has its own.
    """
    if isinstance(loss, MarginSoftmax):
        if state is not None:
            raise InputError("state: an objective has its own; give a margin, or set the objective's")
        return loss
    if not isinstance(loss, Margin):
        raise InputError(f"{type(loss).__name__}: neither a Margin nor an objective of one; triplet has no T and N")
    objective = MarginSoftmax(loss, FullCenters(classes, 2), Fixed(s))
    put(objective, state or {})
    return objective


@torch.no_grad()
def put(objective: MarginSoftmax, state: State | Mapping[str, float]) -> None:
    """Write states by name into an objective, as if training had reached them."""
    known = objective.state
    for name, value in state.items():
        if name not in known:
            raise unknown(f"state of {type(objective.margin).__name__}", name, known)
        objective.get_buffer(f"state_{name}").copy_(torch.as_tensor(value))


def similar(objective: MarginSoftmax, cos: Tensor, norm: float) -> Tensor:
    """What an objective compares by: the cosine, or |x| cos for a dot product with centers of length 1."""
    return norm * cos if isinstance(objective.centers.similarity, Dot) else cos


def gradients(objective: MarginSoftmax, cos: Tensor, norm: float) -> tuple[Tensor, Tensor]:
    """dL/dcos (B, C) and the loss (B,) of samples with these cosines, the target first: training's own autograd."""
    cos = cos.detach().requires_grad_()
    y = torch.zeros(len(cos), dtype=torch.long)
    loss = objective.from_cosines(similar(objective, cos, norm), y, torch.full_like(cos[:, :1], norm).detach())
    (found,) = torch.autograd.grad(loss.total * len(cos), cos)  # the total is a mean over the batch
    return found, loss.per_sample.detach()


def rows_of(objective: MarginSoftmax, cos: Tensor, norm: float) -> DenseRows:
    """The row statistics, T and N among them, that training computes from these cosines, the target first."""
    state, length = objective.state, torch.full_like(cos[:, :1], norm).detach()
    y = torch.zeros(len(cos), 1, dtype=torch.long)
    scale = objective.scale.value(length, state)
    return DenseRows(objective.margin, similar(objective, cos, norm), length, y, objective.learned, state, scale)


def cosines_at(theta_y: Tensor, theta_j: Tensor, rest: int, theta_rest: float) -> Tensor:
    """Cosines (B, 2 + rest) from angles (B,): own center, the other one, the rest."""
    if rest < 0:
        raise InputError(f"rest = {rest}: the number of further centers must be 0 or more")
    for name, angles in (("theta_y", theta_y), ("theta_j", theta_j), ("theta_rest", torch.tensor([theta_rest]))):
        wrong = angles[(angles < 0) | (angles > math.pi + 1e-9)]
        if len(wrong):
            raise InputError(f"{name} = {float(wrong[0]):g}: an angle between directions, in rad, must be in [0, pi]")
    others = torch.full((len(theta_y), rest), math.cos(theta_rest), dtype=torch.float64)
    return torch.cat([theta_y.cos()[:, None], theta_j.cos()[:, None], others], dim=1)


def spread(*angles: Any) -> list[Tensor]:
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
    state: State | Mapping[str, float] | None = None,
    norm: float = 1.0,
) -> GradientMap:
    """dL/dcos(theta_y) and dL/dcos(theta_j) over the plane of both angles (rad), all of it as one batch.

    loss: an objective, or a margin with scale s and states by name. norm: the embeddings' length. Raises InputError for
    angles outside [0, pi] and for a loss without T and N (triplet).
    """
    objective = objective_of(loss, s, rest + 2, state)
    along, across = (torch.as_tensor(t, dtype=torch.float64) for t in (theta_y, theta_j))
    plane = torch.meshgrid(across, along, indexing="ij")
    cos = cosines_at(plane[1].flatten(), plane[0].flatten(), rest, theta_rest)
    found, per_sample = gradients(objective, cos, norm)
    with torch.no_grad():
        rows = rows_of(objective, cos, norm)
        p_y = (rows.s * rows.T - rows.logsumexp).sigmoid()
        T, N = rows.T[:, 0], rows.N[:, 1]
        line = boundary(objective, along, across, (T - N).view_as(plane[0]), rest, theta_rest, norm)
    arrays = (found[:, 0], found[:, 1], T, N, per_sample, p_y[:, 0])
    return GradientMap(along.numpy(), across.numpy(), *(a.view_as(plane[0]).numpy() for a in arrays), line)


def boundary(
    objective: MarginSoftmax, theta_y: Tensor, theta_j: Tensor, lead: Tensor, rest: int, theta_rest: float, norm: float
) -> np.ndarray:
    """T = N as points theta_y, theta_j (K, 2): each theta_y with every theta_j where the lead T - N (Q, P) flips."""
    column, row = ((lead[:-1] > 0) != (lead[1:] > 0)).T.nonzero(as_tuple=True)

    def leads(at: Tensor) -> Tensor:
        own = theta_y[column].repeat_interleave(len(at) // len(column))
        rows = rows_of(objective, cosines_at(own, at, rest, theta_rest), norm)
        return rows.T[:, 0] - rows.N[:, 1]

    def first_change(values: Tensor) -> Tensor:
        return ((values > 0).diff(dim=1)).byte().argmax(dim=1)

    low, high = narrow(leads, theta_j[row], theta_j[row + 1], first_change)
    order = torch.arange(len(column)) - torch.searchsorted(column, column)  # the how-manieth of its column
    lines = torch.full((int(order.max()) + 1 if len(order) else 0, len(theta_y) + 1, 2), torch.nan, dtype=torch.float64)
    lines[order, column] = torch.stack([theta_y[column], (low + high) / 2], dim=1)
    return lines.flatten(0, 1).numpy()


class NothingDetached(TorchFunctionMode):
    """Inside, `detach` and `no_grad` do nothing: autograd sees every dependence that the drawn formula has."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.detach:
            return args[0]
        if func is torch._C._set_grad_enabled:  # what entering and leaving no_grad calls
            return None
        return func(*args, **(kwargs or {}))


def slopes(
    loss: Loss,
    theta_y: np.ndarray | float,
    theta_j: np.ndarray | float,
    rest: int = 0,
    theta_rest: float = RIGHT,
    state: State | Mapping[str, float] | None = None,
    norm: float = 1.0,
) -> Slopes:
    """The slopes of T and N at angles in rad, (P,) or numbers, as they are drawn and as training uses them."""
    objective = objective_of(loss, classes=rest + 2, state=state)
    theta_y, theta_j = spread(theta_y, theta_j)
    cos = cosines_at(theta_y, theta_j, rest, theta_rest)

    def three() -> list[np.ndarray]:
        leaf = cos.clone().requires_grad_()
        rows = rows_of(objective, leaf, norm)
        of_T, of_N = (torch.autograd.grad(v.sum(), leaf, retain_graph=True)[0] for v in (rows.T, rows.N[:, 1]))
        return [a.numpy() for a in (of_T[:, 0], of_N[:, 1], of_T[:, 1])]

    trained = three()
    with NothingDetached():
        drawn = three()
    return Slopes(theta_y.numpy(), theta_j.numpy(), *drawn, *trained)
