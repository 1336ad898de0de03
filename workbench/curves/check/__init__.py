"""check_margin: a report of what is wrong with a margin, where, and in which formula.

check_margin(MyMargin)          # its defaults
check_margin(MyMargin(m=0.3))   # these values
"""

from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from typing import Any

from workbench.core.errors import InputError
from workbench.curves.check import contract, shape
from workbench.curves.check.report import Report
from workbench.curves.check.trials import Finding, Findings
from workbench.margins.base import Margin
from workbench.margins.source import explained

LAWS: dict[str, Callable[[Margin], Findings]] = {
    "computes": contract.check_computes,
    "finite": shape.check_finite,
    "falls": shape.check_falls,
    "asks": shape.check_asks,
    "step": shape.check_step,
    "gradient": shape.check_gradient,
    "softmax": shape.check_softmax,
    "elementwise": contract.check_elementwise,
    "apart": contract.check_apart,
    "pure": contract.check_pure,
    "observe": contract.check_observe,
    "streams": contract.check_streams,
}


def check_margin(margin: Margin | type[Margin]) -> Report:
    """Check a margin, given as an instance or as a class (with its defaults), against the requirements of training.

    Takes a fraction of a second and trains nothing. A formula that raises an error is a finding, not an exception.
    Raises InputError for anything but a margin.
    """
    titles = {law: check.__doc__ or "" for law, check in LAWS.items()}
    name = margin.__name__ if isinstance(margin, type) else type(margin).__name__
    missing = missing_decorator(margin)
    if missing:
        return Report(name, titles, (missing,), tuple(titles)[1:])
    checked = instance(margin)
    first = findings(checked, "computes")
    if first:  # the other checks need T and N
        return Report(name, titles, tuple(first), tuple(titles)[1:])
    return Report(name, titles, tuple(finding for law in LAWS for finding in findings(checked, law)))


def missing_decorator(margin: Any) -> Finding | None:
    """A class with fields but without @dataclass, which Python does not reject."""
    cls = margin if isinstance(margin, type) else type(margin)
    if not issubclass(cls, Margin) or "__dataclass_params__" in vars(cls):
        return None
    bare = [name for name in vars(cls).get("__annotations__", {}) if name not in {f.name for f in fields(cls)}]
    if not bare:
        return None
    message = f"@dataclass(frozen=True) is missing above `class {cls.__name__}`: {', '.join(bare)} is no parameter yet"
    return Finding(message, law="computes")


def instance(margin: Any) -> Margin:
    """The margin itself, or an instance of a margin class with its defaults. Raises InputError for anything else."""
    if not isinstance(margin, type):
        if not isinstance(margin, Margin):
            raise InputError(f"margin = {margin!r}: not a Margin; derive a class from workbench.margins.Margin")
        return margin
    if not issubclass(margin, Margin):
        raise InputError(f"{margin.__name__} is not a Margin; write `class {margin.__name__}(Margin)`")
    needed = [f.name for f in fields(margin) if f.default is MISSING and f.default_factory is MISSING]
    if needed:
        raise InputError(f"{margin.__name__} has no default for {', '.join(needed)}; add one, or pass an instance")
    return margin()


def findings(margin: Margin, law: str) -> list[Finding]:
    """The findings of one check; an error of the formula is a finding."""
    try:
        return [replace(finding, law=law) for finding in LAWS[law](margin)]
    except Exception as error:
        return [Finding(str(explained(margin, error)), law=law)]
