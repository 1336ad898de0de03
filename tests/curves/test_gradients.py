"""Gradient maps and supervision against plain loops, finite differences and the equations of the papers."""

import math
import re
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import pytest
import reference
import torch
from cases import build_quietly, view
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.centers.similarity import Dot
from workbench.core.errors import InputError
from workbench.curves.gradients import gradient_map
from workbench.curves.supervision import emphasis, hard_forms, margin_effect, supervision
from workbench.margins import (
    ArcFace,
    Circle,
    CosFace,
    CurricularFace,
    Margin,
    MVSoftmax,
    NormSoftmax,
    NPCFace,
)
from workbench.methods import METHODS, build
from workbench.views.gradients import QUANTITIES, LabeledMap, color_axis, gradient_figure
from workbench.views.supervision import effect_figure, emphasis_figure, supervision_figure
from workbench.views.theme import DIVERGING

DRAWN = [name for name, method in METHODS.items() if method.has_logits]
PLAIN = [name for name in DRAWN if METHODS[name].criterion.name == "softmax"]
LENGTH = 15.0
degrees = np.radians


# The map


@pytest.mark.parametrize("name", DRAWN)
def test_the_map_is_the_gradient_of_the_plain_loops(name):
    obj = build_quietly(name, 4, 3).double()
    theta_y, theta_j = degrees([21.0, 55.0, 83.0]), degrees([38.0, 61.0, 97.0])
    result = gradient_map(obj, theta_y, theta_j, rest=1, theta_rest=1.3, norm=LENGTH)
    plane = [[math.cos(a), math.cos(b), math.cos(1.3)] for b in theta_j for a in theta_y]
    p = view(obj, name, torch.zeros(len(plane), 3), torch.zeros(len(plane), dtype=torch.long))
    p |= {"eps": [obj.margin.m] * len(plane)} if name.startswith("elasticface") else {}
    norms, y = [LENGTH] * len(plane), [0] * len(plane)
    stretch = LENGTH if isinstance(obj.centers.similarity, Dot) else 1.0

    def loss(cos):
        rows = [[stretch * c for c in row] for row in cos]
        return len(plane) * reference.weighted(name, reference.per_sample(name, rows, norms, y, p), p)

    expected = np.array(reference.gradient(loss, plane)).reshape(3, 3, 3)
    np.testing.assert_allclose(result.target, expected[..., 0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.negative, expected[..., 1], rtol=1e-9, atol=1e-9)


@given(st.floats(0.3, 2.4), st.floats(0.1, 3.0), st.floats(0.0, 0.6), st.floats(1.0, 64.0), st.integers(0, 5))
@settings(max_examples=40)
def test_arcface_against_finite_differences(theta_y, theta_j, m, s, rest):
    def loss(c_y, c_j):
        others = math.exp(s * c_j) + rest * math.exp(s * math.cos(1.2))
        return math.log1p(others / math.exp(s * math.cos(math.acos(c_y) + m)))

    c_y, c_j, h = math.cos(theta_y), math.cos(theta_j), 1e-6
    result = gradient_map(ArcFace(m=m), np.array([theta_y]), np.array([theta_j]), rest, 1.2, s)
    target = (loss(c_y + h, c_j) - loss(c_y - h, c_j)) / (2 * h)
    negative = (loss(c_y, c_j + h) - loss(c_y, c_j - h)) / (2 * h)
    assert result.target[0, 0] == pytest.approx(target, rel=1e-5, abs=1e-6)
    assert result.negative[0, 0] == pytest.approx(negative, rel=1e-5, abs=1e-6)
    assert result.loss[0, 0] == pytest.approx(loss(c_y, c_j), rel=1e-9)
    assert result.p_y[0, 0] == pytest.approx(math.exp(-loss(c_y, c_j)), rel=1e-9)


def test_softmax_pulls_and_pushes_and_nothing_else():
    result = gradient_map(NormSoftmax(), s=20, rest=3)
    assert (result.target <= 0).all()
    assert (result.negative >= 0).all()
    assert result.summary()["wrong target"] == result.summary()["wrong negative"] == 0
    np.testing.assert_allclose(result.target, -20 * (1 - result.p_y), atol=1e-12)


def test_where_a_gradient_has_the_wrong_sign_it_is_reported():
    wrapped = gradient_map(ArcFace())
    assert wrapped.theta_y[wrapped.wrong_target.any(axis=0)].min() > math.pi - 0.5  # past pi the cosine turns up again
    assert not gradient_map(ArcFace(guard="mm")).wrong_target.any()
    curricular = gradient_map(CurricularFace(), state={"t": 0.4})
    lowest = curricular.theta_j[curricular.wrong_negative.any(axis=1)].min()
    assert math.cos(lowest) < -0.2 < math.cos(lowest - 0.06)  # the slope t + 2 cos changes sign at cos = -t / 2


@pytest.mark.parametrize("margin", [NormSoftmax(), ArcFace(), MVSoftmax(), NPCFace(m1=0.6), CurricularFace()])
def test_the_boundary_lies_where_T_is_N(margin):
    result = gradient_map(margin)
    line = result.boundary[~np.isnan(result.boundary[:, 0])]
    assert len(line) > 40
    step = 1e-6
    above, below = (
        np.diag((at := gradient_map(margin, line[:, 0], (line[:, 1] + d).clip(0, math.pi))).T - at.N)
        for d in (step, -step)
    )
    assert ((above > 0) != (below > 0)).all()


def test_an_angle_between_two_lines_of_the_boundary_is_a_gap():
    line = gradient_map(Circle()).boundary
    assert np.isnan(line).any(axis=1).sum() >= 2  # Circle's T and N meet on two lines


def test_the_grid_is_one_batch_for_a_loss_that_selects():
    result = gradient_map(build("hm_softmax", 10, 2, keep=0.5))
    assert (result.target == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_an_objective_is_not_changed_and_its_state_counts():
    obj = build("curricularface", 10, 2)
    obj.state_t.fill_(0.6)
    before = {name: value.clone() for name, value in obj.state_dict().items()}
    result = gradient_map(obj)
    assert all(torch.equal(value, before[name]) for name, value in obj.state_dict().items())
    assert obj.centers.weight.grad is None
    np.testing.assert_allclose(result.negative, gradient_map(obj.margin, state={"t": 0.6}).negative)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_map(build("triplet", 4, 3)), "triplet has no T and N"),
        (lambda: gradient_map(ArcFace(), theta_y=np.array([-0.1])), r"theta_y = -0.1: an angle"),
        (lambda: gradient_map(ArcFace(), theta_rest=4.0), r"theta_rest = 4: an angle"),
        (lambda: gradient_map(ArcFace(), rest=-1), "rest = -1"),
        (lambda: gradient_map(build("arcface", 4, 3), state={"t": 1}), "an objective has its own state"),
        (lambda: gradient_map(ArcFace(), state={"tt": 1}), "unknown state of ArcFace 'tt'"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# NPCFace Eq. 3-10


@pytest.mark.parametrize("name", PLAIN)
def test_the_pushes_sum_to_the_pull(name):
    cos = np.random.default_rng(0).uniform(-0.9, 0.9, (20, 12))
    result = supervision(build_quietly(name, 12, 3), cos, norm=LENGTH)
    np.testing.assert_allclose(result.negatives.sum(axis=1), -result.target, atol=1e-12 * np.abs(result.target).max())
    assert result.summary()["difference"] <= 1e-12 * max(1.0, np.abs(result.target).max())


def test_the_pull_is_s_times_what_is_missing_and_the_shares_are_the_probabilities():
    cos = np.array([0.5, 0.4, 0.1, -0.2])
    result = supervision(NormSoftmax(), cos, s=10)
    p = np.exp(10 * cos) / np.exp(10 * cos).sum()
    assert -result.target[0] == pytest.approx(10 * (1 - p[0]), rel=1e-12)
    np.testing.assert_allclose(result.share[0], p[1:] / p[1:].sum(), rtol=1e-12)


def test_a_threshold_of_its_own_breaks_the_identity():
    result = supervision(build("uniface", 12, 3), np.linspace(0.6, -0.5, 12))
    assert result.summary()["difference"] > 1


def test_a_positive_margin_strengthens_every_negative_alike_and_a_negative_one_does_not():
    theta_y = degrees(np.linspace(20, 100, 81))
    arc = margin_effect(ArcFace(), theta_y, degrees(83), rest=998)
    assert (arc.margined.negative > arc.plain.negative).all()  # Eq. 7
    steep = theta_y < (math.pi - 0.5) / 2  # there T's slope is above 1; past it the pull by cosine may be weaker
    assert (arc.margined.target < arc.plain.target)[steep].all()  # Eq. 6
    assert (arc.margined.target > arc.plain.target)[-5:].all()
    np.testing.assert_allclose(
        arc.margined.negative / arc.plain.negative, arc.margined.other / arc.plain.other, rtol=1e-9
    )
    np.testing.assert_allclose(arc.margined.share, arc.plain.share, rtol=1e-9)
    mv = margin_effect(MVSoftmax(positive="arc", m=0.5), theta_y, degrees(83), rest=998)
    assert (mv.margined.share[mv.hard > 0] > mv.plain.share[mv.hard > 0] + 0.1).all()


def test_a_step_of_t_multiplies_the_odds_as_the_equations_say():
    c = np.array([0.1, 0.3, 0.5])
    result = emphasis(hard_forms(alpha=0.25), c, degrees(60), s=64)
    mv, npc = result.log10_odds[:3] * math.log(10), result.log10_odds[3:] * math.log(10)
    np.testing.assert_allclose(np.diff(mv, axis=0), [64 * 0.1 * (1 + c)] * 2, rtol=1e-9)  # Eq. 8
    np.testing.assert_allclose(np.diff(npc, axis=0), [64 * 0.1 * c] * 2, rtol=1e-9)  # Eq. 10
    assert result.hard.all()
    easy = emphasis(hard_forms(), np.array([-0.5]), degrees(60))
    assert not easy.hard.any()
    assert (easy.added == 0).all()


def test_the_push_is_p_s_t():
    for t in (1.0, 1.1, 1.3):
        margins = {"MV": MVSoftmax(positive="arc", m=0.5, t=t), "NPC": NPCFace(m0=0.5, m1=0, t=t)}
        result = emphasis(margins, np.array([math.cos(degrees(70))]), degrees(60), rest=0, s=20)
        for push, added in zip(result.negative, result.added, strict=True):
            N, T = math.cos(degrees(70)) + added, math.cos(degrees(60) + 0.5)
            np.testing.assert_allclose(push, 20 * t / (1 + np.exp(20 * (T - N))), rtol=1e-9)  # Eq. 9


# A margin of one's own, and the figures


@dataclass(frozen=True)
class Leaning(Margin):
    """An unpublished margin."""

    lean: float = 0.2

    def T(self, c, ctx, rows):
        return c - self.lean


def test_a_margin_of_ones_own_has_its_map():
    np.testing.assert_allclose(gradient_map(Leaning(0.3)).target, gradient_map(CosFace(m=0.3)).target, atol=1e-12)


def maps():
    return [LabeledMap("ArcFace", gradient_map(ArcFace())), LabeledMap("NPCFace", gradient_map(NPCFace()))]


def test_heat_maps_hold_the_gradients_and_the_boundary():
    first, second = maps()
    figure = gradient_figure([first, second])
    heat = [t for t in figure.data if t.type == "heatmap"]
    expected = [first.map.target, first.map.negative, second.map.target, second.map.negative]
    for trace, values in zip(heat, expected, strict=True):
        np.testing.assert_allclose(np.array(trace.z, float), values, atol=5e-4)
    assert list(heat[0].x[:2]) == [0, 3]
    assert heat[0].customdata[2][1] == pytest.approx((math.radians(3), math.radians(6)), abs=1e-3)
    lines = [t for t in figure.data if t.type == "scatter"]
    assert [(t.xaxis, t.yaxis) for t in lines] == [(t.xaxis, t.yaxis) for t in heat]
    np.testing.assert_allclose(lines[2].y[:-1], np.degrees(second.map.boundary[:-1, 1]), atol=1e-3)
    texts = " ".join(a.text for a in figure.layout.annotations)
    assert all(name in texts for name in ("ArcFace", "NPCFace", *QUANTITIES.values()))


def test_a_difference_is_one_row_with_both_boundaries():
    first, second = maps()
    figure = gradient_figure([first, second], show="negative", compare="difference")
    (heat,) = (t for t in figure.data if t.type == "heatmap")
    np.testing.assert_allclose(np.array(heat.z, float), first.map.negative - second.map.negative, atol=5e-4)
    assert [t.line.dash for t in figure.data if t.type == "scatter"] == ["solid", "dash"]
    assert "ArcFace minus NPCFace" in figure.layout.annotations[1].text


@example([5e-324])
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=50))
def test_zero_is_the_middle_of_the_colors(values):
    scale = color_axis([np.array(values)], difference=False, height=400)
    assert -scale["cmin"] == scale["cmax"] > 0
    assert scale["cmax"] >= np.quantile(np.abs(values), 0.9) * (1 - 1e-6)


