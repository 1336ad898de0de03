"""check_margin: is a margin sound? A readable report that says what is wrong, where, and in which formula.

check_margin(MyMargin)          # its defaults
check_margin(MyMargin(m=0.3))   # these values
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from workbench.core.errors import InputError
from workbench.curves.check.contract import apart, computes, elementwise, observe, pure, streams
from workbench.curves.check.report import Report
from workbench.curves.check.shape import asks, falls, finite, gradient, softmax, step
from workbench.curves.check.trials import Finding, Findings
from workbench.margins.base import Margin
from workbench.margins.source import formula_error

LAWS = (computes, finite, falls, asks, step, gradient, softmax, elementwise, apart, pure, observe, streams)


def check_margin(margin: Margin | type[Margin]) -> Report:
    """Check a margin, given as an instance or as a class (its defaults are taken), against what training relies on.

    Nothing is trained and nothing is drawn; it takes a fraction of a second. A formula that raises an error is a
    finding, not an exception. Raises InputError for what is no margin.
    """
    laws = {law.__name__: law.__doc__ or "" for law in LAWS}
    name = margin.__name__ if isinstance(margin, type) else type(margin).__name__
    undecorated = missing_decorator(margin)
    if undecorated:
        return Report(name, laws, (undecorated,), tuple(laws)[1:])
    made = instance(margin)
    first = findings(made, computes)
    if first:  # without T and N there is nothing more to say
        return Report(name, laws, tuple(first), tuple(laws)[1:])
    return Report(name, laws, tuple(found for law in LAWS for found in findings(made, law)))


def missing_decorator(margin: Any) -> Finding | None:
    """The slip that Python does not notice: a class with fields, but without @dataclass."""
    cls = margin if isinstance(margin, type) else type(margin)
    if not issubclass(cls, Margin) or "__dataclass_params__" in vars(cls):
        return None
    bare = [name for name in vars(cls).get("__annotations__", {}) if name not in {f.name for f in fields(cls)}]
    if not bare:
        return None
    says = f"@dataclass(frozen=True) is missing above `class {cls.__name__}`: {', '.join(bare)} is no parameter yet"
    return Finding("computes", says)


def instance(margin: Any) -> Margin:
    """An instance of what was given, with defaults."""
    if not isinstance(margin, type):
        if not isinstance(margin, Margin):
            raise InputError(f"margin = {margin!r}: not a Margin; derive a class from workbench.margins.Margin")
        return margin
    if not issubclass(margin, Margin):
        raise InputError(f"{margin.__name__} is not a Margin; write `class {margin.__name__}(Margin)`")
    needed = [f.name for f in fields(margin) if f.default is MISSING and f.default_factory is MISSING]
    if needed:
        raise InputError(f"{margin.__name__} has no default for {', '.join(needed)}; give one, or an instance")
    return margin()


def findings(margin: Margin, law: Callable[[Margin], Findings]) -> list[Finding]:
    """What one law finds; a formula that fails is a finding too."""
    try:
        return list(law(margin))
    except Exception as error:
        return [Finding(law.__name__, str(formula_error(margin, error)))]
