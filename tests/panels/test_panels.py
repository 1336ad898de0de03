"""MarginPanel and GradientPanel without a browser: setting `widget.value` calls the callbacks."""

import functools
import math
import threading
from dataclasses import dataclass
from typing import ClassVar

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import InputError
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.curves.gradients import gradient_map
from workbench.margins import ArcFace, Margin, param
from workbench.methods import METHODS, build
from workbench.panels.gradient import GradientPanel
from workbench.panels.kit.controls import slider_step
from workbench.panels.margin import MarginPanel
from workbench.views import theme
from workbench.views.canvas import Canvas
from workbench.views.curves import MarginCurve, curves_figure, drawing, split_at_jumps

THETA = math.radians(80)
DRAWN = [key for key, method in METHODS.items() if method.has_logits]


@pytest.fixture
def panel():
    return MarginPanel("arcface")


def controls(panel: MarginPanel, name: str) -> list[widgets.Widget]:
    """The widgets with the value of a parameter: slider and number box, number box, or dropdown."""
    row = (panel.scene_controls | panel.controls[panel.result.method.key])[name].row
    holders = (widgets.FloatSlider, widgets.FloatText, widgets.Dropdown)
    inside = [w for child in row.children for w in (child, *getattr(child, "children", ()))]
    return [w for w in inside if isinstance(w, holders)]


def shown(panel: MarginPanel) -> go.FigureWidget:
    return next(w for box in panel.children for w in box.children if isinstance(w, go.FigureWidget))


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


def plain(figure: go.Figure) -> tuple[list[dict], dict]:
    """Non-empty traces and layout of a figure as text, without the additions of a FigureWidget."""
    traces = [{k: str(t[k]) for k in t if k != "uid" and t[k] is not None} for t in figure.data if t.x]
    shared = ("xaxis.range", "xaxis.tickvals", "xaxis.ticktext", "yaxis.range", "template")
    return traces, {k: str(figure.layout[k]) for k in shared}


def texts(figure: go.Figure) -> list[str]:
    return [text.strip() for text in trace(figure, "boundaries").text]


@functools.cache
def drawn(margin: Margin, theta: float = THETA, color: str = theme.BLUE, **other) -> MarginCurve:
    lines = curve(margin, theta), boundaries(margin, theta), ideal_boundaries(margin, theta)
    return MarginCurve(type(margin).__name__, color, *lines, **other)


# The drawing


def test_a_jump_is_a_gap_with_both_its_ends():
    phi = np.linspace(0, 1, 11)
    values = np.where(phi < 0.55, phi, phi + 1)
    x, y, offs, ons = split_at_jumps(phi, values, np.array([0.55]))
    assert offs == [(0.55, pytest.approx(0.55))]
    assert ons == [(0.55, pytest.approx(1.55))]
    (gap,) = np.flatnonzero(np.isnan(y[:-1]))
    assert (x[gap - 1], x[gap + 1]) == (0.55, 0.55)
    assert np.nanmax(np.abs(np.diff(y))) < 0.11  # no line crosses the jump


@given(st.lists(st.floats(0.001, 0.999), max_size=6, unique=True).map(sorted))
def test_no_piece_crosses_a_jump(jumps):
    phi = np.linspace(0, 1, 21)
    x, _, offs, ons = split_at_jumps(phi, phi.copy(), np.array(jumps))
    pieces = np.split(x, np.flatnonzero(np.isnan(x)))
    for piece in pieces:
        inside = piece[~np.isnan(piece)]
        assert not any(inside.min() < j < inside.max() for j in jumps if len(inside))
    assert {p for p, _ in offs + ons} <= set(jumps)


def test_the_figure_shows_the_curve_the_jump_and_both_boundaries():
    d = drawn(METHODS["curricularface"].margin())
    figure = curves_figure([d], THETA)
    N = trace(figure, "N: other class")
    assert N.y[:-1].count(None) == 1
    np.testing.assert_allclose(trace(figure, "T: target").y[:-1], d.curve.T, atol=1e-5)
    assert (trace(figure, "T: target").line.dash, N.line.dash) == ("solid", "dash")
    for name, at, dash in (("actual boundary", d.actual, "solid"), ("ideal boundary", d.ideal, "dot")):
        np.testing.assert_allclose(trace(figure, name).x[:2], np.degrees([at[0]] * 2), atol=1e-4)
        assert trace(figure, name).line.dash == dash
    labels = texts(figure)
    assert labels == ["ideal 25.7° (0.448 rad)", "actual 33.3° (0.581 rad)"]
    marks = trace(figure, "jump")
    assert list(marks.marker.symbol) == ["circle", "circle-open"]
    assert list(figure.layout.xaxis.ticktext[:2]) == ["0°<br>0.00", "10°<br>0.17"]


