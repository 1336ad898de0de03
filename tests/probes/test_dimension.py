"""The dimension probe against a plain loop and closed forms; its figure."""

import math
import subprocess
import sys

import numpy as np
import pytest
from cases import random_cosines

from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.dimension import DimensionSimilarity, dimension
from workbench.views.dimension import dimension_figure
from workbench.views.theme import INK


def loop(cos, y, bins):
    """The misclassified samples' cosines to the nearest other center, and their histogram."""
    nearest = [max(row) for row, label in zip(cos.tolist(), y.tolist(), strict=True) if row.index(max(row)) != label]
    counts = [0] * bins
    for c in nearest:
        counts[min(int((c + 1) / 2 * bins), bins - 1)] += 1
    return nearest, [count / len(nearest) for count in counts]


@pytest.mark.parametrize("bins", [1, 7, 50])
def test_each_dimension_is_the_histogram_of_its_misclassified_samples(bins):
    data = {dim: random_cosines(seed=dim, classes=4) for dim in (512, 8, 64)}
    result = dimension(data, bins)
    assert result.dims.tolist() == [8, 64, 512]
    expected = [loop(*data[dim], bins) for dim in (8, 64, 512)]
    np.testing.assert_allclose(result.nearest, [shares for _, shares in expected])
    np.testing.assert_allclose(result.mean, [np.mean(nearest) for nearest, _ in expected])
    assert result.count.tolist() == [len(nearest) for nearest, _ in expected]
    assert result.samples.tolist() == [60, 60, 60]
    assert result.overlap == pytest.approx(sum(map(min, *(shares for _, shares in expected))))
    summary = result.summary()
    assert summary["mean@64"] == pytest.approx(result.mean[1])
    assert summary["share@512"] == pytest.approx(result.count[2] / 60)
    assert summary["count@8"] == result.count[0]


def test_overlap_is_one_for_the_same_cosines_and_zero_for_others():
    near, far = np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([[0.1, 0.3], [0.0, 0.2]])
    y = np.zeros(2, dtype=int)
    assert dimension({2: (near, y), 4: (near, y)}).overlap == pytest.approx(1)
    assert dimension({2: (near, y), 4: (far, y)}).overlap == 0


def test_a_dimension_without_misclassified_samples_is_empty():
    cos = np.array([[0.9, 0.1], [0.1, 0.9]])
    result = dimension({2: (cos, np.array([0, 1])), 3: (cos, np.array([1, 1]))}, bins=4)
    assert result.nearest.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert result.share.tolist() == [0, 0.5]
    assert math.isnan(result.mean[0])
    assert math.isnan(result.overlap)


def test_a_snapshot_is_measured_by_its_cosines():
    rng = np.random.default_rng(3)
    seen = Snapshot(1, rng.normal(size=(30, 5)), rng.integers(0, 4, 30), rng.normal(size=(4, 5)))
    a, b = dimension({5: seen}), dimension({5: (seen.cos, seen.y)})
    np.testing.assert_array_equal(a.nearest, b.nearest)
    with pytest.raises(InputError, match="for D = 6 has embedding dimension 5"):
        dimension({6: seen})


COS, Y = random_cosines(4, 3)


@pytest.mark.parametrize(
    ("data", "bins", "message"),
    [
        ({}, 50, "data is empty"),
        ({8: (COS, Y)}, 0, "bins is 0"),
        ({8: (COS * 30, Y)}, 50, "cosines must be in"),
        ({8: (COS, Y[:3])}, 50, r"y has shape \(3,\)"),
    ],
)
def test_what_is_wrong_is_named(data, bins, message):
    with pytest.raises(InputError, match=message):
        dimension(data, bins)


def example(counts=(60, 12, 0)):
    rng = np.random.default_rng(0)
    nearest = np.zeros((len(counts), 20))
    for k, count in enumerate(counts):
        nearest[k] = np.histogram(rng.normal(0.4, 0.1, count), np.linspace(-1, 1, 21))[0] / max(count, 1)
    mean = np.array([0.4 if count else np.nan for count in counts])
    dims = 2 ** np.arange(5, 5 + len(counts))
    return DimensionSimilarity(
        dims, np.linspace(-1, 1, 21), nearest, mean, np.array(counts), np.full(len(counts), 80), math.nan
    )


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_has_a_curve_a_dimension_told_apart_twice(dark):
    figure = dimension_figure(example(), dark)
    whole, few, none = figure.data
    assert [trace.name for trace in figure.data] == [
        "D = 32: 60 of 80, mean 0.40",
        "D = 64: 12 of 80, mean 0.40",
        "D = 128: 0 of 80",
    ]
    assert (whole.opacity, few.opacity) == (1.0, 0.4)
    assert np.isnan(none.y).all()
    assert sum(whole.y) == pytest.approx(1)
    assert (whole.y[0], whole.y[-1]) == (0, 0)
    for channel in ("color", "dash"):
        assert len({getattr(trace.line, channel) for trace in figure.data}) == 3
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert figure.layout.template.layout.font.color == INK[dark]
    assert "Cosine" in figure.layout.xaxis.title.text
    assert "0.1 wide" in figure.layout.yaxis.title.text


def test_the_figure_of_nothing_misclassified_is_empty_and_says_so():
    figure = dimension_figure(example((0,)))
    assert figure.data[0].name == "D = 32: 0 of 80"
    assert np.isnan(figure.data[0].y).all()


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [("probes.dimension", {"torch", "plotly", "ipywidgets"}), ("views.dimension", {"torch", "ipywidgets"})],
)
def test_the_rooms_stay_light(room, forbidden):
    code = f"import sys, workbench.{room}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} & forbidden == set()
