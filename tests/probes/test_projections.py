"""Projections: exact invariants, determinism, alignment, caching."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.probes.projections import align, fit_umap, log_map, plane, principal, tangent, umap_map

SHAPES = given(seed=st.integers(0, 10_000), dim=st.integers(2, 24))


def directions(seed: int, n: int, dim: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def orthonormal(basis: np.ndarray) -> bool:
    return np.allclose(basis @ basis.T, np.eye(2), atol=1e-9)


@SHAPES
def test_the_plane_through_two_centers_keeps_their_angle_and_their_boundary(seed, dim):
    first, second, *x = directions(seed, 40, dim)
    axes, x = plane(first, second), np.array(x)
    a, b = axes.of(np.stack([first, second]))
    assert orthonormal(axes.basis)
    assert np.allclose([np.hypot(*a), np.hypot(*b)], 1)  # both lie in the plane, on its circle
    assert math.isclose(a @ b, first @ second, abs_tol=1e-9)
    assert b[0] > 0  # the second to the right, the first opposite, the middle between them up
    assert np.allclose([a[0], a[1]], [-b[0], b[1]])
    assert np.array_equal(axes.of(x)[:, 0] > 0, x @ second > x @ first)  # the vertical axis is the boundary


@pytest.mark.parametrize("second", [(1.0, 0, 0), (-1.0, 0, 0)], ids=["the same", "opposite"])
def test_centers_that_leave_an_axis_undetermined_still_have_a_plane(second):
    axes = plane(np.array([1.0, 0, 0]), np.array(second))
    assert orthonormal(axes.basis)
    assert np.allclose(np.hypot(*axes.of(np.array([second])).T), 1)


@SHAPES
def test_the_log_map_keeps_angles_to_the_center_and_comes_back(seed, dim):
    at, *x = directions(seed, 30, dim)
    sides = log_map(np.array(x), at)
    theta = np.linalg.norm(sides, axis=1)
    assert np.allclose(np.cos(theta), np.array(x) @ at)
    assert np.allclose(sides @ at, 0, atol=1e-9)
    assert np.allclose(np.cos(theta)[:, None] * at + np.sinc(theta / np.pi)[:, None] * sides, x)


def test_the_log_map_at_its_center_and_opposite_to_it():
    at = np.array([0.0, 0, 1])
    assert np.array_equal(log_map(np.stack([at, -at]), at), np.zeros((2, 3)))


@given(seed=st.integers(0, 10_000), dim=st.integers(3, 24))
def test_a_tangent_plane_keeps_the_two_centers_it_leads_to(seed, dim):
    at, toward, second = directions(seed, 3, dim)
    axes = tangent(at, toward, second)
    right, up = axes.of(log_map(np.stack([toward, second]), at))
    assert orthonormal(axes.basis)
    assert np.allclose(right, [math.acos(at @ toward), 0], atol=1e-7)
    assert math.isclose(np.hypot(*up), math.acos(at @ second), abs_tol=1e-7)
    assert up[1] > 0


@SHAPES
def test_principal_axes_are_those_of_the_singular_value_decomposition(seed, dim):
    x = directions(seed, 50, dim) * np.linspace(3, 1, dim)
    axes, singular = principal(x), np.linalg.svd(x - x.mean(axis=0))
    assert orthonormal(axes.basis)
    if dim == 2 or singular.S[1] > 1.05 * singular.S[2]:
        assert math.isclose(axes.share(x), (singular.S[:2] ** 2).sum() / (singular.S**2).sum(), rel_tol=1e-9)
    assert all(row[np.abs(row).argmax()] > 0 for row in axes.basis)
    assert np.allclose(axes.of(x).mean(axis=0), 0, atol=1e-9)


def test_the_share_of_what_does_not_vary_is_not_a_number():
    x = directions(0, 20, 4)
    assert math.isnan(principal(x).share(np.ones((5, 4))))


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def turned(angle: float, mirror: bool) -> np.ndarray:
    """A rotation, or a rotation and a reflection, of the plane (2, 2)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]]) * [1, -1 if mirror else 1]