def test_a_lone_margin_has_its_regions_and_several_their_numbers():
    d = drawn(ArcFace())
    target = trace(curves_figure([d], THETA), "target wins")
    assert target.x[:4] == pytest.approx([0, 0, 25.676, 25.676], abs=1e-3)
    figure = curves_figure([d, drawn(METHODS["cosface"].margin())], THETA)
    assert len(trace(figure, "target wins").x) == 0
    assert "ArcFace: boundary 25.7° (0.448 rad), ideal 25.7° (0.448 rad)" in [t.name for t in figure.data]


def test_a_label_of_two_boundaries_fits_a_narrow_figure():
    d = drawn(ArcFace())
    actual, ideal = (trace(curves_figure([d], THETA), f"{kind} boundary") for kind in ("actual", "ideal"))
    assert texts(curves_figure([d], THETA)) == ["actual = ideal<br> 25.7° (0.448 rad)", ""]
    assert actual.y == ideal.y
    assert actual.y[1] < curves_figure([d], THETA).layout.yaxis.range[1]


def test_no_boundary_means_one_region():
    figure = curves_figure([drawn(ArcFace(m=1.5), theta=0.5)], 0.5)
    assert len(trace(figure, "target wins").x) == 0
    assert len(trace(figure, "boundaries").x) == 0
    assert trace(figure, "other class wins").x[2] == pytest.approx(math.degrees(0.5), abs=1e-4)


@settings(max_examples=8)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.4, 1.4]), st.booleans(), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_drawing_in_place_ends_as_a_new_figure_would(story):
    canvas = Canvas(go.Figure, *drawing([drawn(ArcFace())], THETA, dark=False))
    for others, m, ghost, dark in story:
        one = [drawn(METHODS["npcface"].margin(m0=m), color=theme.GREEN)]
        one += [drawn(ArcFace(m=0.1 * k)) for k in range(others)]
        one += [drawn(ArcFace(m=m), ghost=True)] if ghost else []
        canvas.draw(*drawing(one, THETA, dark))
        assert plain(canvas.figure) == plain(curves_figure(one, THETA, dark))


# The panel


@pytest.mark.parametrize("key", DRAWN)
def test_every_method_draws_what_curves_computes(key):
    panel = MarginPanel(key)
    result, margin = panel.result, METHODS[key].margin_of(METHODS[key].settings())
    assert result.margin == margin
    expected = curve(margin, THETA)
    np.testing.assert_array_equal(result.curve.T, expected.T)
    np.testing.assert_array_equal(result.curve.N, expected.N)
    np.testing.assert_array_equal(result.actual, boundaries(margin, THETA))
    np.testing.assert_array_equal(result.ideal, ideal_boundaries(margin, THETA))
    fresh = curves_figure(
        [MarginCurve(result.label, theme.METHOD_COLORS[key], expected, result.actual, result.ideal)], THETA
    )
    assert plain(shown(panel)) == plain(fresh)


@pytest.mark.parametrize("panel_of", [MarginPanel, GradientPanel])
def test_a_method_without_T_and_N_is_left_out(panel_of):
    panel = panel_of("arcface")
    assert [key for _, key in panel.method_list.options] == DRAWN
    with pytest.raises(InputError, match="unknown method 'triplet'"):
        panel.set(method="triplet")


@pytest.mark.parametrize("key", DRAWN)
def test_controls_come_from_the_declared_parameters(key):
    panel = MarginPanel(key)
    rows = {*panel.front.children, *panel.drawer.children}
    for name, p in METHODS[key].margin.parameters().items():
        holders = controls(panel, name)
        assert panel.controls[key][name].row in rows
        if p.choices:
            assert [v for _, v in holders[0].options] == list(p.choices)
        elif p.high <= 1000:
            assert (holders[0].min, holders[0].max) == (p.low, p.high)
        assert all(p.meaning in w.tooltip for w in holders if not isinstance(w, widgets.FloatSlider))


