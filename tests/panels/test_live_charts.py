"""Chart and the four views made of charts: their values equal those of the probes, in Python and in JavaScript."""

import base64
import dataclasses
import json
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panels.helpers import run_node, set_theme

from workbench.core.errors import InputError
from workbench.core.record import Snapshot, Step
from workbench.curves import boundaries
from workbench.curves.gradients import GRID
from workbench.evaluation.verification import all_pairs, verify
from workbench.margins.positive import ArcFace
from workbench.methods import METHODS, build
from workbench.panels.gradients_view import GradientsView, further_centers, logits_per_cosine
from workbench.panels.hardness_view import HardnessView
from workbench.panels.kit.chart import Chart, ChartAxis, bars, extend_span, round_up
from workbench.panels.kit.history import StepHistory, decimate
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import source
from workbench.panels.method_setting import build_objective
from workbench.panels.similarities_view import SimilaritiesView, sample_classes
from workbench.panels.training_view import MARKS, TrainingView
from workbench.probes.hardness import hardness, own_and_nearest
from workbench.probes.pairs import pair_similarity
from workbench.probes.similarity import similarity
from workbench.training.events import Event

SETTINGS = {"m": 0.5, "s": 24.0, "guard": "wrap", "grad": "exact", "lr": 0.1}


def snapshot(step=0, samples=60, classes=12, dim=8, noise=1.0, seed=0, **parameters):
    """Samples around class centers, some of them misclassified."""
    rng = np.random.default_rng([seed, step])
    W, y = rng.normal(size=(classes, dim)), np.arange(samples) % classes
    x = (W[y] + noise * rng.normal(size=(samples, dim))).astype(np.float32)
    return Snapshot(step, x, y, W.astype(np.float32), SETTINGS | parameters, {})


def shown(chart):
    """The last frame of a chart: its head, and its arrays layer by layer."""
    head, buffers = chart.newest
    counts = {"bars": 2, "line": 2, "points": 4, "map": 1}
    rest = list(buffers)
    layers = []
    for layer in head["layers"]:
        count = counts.get(layer["kind"]) or 1 + len(layer["names"])
        taken, rest = rest[:count], rest[count:]
        kinds = [np.float32] * 2 + [np.uint8] * 2 if layer["kind"] == "points" else [np.float32] * count
        layers.append((layer, [np.frombuffer(b, kind) for b, kind in zip(taken, kinds, strict=True)]))
    assert not rest
    return head, layers


def charts(view):
    return [child for child in view.children if isinstance(child, Chart)]


def layer(chart, kind, name=None):
    """The arrays of the only layer of this kind (and name) in the last frame."""
    (found,) = [arrays for head, arrays in shown(chart)[1] if head["kind"] == kind and name in (None, head.get("name"))]
    return found


# --- probes


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(0, 10**6))
def test_rates_and_histograms_of_pairs_are_plain_counts(pairs, seed):
    rng = np.random.default_rng(seed)
    scores = np.append(rng.uniform(-1, 1, pairs), rng.integers(-256, 257, pairs) / 256).astype(np.float32)
    same = rng.random(len(scores)) < 0.4
    found = pair_similarity(scores, same)
    assert (found.n_genuine, found.n_impostor) == (same.sum(), (~same).sum())
    for kind, shares, rates in ((same, found.genuine, found.tar), (~same, found.impostor, found.far)):
        if not kind.any():
            assert not shares.any()
            assert np.isnan(rates).all()
            assert math.isnan(found.overlap)
            continue
        np.testing.assert_array_equal(rates, [(scores[kind] >= t).mean() for t in found.thresholds])
        np.testing.assert_allclose(shares, np.histogram(scores[kind], found.edges)[0] / kind.sum(), atol=1e-15)
    if same.any() and not same.all():
        assert found.overlap == pytest.approx(np.minimum(found.genuine, found.impostor).sum())


def test_rates_lie_on_the_roc_of_the_evaluation():
    snap = snapshot()
    scores, same = all_pairs(snap.x, snap.y)
    found, roc = pair_similarity(scores, same), verify(scores, same).roc
    below = [np.flatnonzero(roc.thresholds >= t)[-1] for t in found.thresholds]
    np.testing.assert_allclose(found.far, roc.far[below], atol=1e-15)
    np.testing.assert_allclose(found.tar, roc.tar[below], atol=1e-15)


