"""Types of exercises (the answer is a number, a letter or a margin) and the result of a check."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench import Margin, check_margin
from workbench.curves.check.trials import batch, rows_of
from workbench.losses.rows import DenseRows

THETA = math.radians(80)  # rad between the two class centers in the lessons
M = 0.5  # rad, the margin of ArcFace in the lessons
OTHER_UNIT = {"degrees": ("rad", math.radians), "rad": ("degrees", math.degrees), "": ("", None)}


@dataclass(frozen=True)
class Verdict:
    """Result of a check. right: True, False, or None without an answer; why: the explanation."""

    right: bool | None
    why: str

    @property
    def mark(self) -> str:
        return {True: "✓ Correct.", False: "✗ Not correct.", None: "… No answer yet."}[self.right]

    def __bool__(self) -> bool:
        return self.right is True

    def __repr__(self) -> str:
        return f"{self.mark} {self.why}"

    def _repr_markdown_(self) -> str:
        return f"**{self.mark}** {self.why}"


@dataclass(frozen=True)
class Number:
    """An exercise whose answer is a number.

    truth: the answer, in `unit`; right: explanation of the answer; slips: common wrong number -> explanation;
    otherwise: advice for any other number, as text or as a function of the number; tolerance: relative.
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
                False, f"The angle is correct, but {value:g} is in {other}; the question asks for {self.unit}."
            )
        size = "large" if value > self.truth else "small"
        more = self.otherwise if isinstance(self.otherwise, str) else self.otherwise(value)
        return Verdict(False, f"{value:g} is too {size}. {more}")

    def near(self, a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=self.tolerance, abs_tol=1e-3)


@dataclass(frozen=True)
class Choice:
    """An exercise whose answer is a letter. reasons: letter -> (correct or not, explanation)."""

    hint: str
    reasons: Mapping[str, tuple[bool, str]]

    def judge(self, answer: Any) -> Verdict:
        letter = str(answer).strip().lower()
        if letter not in self.reasons:
            return Verdict(False, f"{answer!r} is not one of {', '.join(map(repr, self.reasons))}.")
        return Verdict(*self.reasons[letter])


Targets = Callable[[Any, DenseRows], Tensor]  # (margin, row statistics) -> T (B, 1)


@dataclass(frozen=True)
class OwnMargin:
    """An exercise whose answer is an instance of a margin.

    T: the correct target logit, computed with the parameters of the answer; needs: names of these parameters; right:
    explanation of the answer; slips: explanation -> T of a common error; otherwise: advice for any other T.
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
            return Verdict(False, f"{answer!r} is not a margin; give an instance, for example ArcFace(m=0.4).")
        missing = [name for name in self.needs if name not in answer.parameters()]
        if missing:
            return Verdict(
                False, f"{type(answer).__name__} has no parameter {' and '.join(missing)}; do not rename it."
            )
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