def test_what_moves_no_curve_stands_in_the_drawer():
    panel = MarginPanel("recurricularface")
    where = {n: c.row in panel.front.children for n, c in panel.controls["recurricularface"].items()}
    assert [n for n, front in where.items() if front] == [
        "m", "k", "alpha", "product", "mask", "coeffs", "guard", "t",
    ]  # fmt: skip
    panel.set(preset="closed")
    assert panel.controls["recurricularface"]["E"].row in panel.front.children
    assert panel.controls["recurricularface"]["k"].row in panel.drawer.children


def test_a_slider_moves_the_curve_the_box_and_the_words(panel):
    slider, box = controls(panel, "m")
    before = trace(shown(panel), "T: target").y
    slider.value = 0.3
    assert panel.result.margin == ArcFace(m=0.3)
    assert box.value == 0.3
    assert panel.result.actual[0] == pytest.approx((THETA - 0.3) / 2)
    assert "31.4° (0.548 rad)" in panel.sentence.value
    assert "Before: 25.7°" in panel.sentence.value
    assert trace(shown(panel), "T: target").y != before
    box.value = 0.7
    assert slider.value == 0.7
    assert panel.result.margin.m == 0.7


def test_a_slider_of_the_browser_may_round_without_changing_anything(panel):
    panel.set(m=0.302)  # between two steps
    slider, _ = controls(panel, "m")
    slider.value = 0.3
    assert panel.result.margin.m == 0.302
    slider.value = 0.305
    assert panel.result.margin.m == 0.305


def test_the_ghost_is_what_was_before_one_control_began_to_move(panel):
    slider, _ = controls(panel, "m")
    assert panel.ghost is None
    start = panel.result
    for m in (0.4, 0.3, 0.2):
        slider.value = m
    assert panel.ghost is start
    controls(panel, "guard")[0].value = "mm"
    assert panel.ghost.margin == ArcFace(m=0.2)
    panel.set(m=0.6)
    panel.set(m=0.7)
    assert panel.ghost.margin.m == 0.6
    assert trace(shown(panel), "before").line.color == theme.GRAY


def test_presets_methods_and_reset(panel):
    panel.preset_list.value = "adaface_repo"
    assert panel.result.margin == ArcFace(guard="clip", clip=1e-4)
    panel.method_list.value = "curricularface"
    assert (panel.result.method.key, panel.result.preset) == ("curricularface", "paper")
    assert panel.preset_list.options == tuple(METHODS["curricularface"].presets)
    panel.set(m=0.3, t=0.5, theta=1.0)
    assert panel.result.label == "CurricularFace (paper, m = 0.3, t = 0.5)"
    assert panel.reset().label == "CurricularFace (paper)"
    assert panel.result.theta == THETA
    assert controls(panel, "m")[0].value == 0.5
    panel.set(method="arcface", preset="tface", m=0.2)
    assert panel.result.margin == ArcFace(m=0.2, guard="mm")


