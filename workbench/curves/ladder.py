"""The curves T and N and their boundaries for many values of one parameter, so that a browser can show a drag alone.

A rung is the margin with another value of one field, on the arc of `workbench.curves`. Jumps and sign changes are
searched between the sampled points, not on the finer grid of `workbench.curves`: two within half a degree are missed.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.curves.slice import Logits, StateValues, refine, sign_flips, slice_logits
from workbench.margins.base import Margin

RUNGS, POINTS = 49, 129
PARTS, ROUNDS = 32, 3  # of the bisection
STEP = 1e-5  # a continuous curve changes by less within the final interval
WIDEST = 1000  # a wider range is covered in equal factors where its lower end is positive, else not at all
FLAT = 1e-9  # curves closer than this are equal


@dataclass(frozen=True, eq=False)
class Rung:
    """The curves at one value of the parameter: T (P,), N (P,); jumps of each and both kinds of boundary, in rad."""

    value: float
    T: np.ndarray
    N: np.ndarray
    T_jumps: np.ndarray
    N_jumps: np.ndarray
    actual: np.ndarray
    ideal: np.ndarray


def is_logarithmic(p: Param) -> bool:
    """Whether a parameter's range is positive and wide, so that its values are spaced by equal factors."""
    return p.low > 0 and WIDEST <= p.high / p.low < float("inf")


def has_range(p: Param) -> bool:
    """Whether a parameter is a number in a bounded range, as a slider needs."""
    return not p.choices and (p.high - p.low <= WIDEST or is_logarithmic(p))


def rung_values(p: Param, rungs: int = RUNGS) -> np.ndarray:
    """Values (rungs,) of a parameter over its range, both ends included. Raises InputError without a range."""
    if not has_range(p):
        raise InputError(f"{p.symbol}: a ladder needs a number in a bounded range, not {p.choices or (p.low, p.high)}")
    return (np.geomspace if is_logarithmic(p) else np.linspace)(p.low, p.high, rungs)


def ladder(
    margin: Margin,
    name: str,
    p: Param,
    theta: float,
    state: StateValues = None,
    norm: float | None = None,
    rungs: int = RUNGS,
    points: int = POINTS,
) -> Iterator[Rung]:
    """The rungs of field `name` of a margin on the arc of theta rad, in ascending order, computed lazily.

    state, norm: as for `slice_logits`. Values that the margin rejects together with its other fields are skipped.
    Raises InputError for a parameter without a range and for a formula that fails.
    """
    phi = torch.linspace(0, theta, points, dtype=torch.float64)
    for value in rung_values(p, rungs).tolist():
        try:
            changed = dataclasses.replace(margin, **{name: value})
        except InputError:
            continue
        logits, _ = slice_logits(changed, theta, state, norm)
        T, N = logits(phi)
        yield Rung(value, T.numpy(), N.numpy(), *marks(logits, phi, T, N))


def changes(T: Tensor, N: Tensor, phi: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Changes between neighbors of the last axis: the steps of T and of N, and the sign flips of T - N and
    T - cos(theta - phi); each (2, ..., P - 1).
    """
    return torch.stack([T, N]).diff(), sign_flips(torch.stack([T - N, T - (theta - phi).cos()]))


def isolated_steps(steps: Tensor) -> Tensor:
    """Which steps (2, P - 1) of T and N differ from both of their neighbors: the candidates for jumps."""
    bends = steps.diff().abs()
    padded = torch.nn.functional.pad(bends, (1, 1), value=torch.inf)
    return torch.minimum(padded[:, :-1], padded[:, 1:]) > 4 * bends.median(dim=1, keepdim=True).values + FLAT


def marks(logits: Logits, phi: Tensor, T: Tensor, N: Tensor) -> list[np.ndarray]:
    """Positions in rad of the jumps of T, the jumps of N, the actual and the ideal boundaries, from values at phi (P,).

    All are refined in one batch.
    """
    steps, flips = changes(T, N, phi, phi[-1])
    kind, index = torch.cat([isolated_steps(steps), flips > 0]).nonzero(as_tuple=True)
    rows = torch.arange(len(index))

    def scores(ends: Tensor) -> Tensor:
        steps, flips = changes(*logits(ends), ends, phi[-1])
        return torch.cat([steps.abs(), flips])[kind, rows]

    position, score = refine(scores, phi[index], phi[index + 1], PARTS, ROUNDS)
    return [position[(kind == k) & (score > STEP)].numpy() for k in range(4)]


def moves(rungs: Sequence[Rung]) -> tuple[bool, bool]:
    """Whether T varies between the rungs, and whether N does."""
    curves = np.stack([[r.T for r in rungs], [r.N for r in rungs]])  # (2, K, P)
    T, N = np.ptp(curves, axis=1).max(axis=1) > FLAT
    return bool(T), bool(N)