@pytest.mark.parametrize(
    ("scores", "same", "says"),
    [
        ([0.1, 0.2], [True], "a number and a bool per pair"),
        ([0.1, 0.2], [1, 0], "a number and a bool per pair"),
        ([0.1, 1.2], [True, False], r"scores\[1\] is 1.2"),
        ([0.1, np.nan], [True, False], r"scores\[1\] is nan"),
    ],
)
def test_pairs_that_are_none_are_refused(scores, same, says):
    with pytest.raises(InputError, match=says):
        pair_similarity(np.array(scores), np.array(same))


def test_own_and_nearest_extend_what_hardness_measures():
    snap = snapshot(noise=2.0)
    own, nearest, other = own_and_nearest(snap.cos, snap.y)
    found = hardness(snap.cos, snap.y)
    np.testing.assert_array_equal(1 - own[found.misclassified], found.own)
    np.testing.assert_array_equal(1 - nearest[found.misclassified], found.nearest)
    assert (other != snap.y).all()
    np.testing.assert_array_equal(found.misclassified, nearest > own)


# --- axes, history


@settings(max_examples=100)
@given(st.floats(1e-9, 1e9))
def test_an_axis_ends_at_a_round_number_not_far_above(value):
    end = round_up(value)
    assert value * (1 - 1e-8) <= end <= 1.7 * value
    assert float(f"{end:.1e}") == pytest.approx(end)


def test_an_axis_grows_in_steps_and_fits_only_when_asked():
    assert extend_span((0.0, 1.0), 0.2, 0.9) == (0.0, 1.0)
    assert extend_span((0.0, 1.0), -0.3, 1.2) == (-0.3, 1.5)
    again = []
    chart = Chart("x", on_fit=lambda: again.append(chart.reach("y", 0.0, 2.0)))
    assert chart.reach("y", 0.0, 40.0) == (0.0, 50.0) == chart.reach("y", 0.0, 2.0)
    chart.on_message({"fit": True})
    assert again == [(0.0, 2.0)]
    chart.close()


@settings(max_examples=60)
@given(st.integers(1, 30_000), st.integers(0, 10**6))
def test_decimation_keeps_the_extremes_and_the_ends(points, seed):
    y = np.random.default_rng(seed).normal(size=points)
    x = np.arange(points, dtype=float)
    fewer_x, fewer_y = decimate(x, y)
    assert len(fewer_x) <= 1700
    assert (np.diff(fewer_x) > 0).all()
    assert (fewer_y.min(), fewer_y.max(), fewer_y[0], fewer_y[-1]) == (y.min(), y.max(), y[0], y[-1])
    np.testing.assert_array_equal(y[fewer_x.astype(int)], fewer_y)


def test_a_history_that_goes_back_keeps_the_old_branch():
    history = StepHistory(1)
    for step in range(5):
        history.add(step, 10.0 * step)
    history.add(2, 7.0)
    np.testing.assert_array_equal(history.arrays(), [[0, 1, 2], [0, 10, 7]])
    np.testing.assert_array_equal(history.past, [[[1, 2, 3, 4], [10, 20, 30, 40]]])
    history.rewind(3)
    assert history.last == 2
    assert len(history.past) == 1


# --- similarities


def test_histograms_are_the_probes():
    snap, selection = snapshot(), Selection()
    view = SimilaritiesView(selection)
    view.show(snap)
    wanted = pair_similarity(*all_pairs(snap.x, snap.y))
    (chart,) = charts(view)
    genuine, impostor = (arrays for head, arrays in shown(chart)[1] if head["kind"] == "bars")
    np.testing.assert_allclose(genuine[1], wanted.genuine, rtol=1e-6)
    np.testing.assert_allclose(impostor[1], wanted.impostor, rtol=1e-6)
    thresholds, far, tar = layer(chart, "readings")
    np.testing.assert_array_equal(thresholds, wanted.thresholds.astype(np.float32))
    np.testing.assert_allclose([far, tar], [wanted.far, wanted.tar], rtol=1e-6)
    assert f"Overlap {wanted.overlap:.3f}" in shown(chart)[0]["note"]
    assert "all 60 samples" in shown(chart)[0]["note"]
    view.mode = "own"
    wanted = similarity(snap.cos, snap.y)
    well, mis = (arrays for head, arrays in shown(chart)[1] if head["kind"] == "bars")
    np.testing.assert_allclose([well[1], mis[1]], [wanted.well, wanted.mis], rtol=1e-6)
    assert view.result.overlap == wanted.overlap
    view.close()