def test_state_has_its_sliders_and_its_names():
    panel = MarginPanel("curricularface")
    controls(panel, "t")[0].value = 1.0
    assert panel.result.state == {"t": 1.0}
    np.testing.assert_array_equal(panel.result.curve.N, curve(panel.result.margin, THETA, state={"t": 1.0}).N)
    panel = MarginPanel("recurricularface", preset="closed")
    panel.set(E=1.2, state_E=1.3, E_rule="measured")  # a parameter and a state with the same name
    assert panel.result.margin.E == 1.2
    assert panel.result.curve.state["E"] == 1.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mm": 0.4}, r"unknown parameter of arcface 'mm'; did you mean 'm'\?"),
        ({"m": 2.0}, r"ArcFace: m = 2.0 is outside \[0, 1.5\]"),
        ({"m": 0.3, "theta": 9.0}, r"MarginPanel: theta = 9.0 is outside"),
        ({"method": "arkface"}, r"unknown method 'arkface'; did you mean 'arcface'\?"),
        ({"preset": "papr"}, r"unknown preset of arcface 'papr'; did you mean 'paper'\?"),
        ({"m": 0.3, "guard": "none"}, r"ArcFace: guard = 'none' is not one of"),
        ({"method": "curricularface", "t": 3}, r"curricularface: t = 3 is outside \[-1, 1\]"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(panel, change, message):
    before, figure = panel.result, plain(shown(panel))
    with pytest.raises(InputError, match=message) as caught:
        panel.set(**change)
    assert "\n" not in str(caught.value)
    assert panel.result is before
    assert plain(shown(panel)) == figure


def test_a_combination_that_cannot_be_is_told_and_taken_back():
    panel = MarginPanel("mv_am")
    (guard,) = controls(panel, "guard")
    guard.value = "mm"
    assert "needs positive = " in panel.message.value
    assert guard.value == panel.result.margin.guard == "wrap"
    controls(panel, "m")[0].value = 0.4
    assert "needs" not in panel.message.value


def test_pins_stay_in_colors_of_their_own_and_follow_theta(panel):
    alone = len(shown(panel).data)
    panel.pin()
    panel.set(m=0.2)
    panel.pin()
    panel.set(method="npcface")
    assert [p.label for p in panel.pins] == ["ArcFace (paper)", "ArcFace (paper, m = 0.2)"]
    names = [t for t in shown(panel).data if ": boundary" in t.name]
    assert len({t.line.color for t in names}) == 3
    assert theme.METHOD_COLORS["npcface"] == names[-1].line.color
    controls(panel, "theta")[0].value = 1.0
    assert [p.theta for p in panel.pins] == [1.0, 1.0]
    assert panel.pins[0].actual[0] == pytest.approx(0.25)
    assert panel.ghost is None
    assert shown(panel).layout.xaxis.range == pytest.approx((0, math.degrees(1.0)))
    panel.clear_pins()
    assert len(shown(panel).data) == alone


def test_buttons_say_what_they_do_and_do_it(panel):
    row = next(w for w in panel.children[0].children if isinstance(w, widgets.HBox) and len(w.children) == 3)
    buttons = {b.description: b for b in row.children}
    panel.set(m=0.2)
    buttons["Pin"].click()
    buttons["Reset"].click()
    assert (len(panel.pins), panel.result.margin) == (1, ArcFace())
    buttons["Clear pins"].click()
    assert panel.pins == ()


@dataclass(frozen=True)
class Leaning(Margin):
    """A user-defined margin, T = cos θ_y - lean - m."""

    latex: ClassVar[tuple[str, ...]] = (r"T = \cos\theta_y - \mathrm{lean}", r"N = \cos\theta_j")
    lean: float = 0.2
    m: float = param(0.1, "m", "a declared one", low=0.0, high=0.5)
    name: str = "no number"

    def T(self, c, ctx, rows):
        if self.m > 0.4:
            raise RuntimeError("this margin fails there")
        return c - self.lean - self.m


def test_a_margin_of_ones_own():
    panel = MarginPanel(margin=Leaning(lean=0.25))
    assert panel.result.label == "Leaning (yours) (given)"
    assert set(panel.controls["Leaning"]) == {"lean", "m"}
    slider, _ = controls(panel, "lean")
    assert (slider.min, slider.max) == (0.0, 1.0)
    slider.value = 0.5
    assert panel.result.margin == Leaning(lean=0.5)
    assert "user-defined margin" in panel.formula.value
    controls(panel, "m")[0].value = 0.45
    assert "this margin fails there" in panel.message.value
    assert panel.result.margin.m == 0.1
    assert panel.set(method="arcface").margin == ArcFace()
    with pytest.raises(InputError, match=r"margin = 0.5: not a Margin"):
        MarginPanel(margin=0.5)


def test_equations_of_another_T_are_not_shown():
    @dataclass(frozen=True)
    class Silent(ArcFace):
        def T(self, c, ctx, rows):
            return c

    assert "theta_y + m" not in MarginPanel(margin=Silent()).formula.value
    assert "theta_y + m" in MarginPanel(margin=ArcFace(m=0.2)).formula.value


def test_a_page_that_is_loaded_again_starts_from_the_present_curves(panel):
    panel.set(m=0.3)
    stored = shown(panel).get_state(["_widget_data", "_widget_layout"])
    T = next(t for t in stored["_widget_data"] if t["name"] == "T: target")
    np.testing.assert_allclose(T["y"][:-1], panel.result.curve.T, atol=1e-5)
    again = go.Figure(stored["_widget_data"], stored["_widget_layout"])
    assert plain(again) == plain(shown(panel))


def test_the_figure_follows_the_page_unless_told(panel):
    ink = shown(panel).layout.template.layout.font.color
    panel.page.dark = True
    assert shown(panel).layout.template.layout.font.color != ink
    light = MarginPanel("arcface", dark=False)
    light.page.dark = True
    assert shown(light).layout.template.layout.font.color == ink


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "The boundary lies at 25.7° (0.448 rad), same as the ideal one."),
        ({"method": "recurricularface"}, "The boundary lies at 31.9° (0.557 rad), 6.3° wider than the ideal 25.7°."),
        (
            {"method": "recurricularface", "mask": "all", "t": 1.0},
            "The boundary lies at 25.0° (0.437 rad), 0.6° narrower than the ideal 25.7°.",
        ),
        ({"method": "norm_softmax"}, "The boundary lies at 40.0° (0.698 rad), halfway between the two centers."),
        ({"m": 1.5}, "There is no boundary: the other class wins everywhere between the two centers."),
    ],
)
def test_words(panel, change, words):
    assert panel.set(**change).words() == words
    assert repr(panel) == f"MarginPanel: {panel.result.label}. {words}"


