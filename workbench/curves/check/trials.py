"""What the laws of a margin are tried on: made-up batches, sweeps over angles, states; and how a finding says where."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.random import generator
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin, State

CLASSES, DIM = 8, 4  # of the made-up batches
RARE = math.radians(30), math.radians(120)  # nearer to the own center, or farther, is hardly a sample
NORMS = 1.0, 30.0  # lengths of embeddings that are tried
SAME = 1e-9


@dataclass(frozen=True)
class Finding:
    """What is wrong (or, as a note, worth knowing) and where: `at` are the angles in rad that `where` says in words."""

    law: str
    says: str
    where: str = ""
    formula: str = ""
    note: bool = False
    at: tuple[float, ...] = ()
    size: float = 0.0  # how much of it there is


Findings = Iterator[Finding]


def states(margin: Margin) -> dict[str, State]:
    """The state before training and, where the margin shows any, late in it: each at 1, or at its upper end."""
    first = margin.init(CLASSES, DIM)
    late = {name: torch.full_like(first[name], min(p.high, 1.0)) for name, p in margin.states.items()}
    words = ", ".join(f"{margin.states[name].symbol} = {float(value):g}" for name, value in late.items())
    return {"before training": first, f"with {words}": first | late} if late else {"": first}


def rows_of(
    margin: Margin, cos: Tensor, state: State, norm: float | Tensor = 1.0, y: Tensor | None = None
) -> DenseRows:
    """Row statistics of made-up cosines (B, C) in their own type; the target in column 0 unless y (B, 1) says else."""

    def like(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(cos.dtype) if value.is_floating_point() else value for name, value in values.items()}

    y = torch.zeros(len(cos), 1, dtype=torch.long) if y is None else y
    norm = torch.as_tensor(norm, dtype=cos.dtype).expand(len(cos), 1)
    return DenseRows(margin, cos, norm, y, like(margin.learned(CLASSES, DIM)), like(state))


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Cosines (6, 8), lengths (6, 1) and targets (6, 1) of a made-up batch."""
    own = generator(0, "check")
    cos = 2 * torch.rand(6, CLASSES, generator=own, dtype=torch.float64) - 1
    return cos, 5 + 40 * torch.rand(6, 1, generator=own, dtype=torch.float64), torch.arange(6)[:, None]


def situations(margin: Margin) -> Iterator[tuple[State, float, str]]:
    """States and lengths to try, each with its words."""
    for words, state in states(margin).items():
        for norm in NORMS:
            yield state, norm, when(words, "" if norm == NORMS[0] else f"|x| = {norm:g}")


def gravest(groups: Iterable[list[Finding]]) -> list[Finding]:
    """Of what was found in several states and at several lengths, the gravest: faults before notes, then by size."""
    return max(groups, key=lambda found: (any(not f.note for f in found), sum(f.size for f in found)), default=[])


# Saying where


def place(name: str, theta: float) -> str:
    return f"{name} = {math.degrees(theta):.1f}° ({theta:.3f} rad, cos {math.cos(theta):.3f})"


def stretch(name: str, low: float, high: float) -> str:
    return f"{name} from {math.degrees(low):.1f}° to {math.degrees(high):.1f}° ({low:.3f} to {high:.3f} rad)"


def stretches(theta: Tensor, wrong: Tensor) -> list[tuple[float, float]]:
    """The intervals of theta (P,) on which wrong (P,) is true."""
    ends = torch.nn.functional.pad(wrong.to(torch.int8), (1, 1)).diff().nonzero().squeeze(1).tolist()
    return [(float(theta[a]), float(theta[b - 1])) for a, b in zip(ends[::2], ends[1::2], strict=True)]


def rare(low: float, high: float) -> bool:
    """Whether hardly a sample lies between these angles from its own center."""
    return high < RARE[0] or low > RARE[1]


def when(*words: str) -> str:
    """', before training, |x| = 30': the circumstances of a finding."""
    return "".join(f", {part}" for part in words if part)