def test_the_threshold_starts_at_a_far_of_one_percent():
    view = SimilaritiesView(Selection())
    view.show(snapshot())
    (head,) = [head for head, _ in shown(charts(view)[0])[1] if head["kind"] == "readings"]
    at = np.flatnonzero(view.result.thresholds == head["start"])[0]
    assert view.result.far[at] <= 0.01 < view.result.far[at - 1]
    view.close()


def test_an_interval_selects_its_samples_and_grays_the_others():
    snap, selection = snapshot(), Selection()
    view = SimilaritiesView(selection)
    view.mode = "own"
    view.show(snap)
    (chart,) = charts(view)
    own = own_and_nearest(snap.cos, snap.y)[0]
    chart.on_message({"brush": {"x": [0.2, 0.7], "y": [0, 1]}})
    assert selection.samples == tuple(np.flatnonzero((own >= 0.2) & (own <= 0.7)))
    gray, lit = (
        [a for h, a in shown(chart)[1] if h["kind"] == "bars" and bool(h["name"]) is named] for named in (False, True)
    )
    inside = (own >= 0.2) & (own <= 0.7)
    wrong = snap.cos.argmax(axis=1) != snap.y
    for group, all_of_it, some in zip((~wrong, wrong), gray, lit, strict=True):
        np.testing.assert_allclose(all_of_it[1].sum(), 1, rtol=1e-6)
        np.testing.assert_allclose(some[1].sum(), (group & inside).sum() / group.sum(), rtol=1e-6)
    chart.on_message({"brush": None})
    assert selection.samples == ()
    assert len([h for h, _ in shown(chart)[1] if h["kind"] == "bars"]) == 2
    view.mode = "pairs"
    chart.on_message({"brush": {"x": [-1, 1], "y": [0, 1]}})  # pairs cannot be selected
    assert selection.samples == ()
    view.close()


def test_pairs_with_a_selected_sample_are_lit():
    snap, selection = snapshot(), Selection()
    view = SimilaritiesView(selection)
    view.show(snap)
    selection.samples = (3, 15)
    scores, same = all_pairs(snap.x, snap.y)
    left, right = np.triu_indices(60, 1)
    lit = np.isin(left, (3, 15)) | np.isin(right, (3, 15))
    _, _, genuine, impostor = (arrays for head, arrays in shown(charts(view)[0])[1] if head["kind"] == "bars")
    edges = view.result.edges
    np.testing.assert_allclose(genuine[1], np.histogram(scores[lit & same], edges)[0] / same.sum(), atol=1e-7)
    np.testing.assert_allclose(impostor[1], np.histogram(scores[lit & ~same], edges)[0] / (~same).sum(), atol=1e-7)
    view.close()


def test_of_many_samples_whole_classes_are_compared_and_it_is_said():
    y = np.repeat(np.arange(300), 4)
    kept = sample_classes(y, 500)
    assert len(kept) == 500
    assert all((y[kept] == c).sum() == 4 for c in np.unique(y[kept]))
    np.testing.assert_array_equal(kept, sample_classes(y, 500))
    view = SimilaritiesView(Selection())
    view.show(snapshot(samples=1200, classes=300))
    assert "500 of the 1,200 samples: all samples of randomly chosen classes" in shown(charts(view)[0])[0]["note"]
    assert view.result.n_genuine + view.result.n_impostor == 500 * 499 // 2
    view.close()