def test_colors_differ_for_light_and_dark_pages():
    for dark in (False, True):
        scale = gradient_figure(maps()[:1], dark=dark).layout.template.layout.colorscale.diverging
        assert tuple(color for _, color in scale) == DIVERGING[dark]


def test_lines_break_where_a_negative_becomes_hard():
    theta = degrees(np.linspace(20, 120, 101))
    figure = emphasis_figure(emphasis(hard_forms(), np.linspace(-0.2, 0.6, 81), degrees(60)), "push")
    assert len({(t.line.color, t.line.dash) for t in figure.data}) == 6
    assert all(np.isnan(t.y[:-1]).sum() == 1 for t in figure.data)
    share = effect_figure(margin_effect(NPCFace(), theta, degrees(83), rest=98), "share")
    assert len(share.data) == 2


def test_the_bars_of_both_sides_are_of_one_length():
    figure = supervision_figure(supervision(NPCFace(), np.linspace(0.6, -0.4, 12)))
    pull, *pushes = figure.data
    assert isinstance(pull, go.Bar)
    assert sum(t.x[0] for t in pushes) == pytest.approx(pull.x[0], rel=1e-12)
    assert pushes[-1].name == "the other 6"


# In a real JupyterLab


@pytest.mark.browser
def test_gradient_panel_in_jupyterlab(open_notebook, artefacts):
    from panels.helpers import set_theme
    from panels.test_panels_browser import BOXES, CUT_OFF, FITS
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # for a loaded machine
    page = open_notebook(["from workbench.panels.gradient import GradientPanel\nGradientPanel('npcface')"])
    panel = page.locator(".workbench-panel")
    images, sentence = panel.locator(".heatmaplayer image"), panel.get_by_role("status")
    expect(images).to_have_count(2)
    page.wait_for_function(FITS)
    assert page.evaluate(CUT_OFF, BOXES) == []  # nothing clipped, no scroll bars

    before = images.first.get_attribute("href")
    panel.get_by_role("slider", name=re.compile("^t factor")).focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(sentence).to_contain_text("73.6 away from the other")
    expect(images.first).not_to_have_attribute("href", before)
    panel.get_by_label("Against", exact=True).select_option(label="ArcFace")
    expect(images).to_have_count(4)
    page.screenshot(path=artefacts / "gradients_light.png")
    panel.get_by_label(re.compile("^two losses")).select_option(label="difference")
    expect(images).to_have_count(2)
    set_theme(page, "Dark")
    expect(panel.locator(".xtitle").first).to_have_css("fill", "rgb(236, 236, 236)")
    page.screenshot(path=artefacts / "gradients_dark.png")
    set_theme(page, "Light")  # the server keeps it for the tests that follow
    expect(panel.locator(".xtitle").first).to_have_css("fill", "rgb(27, 27, 27)")
