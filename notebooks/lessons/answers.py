"""What the notebooks' exercises ask for (a number, a letter, a margin), and what a check replies."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.curves.check import check_margin
from workbench.curves.check.trials import batch, rows_of
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin

OTHER_UNIT = {"degrees": ("rad", math.radians), "rad": ("degrees", math.degrees), "": ("", None)}


@dataclass(frozen=True)
class Verdict:
    """What a check replies: right (True, False, or None where nothing was answered) and why."""

    right: bool | None
    why: str

    @property
    def mark(self) -> str:
        return {True: "✓ Right.", False: "✗ Not yet.", None: "… No answer yet."}[self.right]

    def __bool__(self) -> bool:
        return self.right is True

    def __repr__(self) -> str:
        return f"{self.mark} {self.why}"

    def _repr_markdown_(self) -> str:
        return f"**{self.mark}** {self.why}"


@dataclass(frozen=True)
class Number:
    """An exercise whose answer is a number.

    truth: the answer, in `unit`; right: what to say about it; slips: wrong number -> the thought that leads to it;
    otherwise: what to do about any other number, as text or as a function of it; tolerance: relative.
    """

    hint: str
    truth: float
    right: str
    slips: Mapping[float, str]
    otherwise: str | Callable[[float], str]
    unit: str = ""
    tolerance: float = 0.005

    def judge(self, answer: Any) -> Verdict:
        try:
            value = float(answer)
        except (TypeError, ValueError):
            return Verdict(False, f"{answer!r} is not a number{f' of {self.unit}' if self.unit else ''}.")
        if self.near(value, self.truth):
            return Verdict(True, self.right)
        for wrong, why in self.slips.items():
            if self.near(value, wrong):
                return Verdict(False, why)
        other, convert = OTHER_UNIT[self.unit]
        if convert and self.near(value, convert(self.truth)):
            return Verdict(
                False, f"The angle is right, but {value:g} is in {other}; the question asks for {self.unit}."
            )
        size = "large" if value > self.truth else "small"
        more = self.otherwise if isinstance(self.otherwise, str) else self.otherwise(value)
        return Verdict(False, f"{value:g} is too {size}. {more}")

    def near(self, a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=self.tolerance, abs_tol=1e-3)


@dataclass(frozen=True)
class Choice:
    """An exercise whose answer is a letter; each letter says whether it is right and why."""

    hint: str
    reasons: Mapping[str, tuple[bool, str]]

    def judge(self, answer: Any) -> Verdict:
        letter = str(answer).strip().lower()
        if letter not in self.reasons:
            return Verdict(False, f"{answer!r} is not one of {', '.join(map(repr, self.reasons))}.")
        return Verdict(*self.reasons[letter])


Targets = Callable[[Any, DenseRows], Tensor]  # T (B, 1) of the answer's own parameters, from row statistics


@dataclass(frozen=True)
class OwnMargin:
    """An exercise whose answer is a margin, given as an instance.

    T: what its target logit must be, with its own parameters; needs: the names of those; right: what to say about it;
    slips: why -> the T that this thought leads to; otherwise: what to do about any other T.
    """

    hint: str
    T: Targets
    needs: tuple[str, ...]
    right: str
    slips: Mapping[str, Targets]
    otherwise: str
    tolerance: float = 2e-3

    def judge(self, answer: Any) -> Verdict:
        if not isinstance(answer, Margin):
            return Verdict(False, f"{answer!r} is no margin; give an instance, such as ArcFace(m=0.4).")
        missing = [name for name in self.needs if name not in answer.parameters()]
        if missing:
            return Verdict(False, f"{type(answer).__name__} has no parameter {' and '.join(missing)}; keep the names.")
        faults = [found for found in check_margin(answer).findings if not found.note]
        if faults and faults[0].law in ("computes", "finite"):
            where = f" (at {faults[0].where})" if faults[0].where else ""
            return Verdict(False, f"{faults[0].message}{where}.")
        cos, norm, y = batch()
        state = {name: torch.full((), 0.7) for name in answer.states}
        rows = rows_of(answer, cos, state, norm, y)
        if self.near(rows.T, self.T(answer, rows)):
            return Verdict(True, self.right)
        for why, slip in self.slips.items():
            if self.near(rows.T, slip(answer, rows)):
                return Verdict(False, why)
        k = int((rows.T - self.T(answer, rows)).abs().argmax())
        theta = math.degrees(math.acos(float(rows.pos[k])))
        return Verdict(
            False, f"A sample at {theta:.1f}° from its center has T = {float(rows.T[k]):.3f}. {self.otherwise}"
        )

    def near(self, a: Tensor, b: Tensor) -> bool:
        return bool((a - b).abs().max() <= self.tolerance)