def test_one_class_alone_and_no_misclassified_sample_are_no_trouble():
    view, hard = SimilaritiesView(Selection()), HardnessView(Selection(), lambda i: None)
    lonely = dataclasses.replace(snapshot(noise=0.01), y=np.zeros(60, dtype=int))
    clean = snapshot(1, noise=0.01)
    for mode in ("own", "pairs"):
        view.mode = mode
        for snap in (lonely, clean):
            view.show(snap)
            assert shown(charts(view)[0])[0]["note"]
    hard.show(clean)
    assert "too few for r" in shown(charts(hard)[0])[0]["note"]
    json.dumps([c.newest[0] for c in (*charts(view), *charts(hard))], allow_nan=False)
    view.close(), hard.close()


# --- hardness


def test_the_scatter_and_r_are_the_probes():
    selection = Selection()
    view = HardnessView(selection, lambda i: None)
    snaps = [snapshot(step, noise=1.5) for step in (0, 10, 20)]
    for snap in snaps:
        view.show(snap)
        view.show(snap)
    scatter, strip = charts(view)
    x, y, group, lit = layer(scatter, "points")
    wanted = hardness(snaps[-1].cos, snaps[-1].y)
    np.testing.assert_array_equal(group, wanted.misclassified)
    np.testing.assert_allclose(x[group == 1], wanted.own, rtol=1e-6)
    np.testing.assert_allclose(y[group == 1], wanted.nearest, rtol=1e-6)
    assert lit.all()
    assert f"r = {wanted.r:.3f}" in shown(scatter)[0]["note"]
    steps, r = layer(strip, "line", "r of the misclassified")
    np.testing.assert_array_equal(steps, [0, 10, 20])
    np.testing.assert_allclose(r, [hardness(s.cos, s.y).r for s in snaps], rtol=1e-6)
    view.close()


def test_a_box_selects_and_another_view_grays():
    snap, selection = snapshot(), Selection()
    view, other = HardnessView(selection, lambda i: None), HardnessView(selection, lambda i: None)
    view.show(snap), other.show(snap)
    x, y, *_ = layer(charts(view)[0], "points")
    corners = chart_box(x[[4, 9]], y[[4, 9]])
    charts(view)[0].on_message({"brush": corners})
    inside = (x >= corners["x"][0]) & (x <= corners["x"][1]) & (y >= corners["y"][0]) & (y <= corners["y"][1])
    assert {4, 9} <= set(selection.samples) == set(np.flatnonzero(inside))
    np.testing.assert_array_equal(layer(charts(other)[0], "points")[3], inside)
    view.close(), other.close()


def chart_box(x, y):
    return {name: [float(v.min()) - 1e-5, float(v.max()) + 1e-5] for name, v in (("x", x), ("y", y))}


def test_a_sample_is_told_with_its_image():
    snap = snapshot()
    view = HardnessView(Selection(), lambda i: b"image" if i == 7 else None)
    scatter = charts(view)[0]
    sent = []
    scatter.send = lambda content, buffers=(): sent.append((content, buffers))
    scatter.on_message({"hover": 7})  # before anything is shown
    view.show(snap)
    for i in (7, 8, 1000):
        scatter.on_message({"hover": i})
    other = own_and_nearest(snap.cos, snap.y)[2]
    texts = [f"sample {i}, class {snap.y[i]}\nnearest other center: class {other[i]}" for i in (7, 8)]
    assert sent == [
        ({"about": 7, "text": ""}, []),
        ({"about": 7, "text": texts[0]}, [b"image"]),
        ({"about": 8, "text": texts[1]}, []),
        ({"about": 1000, "text": ""}, []),
    ]
    view.close()


def test_going_back_in_time_grays_the_old_way():
    view = HardnessView(Selection(), lambda i: None)
    for step in (0, 10, 20, 10):
        view.show(snapshot(step, noise=1.5, seed=step))
    lines = [(head["color"], arrays[0].tolist()) for head, arrays in shown(charts(view)[1])[1]]
    assert lines == [("gray", [0, 10, 20]), (1, [0, 10])]
    view.close()


# --- gradients


