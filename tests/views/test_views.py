"""Figures of reports: values, gaps, marks of few samples, and imports."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.evaluation.verification import Roc, verify
from workbench.methods import METHODS
from workbench.probes.hardness import hardness
from workbench.probes.similarity import similarity
from workbench.views.hardness import correlation_figure, distances_figure
from workbench.views.similarity import overlap_figure, ridges_figure
from workbench.views.theme import INK, METHOD_STYLES, method_style, template
from workbench.views.training import (
    FEW,
    BoundaryTrack,
    Stretch,
    Track,
    block_means,
    boundary_figure,
    loss_figure,
    misclassified_figure,
)
from workbench.views.verification import RocCurve, roc_figure, staircase

STYLE = method_style("npcface", "NPCFace")


def track(values, samples=None):
    values = np.asarray(values, dtype=float)
    return Track(STYLE, 10 * np.arange(len(values)), values, None if samples is None else np.asarray(samples))


def finite_points(trace):
    """The points of a trace without gaps."""
    return [(x, y) for x, y in zip(trace.x, trace.y, strict=True) if np.isfinite(y)]


def probe_sample(seed=0, n=300, classes=12, signal=0.5):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(classes, 16))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    y = rng.integers(0, classes, n)
    x = signal * W[y] + rng.normal(size=(n, 16)) / 4
    return x @ W.T / np.linalg.norm(x, axis=1, keepdims=True), y


@settings(max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=400), st.integers(1, 50))
def test_blocks_keep_the_mean_and_stay_few(values, points):
    whole = track(values)
    blocks = block_means(whole, points)
    assert 1 <= len(blocks.value) == len(blocks.step) <= points
    size = -(-len(values) // points)
    for i, mean in enumerate(blocks.value):
        assert mean == pytest.approx(np.mean(values[i * size : (i + 1) * size]), abs=1e-9)
        assert blocks.step[i] == pytest.approx(np.mean(whole.step[i * size : (i + 1) * size]))


def test_a_value_on_few_samples_is_pale_and_hollow():
    line, solid, hollow = misclassified_figure([track([0.9, 0.5, 0.2], [FEW - 1, FEW, 500])]).data
    assert finite_points(line) == [(0, 0.9), (10, 0.5), (20, 0.2)]
    assert finite_points(solid) == [(10, 0.5), (20, 0.2)]
    assert finite_points(hollow) == [(0, 0.9)]
    assert hollow.marker.symbol == "circle-open"
    assert hollow.opacity < 1
    assert [trace.showlegend for trace in (line, solid, hollow)] == [False, True, False]


def test_stretches_are_shaded_and_single_steps_are_lines():
    warm_up, by_hand = loss_figure([track([3, 2, 1])], [Stretch(0, 20, "warm-up"), Stretch(10, 10, "m")]).layout.shapes
    assert (warm_up.type, warm_up.x0, warm_up.x1, warm_up.label.text) == ("rect", 0, 20, "warm-up")
    assert (by_hand.type, by_hand.x0, by_hand.x1) == ("line", 10, 10)


def test_boundaries_are_degrees_and_break_where_their_number_changes():
    angles = [np.radians(a) for a in ([40.0, 46.0], [44.0], [42.0], [])]
    one = BoundaryTrack(STYLE, np.array([1, 2, 3, 4]), angles, [np.radians([30.0])] * 4)
    ideal, first, second, _ = boundary_figure([one], np.radians(80)).data
    assert finite_points(ideal) == [(s, pytest.approx(30)) for s in (1, 2, 3, 4)]
    assert ideal.line.dash == "dot"
    assert [None if np.isnan(y) else round(y) for y in first.y] == [40, None, 44, 42, None, None]
    assert finite_points(second) == [(1, pytest.approx(46))]
    assert (first.showlegend, second.showlegend) == (True, False)


def test_every_histogram_of_a_stack_has_the_same_area_on_its_own_row():
    result = [similarity(*probe_sample(seed, signal=signal)) for seed, signal in ((0, 0.3), (1, 0.5), (2, 0.6))]
    well, _, mis, _ = ridges_figure([1, 50, 100], result).data
    for trace in (well, mis):
        x, y = np.array(trace.x), np.array(trace.y)
        pieces = np.split(np.arange(len(x)), np.flatnonzero(np.isnan(x)))
        pieces = [p[~np.isnan(x[p])] for p in pieces]
        areas = [np.trapezoid(y[p] - row, x[p]) for row, p in enumerate(pieces)]
        assert areas == pytest.approx([areas[0]] * 3)
        assert [y[p].min() for p in pieces] == [0, 1, 2]
    assert mis.fillpattern.shape == "/"  # a second channel beside color


def test_a_group_of_few_samples_is_ticks_and_an_empty_one_is_nothing():
    cos, y = probe_sample(signal=0.9)
    few = similarity(cos, y)
    assert 0 < few.n_mis < FEW
    well, _, mis, ticks = ridges_figure([7], [few]).data
    assert finite_points(mis) == []
    assert [x for x, _ in finite_points(ticks)[::2]] == pytest.approx((few.edges[:-1] + few.edges[1:])[few.mis > 0] / 2)
    own = cos.argmax(axis=1)
    well, _, mis, ticks = ridges_figure([7], [similarity(cos, own)]).data
    assert finite_points(well)
    assert finite_points(mis) == finite_points(ticks) == []


def test_the_share_of_misclassified_samples_stands_beside_its_row():
    result = similarity(*probe_sample())
    texts = [a.text for a in ridges_figure([7], [result]).layout.annotations]
    assert texts[0] == f"{result.n_mis / 300:.0%}"


def test_the_overlap_axis_holds_every_overlap():
    assert list(overlap_figure([track([0.1, 1.0])]).layout.yaxis.range) == [0, 1.02]


def test_the_correlation_stands_above_the_counts_it_rests_on():
    figure = correlation_figure([track([np.nan, -0.4, 0.2], [2, 150, 60])], [Stretch(0, 10, "warm-up")])
    above = [t for t in figure.data if t.yaxis in (None, "y")]
    below = [t for t in figure.data if t.yaxis == "y2"]
    assert finite_points(above[0]) == [(10, -0.4), (20, 0.2)]
    assert finite_points(below[0]) == [(0, 2), (10, 150), (20, 60)]
    assert sum(bool(t.showlegend) for t in figure.data) == 1
    assert figure.layout.xaxis.matches == "x2"


@pytest.mark.parametrize("slope", [1, -1])
def test_the_straight_line_through_the_distances_has_the_sign_of_r(slope):
    own = np.linspace(0.1, 0.3, 30)
    nearest = 0.6 + slope * own
    cos = np.column_stack([own, nearest, np.full(30, -0.5)])
    result = hardness(cos, np.zeros(30, dtype=int))
    equally, samples, line = distances_figure(result, STYLE).data
    assert np.sign(line.y[1] - line.y[0]) == np.sign(result.r) == slope
    assert (np.array(samples.y) < np.array(samples.x)).all()
    assert list(equally.x) == list(equally.y)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(0, 8))
def test_the_staircase_is_the_largest_tar_at_each_far(seed, genuine, impostor, ties):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=genuine + impostor), ties)
    same = np.arange(genuine + impostor) < genuine
    fars = (0.013, 0.1, 0.35, 0.9)
    result = verify(scores, same, folds=np.arange(len(scores)) % 2, fars=fars) if len(scores) > 1 else None
    lowest = 1 / impostor
    far, tar = staircase(result.roc, lowest)
    assert far[0] == pytest.approx(lowest)
    assert far[-1] == tar[-1] == 1
    assert (np.diff(tar) >= 0).all()
    assert (np.diff(far) > 0).all()
    for target in fars:
        if target >= lowest:
            assert tar[np.searchsorted(far, target, side="right") - 1] == result.tar[target]


def test_no_roc_is_drawn_below_one_impostor_pair():
    far = np.array([0, 0, 0.005, 0.01, 0.5, 1])
    tar = np.array([0, 0.3, 0.4, 0.6, 0.9, 1])
    roc = Roc(far, tar, np.linspace(1, 0, 6))
    figure = roc_figure([RocCurve(STYLE, roc, 200)])
    curve, marks, guessing = figure.data
    assert min(curve.x) == 1 / 200
    assert finite_points(marks) == [(0.01, 0.6), (0.1, 0.6)]
    assert figure.layout.xaxis.type == "log"
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (1e-4, 1 / 200)
    np.testing.assert_allclose(guessing.x, guessing.y)


def test_figures_of_nothing_are_empty_not_errors():
    nothing = [loss_figure([]), misclassified_figure([]), overlap_figure([]), correlation_figure([])]
    assert not any(len(figure.data) for figure in nothing)
    distances_figure(hardness(np.array([[0.9, 0.1]]), np.array([0])), STYLE)
    ridges_figure([], [])
    boundary_figure([BoundaryTrack(STYLE, np.array([]), [], [])], np.radians(80))
    roc_figure([])


def test_a_method_keeps_its_color_and_runs_of_it_differ_in_dash():
    first, second = method_style("arcface", "a"), method_style("arcface", "b", repeat=1)
    assert (first.color, first.marker) == (second.color, second.marker) == METHOD_STYLES["arcface"]
    assert first.dash != second.dash
    assert METHOD_STYLES.keys() == METHODS.keys()
    assert len(set(METHOD_STYLES.values())) == len(METHOD_STYLES)


def test_only_the_template_knows_light_from_dark():
    one = [track([3, 2, 1], [5, 50, 500])]
    light, dark = (misclassified_figure(one, [Stretch(0, 1, "x")], scheme).to_dict() for scheme in (False, True))
    assert light["layout"].pop("template") != dark["layout"].pop("template")
    assert str(light) == str(dark)
    assert template(True).layout.font.color == INK[True]


def test_views_load_neither_torch_nor_widgets():
    code = (
        "import sys, workbench.views.training, workbench.views.similarity, workbench.views.hardness\n"
        "import workbench.views.verification, workbench.views.curves\n"
        "import workbench.views.gradients, workbench.views.supervision\n"
        "print([m for m in ('torch', 'ipywidgets', 'workbench.training') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