def test_summary_is_numbers(panel):
    summary = panel.result.summary()
    assert (summary["actual"], summary["boundaries"]) == (pytest.approx((THETA - 0.5) / 2), 1)
    assert all(isinstance(v, float) for v in summary.values())


def test_a_callback_and_a_cell_take_turns():
    entered, go_on = threading.Event(), threading.Event()

    @dataclass(frozen=True)
    class Slow(ArcFace):
        def T(self, c, ctx, rows):
            if self.m == 0.3:
                entered.set()
                go_on.wait(10)
            return super().T(c, ctx, rows)

    panel = MarginPanel(margin=Slow())
    slider, _ = controls(panel, "m")
    dragged = threading.Thread(target=setattr, args=(slider, "value", 0.3))
    cell = threading.Thread(target=panel.set, kwargs={"m": 0.9})
    dragged.start()
    assert entered.wait(10)
    cell.start()
    cell.join(0.2)
    assert cell.is_alive()  # waits for the callback
    go_on.set()
    dragged.join()
    cell.join()
    assert (panel.ghost.margin.m, panel.result.margin.m, slider.value) == (0.3, 0.9, 0.9)
    np.testing.assert_allclose(trace(shown(panel), "T: target").y[:-1], panel.result.curve.T, atol=1e-5)


# The gradient panel


def heat(panel: GradientPanel) -> list[go.Heatmap]:
    return [t for t in shown(panel).data if t.type == "heatmap"]


@pytest.mark.filterwarnings("ignore:MagFace")
@pytest.mark.slow
@pytest.mark.parametrize("key", DRAWN)
def test_every_method_shows_the_gradient_of_its_own_loss(key):
    panel = GradientPanel(key)
    expected = gradient_map(build(key, 1000, 2), norm=20)
    np.testing.assert_array_equal(panel.result.map.target, expected.target)
    np.testing.assert_array_equal(panel.result.map.negative, expected.negative)
    for trace_, values in zip(heat(panel), (expected.target, expected.negative), strict=True):
        np.testing.assert_allclose(np.array(trace_.z, float), values, atol=5e-4)
    rows = {*panel.front.children, *panel.drawer.children}
    assert all(panel.controls[key][name].row in rows for name in METHODS[key].parameters())


def test_a_slider_moves_the_gradient_and_the_words():
    panel = GradientPanel("arcface")
    slider, box = controls(panel, "s")
    before = heat(panel)[0].z
    slider.value = 30
    assert (panel.result.parameters["s"], box.value) == (30, 30)
    assert heat(panel)[0].z != before
    assert "30 away from the other" in panel.sentence.value
    controls(panel, "m")[0].value = 0.0
    np.testing.assert_array_equal(
        panel.result.map.target, gradient_map(build("arcface", 1000, 2, s=30, m=0), norm=20).target
    )
    controls(panel, "theta_rest")[0].value = 1.0
    controls(panel, "rest")[0].value = 5
    assert panel.result.scene["rest"] == 5
    panel.reset()
    assert panel.result.label == "ArcFace (paper)"
    assert (panel.result.scene["rest"], panel.result.scene["theta_rest"]) == (0, math.pi / 2)
    np.testing.assert_array_equal(np.array(heat(panel)[0].z), np.array(before))