def test_the_gradient_is_that_of_training():
    """dL/dcos by autograd of the objective, at the cosines of the own, the nearest other and the further centers."""
    view = GradientsView("npcface")
    snap = snapshot(**METHODS["npcface"].settings())
    view.show(snap)
    view.wait()
    found = view.result
    objective = build("npcface", 12, 8)
    row, column = 12, 20
    angles = torch.tensor([[GRID[column], GRID[row]] + [found.theta_rest] * found.rest], dtype=torch.float64)
    cos = angles.cos().requires_grad_()
    norm = torch.full((1, 1), snap.length, dtype=torch.float64)
    objective.from_cosines(cos, torch.zeros(1, dtype=torch.long), norm).total.backward()
    assert found.map.target[row, column] == pytest.approx(float(cos.grad[0, 0]), rel=1e-9)
    assert found.map.negative[row, column] == pytest.approx(float(cos.grad[0, 1]), rel=1e-9)
    plane, curves = charts(view)
    np.testing.assert_allclose(layer(plane, "map")[0], found.map.target.ravel(), rtol=1e-6)
    np.testing.assert_allclose(layer(curves, "line", "dL/dcos θ_y, own center")[1], found.own, rtol=1e-6)
    x, y, group, _ = layer(plane, "points")
    own, nearest, _ = own_and_nearest(snap.cos, snap.y)
    np.testing.assert_allclose([np.cos(x), np.cos(y)], [own, nearest], atol=1e-6)
    np.testing.assert_array_equal(group, nearest > own)
    view.close()


def test_the_curve_passes_through_the_plane_at_the_median():
    view = GradientsView("arcface")
    view.show(snapshot())
    view.wait()
    found = view.result
    row = np.abs(GRID - found.theta_j).argmin()
    low, high = found.map.target[[row - 1, row + 1]].min(axis=0), found.map.target[[row - 1, row + 1]].max(axis=0)
    assert (found.own >= low - 1e-9).all()
    assert (found.own <= high + 1e-9).all()
    view.close()


def test_the_other_cosine_is_shown_when_asked_for():
    view = GradientsView("arcface")
    view.show(snapshot())
    view.wait()
    view.children[0].value = "negative"
    np.testing.assert_allclose(layer(charts(view)[0], "map")[0], view.result.map.negative.ravel(), rtol=1e-6)
    view.close()


def test_the_rest_weighs_what_all_further_centers_do():
    snap = snapshot(samples=5, classes=200)
    rest, theta = further_centers(snap.cos, snap.y, 24.0)
    further = [np.sort(np.delete(row, y))[:-1] for row, y in zip(snap.cos, snap.y, strict=True)]
    weights = [np.exp(24.0 * row).sum() for row in further]
    assert rest == 64
    assert rest * math.exp(24.0 * math.cos(theta)) == pytest.approx(np.median(weights), rel=1e-6)
    assert further_centers(snap.cos[:, :2], np.zeros(5, dtype=int), 24.0)[0] == 0
    softmax = snapshot(**METHODS["softmax"].settings())
    objective = build_objective(METHODS["softmax"], softmax.parameters, softmax.state, 12)
    assert logits_per_cosine(objective, softmax.length) == pytest.approx(softmax.length)


def test_gradients_are_found_again_only_when_something_moved():
    view = GradientsView("curricularface")
    snap = snapshot(**METHODS["curricularface"].settings())
    snap = dataclasses.replace(snap, state={"t": 0.2})
    results = []
    for changed in (
        snap,
        dataclasses.replace(snap, step=1, state={"t": 0.2001}),
        dataclasses.replace(snap, step=2, parameters=snap.parameters | {"lr": 0.01}),
        dataclasses.replace(snap, step=3, state={"t": 0.4}),
        dataclasses.replace(snap, step=4, state={"t": 0.4}, parameters=snap.parameters | {"m": 0.3}),
    ):
        view.show(changed)
        view.wait()
        results.append(view.result)
    assert results[0] is results[1] is results[2]
    assert len({id(r) for r in results}) == 3
    view.close()


def test_it_follows_a_change_of_method_and_says_what_has_no_gradient():
    view = GradientsView("arcface")
    view.show(snapshot())
    view.wait()
    view.method = "triplet"
    view.show(snapshot(1, **METHODS["triplet"].settings()))
    view.wait()
    head, layers = shown(charts(view)[0])
    assert "no T and N" in head["note"]
    assert [h["kind"] for h, _ in layers] == ["points"]
    view.method = "cosface"
    view.show(snapshot(2, **METHODS["cosface"].settings()))
    view.wait()
    assert view.result is not None
    assert view.result.map.target.shape == (61, 61)
    view.close()


