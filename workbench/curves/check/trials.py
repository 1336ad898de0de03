"""Test inputs of `check_margin`: batches, states and norms; findings and how they name a place."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.angles import format_angle
from workbench.core.random import generator
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin, State

CLASSES, DIM = 8, 4  # of the test batches
RARE = math.radians(30), math.radians(120)  # few samples are nearer to their own center or farther from it
NORMS = 1.0, 30.0  # of the embeddings
SAME = 1e-9


@dataclass(frozen=True)
class Finding:
    """A fault of a margin, or a note on it. law: name of the check; at: angles in rad, as `where` says in words."""

    message: str
    where: str = ""
    formula: str = ""
    note: bool = False
    at: tuple[float, ...] = ()
    size: float = 0.0
    law: str = ""


Findings = Iterator[Finding]


def states(margin: Margin) -> dict[str, State]:
    """By description: the state before training and, for visible states, a late one with each at 1 or its upper end."""
    first = margin.init(CLASSES, DIM)
    late = {name: torch.full_like(first[name], min(p.high, 1.0)) for name, p in margin.states.items()}
    words = ", ".join(f"{margin.states[name].symbol} = {float(value):g}" for name, value in late.items())
    return {"before training": first, f"with {words}": first | late} if late else {"": first}


def rows_of(
    margin: Margin, cos: Tensor, state: State, norm: float | Tensor = 1.0, y: Tensor | None = None
) -> DenseRows:
    """Row statistics of cosines (B, C) in their dtype; y (B, 1): target columns (None: column 0)."""

    def like(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(cos.dtype) if value.is_floating_point() else value for name, value in values.items()}

    y = torch.zeros(len(cos), 1, dtype=torch.long) if y is None else y
    norm = torch.as_tensor(norm, dtype=cos.dtype).expand(len(cos), 1)
    return DenseRows(margin, cos, norm, y, like(margin.learned_parameters(CLASSES, DIM)), like(state))


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Cosines (6, 8), norms (6, 1) and targets (6, 1) of a random batch."""
    rng = generator(0, "check")
    cos = 2 * torch.rand(6, CLASSES, generator=rng, dtype=torch.float64) - 1
    return cos, 5 + 40 * torch.rand(6, 1, generator=rng, dtype=torch.float64), torch.arange(6)[:, None]


def situations(margin: Margin) -> Iterator[tuple[State, float, str]]:
    """All combinations of state and norm, with a description."""
    for words, state in states(margin).items():
        for norm in NORMS:
            yield state, norm, conditions(words, "" if norm == NORMS[0] else f"|x| = {norm:g}")


def most_severe(groups: Iterable[list[Finding]]) -> list[Finding]:
    """The most severe of several lists of findings: faults before notes, then by total size."""
    return max(groups, key=lambda group: (any(not f.note for f in group), sum(f.size for f in group)), default=[])


def intervals(theta: Tensor, wrong: Tensor) -> list[tuple[float, float]]:
    """The intervals of theta (P,) on which wrong (P,) is true."""
    ends = torch.nn.functional.pad(wrong.to(torch.int8), (1, 1)).diff().nonzero().squeeze(1).tolist()
    return [(float(theta[a]), float(theta[b - 1])) for a, b in zip(ends[::2], ends[1::2], strict=True)]


def is_rare(low: float, high: float) -> bool:
    """Whether few samples are between these angles from their own center."""
    return high < RARE[0] or low > RARE[1]


def format_position(name: str, theta: float) -> str:
    return f"{name} = {format_angle(theta)}, cos {math.cos(theta):.3f}"


def format_interval(name: str, low: float, high: float) -> str:
    return f"{name} from {format_angle(low)} to {format_angle(high)}"


def conditions(*words: str) -> str:
    """', before training, |x| = 30': the conditions of a finding."""
    return "".join(f", {part}" for part in words if part)
