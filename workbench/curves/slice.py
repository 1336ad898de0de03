"""The analytic side: a margin evaluated on the arc between two centers, with the code that training uses.

A sample sits phi rad from the target center on the arc to one other center, theta rad away. Its two logits are T and N;
where T - N changes sign is the decision boundary that training really draws. Where T meets the plain cosine of the
other center is the boundary that the positive margin alone would draw, (theta - m) / 2 for ArcFace: the ideal one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import two_class_slice
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin, State

GRID = 2049  # points on which sign changes and jumps are looked for before they are refined
PARTS, ROUNDS = 64, 8  # each round keeps one of 64 parts of a grid interval: 2^-48 of it at the end
Logits = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Curve:
    """T and N along the arc: phi (P,) rad from the target center, T (P,), N (P,); where each jumps (phi in rad)."""

    phi: np.ndarray
    T: np.ndarray
    N: np.ndarray
    T_jumps: np.ndarray
    N_jumps: np.ndarray
    state: dict[str, float]

    def summary(self) -> dict[str, float]:
        """The ends of both curves and how often each jumps."""
        ends = {"T first": self.T[0], "T last": self.T[-1], "N first": self.N[0], "N last": self.N[-1]}
        return {k: float(v) for k, v in ends.items()} | {"jumps": float(len(self.T_jumps) + len(self.N_jumps))}


def slice_logits(
    margin: Margin, theta: float, state: State | dict[str, float] | None = None, norm: float | None = None
) -> tuple[Logits, State]:
    """A function phi (P,) rad -> T (P,), N (P,) in float64 on the arc of theta rad, and the state it uses.

    state: the margin's, as tensors or numbers; missing names (or None) are the ones before training. norm: the
    embedding's length where a margin uses it (1 if None).
    """
    if not 0 < theta <= math.pi:
        raise InputError(f"theta = {theta}: the angle between the two centers, in rad, must be in (0, pi]")
    resolved = {name: value.double() for name, value in margin.init(2, 2).items()}
    params = {name: value.double() for name, value in margin.learned(2, 2).items()}
    resolved |= {
        name: torch.as_tensor(value, dtype=torch.float64).cpu()
        for name, value in (state or {}).items()
        if name in margin.states
    }

    def at(phi: Tensor) -> tuple[Tensor, Tensor]:
        cos = two_class_slice(theta, phi)
        y = torch.zeros(len(phi), 1, dtype=torch.long)
        length = torch.full((len(phi), 1), 1.0 if norm is None else norm, dtype=torch.float64)
        both = DenseRows(margin, cos, length, y, params, resolved).logits
        return both[:, 0], both[:, 1]

    return torch.no_grad()(at), resolved


def narrow(
    values: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, pick: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Intervals (low, high), each (K,), narrowed again and again to the part that pick(values at its ends) tells."""
    weights = torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)
    for _ in range(ROUNDS if len(low) else 0):
        ends = torch.lerp(low[:, None], high[:, None], weights)
        part = pick(values(ends.flatten()).view_as(ends))[:, None]
        low, high = ends.gather(1, part).squeeze(1), ends.gather(1, part + 1).squeeze(1)
    return low, high


def sign_changes(difference: Callable[[Tensor], Tensor], theta: float) -> np.ndarray:
    """phi in (0, theta) where a function of phi changes sign, by crossing zero or by jumping over it."""
    phi = torch.linspace(0, theta, GRID, dtype=torch.float64)
    positive = difference(phi) > 0
    at = (positive[:-1] != positive[1:]).nonzero().squeeze(1)

    def first_change(values: Tensor) -> Tensor:
        return ((values > 0).diff(dim=1)).byte().argmax(dim=1)

    low, high = narrow(difference, phi[at], phi[at + 1], first_change)
    return ((low + high) / 2).numpy()


def jumps(values: Callable[[Tensor], Tensor], theta: float) -> np.ndarray:
    """phi in (0, theta) where a function of phi is discontinuous: a step that stays however small the interval."""
    phi = torch.linspace(0, theta, GRID, dtype=torch.float64)
    steps = values(phi).diff().abs()
    at = (steps > 4 * steps.median() + 1e-9).nonzero().squeeze(1)
    if len(at) == 0:
        return np.empty(0)
    low, high = narrow(values, phi[at], phi[at + 1], lambda v: v.diff(dim=1).abs().argmax(dim=1))
    return ((low + high) / 2)[(values(high) - values(low)).abs() > 1e-6].numpy()


def curve(
    margin: Margin,
    theta: float = math.radians(80),
    points: int = 512,
    state: State | dict[str, float] | None = None,
    norm: float | None = None,
) -> Curve:
    """T and N of a sample moving from the target center (phi = 0) to another one theta rad away."""
    at, resolved = slice_logits(margin, theta, state, norm)
    phi = torch.linspace(0, theta, points, dtype=torch.float64)
    T, N = at(phi)
    return Curve(
        phi.numpy(),
        T.numpy(),
        N.numpy(),
        jumps(lambda p: at(p)[0], theta),
        jumps(lambda p: at(p)[1], theta),
        {name: float(value) for name, value in resolved.items()},
    )


def boundaries(
    margin: Margin,
    theta: float = math.radians(80),
    state: State | dict[str, float] | None = None,
    norm: float | None = None,
) -> np.ndarray:
    """Every phi in rad where T - N changes sign, jumps included; the one negative is NPCFace's mean hard cosine."""
    at, _ = slice_logits(margin, theta, state, norm)
    return sign_changes(lambda phi: at(phi)[0] - at(phi)[1], theta)


def ideal_boundaries(
    margin: Margin,
    theta: float = math.radians(80),
    state: State | dict[str, float] | None = None,
    norm: float | None = None,
) -> np.ndarray:
    """Every phi in rad where T meets the plain cosine of the other center: the positive margin's own boundary."""
    at, _ = slice_logits(margin, theta, state, norm)
    return sign_changes(lambda phi: at(phi)[0] - (theta - phi).cos(), theta)