def test_showing_does_not_wait_for_the_gradients(monkeypatch):
    free = threading.Event()
    monkeypatch.setattr("workbench.panels.gradients_view.compute_gradients", lambda request: free.wait(10) and None)
    view = GradientsView("arcface")
    view.show(snapshot())
    assert view.result is None
    assert "Computing" in shown(charts(view)[0])[0]["note"]
    free.set()
    view.wait()
    view.close()


def test_the_boundary_of_two_classes_is_the_analytic_one():
    view = GradientsView("arcface")
    view.show(snapshot(classes=2))
    view.wait()
    at = view.result.map.boundary
    at = at[np.isfinite(at).all(axis=1)]
    (phi,) = boundaries(ArcFace(m=0.5), theta=math.radians(90))
    index = np.abs(at.sum(axis=1) - math.radians(90)).argmin()
    assert at[index, 0] == pytest.approx(phi, abs=math.radians(3))
    view.close()


# --- training


def steps_of(losses, first=0, lr=0.1):
    return [Step(first + k, float(loss), lr, 0.01) for k, loss in enumerate(losses)]


def test_every_step_is_kept_and_the_drawing_keeps_the_extremes():
    losses = np.random.default_rng(0).gamma(2.0, 5.0, 20_000)
    view = TrainingView()
    for step in steps_of(losses):
        view.add(step)
    view.draw()
    np.testing.assert_array_equal(view.history.arrays()[1], losses)
    _, drawn = layer(charts(view)[0], "line", "loss")
    assert len(drawn) < 1700
    np.testing.assert_allclose(
        [drawn.min(), drawn.max(), drawn[-1]], [losses.min(), losses.max(), losses[-1]], rtol=1e-6
    )
    view.close()


def test_steps_are_drawn_together():
    view = TrainingView()
    chart = charts(view)[0]
    for step in steps_of(np.ones(300)):
        view.add(step)
    assert chart.pushed == 0
    view.draw()
    assert layer(chart, "line", "loss")[0][-1] == 299
    assert chart.pushed == 1
    view.close()


def test_a_restore_draws_the_old_way_gray():
    view = TrainingView()
    for step in steps_of([5, 4, 3]):
        view.add(step)
    view.mark(Event(3, "m", 0.5, 0.3))
    view.add(Step(3, 2.0, 0.1, 0.01))
    view.mark(Event(2, "restore", 2, 4))
    for step in steps_of([6, 7], first=2, lr=0.01):
        view.add(step)
    view.draw()
    for chart, old, new in zip(
        charts(view), ([4, 3, 2], [0.1] * 3), ([5, 4, 6, 7], [0.1, 0.1, 0.01, 0.01]), strict=True
    ):
        lines = [(head["color"] == "gray", *(a.tolist() for a in arrays)) for head, arrays in shown(chart)[1]]
        assert [(gray, x) for gray, x, _ in lines] == [(True, [1, 2, 3]), (False, [0, 1, 2, 3])]
        np.testing.assert_allclose(lines[0][2], old, rtol=1e-6)
        np.testing.assert_allclose(lines[1][2], new, rtol=1e-6)
    marks = shown(charts(view)[0])[0]["marks"]
    assert [(m["text"], m["past"]) for m in marks] == [
        ("before step 3: m 0.3 → 0.5", True),
        ("before step 2: restore 4 → 2", False),
    ]
    view.close()


def test_of_many_changes_the_last_are_marked_and_it_is_said():
    view = TrainingView()
    for step in range(MARKS + 50):
        view.mark(Event(step, "m", 0.001 * step))
    view.draw()
    head, _ = shown(charts(view)[0])
    assert len(head["marks"]) == MARKS
    assert head["marks"][-1]["at"] == MARKS + 49
    assert f"The last {MARKS} of {MARKS + 50} parameter changes are marked." == head["note"]
    view.close()


