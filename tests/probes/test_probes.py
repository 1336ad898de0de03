"""Probes against scipy, loops over `math`, and closed forms."""

import math

import numpy as np
import pytest
from cases import random_cosines
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from workbench.core import arrays
from workbench.core.errors import InputError
from workbench.probes.geometry import center_angles
from workbench.probes.hardness import hardness
from workbench.probes.similarity import similarity

DISTANCES = {
    "cosine": lambda c: 1 - c,
    "angle": math.acos,
    "euclidean": lambda c: math.sqrt(2 - 2 * c),
}


def hardness_loop(cos, y, distance):
    """Which samples are misclassified, and their distances to the own and to the nearest other center."""
    misclassified, own, nearest = [], [], []
    for row, label in zip(cos.tolist(), y.tolist(), strict=True):
        misclassified.append(row.index(max(row)) != label)
        if misclassified[-1]:
            distances = [DISTANCES[distance](c) for c in row]
            own.append(distances[label])
            nearest.append(min(d for j, d in enumerate(distances) if j != label))
    return misclassified, own, nearest


@settings(max_examples=60)
@given(st.sampled_from(sorted(DISTANCES)), st.integers(3, 40), st.integers(2, 6), st.integers(0, 10**6))
def test_hardness_correlates_the_two_distances_of_misclassified_samples(distance, samples, classes, seed):
    cos, y = random_cosines(samples, classes, seed)
    misclassified, own, nearest = hardness_loop(cos, y, distance)
    result = hardness(cos, y, distance)
    assert result.misclassified.tolist() == misclassified
    np.testing.assert_allclose(result.own, own, atol=1e-14)
    np.testing.assert_allclose(result.nearest, nearest, atol=1e-14)
    if len(own) < 3:
        assert math.isnan(result.r)
    else:
        assert result.r == pytest.approx(pearsonr(own, nearest).statistic, abs=1e-9)
    assert result.summary()["count"] == result.count == sum(misclassified)


def test_hardness_of_a_line_is_exactly_one_either_way():
    own = np.linspace(0.1, 0.3, 9)
    for nearest, r in ((own + 0.4, 1), (0.8 - own, -1)):
        cos = np.column_stack([own, nearest, np.full(9, -0.5)])
        assert hardness(cos, np.zeros(9, dtype=int)).r == pytest.approx(r)


def test_hardness_is_nan_where_it_is_not_defined():
    two = np.array([[0.1, 0.5], [0.2, 0.9], [0.9, 0.1]])
    flat = np.column_stack([np.full(7, 0.1), np.linspace(0.2, 0.8, 7)])
    for cos, count in ((two, 2), (flat, 7), (flat[:, ::-1], 0)):
        result = hardness(cos, np.zeros(len(cos), dtype=int))
        assert math.isnan(result.r)
        assert result.count == count


def test_probes_take_cosines_that_rounding_carried_past_one():
    cos = np.float32([[-1.0000001, 1.0000001], [0.2, 0.4], [0.1, 0.6], [1.0000001, -1.0000001]])
    y = np.zeros(4, dtype=np.int64)
    for distance, longest in (("cosine", 2), ("angle", math.pi), ("euclidean", 2)):
        result = hardness(cos, y, distance)
        assert (result.own.max(), result.nearest.min()) == (pytest.approx(longest), 0)
        assert math.isfinite(result.r)
    result = similarity(cos, y, bins=4)
    np.testing.assert_allclose(result.mis, [1 / 3, 0, 2 / 3, 0])
    np.testing.assert_array_equal(result.well, [0, 0, 0, 1])


def overlap_loop(well, mis, bins):
    shares = []
    for group in (well, mis):
        counts = [0] * bins
        for c in group:
            counts[min(int((c + 1) / 2 * bins), bins - 1)] += 1
        shares.append([count / len(group) for count in counts])
    return sum(map(min, *shares))


@pytest.mark.parametrize("bins", [1, 2, 50])
@pytest.mark.parametrize("seed", range(5))
def test_overlap_sums_the_smaller_bin(bins, seed):
    cos, y = random_cosines(seed=seed, classes=3)
    misclassified = np.array(hardness_loop(cos, y, "cosine")[0])
    own = cos[np.arange(len(y)), y]
    result = similarity(cos, y, bins)
    assert result.overlap == pytest.approx(overlap_loop(own[~misclassified], own[misclassified], bins))
    assert (result.n_well, result.n_mis) == ((~misclassified).sum(), misclassified.sum())
    assert result.well.sum() == pytest.approx(1)
    assert result.mis.sum() == pytest.approx(1)
    np.testing.assert_allclose(result.edges, np.linspace(-1, 1, bins + 1))


