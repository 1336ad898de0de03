"""A margin of one's own: trained without a name in METHODS, and judged by the exercises of notebook 08."""

from dataclasses import dataclass

import numpy as np
import pytest
from lessons.checks import check
from lessons.exercises import EXERCISES

from workbench.core.errors import InputError
from workbench.core.geometry import add_angle, sine
from workbench.curves import boundaries
from workbench.curves.check.trials import batch, rows_of
from workbench.curves.gradients import gradient_map
from workbench.data.images import load
from workbench.data.pairs import split_identities
from workbench.margins import ArcFace, CosFace, CurricularFace, Margin, NPCFace, param
from workbench.methods import METHODS
from workbench.training.config import Config
from workbench.training.fit import Job, fit
from workbench.training.own import train_margin

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class LinearArc(Margin):
    m: float = param(0.5, "m", "angle added, to first order", unit="rad", low=0.0, high=1.5, neutral=0.0)

    def T(self, c, ctx, rows):
        return c - self.m * sine(c)


class Misspelt(LinearArc):
    def T(self, c, ctx, rows):
        return c - self.m * sine


SHORT = {"steps": 6, "size": 16, "batch": 16, "dim": 16, "device": "cpu"}


def test_a_margin_without_a_name_trains_with_events_snapshots_and_state():
    trained = train_margin(CurricularFace(), snapshots=3, **SHORT)
    assert len(trained.steps) == trained.job.step == 6
    assert np.isfinite(trained.losses).all()
    assert trained.snapshots[0].step == 0
    assert trained.snapshots[-1].step == 6
    assert trained.snapshots[-1].parameters["m"] == trained.margin.m == CurricularFace().m
    assert trained.snapshots[0].parameters["s"] == 24
    assert {event.name for event in trained.events} == {"m"}
    assert trained.events[0].new == 0, "the warm-up starts where the margin has no effect"
    assert trained.state["t"] != 0
    assert len(boundaries(trained.margin, state=trained.state)) > 0
    assert np.isfinite(gradient_map(trained.margin, state=trained.state).target).all()
    assert not set(trained.unseen.names) & set(METHODS)
    assert "CurricularFace, 6 steps: loss first" in repr(trained)


def test_it_trains_to_the_same_bits_as_the_method_of_that_margin():
    arc = METHODS["arcface"].margin_of(METHODS["arcface"].settings())
    mine = train_margin(arc, recipe="preset", s=64, **SHORT)
    config = Config(method="arcface", recipe="preset", **SHORT)
    assert config.settings()["m"] == arc.m
    images = load("heads", 16)
    known = images.of(split_identities(images.classes, config.test, config.seed)[0])
    job = Job.start(config, known.classes, known.size)
    assert mine.losses.tolist() == [step.loss for step in fit(job, known.images, known.labels)]


def test_the_scale_can_be_given_and_no_warm_up_asked_for():
    trained = train_margin(LinearArc(m=0.3), s=32.0, recipe="preset", **SHORT)
    assert trained.events == ()
    assert trained.job.objective.s == 32
    assert trained.margin == LinearArc(m=0.3)


def test_a_wrong_formula_is_refused_before_the_first_step_with_its_line():
    with pytest.raises(InputError, match=r"Misspelt\.T: TypeError: .* in `return c - self\.m \* sine`"):
        train_margin(Misspelt(), **SHORT)


# The exercises whose answer is a margin


@dataclass(frozen=True)
class Collaborative(CurricularFace):
    m1: float = param(0.2, "m₁", "per unit of mean hard cosine", unit="rad", low=0.0, high=1.0, neutral=0.0)

    def T(self, c, ctx, rows):
        return add_angle(c, self.m + self.m1 * rows.hard_mean)


class Acos(ArcFace):
    def T(self, c, ctx, rows):
        return (c.clamp(-1, 1).acos() + self.m).cos()


def test_a_right_margin_is_right():
    assert check("finite arcface", ArcFace(m=0.5))
    assert check("finite arcface", ArcFace(m=0.2))
    assert check("collaboration", Collaborative(m=0.4))
    assert check("collaboration", Collaborative(m=0.3, m1=0.7))


@pytest.mark.parametrize("name", ["finite arcface", "collaboration"])
def test_each_slip_has_its_reason(name):
    exercise = EXERCISES[name]
    for why, slip in exercise.slips.items():

        class Slip(Collaborative):
            def T(self, c, ctx, rows, slip=slip):
                return slip(self, rows)

        verdict = check(name, Slip(m=0.4))
        assert verdict.right is False
        assert verdict.why == why


def test_other_answers_are_told_what_is_the_matter():
    assert "the gradient of T is" in check("finite arcface", Acos()).why
    assert "sine`" in check("finite arcface", Misspelt()).why
    assert "no parameter m1" in check("collaboration", ArcFace()).why
    assert "is not a margin" in check("collaboration", Collaborative).why
    assert "degrees" not in check("finite arcface", CosFace(m=0.9, guard="gtm")).why
    assert "from its center has T =" in check("finite arcface", CosFace(m=0.9, guard="gtm")).why


def test_the_exercise_finds_what_npcface_does():
    exercise = EXERCISES["collaboration"]
    cos, norm, y = batch()
    rows = rows_of(NPCFace(m0=0.4, m1=0.2, t=1.0, alpha=0.0, m_mask=0.4), cos, {}, norm, y)
    assert (rows.T - exercise.T(Collaborative(m=0.4), rows)).abs().max() == 0
