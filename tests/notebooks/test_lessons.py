"""The checks of the exercises explain wrong answers; digests detect changes; figures of the lessons show their data."""

import math

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from lessons.answers import THETA, Choice, Number
from lessons.checks import check, expect, style_figures
from lessons.exercises import EXERCISES

from workbench import (
    ArcFace,
    CosFace,
    CurricularFace,
    InputError,
    MVSoftmax,
    NPCFace,
    ReCurricularFace,
    boundaries,
    build,
)
from workbench.core.record import Snapshot
from workbench.losses.rows import DenseRows
from workbench.views.digest import digest, figure_digest
from workbench.views.lines import Axis, Line, lines_figure
from workbench.views.sphere import sphere_figure


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_returns_the_hint_and_an_invalid_one_a_reason(name):
    nothing = check(name, None)
    assert not nothing
    assert nothing.right is None
    assert EXERCISES[name].hint in nothing.why
    nonsense = check(name, "nonsense")
    assert not nonsense
    assert "nonsense" in nonsense.why


@pytest.mark.parametrize("name", [name for name, e in EXERCISES.items() if isinstance(e, Number)])
def test_numbers_the_truth_is_correct_slips_are_explained_and_other_numbers_too_large_or_small(name):
    exercise = EXERCISES[name]
    assert check(name, exercise.truth)
    assert check(name, str(exercise.truth)), "a number may be given as text"
    for wrong, why in exercise.slips.items():
        verdict = check(name, wrong)
        assert verdict.right is False
        assert verdict.why == why
    assert "too large" in check(name, 1.31 * exercise.truth).why
    assert "too small" in check(name, 0.83 * exercise.truth).why
    other = {"degrees": math.radians, "rad": math.degrees}.get(exercise.unit)
    if other:
        assert "the question asks for" in check(name, other(exercise.truth)).why


def test_every_letter_has_a_reason_and_one_is_correct():
    for name, exercise in EXERCISES.items():
        if isinstance(exercise, Choice):
            verdicts = [check(name, letter.upper()) for letter in exercise.reasons]
            assert sum(map(bool, verdicts)) == 1
            assert len({v.why for v in verdicts}) == len(verdicts)


def test_the_answers_are_what_the_workbench_computes():
    truth = {name: e.truth for name, e in EXERCISES.items() if isinstance(e, Number)}
    ideal = boundaries(ArcFace(m=0.5), THETA)[0]
    assert boundaries(ArcFace(m=truth["same boundary"]), THETA) == pytest.approx(boundaries(CosFace(m=0.35), THETA))
    vanishing = math.radians(truth["closest centers"])
    assert [len(boundaries(CosFace(m=0.35), vanishing + d)) for d in (-1e-4, 1e-4)] == [0, 1]
    t = truth["from which t"]
    assert boundaries(CurricularFace(), THETA, {"t": t + 1e-4})[0] == pytest.approx(ideal, abs=1e-9)
    assert boundaries(CurricularFace(), THETA, {"t": t - 1e-4})[0] > ideal + 1e-6
    assert truth["alpha"] == pytest.approx(ReCurricularFace(coeffs="closed").coefficients(THETA)[1])
    simplex = torch.from_numpy(np.eye(10) - 0.1)
    perfect = build("norm_softmax", classes=10, dim=10, s=1).double()
    perfect.centers.weight.data = simplex
    assert perfect.loss(simplex, torch.arange(10)).total.item() == pytest.approx(truth["lowest loss"])


def test_the_answers_hold_in_the_losses_themselves():
    truth = {name: e.truth for name, e in EXERCISES.items() if isinstance(e, Number)}
    phi = math.radians(truth["longer center"])
    assert math.cos(phi) == pytest.approx(2 * math.cos(THETA - phi))
    at_60 = torch.zeros(1, 161, dtype=torch.float64)  # no center has the last direction
    at_60[0, 0], at_60[0, 160] = math.cos(math.radians(60)), math.sin(math.radians(60))
    undecided = build("norm_softmax", classes=160, dim=161, s=truth["scale for a half"]).double()
    undecided.centers.weight.data = torch.eye(160, 161, dtype=torch.float64)
    assert undecided.loss(at_60, torch.tensor([0])).total.item() == pytest.approx(math.log(2))
    turn = torch.tensor([[math.radians(truth["turning point"])]], dtype=torch.float64, requires_grad=True)
    ArcFace(m=0.5).T(turn.cos(), None, None).sum().backward()
    assert turn.grad.item() == pytest.approx(0, abs=1e-12)
    cos = torch.tensor([[0.6, 0.5, 0.2, -0.1, 0.583]], dtype=torch.float64)
    one, y = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.long)
    logit = DenseRows(NPCFace(), cos, one, y, {}, {}).logits[0, 0].item()
    assert logit == pytest.approx(math.cos(math.acos(0.6) + truth["collaborative margin"]))


def test_the_answers_about_npcface_hold_in_the_losses_themselves():
    half = torch.tensor([[0.5, 0.5]], dtype=torch.float64)  # the negative is hard for both losses
    one, y = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.long)
    margins = NPCFace(t=1.1, alpha=EXERCISES["same emphasis"].truth), MVSoftmax(t=1.3, positive="arc")
    npcface, mv = (DenseRows(margin, half, one, y, {}, {}).N[0, 1].item() for margin in margins)
    assert npcface == pytest.approx(mv)

    def m_tilde(*cosines: float) -> float:
        rows = DenseRows(NPCFace(), torch.tensor([cosines], dtype=torch.float64), one, y, {}, {})
        return (rows.T.acos() - rows.pos.acos()).item()

    assert m_tilde(0.8, 0.6, 0.41) == pytest.approx(0.52)
    assert m_tilde(0.8, 0.6, 0.45) == pytest.approx(0.505)
    assert check("one more hard negative", "b")  # m̃ decreases