def test_overlap_is_one_for_groups_alike_and_zero_for_groups_apart():
    own = np.linspace(-0.8, 0.8, 30)
    well, mis = np.column_stack([own, own - 0.1]), np.column_stack([own, own + 0.1])
    alike, apart = np.vstack([well, mis]), np.vstack([well[15:], mis[:15]])
    assert similarity(alike, np.zeros(60, dtype=int)).overlap == pytest.approx(1)
    assert similarity(apart, np.zeros(30, dtype=int)).overlap == 0


def test_an_empty_group_has_no_overlap():
    cos = np.array([[0.9, 0.1], [0.8, 0.2]])
    for y, empty in (([0, 0], "mis"), ([1, 1], "well")):
        result = similarity(cos, np.array(y), bins=5)
        assert math.isnan(result.overlap)
        np.testing.assert_array_equal(getattr(result, empty), np.zeros(5))
        assert math.isnan(result.summary()["overlap"])


COS, Y = random_cosines(4, 3)


def planted(value, row, column):
    cos = COS.copy()
    cos[row, column] = value
    return cos


@pytest.mark.parametrize("probe", [hardness, similarity])
@pytest.mark.parametrize(
    ("cos", "y", "message"),
    [
        (COS[0], Y, r"cos has shape \(3,\)"),
        (COS[:0], Y[:0], r"cos has shape \(0, 3\)"),
        (COS.astype(int), Y, "dtype int64"),
        (COS, Y[:3], r"y has shape \(3,\)"),
        (COS, Y.astype(float), "float64; 4 samples need 4 integers"),
        (COS, np.array([0, 1, 3, 2]), r"y\[2\] is 3; the classes of cos are 0 to 2"),
        (COS, np.array([0, -1, 0, 2]), r"y\[1\] is -1"),
        (planted(np.nan, 2, 1), Y, r"cos\[2, 1\] is nan"),
        (planted(12.5, 1, 0), Y, r"cos\[1, 0\] is 12.5; cosines must be in"),
    ],
)
def test_probes_name_what_is_wrong(probe, cos, y, message):
    with pytest.raises(InputError, match=message):
        probe(cos, y)


def test_probes_name_a_wrong_option():
    with pytest.raises(InputError, match="unknown distance 'euclid'; did you mean 'euclidean'"):
        hardness(COS, Y, "euclid")
    with pytest.raises(InputError, match="bins is 0"):
        similarity(COS, Y, bins=0)


def angle_loop(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return math.acos(dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))


@pytest.mark.parametrize("chunk", [1, 70, 1 << 24])
def test_center_angles_take_the_nearest_other_center(chunk, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", chunk)
    W = np.random.default_rng(5).normal(size=(23, 6))
    expected = [min(angle_loop(a, b) for j, b in enumerate(W) if j != i) for i, a in enumerate(W)]
    result = center_angles(W, expected=0.5)
    np.testing.assert_allclose(result.nearest, expected, atol=1e-12)
    assert result.summary() == pytest.approx({"mean": np.mean(expected), "minimum": min(expected), "expected": 0.5})


def test_center_angles_on_regular_figures():
    dim = 8
    cross = np.vstack([np.eye(dim), -np.eye(dim)])
    simplex = np.eye(dim) - 1 / dim
    np.testing.assert_allclose(center_angles(cross).nearest, math.pi / 2)
    np.testing.assert_allclose(center_angles(simplex).nearest, math.acos(-1 / (dim - 1)))
    np.testing.assert_allclose(center_angles(np.array([[2.0, 0], [-3, 0]])).nearest, math.pi)
    assert math.isnan(center_angles(cross).expected)


def test_center_angles_keep_tiny_angles_in_single_precision():
    W = np.float32([[1, 0, 0], [1, 1e-5, 0], [0, 0, 1], [0, 0, 2]])
    np.testing.assert_allclose(center_angles(W).nearest, [1e-5, 1e-5, 0, 0], rtol=1e-4)


def test_random_centers_lie_where_the_papers_need_them():
    # About 80 degrees is the measured mean of CASIA's 10,575 classes in 512 dimensions; 2,600 classes are close.
    W = np.random.default_rng(0).normal(size=(2_600, 512)).astype(np.float32)
    assert 80 < math.degrees(center_angles(W).mean) < 82


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.ones((1, 4)), "W has one row"),
        (np.array([[1.0, 0], [0, 0], [0, 1]]), "W row 1 has norm 0.0"),
        (np.array([[1.0, 0], [0, np.inf], [0, 1]]), "W row 1 has norm inf"),
        (np.ones(4), r"W has shape \(4,\)"),
    ],
)
def test_center_angles_name_what_is_wrong(W, message):
    with pytest.raises(InputError, match=message):
        center_angles(W)
