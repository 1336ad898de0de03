"""What a person may change about a loss: numbers and choices that declare their symbol, meaning, unit and range.

Sliders, tables, documentation and error messages are generated from these declarations. Margins, scales, criteria,
weightings, extra terms and similarities are all `Declared`: frozen, checked when made, changed by making another.
"""

from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, ClassVar

from workbench.core.errors import InputError, quote


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
    """A field that a person may change: default, symbol, one-sentence meaning, unit and range (or choices)."""
    return field(default=default, metadata={"param": Param(symbol, meaning, unit, low, high, choices, neutral)})


@dataclass(frozen=True)
class Declared:
    """A frozen dataclass whose fields are made with `param`; a value out of its range cannot be made."""

    latex: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[dict[str, Param]] = {}  # the scalars of its state that are shown and may be set by hand

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
