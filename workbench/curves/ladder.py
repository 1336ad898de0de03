"""A ladder: the curves T and N and their boundaries for many values of one parameter, so that a drag needs no kernel.

Every rung is the margin itself with another value of one field, evaluated on the arc by `workbench.curves`. Jumps and
changes of sign are looked for between the points that are drawn, not on the finer grid of `curves`: two of them within
half a degree only the exact curve shows, which follows every drag.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.curves.slice import Logits, slice_logits
from workbench.margins.base import Margin, State

RUNGS, POINTS = 49, 129
PARTS, ROUNDS = 32, 3  # each round keeps one of 32 parts of the interval between two points: 2^-15 of it at the end
STEP = 1e-5  # what is left of a jump in so narrow an interval is larger
WIDEST = 1000  # a range wider than this is climbed in equal factors if its ends allow it, else not at all
FLAT = 1e-9  # curves closer than this are the same


@dataclass(frozen=True, eq=False)
class Rung:
    """The curves at one value of the parameter: T (P,), N (P,); jumps of each and both kinds of boundary in rad."""

    value: float
    T: np.ndarray
    N: np.ndarray
    T_jumps: np.ndarray
    N_jumps: np.ndarray
    actual: np.ndarray
    ideal: np.ndarray


def equal_factors(p: Param) -> bool:
    """Whether the range of a parameter spans so many powers of ten that equal steps would crowd all but the last."""
    return p.low > 0 and WIDEST <= p.high / p.low < float("inf")


def climbs(p: Param) -> bool:
    """Whether a parameter is a number in a range that a slider can cover."""
    return not p.choices and (p.high - p.low <= WIDEST or equal_factors(p))


def rung_values(p: Param, rungs: int = RUNGS) -> np.ndarray:
    """The values (rungs,) of a parameter over its range, both ends included. Raises InputError where it has none."""
    if not climbs(p):
        raise InputError(f"{p.symbol}: a ladder needs a number in a range, not {p.choices or (p.low, p.high)}")
    return (np.geomspace if equal_factors(p) else np.linspace)(p.low, p.high, rungs)


def ladder(
    margin: Margin,
    name: str,
    p: Param,
    theta: float,
    state: State | dict[str, float] | None = None,
    norm: float | None = None,
    rungs: int = RUNGS,
    points: int = POINTS,
) -> Iterator[Rung]:
    """The rungs of one field of a margin on the arc of theta rad, lowest value first, each computed when asked for.

    state, norm: as for `curves.curve`. A value that the margin does not allow beside its other fields has no rung.
    Raises InputError for a parameter without a range and for a formula that fails.
    """
    phi = torch.linspace(0, theta, points, dtype=torch.float64)
    for value in rung_values(p, rungs).tolist():
        try:
            changed = dataclasses.replace(margin, **{name: value})
        except InputError:
            continue
        yield rung(value, slice_logits(changed, theta, state, norm)[0], phi)


def rung(value: float, at: Logits, phi: Tensor) -> Rung:
    """The curves at phi (P,) rad, ascending from 0, of a function that gives T and N there."""
    T, N = at(phi)
    return Rung(value, T.numpy(), N.numpy(), *marks(at, phi, T, N))


def between(T: Tensor, N: Tensor, phi: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """What happens between neighbours of the last axis: the steps of T and of N, and whether T - N and
    T - cos(theta - phi) change sign; each (2, ..., P - 1).
    """
    signs = torch.stack([T - N, T - (theta - phi).cos()]) > 0
    return torch.stack([T, N]).diff(), signs.diff()


def lone(steps: Tensor) -> Tensor:
    """The steps (2, P - 1) of T and N that stand out from both their neighbours: where there may be a jump."""
    bends = steps.diff().abs()
    either = torch.nn.functional.pad(bends, (1, 1), value=torch.inf)
    return torch.minimum(either[:, :-1], either[:, 1:]) > 4 * bends.median(dim=1, keepdim=True).values + FLAT


def marks(at: Logits, phi: Tensor, T: Tensor, N: Tensor) -> list[np.ndarray]:
    """phi in rad of the jumps of T, the jumps of N, the actual and the ideal boundaries, from the values at phi (P,).

    All are narrowed at once, which costs least.
    """
    steps, changes = between(T, N, phi, phi[-1])
    kind, place = torch.cat([lone(steps), changes]).nonzero(as_tuple=True)
    if len(place) == 0:
        return [np.empty(0)] * 4
    low, high, each = phi[place], phi[place + 1], torch.arange(len(place))
    weights = torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)
    for _ in range(ROUNDS):
        ends = torch.lerp(low[:, None], high[:, None], weights)
        steps, changes = between(*(v.view_as(ends) for v in at(ends.flatten())), ends, phi[-1])
        scores = torch.cat([steps.abs(), changes.double()])[kind, each]  # (found, PARTS)
        part = scores.argmax(dim=1, keepdim=True)
        low, high = ends.gather(1, part).squeeze(1), ends.gather(1, part + 1).squeeze(1)
    middle, stays = (low + high) / 2, scores.amax(dim=1) > STEP
    return [middle[(kind == k) & stays].numpy() for k in range(4)]


def moves(rungs: Sequence[Rung]) -> tuple[bool, bool]:
    """Whether climbing moves T, and whether it moves N."""
    ends = np.stack([[r.T for r in rungs], [r.N for r in rungs]])  # (2, K, P)
    T, N = np.ptp(ends, axis=1).max(axis=1) > FLAT
    return bool(T), bool(N)