def assert_optimal(points: np.ndarray, target: np.ndarray) -> None:
    """No rotation, reflection or translation of points (n, 2) is nearer to the target (n, 2) than they are."""
    least, middle = np.square(points - target).sum(), points.mean(axis=0)
    least -= 1e-9 * (1 + least)  # rounding of the sums
    for mirror in (False, True):
        for angle in np.linspace(-math.pi, math.pi, 721):
            other = (points - middle) @ turned(angle, mirror) + middle
            assert np.square(other - target).sum() >= least
    for shift in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01]):
        assert np.square(points + shift - target).sum() >= least


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), angle=st.floats(-3, 3), mirror=st.booleans())
def test_aligning_undoes_a_rotation_a_reflection_and_a_translation(seed, angle, mirror):
    goal = np.random.default_rng(seed).normal(size=(20, 2)) * [3, 1]
    moved = goal @ turned(angle, mirror) + [5, -2]
    assert np.allclose(align(moved, goal), goal)
    assert np.allclose(align(2 * moved, goal) - goal.mean(axis=0), 2 * (goal - goal.mean(axis=0)))  # not scaled


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 30))
def test_aligning_is_an_isometry_and_nothing_congruent_is_nearer(seed, n):
    points, target = np.random.default_rng(seed).normal(size=(2, n, 2)) * [[[3, 1]], [[1, 2]]] + [[[4, 1]], [[0, -3]]]
    result = align(points, target)
    assert np.allclose(distances(result), distances(points), atol=1e-9)
    assert_optimal(result, target)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: principal(np.ones((1, 3))), r"x has shape \(1, 3\); principal axes need"),
        (lambda: align(np.ones((3, 2)), np.ones((4, 2))), r"points has shape \(3, 2\) and target \(4, 2\)"),
        (lambda: umap_map(np.ones((4, 3))), r"x has shape \(4, 3\); UMAP needs at least 5"),
        (lambda: umap_map(np.ones((9, 3)), start=np.ones((8, 2))), r"start has shape \(8, 2\); it must be \(9, 2\)"),
    ],
)
def test_what_cannot_be_projected_is_said(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()


def test_umap_is_remembered_by_its_content(monkeypatch):
    from workbench.probes import projections

    fits = []
    monkeypatch.setattr(projections, "MAPS", {})
    monkeypatch.setattr(projections, "fit_umap", lambda x, start, seed: fits.append(seed) or np.full((len(x), 2), seed))
    x = directions(0, 12, 4)
    umap_map(x)[:] = 7  # the caller's own copy
    assert np.array_equal(umap_map(x.copy()), np.zeros((12, 2)))
    assert len(fits) == 1
    for seed in range(1, projections.MAX_MAPS + 1):
        umap_map(x, seed=seed)
    umap_map(x, start=np.zeros((12, 2)))
    assert len(fits) == projections.MAX_MAPS + 2
    assert len(projections.MAPS) == projections.MAX_MAPS


@pytest.mark.slow
def test_a_warm_map_is_the_fit_aligned_to_the_previous_map():
    """The fit depends on the rounding of the CPU; the alignment does not."""
    rng = np.random.default_rng(0)
    x = unit(rng.normal(size=(120, 8)) + 5 * np.eye(8)[rng.integers(0, 4, 120)]).astype(np.float32)
    before = umap_map(x)
    assert np.array_equal(fit_umap(x, None, 0), before)  # bitwise equal

    start = before.astype(np.float32) @ turned(2.0, mirror=True).astype(np.float32) + np.float32(30)
    later = x + 0.01 * rng.normal(size=x.shape).astype(np.float32)
    fit, after = fit_umap(later, start, 0), umap_map(later, start=start)
    assert np.array_equal(fit_umap(later, start, 0), fit)
    assert np.allclose(distances(after), distances(fit), atol=1e-6 * np.abs(fit).max())
    assert np.square(after - start).sum() < np.square(fit - start).sum()
    assert_optimal(after, start.astype(np.float64))


def test_projections_load_neither_torch_nor_umap():
    code = "import sys, workbench.probes.projections; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "umap", "plotly", "sklearn"} & {name.split(".")[0] for name in done.stdout.split()} == set()
