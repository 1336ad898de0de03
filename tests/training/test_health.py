"""Health: a normal first loss is called normal, a strange one strange; stuck losses and collapses are said, once."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from workbench.core.record import Run, Step
from workbench.losses.scales import Length
from workbench.methods import METHODS, build
from workbench.training.config import Config
from workbench.training.health import SETTLED, WINDOW, Health, expected_loss
from workbench.training.run import train

EXPECTED = {"norm_softmax": 12.8, "arcface": 43.5, "npcface": 54.5}  # C = 10,572, D = 512, s = 64


def steps(losses, alignment=0.1):
    return [Step(i, float(loss), 0.1, 0.01, 10.0, alignment) for i, loss in enumerate(losses)]


def said(losses, alignment=0.1, method="arcface", **parameters):
    health = Health(build(method, 100, 32, **parameters), method)
    return [sentence for step in steps(losses, alignment) if (sentence := health.watch(step))]


@pytest.mark.parametrize("method", EXPECTED)
def test_the_expected_first_loss_is_the_one_of_random_directions(method):
    objective = build(method, 10_572, 512, s=64)
    assert expected_loss(objective, norm=10.0) == pytest.approx(EXPECTED[method], abs=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_expected_loss_and_keeps_its_state(method):
    objective = build(method, 20, 8)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    assert np.isfinite(expected_loss(objective, norm=8.0))
    assert all(value.equal(before[name]) for name, value in objective.state_dict().items())


def test_a_normal_first_loss_is_called_normal_with_its_numbers():
    usual = expected_loss(build("arcface", 100, 32), 10.0)
    (sentence,) = said([usual + 0.5])
    assert "is normal" in sentence
    assert "arcface at C = 100, D = 32, s = 64" in sentence
    (sentence,) = said([usual * 2])
    assert "check the labels" in sentence


def test_a_stuck_loss_is_said_once_and_a_falling_one_is_not():
    usual = expected_loss(build("arcface", 100, 32), 10.0)
    stuck = said([usual] * (2 * WINDOW))
    assert len(stuck) == 2  # the first loss, and that it stands
    assert f"Step {WINDOW - 1}: the loss has stood" in stuck[1]
    assert len(said(np.linspace(usual, usual * 0.6, 2 * WINDOW))) == 1
    assert len(said([usual] + [usual * 0.3] * (2 * WINDOW))) == 1  # low and still: learned


def test_a_loss_that_was_made_harder_is_given_time():
    health = Health(build("arcface", 100, 32), "arcface")
    usual = expected_loss(health.objective, 10.0)
    for step in steps([usual] * (WINDOW - 1)):
        health.watch(step)
    health.reset()
    assert health.watch(Step(WINDOW, usual, 0.1, 0.01, 10.0, 0.1)) is None


def test_a_collapse_is_said_with_what_to_try():
    usual = expected_loss(build("arcface", 100, 32), 10.0)
    found = said(np.linspace(usual, 1, SETTLED + 10), alignment=0.995)
    assert len(found) == 2
    assert f"Step {SETTLED}: the embeddings all point the same way" in found[1]
    assert "smaller lr" in found[1]


# --- sick and healthy trainings of every method, on vectors: what is said after the first sentence ---

C, D, BATCH, STEPS = 40, 16, 64, 260


def trained(method, sick="", lr=0.1, dim=D, **settings):
    """Every sentence about a training of a small network on noisy copies of C vectors."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    prototypes = torch.randn(C, 32, generator=rng)
    net = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, dim), nn.BatchNorm1d(dim))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objective = build(method, C, dim, **settings)
    optimizer = torch.optim.SGD([*net.parameters(), *objective.parameters()], lr=lr, momentum=0.9)
    labels = np.zeros(9) if sick == "one class" else np.arange(C)
    health, sentences = Health(objective, method, labels, BATCH), []
    for k in range(STEPS):
        y = torch.randint(0, C, (BATCH // 4,), generator=rng).repeat(4)
        y = (
            torch.zeros_like(y)
            if sick == "one class"
            else torch.randperm(C, generator=rng)
            if sick == "one image"
            else y
        )
        x = net(prototypes[y] + 0.3 * torch.randn(len(y), 32, generator=rng))
        if sick == "random labels":
            y = torch.randint(0, C, (len(y),), generator=rng)
        if sick == "random embeddings":
            x = torch.randn(len(y), dim, generator=rng) + 0 * x
        if sick == "one point":
            x = 1 + 1e-3 * x
        loss = objective.step(x, y).total
        optimizer.zero_grad(), loss.backward(), optimizer.step(), objective.apply_updates(lr)
        x = x.detach()
        alignment = nn.functional.normalize(x).mean(dim=0).norm()
        sentence = health.watch(Step(k, float(loss.detach()), lr, 0.01, float(x.norm(dim=1).mean()), float(alignment)))
        sentences += [sentence] if sentence else []
    return sentences


HEALTHY = [(method, {}) for method in METHODS] + [("triplet", {"preset": "pml"}), ("triplet", {"preset": "facexzoo"})]


@pytest.mark.parametrize(("method", "settings"), HEALTHY, ids=str)
def test_a_healthy_training_of_any_method_is_called_normal_and_nothing_else(method, settings):
    s = {"s": 16} if "s" in METHODS[method].settings() and METHODS[method].scale is not Length else {}
    (sentence,) = trained(method, **(s | settings))
    assert "is normal" in sentence


SICK = [
    ("arcface", {"lr": 0.0}, "nothing is learned"),
    ("triplet", {"lr": 0.0}, "nothing is learned"),
    ("norm_softmax", {"sick": "random labels", "s": 16}, "equal cosines to all 40 classes have 3.69"),
    ("softmax", {"sick": "random labels"}, "stood at 3.7"),
    ("sphereface", {"sick": "random labels"}, "stood at 3.7"),
    ("triplet", {"sick": "random labels"}, "has fallen since the start"),
    ("arcface", {"sick": "random embeddings", "s": 16}, "nothing is learned"),
    ("triplet", {"sick": "random embeddings"}, "has fallen since the start"),
    ("triplet", {"sick": "one image"}, "there are no triplets"),
    ("arcface", {"sick": "one class", "s": 16}, "All images are of one class"),
    ("triplet", {"sick": "one class"}, "All images are of one class"),
    ("arcface", {"sick": "one point", "s": 16}, "has collapsed"),
    ("triplet", {"sick": "one point"}, "has collapsed"),
    ("arcface", {"s": 64, "dim": 3}, "s = 64 is too sharp for D = 3"),
    ("norm_softmax", {"s": 64, "dim": 3}, "s = 64 is too sharp for D = 3"),
]


@pytest.mark.parametrize(("method", "settings", "words"), SICK, ids=str)
def test_a_sick_training_is_told(method, settings, words):
    assert any(words in sentence for sentence in trained(method, **settings))


def test_a_run_keeps_what_was_said(tmp_path):
    heard = []
    config = Config(method="arcface", data="digits", steps=3, batch=16, dim=16, snapshots=1)
    run = train(config, tmp_path / "run", on_message=heard.append)
    assert len(heard) == 1
    assert Run.open(run.path).health == heard
    assert np.isfinite(run.steps["alignment"]).all()
    assert (run.steps["length"] > 0).all()


def test_a_loss_that_only_passes_through_chance_level_is_healthy():
    chance = np.log(100)
    noisy = chance + np.resize([-0.8, 0.9, 0.1, -0.2], 2 * WINDOW)  # the classes are separated: batches differ
    assert len(said(noisy, method="norm_softmax", s=64)) == 1  # of the first loss only
    constant = said(np.full(2 * WINDOW, chance), method="norm_softmax", s=64)
    assert len(constant) == 2
    assert "the classes are not separated" in constant[1]


@pytest.mark.parametrize(
    ("level", "remarks"), [(np.log(100), 0), (np.log(1 + 99 * np.exp(24 * np.sin(0.3))), 1)], ids=["m = 0", "m = 0.3"]
)
def test_the_chance_level_is_that_of_the_present_margin(level, remarks):
    health = Health(build("arcface", 100, 32, s=24, m=0.0), "arcface")
    first, *others = steps([20.0] + [level] * (2 * WINDOW))
    health.watch(first)
    health.objective.replace(m=0.3)  # as a warm-up does, without `reset`
    health.expected = 100.0  # so that no level counts as stuck for its size
    found = [sentence for step in others if (sentence := health.watch(step))]
    assert len(found) == remarks
    assert all("the classes are not separated" in sentence for sentence in found)