def test_an_untrained_network_has_about_the_first_loss_of_the_exercise():
    rng = torch.Generator().manual_seed(0)
    untrained = build("norm_softmax", classes=160, dim=128, s=24)
    x = torch.randn(2000, 128, generator=rng)
    loss = untrained.loss(x, torch.arange(2000) % 160).total.item()
    assert loss == pytest.approx(EXERCISES["first loss"].truth, abs=0.3)


def test_an_answer_outside_the_range_is_explained():
    assert "outside" in check("same boundary", 9.0).why
    assert "does not exist" in check("same boundary", 1.45).why


def test_an_unknown_exercise_suggests_a_name():
    with pytest.raises(InputError, match="did you mean 'alpha'"):
        check("alfa", 1)


def test_verdicts_show_their_mark():
    assert repr(check("alpha", EXERCISES["alpha"].truth)).startswith("✓ Correct. ")
    assert check("alpha", 0.4)._repr_markdown_().startswith("**✗ Not correct.** ")
    assert repr(check("alpha", None)).startswith("… No answer yet. Hint: ")


def test_expect_returns_a_table_and_names_the_row_out_of_tolerance():
    table = expect(("angle", 25.68, 25.676, 0.01), ("falls", True, True, 0))
    assert repr(table) == "angle: expected 25.68, measured 25.68\nfalls: expected True, measured True"
    assert "| angle | 25.68 | 25.68 |" in table._repr_markdown_()
    with pytest.raises(AssertionError, match=r"second: expected 1 within 0\.1, measured 1\.2"):
        expect(("first", 1, 1, 0), ("second", 1, 1.2, 0.1))
    with pytest.raises(AssertionError, match="nan"):
        expect(("undefined", 1, float("nan"), 0.1))


def test_figures_follow_the_theme_and_have_no_upload_button(monkeypatch):
    import plotly.io

    renderer = plotly.io.renderers["plotly_mimetype"]
    monkeypatch.setattr(renderer, "config", {})
    assert "data-jp-theme-light=false" in style_figures().data
    bundle = renderer.to_mimebundle(picture().to_plotly_json())
    assert bundle["application/vnd.plotly.v1+json"]["config"]["showSendToCloud"] is False


# Digests


def test_digest_rounds_and_names():
    assert digest(math.pi) == "3.142"
    assert digest(-1e-17) == "0"
    assert digest(np.float32(0.1)) == "0.1"
    assert digest({"a": 1, "b": [1.23456, float("nan")], "c": np.bool_(True)}) == "a: 1\nb: [1.235, nan]\nc: True"
    assert digest(np.arange(100).reshape(10, 10)) == "10 x 10, 0 to 99, mean 49.5"


def picture(**change) -> go.Figure:
    trace = {"x": [0, 1, 2], "y": [1.0, float("nan"), 3.0], "name": "T"} | change
    return go.Figure(go.Scatter(trace)).update_xaxes(title_text="angle").update_yaxes(title_text="logit")


def test_figure_digest_lists_traces_and_axes():
    assert figure_digest(picture()) == (
        "scatter 'T' x: 3 in 0 to 2, mean 1 y: 2 in 1 to 3, mean 2\nxaxis 'angle'\nyaxis 'logit'"
    )
    assert "x: a, b" in figure_digest(go.Figure(go.Bar(x=["a", "b"], y=[1, 2])))


@pytest.mark.parametrize("change", [{"x": [0, 1, 2.1]}, {"y": [1.0, 2.0, 3.0]}, {"name": "N"}])
def test_figure_digest_changes_with_the_figure(change):
    assert figure_digest(picture(**change)) != figure_digest(picture())


def test_figure_digest_ignores_ids_and_rounding():
    assert figure_digest(picture(uid="1")) == figure_digest(picture(uid="2"))
    assert figure_digest(picture(y=[1.0 + 1e-9, float("nan"), 3.0])) == figure_digest(picture())


# Figures of the lessons


def test_lines_show_angles_in_both_units_and_jumps_as_gaps():
    x = np.linspace(0, math.pi, 181)
    y = np.where(x < 1, 0.0, 1.0)
    line = Line("step", x, y, "#0072B2", jumps=np.array([1.0]))
    figure = lines_figure([line], Axis("angle", angle=True, level=(1.0, "here")), Axis("value"))
    assert np.isnan(np.asarray(figure.data[0].y, float)).sum() == 2, "one gap at the jump, one at the end"
    assert max(figure.data[0].x) == pytest.approx(180)
    assert figure.layout.xaxis.ticktext[-1] == "180°<br>3.14"
    assert figure.layout.shapes[0].x0 == pytest.approx(math.degrees(1.0))


def test_sphere_shows_unit_vectors_of_all_samples_and_raises_for_other_dimensions():
    rng = np.random.default_rng(0)
    shot = Snapshot(0, rng.normal(size=(20, 3)), np.arange(20) % 4, rng.normal(size=(4, 3)))
    figure = sphere_figure({"now": shot})
    samples = [t for t in figure.data if t.mode == "markers"]
    assert sum(len(t.x) for t in samples) == 20
    for t in samples:
        assert np.allclose(np.hypot(np.hypot(t.x, t.y), t.z), 1)
    assert len({(t.marker.color, t.marker.symbol) for t in samples}) == 4
    flat = Snapshot(0, shot.x, shot.y, shot.W[:, :2])
    with pytest.raises(InputError, match="4 centers of dimension 2"):
        sphere_figure({"now": flat})
