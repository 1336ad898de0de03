"""Declared forms of the JSON files that the workbench writes, and the check of what it reads back.

    check(value, RUN, "runs/a/run.json")  ->  InputError("runs/a/run.json: config.lr is 'x'; expected a number > 0")

A form is a small immutable object: Number, Whole, Text, Flag, Anything, ListOf, MapOf, Table, Maybe. The error names
the file, the path of the field, the value that was found and what is expected. jsonschema is not used: its messages
quote whole values, it has no bound on depth, and the package is installed only as a dependency of Jupyter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from workbench.core.errors import InputError, quote

DEPTH = 20  # of nested objects and lists in any file
LARGEST = 2**63 - 1  # of whole numbers
LONGEST = 100_000  # characters of a text


class Form(Protocol):
    """What a value must be. expected: in words; accepts: whether the value itself, not its parts, is right."""

    @property
    def expected(self) -> str: ...

    def accepts(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Number:
    """A finite number, whole or not. above: the value must be larger than this."""

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
class Whole:
    """A whole number."""

    low: int = -LARGEST
    high: int = LARGEST

    @property
    def expected(self) -> str:
        return "a whole number" + (f" from {self.low} to {self.high}" if self.high < LARGEST else f" >= {self.low}")

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Text:
    """Text without null characters; one of `choices` where there are any."""

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
    """true or false."""

    expected: str = "true or false"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Anything:
    """Any JSON value of bounded size."""

    expected: str = "a value of usual size"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return abs(value) <= LARGEST or isinstance(value, float)
        return Text().accepts(value) if isinstance(value, str) else True


@dataclass(frozen=True)
class Scalar:
    """A number of usual size, text, true, false or null: the value of an option or a parameter."""

    expected: str = "a number, a word, true or false"

    def accepts(self, value: Any) -> bool:
        return not isinstance(value, list | tuple | Mapping) and Anything().accepts(value)


@dataclass(frozen=True)
class Maybe:
    """null, or another form."""

    form: Form

    @property
    def expected(self) -> str:
        return f"{self.form.expected} or null"

    def accepts(self, value: Any) -> bool:
        return value is None or self.form.accepts(value)


@dataclass(frozen=True)
class ListOf:
    """A list whose items have one form; `least`: how many it has at least."""

    form: Form = field(default_factory=Anything)
    least: int = 0

    @property
    def expected(self) -> str:
        return "a list" + (f" of at least {self.least}" if self.least else "")

    def accepts(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) >= self.least


@dataclass(frozen=True)
class MapOf:
    """An object with any names, whose values have one form."""

    form: Form = field(default_factory=Anything)
    expected: str = "an object"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(Text().accepts(name) for name in value)


@dataclass(frozen=True)
class Table:
    """An object with these fields and no others; those in `optional` may be missing."""

    fields: Mapping[str, Form]
    optional: frozenset[str] = frozenset()
    expected: str = "an object"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping)


def check(value: Any, form: Form, where: str) -> Any:
    """The value, if it has the form; InputError names the file or record `where` and the path of the field."""
    _check(value, form, where, "", 0)
    return value


def _check(value: Any, form: Form, where: str, path: str, depth: int) -> None:
    if depth > DEPTH:
        raise InputError(f"{where}: {quote(path)} is nested more than {DEPTH} deep")
    if not form.accepts(value):
        found = quote(repr(value) if isinstance(value, str) else value)
        raise InputError(f"{where}: {quote(path) or 'the content'} is {found}; expected {form.expected}")
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
