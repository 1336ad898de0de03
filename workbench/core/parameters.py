"""Declared parameters of a loss: numbers and choices with symbol, meaning, unit and range.

Sliders, tables, documentation and error messages are generated from these declarations. Margins, scales, criteria,
weightings, extra terms and similarities derive from `Declared`: frozen dataclasses, validated on construction.
"""

from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, ClassVar

from workbench.core.errors import InputError, quote


@dataclass(frozen=True)
class Param:
    """Declaration of one parameter: its symbol, meaning, unit, and range or choices."""

    symbol: str
    meaning: str
    unit: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[Any, ...] = ()
    neutral: float | None = None  # value without effect, where a warm-up starts; None: not part of a warm-up

    def check(self, owner: str, name: str, value: Any) -> Any:
        """Validate a value; returns a float or a choice. Raises InputError with the owner, the name and the range."""
        if self.choices:
            if value not in self.choices:
                raise InputError(
                    f"{owner}: {name} = {quote(repr(value))} is not one of {', '.join(map(str, self.choices))}"
                )
            return value
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{owner}: {name} = {quote(repr(value))} is not a number") from None
        if not (isfinite(number) and self.low <= number <= self.high):
            raise InputError(f"{owner}: {name} = {quote(value)} is outside [{self.low:g}, {self.high:g}]")
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
    """Declare a parameter as a dataclass field: default, symbol, one-sentence meaning, unit, range or choices."""
    return field(default=default, metadata={"param": Param(symbol, meaning, unit, low, high, choices, neutral)})


@dataclass(frozen=True)
class Declared:
    """Base of frozen dataclasses with `param` fields. Raises InputError for a value out of range."""

    latex: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[dict[str, Param]] = {}  # scalar state variables that are displayed and may be set

    def __post_init__(self) -> None:
        for name, p in self.parameters().items():
            object.__setattr__(self, name, p.check(type(self).__name__, name, getattr(self, name)))

    @classmethod
    def parameters(cls) -> dict[str, Param]:
        """The declared parameters, in order of declaration."""
        return {f.name: f.metadata["param"] for f in fields(cls) if "param" in f.metadata}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Default value of each declared parameter."""
        return {f.name: f.default for f in fields(cls) if "param" in f.metadata and f.default is not MISSING}