def test_two_losses_side_by_side_as_a_difference_and_exchanged():
    panel = GradientPanel("npcface", against="mv_arc", against_preset="svx")
    panel.set(t=1.2)
    assert panel.result.against.label == "MV-softmax (Arc) (svx)"
    assert len(heat(panel)) == 4
    panel.set(compare="difference")
    first, second = panel.result.map, panel.result.against.map
    np.testing.assert_allclose(np.array(heat(panel)[1].z, float), first.negative - second.negative, atol=6e-4)
    controls(panel, "show")[0].value = "target"
    assert len(heat(panel)) == 1
    panel.swap_button.click()
    assert panel.result.label == "MV-softmax (Arc) (svx)"
    assert panel.result.against.label == "NPCFace (paper, t = 1.2)"
    panel.set(rest=3)
    assert panel.result.against.scene["rest"] == 3
    assert panel.result.against.parameters["t"] == 1.2
    panel.against_preset_list.value = "facexzoo"
    assert panel.result.against.label == "NPCFace (facexzoo)"
    panel.against_list.value = ""
    assert panel.result.against is None
    assert panel.swap_button.disabled
    with pytest.raises(InputError, match="needs `against`"):
        panel.set(against_preset="paper")


def test_states_of_margins_and_scales_have_sliders():
    panel = GradientPanel("curricularface")
    controls(panel, "t")[0].value = 0.5
    expected = gradient_map(panel.result.margin, state={"t": 0.5})
    np.testing.assert_array_equal(panel.result.map.negative, expected.negative)
    panel.set(method="adacos", s=20)
    np.testing.assert_allclose(panel.result.map.target, gradient_map(panel.result.margin, s=20).target)
    panel.set(method="magface", lam_g=10)
    assert "is below 22.59" in panel.sentence.value


def test_what_moves_no_gradient_stands_in_the_drawer():
    panel = GradientPanel("curricularface")
    where = {n: c.row in panel.front.children for n, c in panel.controls["curricularface"].items()}
    assert [n for n, front in where.items() if front] == ["s", "m", "mask", "guard", "grad", "t"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"against": "arkface"}, r"unknown method 'arkface'; did you mean 'arcface'\?"),
        ({"against": "npcface", "against_preset": "papr"}, r"unknown preset of npcface 'papr'"),
        ({"show": "all"}, r"GradientPanel: show = 'all' is not one of both, target, negative"),
        ({"s": -1}, r"Fixed: s = -1 is outside \[0.1, 1000\]"),
        ({"m": 0.3, "norm": 0}, r"GradientPanel: norm = 0 is outside"),
    ],
)
def test_bad_input_leaves_the_gradients_as_they_are(change, message):
    panel = GradientPanel("arcface")
    before = panel.result
    with pytest.raises(InputError, match=message):
        panel.set(**change)
    assert panel.result is before


def test_gradients_of_a_margin_of_ones_own():
    panel = GradientPanel(margin=Leaning(lean=0.3, m=0.05))
    np.testing.assert_allclose(panel.result.map.target, gradient_map(Leaning(lean=0.3, m=0.05)).target)
    controls(panel, "lean")[0].value = 0.5
    np.testing.assert_allclose(panel.result.map.target, gradient_map(Leaning(lean=0.5, m=0.05)).target)
    controls(panel, "m")[0].value = 0.45
    assert "this margin fails there" in panel.message.value
    assert panel.set(s=10, against="Leaning").against.parameters["s"] == 64


def test_a_page_that_is_loaded_again_starts_from_the_present_gradients():
    panel = GradientPanel("arcface")
    panel.set(against="npcface")
    panel.set(against="")
    stored = shown(panel).get_state(["_widget_data", "_widget_layout"])
    assert [t["type"] for t in stored["_widget_data"]] == ["heatmap", "heatmap", "scatter", "scatter"]
    again = go.Figure(stored["_widget_data"], stored["_widget_layout"])
    np.testing.assert_allclose(np.array(again.data[0].z, float), panel.result.map.target, atol=5e-4)
    assert len(again.layout.annotations) == len(shown(panel).layout.annotations) == 3


@given(st.floats(1e-3, 1e4))
def test_steps_are_round_and_about_three_hundred(width):
    assert 100 < width / slider_step(width) <= 300 * (1 + 1e-6)
    assert f"{slider_step(width):.0e}"[0] in "125"
