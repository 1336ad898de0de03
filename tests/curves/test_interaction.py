"""Gradients by class against the training loss; captured push of class sets; softmax mass in queues."""

import numpy as np
import pytest
import torch
from lessons.checks import check
from lessons.exercises import EXERCISES

from workbench.core.errors import InputError
from workbench.core.geometry import unit
from workbench.curves.interaction import interaction, queue_mass, reach
from workbench.data.identities import families
from workbench.methods import build
from workbench.mining.measures import captured_mass
from workbench.mining.queue import HardNegativeQueue
from workbench.views.queues import growth_figure, queue_mass_figure, reach_figure

C, D, B = 300, 16, 24


@pytest.fixture(scope="module")
def batch():
    people = families(C, D, family=10)
    y = torch.from_numpy(np.random.default_rng(0).choice(C, B, replace=False))
    return torch.from_numpy(people.centers()), torch.from_numpy(people.samples(y.numpy())), y


def objective(W, centers="full", method="arcface", **options):
    loss = build(method, C, D, centers=centers, class_set=options)
    with torch.no_grad():
        if centers == "full":
            loss.centers.weight.copy_(W)
        else:
            loss.centers.bank.rows.copy_(W[:, None])
    return loss


def test_pushes_are_the_gradient_of_the_training_loss(batch):
    W, x, y = batch
    loss = objective(W, method="npcface")
    result = interaction(loss, x, y)
    cos = (unit(x)[0] @ unit(W)[0].T).requires_grad_()
    loss.from_cosines(cos, y, x.norm(dim=1, keepdim=True)).per_sample.sum().backward()
    expected = cos.grad.numpy().copy()
    np.testing.assert_allclose(result.pull, -expected[np.arange(B), y], rtol=1e-5, atol=1e-7)
    expected[np.arange(B), y] = 0
    np.testing.assert_allclose(result.push, expected, rtol=1e-4, atol=1e-6)
    assert loss.centers.weight.grad is None, "reads only"


def test_without_a_margin_the_pull_is_the_push_of_all(batch):
    W, x, y = batch
    result = interaction(objective(W, method="norm_softmax"), x, y)
    np.testing.assert_allclose(result.pull, result.push.sum(axis=1), rtol=1e-4, atol=1e-6)


def test_a_part_of_all_classes_is_the_full_classifier_and_a_smaller_one_moves_only_what_it_met(batch):
    W, x, y = batch
    full = interaction(objective(W), x, y)
    every = interaction(objective(W, "sampled", rate=1.0), x, y)
    np.testing.assert_allclose(every.push, full.push, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(every.pull, full.pull, rtol=1e-5, atol=1e-7)
    part = interaction(objective(W, "sampled", max_active=50), x, y)
    assert part.active.sum() == 50
    assert part.active[y].all()
    assert (part.push[:, ~part.active] == 0).all()
    assert (part.push[:, part.active] > 0).sum() == B * 49
    assert (part.push[np.arange(B), y] == 0).all()
    assert part.summary()["pull"] < full.summary()["pull"]
    assert part.summary()["share"] == pytest.approx(1 / 6)


def test_what_a_part_keeps_is_the_captured_mass(batch):
    W, x, y = batch
    full, part = interaction(objective(W), x, y), interaction(objective(W, "sampled", max_active=50), x, y)
    result = reach(full, {"part": part})
    mass = captured_mass(unit(x)[0] @ unit(W)[0].T, y, torch.from_numpy(part.active)).mean().item()
    assert result.summary()["part"] == pytest.approx(mass, rel=1e-4)
    assert result.full[-1] == pytest.approx(1)
    first = result.rank_at(0.99)
    assert result.full[first - 1] >= 0.99 > result.full[first - 2]
    assert result.rank_at(1.0) <= C - 1
    assert (np.diff(result.full) >= 0).all()
    assert (result.parts["part"] <= result.full + 1e-12).all()
    assert len(result.rank) == C - 1


def test_a_loss_that_learns_a_number_for_each_class_is_refused(batch):
    W, x, y = batch
    with pytest.raises(InputError, match="learned per-class parameters"):
        interaction(objective(W, method="adaptiveface"), x, y)


def test_longer_queues_hold_more_and_all_classes_hold_all(batch):
    W, x, y = batch
    result = queue_mass(3 * W, x, y, (C - 1, 1, 8), share=0.1)
    assert result.K.tolist() == [1, 8, C - 1]
    assert result.queue[0] < result.queue[1] < result.queue[2] == pytest.approx(1)
    assert result.queue[1] > 3 * result.random, "8 of a family against 30 of all"
    strangers = families(C, D, family=1, seed=1)
    lost = queue_mass(W, torch.from_numpy(strangers.samples(y.numpy())), y, (8,))
    assert lost.queue[0] < 0.2 < result.queue[1], "a queue is useless where the sample is not near its center"
    for K in ((0, 8), (C,)):
        with pytest.raises(InputError, match="lengths from 1 to 299"):
            queue_mass(W, x, y, K)


def test_the_figures_draw_the_numbers(batch):
    W, x, y = batch
    full, part = interaction(objective(W), x, y), interaction(objective(W, "sampled", max_active=50), x, y)
    result = reach(full, {"part": part})
    lines = {trace.name: trace for trace in reach_figure(result).data}
    assert list(lines) == ["full", "part"]
    np.testing.assert_allclose([v for v in lines["part"].y if v == v], result.parts["part"])
    held = queue_mass(W, x, y, (1, 8))
    assert list(queue_mass_figure({"people": held}).data[0].x)[:2] == [1, 8]
    growth = growth_figure(np.array([0, 20]), {"queues": np.array([0.0, 0.5])}, warmup=10)
    assert growth.layout.shapes[0].x0 == 10


def test_the_answers_of_the_lesson_hold():
    queue = HardNegativeQueue(1000, 32)
    size = sum(part.nbytes for part in queue.state_dict().values())
    assert EXERCISES["memory of the queues"].truth == 2000 * size / 1e6
    drawn = np.random.default_rng(0).random((200_000, 4)) < 0.1
    assert drawn.any(axis=1).mean() == pytest.approx(EXERCISES["sampled hard negatives"].truth, abs=0.005)
    assert check("queue at step 0", "b")