def test_a_loss_that_is_not_finite_leaves_the_axes_whole():
    view = TrainingView()
    view.draw()
    for step in steps_of([3.0, float("nan"), float("inf")]):
        view.add(step)
    view.draw()
    head, _ = shown(charts(view)[0])
    assert head["y"]["span"] == (0.0, 3.0)
    assert head["y"]["least"] == 1.0
    json.dumps(head, allow_nan=False)
    view.close()


def test_health_is_said_newest_first_and_as_text():
    view = TrainingView()
    view.report("fine <b>")
    view.report("stuck")
    health = view.children[-1].value
    assert health.index("stuck") < health.index("fine &lt;b&gt;")
    view.close()


# --- JavaScript


def frame_of(chart):
    head, layers = shown(chart)
    arrays = [a for _, arrays in layers for a in arrays]
    frame = {"head": head, "arrays": [base64.b64encode(a.tobytes()).decode() for a in arrays]}
    return {"frame": frame, "sums": [float(a[np.isfinite(a)].sum(dtype=float)) for a in arrays]}


def numbers():
    """The expected results of the JavaScript."""
    snap, selection = snapshot(noise=1.5), Selection()
    pairs, hard = SimilaritiesView(selection), HardnessView(selection, lambda i: None)
    gradients, training = GradientsView("arcface"), TrainingView()
    for view in (pairs, hard, gradients):
        view.show(snap)
    gradients.wait()
    for step in steps_of([5, 4, 3]):
        training.add(step)
    training.draw()
    rng = np.random.default_rng(1)
    x, y = rng.random(40).round(1), rng.random(40).round(1)
    places = [{"place": rng.random(2).tolist(), "reach": 0.1} for _ in range(50)]
    for asked in places:
        far = np.hypot(x - asked["place"][0], y - asked["place"][1])
        asked["nearest"] = int(np.flatnonzero(far == far.min())[-1]) if far.min() <= 0.1 else -1
    by_x, by_y = (np.lexsort((np.arange(40), v)).tolist() for v in (x, y))
    along = {"ArrowRight": by_x, "ArrowLeft": by_x[::-1], "ArrowUp": by_y, "ArrowDown": by_y[::-1]}
    result, plane = pairs.result, gradients.result.map
    at = [(20, 10), (0, 60), (33, 47)]
    found = {
        "frames": [frame_of(c) for view in (pairs, hard, gradients, training) for c in charts(view)],
        "pairs": frame_of(charts(pairs)[0])["frame"],
        "rates": [
            {"at": t, "far": float(np.float32(f)), "tar": float(np.float32(r))}
            for t, f, r in zip(result.thresholds.tolist(), result.far, result.tar, strict=True)
        ][::25],
        "plane": {
            "frame": frame_of(charts(gradients)[0])["frame"],
            "values": [{"x": GRID[c], "y": GRID[r], "value": float(np.float32(plane.target[r, c]))} for r, c in at],
        },
        "samples": {"x": x.tolist(), "y": y.tolist(), "along": along, "asked": places},
        "shares": [
            {"value": v, "span": [0.01, 50], "log": log, "part": part}
            for v in (0.01, 0.3, 50.0)
            for log, part in ((False, (v - 0.01) / 49.99), (True, math.log(v / 0.01) / math.log(5000)))
        ],
        "ticks": [
            {"span": [-1, 1], "options": {"most": 6}, "places": [-1, -0.5, 0, 0.5, 1]},
            {"span": [0.001, 20], "options": {"log": True, "most": 8}, "places": [0.001, 0.01, 0.1, 1, 10]},
            {"span": [0.1, 7], "options": {"log": True, "most": 8}, "places": [0.1, 0.2, 0.5, 1, 2, 5]},
            {
                "span": [0, math.pi],
                "options": {"degrees": True, "most": 6},
                "places": np.radians(np.arange(0, 181, 30)).tolist(),
            },
        ],
    }
    for view in (pairs, hard, gradients, training):
        view.close()
    return found


def test_javascript_finds_the_same_numbers(tmp_path, node):
    expected = tmp_path / "numbers.json"
    expected.write_text(json.dumps(numbers(), allow_nan=False), encoding="utf-8")
    run_node(node, "chart.test.mjs", tmp_path / "chart.mjs", source("plot.js", "chart.js"), NUMBERS=str(expected))


