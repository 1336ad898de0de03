"""Health: a normal first loss is called normal, a strange one strange; stuck losses and collapses are said, once."""

import numpy as np
import pytest

from workbench.core.record import Run, Step
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


def test_a_run_keeps_what_was_said(tmp_path):
    heard = []
    config = Config(method="arcface", data="digits", steps=3, batch=16, dim=16, snapshots=1)
    run = train(config, tmp_path / "run", on_message=heard.append)
    assert len(heard) == 1
    assert Run.open(run.path).health == heard
    assert np.isfinite(run.steps["alignment"]).all()
    assert (run.steps["length"] > 0).all()
