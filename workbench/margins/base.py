"""What a margin is: a few small pure functions of cosines, and the declaration of its parameters.

    context   per-sample columns from the target side: the hardness threshold tau, the curriculum's t, ...
    hard      which non-target cosines are hard ones (M_ij)
    N, T      the non-target and the target logit, before scale
    observe   the only method that returns a new state

Context is computed anew from every batch, state survives between batches. A margin never holds a tensor itself: it is a
frozen dataclass whose fields are the numbers a slider may move. Equation letters are those of the papers.
"""

from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.errors import InputError

Context = SimpleNamespace  # named columns (B, 1), or scalars that broadcast with them
State = dict[str, Tensor]


@dataclass(frozen=True)
class Param:
    """What a slider, a table and an error message need to know about one number (or choice) of a loss."""

    symbol: str
    meaning: str
    unit: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[Any, ...] = ()
    neutral: float | None = None  # where it has no effect, if it makes the task harder: a warm-up starts there

    def check(self, owner: str, name: str, value: Any) -> Any:
        """The value as a float (or one of the choices); InputError names the owner, the parameter and the range."""
        if self.choices:
            if value not in self.choices:
                raise InputError(f"{owner}: {name} = {value!r} is not one of {', '.join(map(str, self.choices))}")
            return value
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(f"{owner}: {name} = {value!r} is not a number") from None
        if not (isfinite(number) and self.low <= number <= self.high):
            raise InputError(f"{owner}: {name} = {value} is outside [{self.low:g}, {self.high:g}]")
        return number


def param(
    default: Any,
    symbol: str,
    meaning: str,
    unit: str = "",
    low: float = float("-inf"),
    high: float = float("inf"),
    choices: tuple[Any, ...] = (),
    neutral: float | None = None,
) -> Any:
    """A field that a person may change: default, symbol, one-sentence meaning, unit and range (or choices)."""
    return field(default=default, metadata={"param": Param(symbol, meaning, unit, low, high, choices, neutral)})


@dataclass(frozen=True)
class Margin:
    """Leaves every cosine as it is: T = cos(theta_y), N = cos(theta_j). The base of every margin."""

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y", r"N = \cos\theta_j")
    states: ClassVar[dict[str, Param]] = {}  # scalars that survive between batches; they start at 0

    def __post_init__(self) -> None:
        for name, p in self.parameters().items():
            object.__setattr__(self, name, p.check(type(self).__name__, name, getattr(self, name)))

    @classmethod
    def parameters(cls) -> dict[str, Param]:
        """The declared parameters, in order."""
        return {f.name: f.metadata["param"] for f in fields(cls) if "param" in f.metadata}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each declared parameter."""
        return {f.name: f.default for f in fields(cls) if "param" in f.metadata and f.default is not MISSING}

    def init(self, classes: int, dim: int) -> State:
        """The state before the first batch: one scalar tensor for each name in `states`."""
        return {name: torch.zeros(()) for name in self.states}

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        """Columns that N and T need, from pos = cos(theta_y), norm = |x|, y (each (B, 1)), learned params and state."""
        return Context()

    def hard(self, c: Tensor, ctx: Context) -> Tensor:
        """M_ij in [0, 1] (or bool) of each non-target cosine c (B, n): 1 where it is a hard negative. Elementwise."""
        return torch.zeros_like(c, dtype=torch.bool)

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        """The logit of each non-target cosine c (B, n), before scale. Elementwise; sends no gradient into ctx."""
        return c

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        """The logit of the target cosine c (B, 1), before scale; rows are the statistics of its non-target cosines."""
        return c

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        """The state after a batch with pos (B, 1), norm (B, 1) and centers W (C, D): new tensors, none changed."""
        return state
