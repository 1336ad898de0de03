"""T and N of a margin on the arc between two centers, and its decision boundaries, computed with the training code.

A sample is phi rad from the target center, on the arc to another center theta rad away. The actual boundary is where
T - N changes sign. The ideal boundary is where T equals the plain cosine of the other center, as with a positive margin
alone: (theta - m) / 2 for ArcFace.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import two_class_slice
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin, State

THETA = math.radians(80)  # default angle between the two centers
GRID = 2049  # points of the grid that is searched for sign changes and jumps
Logits = Callable[[Tensor], tuple[Tensor, Tensor]]
Scores = Callable[[Tensor], Tensor]
StateValues = State | Mapping[str, float] | None


@dataclass(frozen=True)
class Curve:
    """T (P,) and N (P,) at phi (P,) rad from the target center; T_jumps, N_jumps: discontinuities in rad."""

    phi: np.ndarray
    T: np.ndarray
    N: np.ndarray
    T_jumps: np.ndarray
    N_jumps: np.ndarray
    state: dict[str, float]

    def summary(self) -> dict[str, float]:
        """The end points of both curves and the number of jumps."""
        ends = {"T first": self.T[0], "T last": self.T[-1], "N first": self.N[0], "N last": self.N[-1]}
        return {k: float(v) for k, v in ends.items()} | {"jumps": float(len(self.T_jumps) + len(self.N_jumps))}


def slice_logits(
    margin: Margin, theta: float, state: StateValues = None, norm: float | None = None
) -> tuple[Logits, State]:
    """A function phi (...) rad -> T (...), N (...) in float64 on the arc of theta rad, and the state that it uses.

    state: values of the margin's state; missing names have their value before training. norm: norm of the embedding
    (None: 1), for margins that depend on it. Raises InputError unless 0 < theta <= pi.
    """
    if not 0 < theta <= math.pi:
        raise InputError(f"theta = {theta}: the angle between the two centers must be in (0, pi] rad")
    resolved = {name: value.double() for name, value in margin.init(2, 2).items()}
    params = {name: value.double() for name, value in margin.learned_parameters(2, 2).items()}
    resolved |= {
        name: torch.as_tensor(value, dtype=torch.float64).cpu()
        for name, value in (state or {}).items()
        if name in margin.states
    }

    def logits(phi: Tensor) -> tuple[Tensor, Tensor]:
        cos = two_class_slice(theta, phi.flatten())
        y = torch.zeros(len(cos), 1, dtype=torch.long)
        length = torch.full((len(cos), 1), 1.0 if norm is None else norm, dtype=torch.float64)
        both = DenseRows(margin, cos, length, y, params, resolved).logits
        return both[:, 0].view_as(phi), both[:, 1].view_as(phi)

    return torch.no_grad()(logits), resolved


def refine(scores: Scores, low: Tensor, high: Tensor, parts: int = 64, rounds: int = 8) -> tuple[Tensor, Tensor]:
    """Bisection into `parts`: each round narrows every interval (low, high), both (K,), to its part of largest score.

    scores: ends (K, parts + 1) of the parts -> score (K, parts) of each part. Returns the middles (K,) of the final
    intervals, whose relative width is parts ** -rounds, and their scores (K,).
    """
    weights = torch.linspace(0, 1, parts + 1, dtype=torch.float64)
    score = torch.zeros(len(low), 1, dtype=torch.float64)
    for _ in range(rounds if len(low) else 0):
        ends = torch.lerp(low[:, None], high[:, None], weights)
        score, part = scores(ends).max(dim=1, keepdim=True)
        low, high = ends.gather(1, part).squeeze(1), ends.gather(1, part + 1).squeeze(1)
    return (low + high) / 2, score.squeeze(1)


def sign_flips(values: Tensor) -> Tensor:
    """1 where values (..., P) change sign between neighbors of the last axis, else 0; (..., P - 1)."""
    return (values > 0).diff().double()


def sign_changes(difference: Scores, theta: float) -> np.ndarray:
    """phi in (0, theta) where a function of phi changes sign, continuously or by a jump."""
    phi = torch.linspace(0, theta, GRID, dtype=torch.float64)
    index = sign_flips(difference(phi)).nonzero().squeeze(1)
    return refine(lambda ends: sign_flips(difference(ends)), phi[index], phi[index + 1])[0].numpy()


def jumps(values: Scores, theta: float) -> np.ndarray:
    """phi in (0, theta) where a function of phi is discontinuous: its step does not vanish with the interval."""
    phi = torch.linspace(0, theta, GRID, dtype=torch.float64)
    steps = values(phi).diff().abs()
    index = (steps > 4 * steps.median() + 1e-9).nonzero().squeeze(1)
    position, step = refine(lambda ends: values(ends).diff().abs(), phi[index], phi[index + 1])
    return position[step > 1e-6].numpy()


def curve(
    margin: Margin, theta: float = THETA, points: int = 512, state: StateValues = None, norm: float | None = None
) -> Curve:
    """T and N of a sample that moves from the target center (phi = 0) to another center theta rad away.

    state, norm: as for `slice_logits`.
    """
    logits, resolved = slice_logits(margin, theta, state, norm)
    phi = torch.linspace(0, theta, points, dtype=torch.float64)
    T, N = logits(phi)
    return Curve(
        phi.numpy(),
        T.numpy(),
        N.numpy(),
        jumps(lambda p: logits(p)[0], theta),
        jumps(lambda p: logits(p)[1], theta),
        {name: float(value) for name, value in resolved.items()},
    )


def boundaries(
    margin: Margin, theta: float = THETA, state: StateValues = None, norm: float | None = None
) -> np.ndarray:
    """Every phi in rad where T - N changes sign, jumps included; the only negative is NPCFace's mean hard cosine.

    state, norm: as for `slice_logits`.
    """
    logits, _ = slice_logits(margin, theta, state, norm)
    return sign_changes(lambda phi: torch.sub(*logits(phi)), theta)


def ideal_boundaries(
    margin: Margin, theta: float = THETA, state: StateValues = None, norm: float | None = None
) -> np.ndarray:
    """Every phi in rad where T equals the plain cosine of the other center: the boundary of the positive margin alone.

    state, norm: as for `slice_logits`.
    """
    logits, _ = slice_logits(margin, theta, state, norm)
    return sign_changes(lambda phi: logits(phi)[0] - (theta - phi).cos(), theta)
