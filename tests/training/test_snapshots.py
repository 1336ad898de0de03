"""Snapshots of very many classes keep a part of the centers; every probe of them has the value of all centers."""

import math

import numpy as np
import pytest
import torch

from workbench.core.record import Snapshot
from workbench.probes.dimension import dimension
from workbench.probes.geometry import center_angles
from workbench.probes.hardness import hardness, own_and_nearest
from workbench.probes.similarity import similarity
from workbench.training.config import Config
from workbench.training.fit import Job, snapshot

C, D, N, SIZE = 30_000, 16, 120, 16


def job_of(classes, method="norm_softmax", **values):
    """A job over more classes than a snapshot keeps, its images, their labels, and all its centers (C sub, D)."""
    job = Job.start(
        Config(method=method, size=SIZE, steps=2, batch=8, dim=D, width=0.25, device="cpu", **values), classes, SIZE
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, SIZE, SIZE, 3)).astype(np.uint8)
    return job, images, rng.integers(0, classes, N), job.objective.centers.weight.detach().numpy()


def whole(seen, labels, W):
    """The same snapshot with every center."""
    return Snapshot(seen.step, seen.x, labels, W, seen.parameters, seen.state, seen.sub)


@pytest.mark.parametrize("method", ["norm_softmax", "subcenter_arcface"])
def test_probes_of_a_snapshot_have_the_values_of_all_centers(method):
    job, images, labels, W = job_of(C, method)
    seen = snapshot(job, images, labels)
    every = whole(seen, labels, W)
    assert len(seen.ids) == 20_000
    assert (np.diff(seen.ids) > 0).all()
    assert np.array_equal(seen.ids[seen.y], labels)
    own, near, other = own_and_nearest(seen.cos, seen.y)
    wanted_own, wanted_near, wanted_other = own_and_nearest(every.cos, labels)
    assert np.abs(own - wanted_own).max() < 1e-6
    assert np.abs(near - wanted_near).max() < 1e-6
    assert np.array_equal(seen.ids[other], wanted_other)
    found, wanted = hardness(seen.cos, seen.y), hardness(every.cos, labels)
    assert found.count == wanted.count
    assert found.r == pytest.approx(wanted.r, abs=1e-5)
    assert similarity(seen.cos, seen.y).overlap == similarity(every.cos, labels).overlap or math.isnan(
        similarity(every.cos, labels).overlap
    )
    assert np.allclose(dimension({D: seen}).nearest, dimension({D: every}).nearest, atol=1 / N)


def test_the_angle_between_neighbouring_centers_is_that_of_all_centers():
    """Of the sample's classes, which are an even choice; of all the kept ones it would be too large."""
    job, images, labels, W = job_of(C)
    seen = snapshot(job, images, labels)
    expected = center_angles(W).nearest[np.unique(labels)]
    assert np.allclose(center_angles(seen.centers, of=seen.complete).nearest, expected, atol=1e-5)
    assert center_angles(seen.centers).mean > expected.mean() + 0.01


def test_nearest_classes_equal_a_plain_search_whatever_the_tile(monkeypatch):
    from workbench.training import kept

    rng = torch.Generator().manual_seed(0)
    x, W, own = torch.randn(9, 5, generator=rng), torch.randn(23 * 2, 5, generator=rng), torch.arange(9)
    unit = torch.nn.functional.normalize
    cos = (unit(x) @ unit(W).T).reshape(9, 23, 2).amax(dim=2)
    for i in range(9):
        cos[i, own[i]] = -2
    for tile in (1, 100, 1 << 22):
        monkeypatch.setattr(kept, "TILE", tile)
        assert kept.nearest_others(x, own, W, sub=2).equal(cos.argmax(dim=1))


def test_few_classes_are_kept_whole():
    job, images, labels, W = job_of(50)
    seen = snapshot(job, images, labels)
    assert seen.ids is None
    assert seen.complete is None
    assert np.array_equal(seen.W, W)
