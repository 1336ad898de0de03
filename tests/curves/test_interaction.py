"""Who receives gradient: the pushes are those of the training loss, a part keeps what was met, queues hold the near."""

import numpy as np
import pytest
import torch
from lessons.checks import check
from lessons.exercises import EXERCISES

from workbench.core.errors import InputError
from workbench.core.geometry import unit
from workbench.curves.interaction import captured, interaction, reach
from workbench.data.identities import families
from workbench.methods import build
from workbench.mining.measures import captured_mass
from workbench.mining.queue import HardNegativeQueue
from workbench.views.queues import captured_figure, growth_figure, reach_figure

C, D, B = 300, 16, 24


@pytest.fixture(scope="module")
def batch():
    people = families(C, D, family=10)
    y = torch.from_numpy(np.random.default_rng(0).choice(C, B, replace=False))
    return torch.from_numpy(people.centers()), torch.from_numpy(people.samples(y.numpy())), y


def objective(W, centers="full", method="arcface", **options):
    made = build(method, C, D, centers=centers, class_set=options)
    with torch.no_grad():
        if centers == "full":
            made.centers.weight.copy_(W)
        else:
            made.centers.bank.rows.copy_(W[:, None])
    return made


def test_pushes_are_the_gradient_of_the_training_loss(batch):
    W, x, y = batch
    made = objective(W, method="npcface")
    found = interaction(made, x, y)
    cos = (unit(x)[0] @ unit(W)[0].T).requires_grad_()
    made.from_cosines(cos, y, x.norm(dim=1, keepdim=True)).per_sample.sum().backward()
    expected = cos.grad.numpy().copy()
    np.testing.assert_allclose(found.pull, -expected[np.arange(B), y], rtol=1e-5, atol=1e-7)
    expected[np.arange(B), y] = 0
    np.testing.assert_allclose(found.push, expected, rtol=1e-4, atol=1e-6)
    assert made.centers.weight.grad is None, "reads only"


def test_without_a_margin_the_pull_is_the_push_of_all(batch):
    W, x, y = batch
    found = interaction(objective(W, method="norm_softmax"), x, y)
    np.testing.assert_allclose(found.pull, found.push.sum(axis=1), rtol=1e-4, atol=1e-6)


def test_a_part_of_all_classes_is_the_full_classifier_and_a_smaller_one_moves_only_what_it_met(batch):
    W, x, y = batch
    full = interaction(objective(W), x, y)
    every = interaction(objective(W, "sampled", rate=1.0), x, y)
    np.testing.assert_allclose(every.push, full.push, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(every.pull, full.pull, rtol=1e-5, atol=1e-7)
    part = interaction(objective(W, "sampled", max_active=50), x, y)
    assert part.met.sum() == 50
    assert part.met[y].all()
    assert (part.push[:, ~part.met] == 0).all()
    assert (part.push[:, part.met] > 0).sum() == B * 49
    assert (part.push[np.arange(B), y] == 0).all()
    assert part.summary()["pull"] < full.summary()["pull"]
    assert part.summary()["share"] == pytest.approx(1 / 6)


def test_what_a_part_keeps_is_the_captured_mass(batch):
    W, x, y = batch
    full, part = interaction(objective(W), x, y), interaction(objective(W, "sampled", max_active=50), x, y)
    found = reach(full, {"part": part})
    mass = captured_mass(unit(x)[0] @ unit(W)[0].T, y, torch.from_numpy(part.met)).mean().item()
    assert found.summary()["part"] == pytest.approx(mass, rel=1e-4)
    assert found.full[-1] == pytest.approx(1)
    first = found.needed(0.99)
    assert found.full[first - 1] >= 0.99 > found.full[first - 2]
    assert found.needed(1.0) <= C - 1
    assert (np.diff(found.full) >= 0).all()
    assert (found.parts["part"] <= found.full + 1e-12).all()
    assert len(found.rank) == C - 1


def test_a_loss_that_learns_a_number_for_each_class_is_refused(batch):
    W, x, y = batch
    with pytest.raises(InputError, match="learns a number for each class"):
        interaction(objective(W, method="adaptiveface"), x, y)


def test_longer_queues_hold_more_and_all_classes_hold_all(batch):
    W, x, y = batch
    found = captured(3 * W, x, y, (C - 1, 1, 8), share=0.1)
    assert found.K.tolist() == [1, 8, C - 1]
    assert found.queue[0] < found.queue[1] < found.queue[2] == pytest.approx(1)
    assert found.queue[1] > 3 * found.random, "8 of a family against 30 of all"
    strangers = families(C, D, family=1, seed=1)
    lost = captured(W, torch.from_numpy(strangers.samples(y.numpy())), y, (8,))
    assert lost.queue[0] < 0.2 < found.queue[1], "a queue is useless where the sample is not near its center"
    for K in ((0, 8), (C,)):
        with pytest.raises(InputError, match="lengths from 1 to 299"):
            captured(W, x, y, K)


def test_the_figures_draw_the_numbers(batch):
    W, x, y = batch
    full, part = interaction(objective(W), x, y), interaction(objective(W, "sampled", max_active=50), x, y)
    found = reach(full, {"part": part})
    lines = {trace.name: trace for trace in reach_figure(found).data}
    assert list(lines) == ["full", "part"]
    np.testing.assert_allclose([v for v in lines["part"].y if v == v], found.parts["part"])
    held = captured(W, x, y, (1, 8))
    assert list(captured_figure({"people": held}).data[0].x)[:2] == [1, 8]
    growth = growth_figure(np.array([0, 20]), {"queues": np.array([0.0, 0.5])}, warmup=10)
    assert growth.layout.shapes[0].x0 == 10


def test_the_answers_of_the_lesson_hold():
    queue = HardNegativeQueue(1000, 32)
    size = sum(part.nbytes for part in queue.state_dict().values())
    assert EXERCISES["bytes of the queues"].truth == 2000 * size / 1e6
    drawn = np.random.default_rng(0).random((200_000, 4)) < 0.1
    assert drawn.any(axis=1).mean() == pytest.approx(EXERCISES["luck of the draw"].truth, abs=0.005)
    assert check("exact and useless", "b")
