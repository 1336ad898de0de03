"""check_margin: no faults in the published margins, the right fault at the right place in broken ones."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from workbench.core.errors import InputError
from workbench.core.geometry import add_angle, sine
from workbench.curves.check import LAWS, check_margin
from workbench.margins import ArcFace, CosFace, CurricularFace, Margin, NPCFace, Param, param
from workbench.margins.base import Context
from workbench.margins.source import FormulaError, called, formula
from workbench.methods import METHODS

DRAWN = [key for key, method in METHODS.items() if method.has_logits]
TURNS = {"falls", "gradient"}  # cos(theta + m) turns back up past pi - m: no guard in the paper
NOTES = {
    "arcface": TURNS,
    "combined": TURNS,
    "mv_arc": TURNS,
    "npcface": TURNS,
    "magface": TURNS,
    "adaface": TURNS,  # a long embedding near its center
    "elasticface_arc": TURNS,
    "subcenter_arcface": TURNS,
    "arcnegface": TURNS | {"softmax"},
    "curricularface": TURNS | {"step", "softmax"},  # at t = 0 hard negatives count less
    "recurricularface": {"step", "gradient", "softmax"},  # guard mm
    "adaptiveface": {"softmax"},  # no parameter to turn it off
    "circle": {"softmax"},
}


@pytest.mark.parametrize("key", DRAWN)
def test_every_published_margin_is_sound_with_its_known_facts_as_notes(key):
    method = METHODS[key]
    report = check_margin(method.margin_of(method.settings()))
    assert report.ok, report
    assert {finding.law for finding in report.findings} == NOTES.get(key, set())
    assert report.summary()["checks"] == len(LAWS)


def test_notes_say_where():
    turns = check_margin(ArcFace(m=0.5)).of("falls")[0]
    assert turns.at == pytest.approx((math.pi - 0.5, math.pi), abs=0.003)
    assert "from 151.4° (2.642 rad) to 180.0° (3.142 rad)" in turns.where
    step = check_margin(CurricularFace()).of("step")[0]
    assert math.degrees(step.at[0]) == pytest.approx(30 + math.degrees(0.5), abs=0.01), "where the mask begins"
    c = math.cos(step.at[0])
    assert step.size == pytest.approx(c - c * c, abs=1e-5)


def test_a_released_codes_jump_is_a_fault_and_in_its_place():
    finding = check_margin(NPCFace(guard="easy")).of("falls")[0]
    assert not finding.note
    assert "jumps up by 0.44" in finding.message
    assert math.degrees(finding.at[0]) == pytest.approx(90, abs=0.13)


# One broken margin for each law, and where.


@dataclass(frozen=True)
class Misspelt(Margin):
    m: float = param(0.5, "m", "a margin", low=0.0, high=1.0, neutral=0.0)

    def T(self, c, ctx, rows):
        return c - self.m * sin(c)  # noqa: F821


@dataclass(frozen=True)
class Squeezed(Misspelt):
    def T(self, c, ctx, rows):
        return (c - self.m).squeeze(1)


@dataclass(frozen=True)
class InPlace(Misspelt):
    def T(self, c, ctx, rows):
        return c.sub_(self.m)


@dataclass(frozen=True)
class Double(Misspelt):
    def T(self, c, ctx, rows):
        return c.double() - self.m


@dataclass(frozen=True)
class Arccos(Misspelt):
    def T(self, c, ctx, rows):
        return (c.acos() + self.m).cos()


@dataclass(frozen=True)
class Clamped(Misspelt):
    def T(self, c, ctx, rows):
        return (c.clamp(-1, 1).acos() + self.m).cos()


@dataclass(frozen=True)
class Steep(Misspelt):
    def T(self, c, ctx, rows):
        return c - self.m / (1 - self.m) * (1 - c)


@dataclass(frozen=True)
class Guarded(Misspelt):
    def T(self, c, ctx, rows):
        return torch.where(c > math.cos(math.radians(70.05)), c - self.m, c)


@dataclass(frozen=True)
class WrongSign(Misspelt):
    def T(self, c, ctx, rows):
        return add_angle(c, -self.m)


@dataclass(frozen=True)
class Weakening(Misspelt):
    def context(self, pos, norm, y, params, state):
        return Context(tau=add_angle(pos.detach(), self.m))

    def N(self, c, ctx):
        return torch.where(c > ctx.tau, c - 0.1, c)

    def T(self, c, ctx, rows):
        return c - self.m


@dataclass(frozen=True)
class Attracting(Misspelt):
    def N(self, c, ctx):
        return -c

    def T(self, c, ctx, rows):
        return c - self.m


@dataclass(frozen=True)
class NeverNothing(Misspelt):
    def T(self, c, ctx, rows):
        return c - self.m - 0.1


@dataclass(frozen=True)
class ByColumn(CosFace):
    def N(self, c, ctx):
        return c + 0.1 * (c == c.max(dim=1, keepdim=True).values)


@dataclass(frozen=True)
class ByBatch(CosFace):
    def context(self, pos, norm, y, params, state):
        return Context(hardest=pos.detach().min())

    def T(self, c, ctx, rows):
        return c - self.m * (1 + (c - ctx.hardest).clamp_min(0).detach())


@dataclass(frozen=True)
class Attached(CosFace):
    def context(self, pos, norm, y, params, state):
        return Context(own=pos)

    def N(self, c, ctx):
        return c + 0.1 * (c - ctx.own).clamp_min(0)


@dataclass(frozen=True)
class Counting(CosFace):
    states: ClassVar[dict[str, Param]] = {"t": Param("t", "a curriculum", low=0.0, high=1.0)}

    def context(self, pos, norm, y, params, state):
        state["t"] = state["t"] + 0.1
        return Context()


@dataclass(frozen=True)
class Drawing(CosFace):
    def T(self, c, ctx, rows):
        return c - self.m - 0.1 * torch.rand_like(c)


@dataclass(frozen=True)
class Overwriting(CosFace):
    states: ClassVar[dict[str, Param]] = {"t": Param("t", "a curriculum", low=0.0, high=1.0)}

    def observe(self, pos, norm, W, state):
        state["t"].add_(pos.mean())
        return state


@dataclass(frozen=True)
class Undeclared(Overwriting):
    def observe(self, pos, norm, W, state):
        return {"t": state["t"], "mean": pos.mean()}


@dataclass(frozen=True)
class Spread(Overwriting):
    def observe(self, pos, norm, W, state):
        mean = pos.sum() / len(pos)
        return {"t": ((pos - mean).square().sum() / (len(pos) - 1)).sqrt()}


@dataclass(frozen=True)
class AllCosines(CosFace):
    def T(self, c, ctx, rows):
        return c - self.m * rows.cos.amax(dim=1, keepdim=True).clamp_min(0).detach()


@pytest.mark.parametrize(
    ("margin", "law", "message", "where"),
    [
        (Misspelt, "computes", "NameError: name 'sin' is not defined, in `return c - self.m * sin(c)", ""),
        (Squeezed, "computes", r"shape (6,), its cosines have (6, 1), in `return (c - self.m).squeeze(1)`", ""),
        (InPlace, "computes", "changes its cosines in place; write a new tensor, in `return c.sub_(self.m)`", ""),
        (Double, "computes", "T returns torch.float64 for torch.float32", ""),
        (Arccos, "finite", "T is nan", "cos θ_y = 1.0000000000000002, θ_y = 0° (0.00 rad), torch.float64"),
        (Clamped, "finite", "the gradient of T is", "cos θ_y = 1.0, θ_y = 0° (0.00 rad), torch.float64"),
        (Steep, "finite", "ZeroDivisionError: float division by zero, in `return c - self.m / (1 - self.m)", "m = 1"),
        (Guarded, "falls", "T jumps up by 0.498", "θ_y = 70.0° (1.222 rad), cos 0.342"),
        (WrongSign, "asks", "T is up to 0.495 above N", "θ_y from 15.0° (0.262 rad) to 180.0°"),
        (Weakening, "step", "by 0.100, as θ_j decreases", "θ_j = 28.6° (0.500 rad), cos 0.878"),
        (Attracting, "gradient", "dL/dcos θ_j < 0", "θ_j from 0.0° (0.000 rad) to 180.0°"),
        (NeverNothing, "softmax", "T differs by 0.1 from the cosine at m = 0", ""),
        (ByColumn, "elementwise", "N of one cosine depends on other columns", "θ_j ="),
        (ByBatch, "elementwise", "T of a sample depends on the others of its batch", "θ_y ="),
        (Attached, "apart", "N has a gradient into cos θ_y", "θ_y = "),
        (Counting, "pure", "context writes the state 't'", "before training"),
        (Drawing, "pure", "T differs between two calls", ""),
        (Overwriting, "observe", "observe changes the state 't' in place", ""),
        (Undeclared, "observe", "observe returns 'mean', which init does not declare", "batch of 6"),
        (Spread, "observe", "observe returns 't' = nan", "batch of 1"),
        (AllCosines, "streams", "T uses rows.cos", ""),
    ],
)
def test_a_broken_margin_is_found_with_its_place_and_its_formula(margin, law, message, where):
    report = check_margin(margin)
    assert not report.ok
    faults = [finding for finding in report.of(law) if not finding.note]
    assert len(faults) == 1, report
    assert message in faults[0].message
    assert where in faults[0].where
    assert faults[0].formula or "in `return" in faults[0].message, "the formula is shown"


def test_only_the_law_that_is_broken_is_reported():
    for margin, law in ((ByColumn, "elementwise"), (Attached, "apart"), (AllCosines, "streams"), (Spread, "observe")):
        assert {finding.law for finding in check_margin(margin).findings if not finding.note} == {law}


def test_every_law_has_a_broken_margin():
    marks = test_a_broken_margin_is_found_with_its_place_and_its_formula.pytestmark
    assert {case[1] for case in marks[0].args[1]} == set(LAWS)


def test_without_T_nothing_more_is_said():
    report = check_margin(Misspelt)
    assert len(report.findings) == 1
    assert len(report.skipped) == len(LAWS) - 1
    assert repr(report).splitlines()[-1] == "– 11 more checks are skipped until this is repaired"


def test_a_forgotten_dataclass_is_said():
    class Forgotten(Margin):
        m: float = param(0.5, "m", "a margin")

        def T(self, c, ctx, rows):
            return c - self.m

    report = check_margin(Forgotten)
    assert "@dataclass(frozen=True) is missing above `class Forgotten`: m is no parameter yet" in repr(report)


@pytest.mark.parametrize("thing", [METHODS["triplet"].margin, METHODS["triplet"].margin(), int, "arcface"])
def test_what_is_no_margin_is_refused(thing):
    with pytest.raises(InputError, match="Margin"):
        check_margin(thing)


def test_the_report_reads_well_as_text_and_as_html():
    sound, broken = check_margin(CosFace), check_margin(WrongSign(m=0.3))
    assert repr(sound).splitlines()[0] == "CosFace is sound: 12 checks, 0 faults, 0 notes."
    assert broken.verdict().startswith("WrongSign is not sound: 12 checks, 1 fault, ")
    assert "      | return add_angle(c, -self.m)" in repr(broken)
    assert "<pre" in broken._repr_html_()
    assert "dL/dcos" in check_margin(ArcFace)._repr_html_()
    assert "<script>" not in check_margin(Scripted)._repr_html_()
    assert set(sound.summary()) == {"checks", "faults", "notes"}


@dataclass(frozen=True)
class Scripted(Margin):
    def T(self, c, ctx, rows):
        return c + 0.1 if "<script>" else c


def test_a_state_of_another_shape_is_checked_too():
    report = check_margin(Undeclared)
    assert report.of("observe")[0].where == "batch of 6"


# The formula, quoted


def test_formula_is_the_body_as_written():
    assert formula(Misspelt(), "T") == "return c - self.m * sin(c)  # noqa: F821"
    assert formula(Margin(), "N") == "return c", "without the docstring"
    assert formula(CurricularFace(), "context").startswith("return Context(tau=")


def test_called_gives_what_the_method_gives_and_one_line_where_it_fails():
    c = torch.rand(3, 1)
    assert torch.equal(called(CosFace(m=0.2), "T", c, None, None), c - 0.2)
    for margin in (Misspelt(), Squeezed(), InPlace()):
        with pytest.raises(FormulaError) as caught:
            called(margin, "T", c.clone(), None, None)
        assert str(caught.value).startswith(f"{type(margin).__name__}.T")
        assert "\n" not in str(caught.value)


def test_an_error_deep_inside_a_library_call_shows_the_persons_own_line():
    @dataclass(frozen=True)
    class Deep(Margin):
        def T(self, c, ctx, rows):
            return c - sine("c")

    with pytest.raises(FormulaError, match=r'Deep\.T: TypeError: .*, in `return c - sine\("c"\)`'):
        called(Deep(), "T", torch.zeros(1, 1), None, None)


def test_checking_changes_no_random_numbers_of_others():
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    check_margin(NPCFace)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
