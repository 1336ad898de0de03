"""Declarative schemas of JSON files, and validation of values read from them.

    check(value, RUN, "runs/a/run.json")  ->  InputError("runs/a/run.json: config.lr is 'x'; expected a number > 0")

A schema is a small immutable object: Number, Integer, Text, Flag, Scalar, Anything, ListOf, MapOf, Table, Maybe. The
error names the file, the path of the field, its value and the expected one. jsonschema is not used: its messages quote
entire values, it does not bound the depth, and it is installed only as a dependency of Jupyter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from workbench.core.errors import InputError, quote

DEPTH = 20  # maximum nesting of objects and lists in a file
LARGEST = 2**63 - 1  # maximum integer
LONGEST = 100_000  # maximum characters in a text


class Form(Protocol):
    """Schema of a value. expected: its description; accepts: whether a value matches, not counting its items."""

    @property
    def expected(self) -> str: ...

    def accepts(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Number:
    """A finite number (integer or float) in [low, high]. above: exclusive lower bound."""

    low: float = -1e300
    high: float = 1e300
    above: float | None = None

    @property
    def expected(self) -> str:
        if self.above is not None:
            return f"a number > {self.above:g}"
        return "a number" if self.low == -1e300 else f"a number from {self.low:g} to {self.high:g}"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.above is None or value > self.above


@dataclass(frozen=True)
class Integer:
    """An integer in [low, high]."""

    low: int = -LARGEST
    high: int = LARGEST

    @property
    def expected(self) -> str:
        return "a whole number" + (f" from {self.low} to {self.high}" if self.high < LARGEST else f" >= {self.low}")

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Text:
    """Text without null characters; if `choices` is not empty, one of them."""

    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)}" if self.choices else "text"

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, str) or "\0" in value or len(value) > LONGEST:
            return False
        return not self.choices or value in self.choices


@dataclass(frozen=True)
class Flag:
    """A Boolean."""

    expected: str = "true or false"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Anything:
    """Any JSON value of bounded magnitude or length."""

    expected: str = "a value of usual size"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return abs(value) <= LARGEST or isinstance(value, float)
        return Text().accepts(value) if isinstance(value, str) else True


@dataclass(frozen=True)
class Scalar:
    """A number, text, Boolean or null of bounded size: the value of an option or a parameter."""

    expected: str = "a number, a word, true or false"

    def accepts(self, value: Any) -> bool:
        return not isinstance(value, list | tuple | Mapping) and Anything().accepts(value)


@dataclass(frozen=True)
class Maybe:
    """null or a value of another schema."""

    form: Form

    @property
    def expected(self) -> str:
        return f"{self.form.expected} or null"

    def accepts(self, value: Any) -> bool:
        return value is None or self.form.accepts(value)


@dataclass(frozen=True)
class ListOf:
    """A list with items of one schema. least: minimum length."""

    form: Form = field(default_factory=Anything)
    least: int = 0

    @property
    def expected(self) -> str:
        return "a list" + (f" of at least {self.least}" if self.least else "")

    def accepts(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) >= self.least


@dataclass(frozen=True)
class MapOf:
    """An object with arbitrary names and values of one schema."""

    form: Form = field(default_factory=Anything)
    expected: str = "an object"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(Text().accepts(name) for name in value)


@dataclass(frozen=True)
class Table:
    """An object with exactly the given fields; those in `optional` may be missing."""

    fields: Mapping[str, Form]
    optional: frozenset[str] = frozenset()
    expected: str = "an object"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping)


def check(value: Any, form: Form, where: str) -> Any:
    """Validate a value and return it. Raises InputError with `where` (a file or record) and the path of the field."""
    _check(value, form, where, "", 0)
    return value


def _check(value: Any, form: Form, where: str, path: str, depth: int) -> None:
    if depth > DEPTH:
        raise InputError(f"{where}: {quote(path)} is nested more than {DEPTH} deep")
    if not form.accepts(value):
        shown = quote(repr(value) if isinstance(value, str) else value)
        raise InputError(f"{where}: {quote(path) or 'the content'} is {shown}; expected {form.expected}")
    while isinstance(form, Maybe):
        form = form.form
    if value is None:
        return
    if isinstance(form, Table):
        _check_names(value, form, where, path)
    if isinstance(value, Mapping):
        for name, item in value.items():
            inner = form.fields[name] if isinstance(form, Table) else getattr(form, "form", form)
            _check(item, inner, where, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        inner = getattr(form, "form", form)
        for i, item in enumerate(value):
            _check(item, inner, where, f"{path}[{i}]", depth + 1)


def _check_names(value: Mapping[str, Any], form: Table, where: str, path: str) -> None:
    prefix = f"{path}." if path else ""
    for name in form.fields:
        if name not in value and name not in form.optional:
            raise InputError(f"{where}: '{prefix}{name}' is missing; expected {form.fields[name].expected}")
    for name in value:
        if name not in form.fields:
            close = get_close_matches(str(name)[:80], form.fields, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(form.fields)}"
            raise InputError(f"{where}: unknown field '{quote(prefix + str(name))}'; {hint}")