def test_a_frame_is_plain_json_and_the_first_layer_lowest():
    chart = Chart("x")
    first, second = (bars(name, np.arange(3), np.ones(2), 0) for name in "ab")
    chart.draw(ChartAxis("x", "x", (0.0, 2.0)), ChartAxis("y", "y", (0.0, 1.0)), [first, second])
    head, layers = shown(chart)
    assert [h["name"] for h, _ in layers] == ["a", "b"]
    assert head["frame"] == 1
    json.dumps(head, allow_nan=False)
    chart.close()


CELL = """
import io, numpy as np, ipywidgets as widgets
from PIL import Image
from workbench.core.record import Snapshot, Step
from workbench.panels.kit.selection import Selection
from workbench.panels.method_setting import build_objective
from workbench.panels.similarities_view import SimilaritiesView
from workbench.panels.hardness_view import HardnessView
from workbench.panels.gradients_view import GradientsView
from workbench.panels.training_view import TrainingView
def picture(i):
    png = io.BytesIO()
    Image.new("RGB", (8, 8), (i, 0, 0)).save(png, "PNG")
    return png.getvalue()
rng, selection, said = np.random.default_rng(0), Selection(), widgets.Label("nothing")
W, y = rng.normal(size=(12, 8)), np.arange(60) % 12
snap = Snapshot(0, W[y] + rng.normal(size=(60, 8)), y, W, {"m": 0.5, "s": 24.0, "guard": "wrap", "grad": "exact"})
selection.observe(lambda change: setattr(said, "value", f"selected: {change['new']}"), "samples")
hard, alike = HardnessView(selection, picture), SimilaritiesView(selection)
pulls, curve = GradientsView("arcface"), TrainingView()
for view in (hard, alike, pulls):
    view.show(snap)
for k in range(50):
    curve.add(Step(k, 9 / (k + 1), 0.1, 0.01))
curve.draw()
half = {"width": "49%"}
columns = [widgets.VBox([hard, curve], layout=half), widgets.VBox([alike, pulls], layout=half)]
widgets.VBox([said, widgets.HBox(columns)])
"""
INKED = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"


@pytest.mark.browser
def test_charts_in_jupyterlab(open_notebook, artefacts):
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # for a busy machine
    page = open_notebook([CELL])
    page.set_viewport_size({"width": 1500, "height": 1900})
    scatter, said = page.get_by_role("img", name="Hardness of samples"), page.locator(".widget-label").first
    for chart in page.locator(".workbench-live canvas").all():
        chart.scroll_into_view_if_needed()
        page.wait_for_function("c => c.width > 300", arg=chart.element_handle())
        assert chart.evaluate(INKED) > 1000

    # Keyboard only: arrow keys move between samples, Enter at two corners selects, Escape clears.
    scatter.focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator(".workbench-tip:visible")
    expect(tip).to_contain_text("nearest other center: class")
    expect(tip.locator("img")).to_be_visible()
    number = tip.inner_text().split("sample ")[1].split(",")[0]
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(said).to_have_text(f"selected: ({number},)")
    page.keyboard.press("Escape")
    expect(said).to_have_text("selected: ()")

    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text(f"sample {number},")
    place = tip.bounding_box()
    page.keyboard.press("Escape")
    expect(tip).to_have_count(0)
    page.mouse.move(place["x"] + place["width"] + 14, place["y"] - 10)  # position of the sample, right of the tooltip
    expect(tip).to_contain_text(f"sample {number},")

    box = scatter.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 315, steps=4)
    page.mouse.up()
    expect(said).to_have_text(f"selected: {tuple(range(60))}")

    readout = page.locator(".workbench-chart-readout").filter(has_text="FAR")
    before = readout.inner_text()
    page.get_by_role("img", name="Distribution of cosines").focus()
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(before)
    logarithm = page.get_by_role("button", name="Log scale: Distribution of cosines")
    logarithm.press("Enter")
    expect(logarithm).to_have_attribute("aria-pressed", "true")
    page.screenshot(path=artefacts / "charts_light.png")
    set_theme(page, "Dark")
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    page.wait_for_timeout(3000)  # until the canvases are drawn again
    page.screenshot(path=artefacts / "charts_dark.png")
