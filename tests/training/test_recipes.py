"""Recipes: what the papers print, scaled by epochs, overridden by a person, recorded, and resumed to the same bits."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from trainings import tiny

from workbench.cli import main as cli
from workbench.core.errors import InputError
from workbench.core.record import Run
from workbench.training import batches
from workbench.training import fit as fitting
from workbench.training import run as runs
from workbench.training.batches import mirror
from workbench.training.config import RECIPES, Config
from workbench.training.fit import Job, fit, learning_rate

PRINTED = {  # batch, epochs, epochs at which the learning rate is divided by 10
    "npcface-casia": (128, 30, (16, 24, 28)),
    "npcface-ms1m": (512, 20, (8, 14, 18)),
    "recurricular": (512, 34, (20, 28, 32)),
}


def settings(**changes):
    return tiny(**{"recipe": "npcface-casia"} | changes)


def images(n=40, size=16):
    x = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return x, np.arange(n) % 4


@pytest.mark.parametrize("recipe", PRINTED)
def test_the_papers_recipes_are_as_printed(recipe):
    batch, epochs, drops = PRINTED[recipe]
    each = 7  # batches an epoch
    config = Config(recipe=recipe).for_images(each * batch)
    assert (config.batch, config.steps) == (batch, epochs * each)
    assert (config.lr, config.momentum, config.weight_decay) == (0.1, 0.9, 5e-4)
    for epoch in range(epochs):
        expected = 0.1 / 10 ** sum(epoch >= drop for drop in drops)
        for step in (each * epoch, each * epoch + each - 1):
            assert learning_rate(config.lr, step, config.steps, config.drops) == pytest.approx(expected, rel=1e-12)
    assert (config.augmentation, config.nesterov, config.schedule()) == ("flip", False, ())
    assert config.settings()["m0"] == 0.4
    assert "paper silent" in RECIPES[recipe].description


@pytest.mark.parametrize("recipe", ["small", "preset"])
def test_the_other_recipes_are_as_they_were(recipe):
    config = Config(recipe=recipe)
    assert (config.steps, config.epochs, config.batch, config.lr) == (600, None, 64, 0.2)
    assert (config.momentum, config.weight_decay, config.augmentation) == (0.9, 4e-3, "affine")
    assert (config.drops, config.nesterov) == ((), True)
    assert Config(recipe=recipe, momentum=0.0).nesterov is False


def test_milestones_scale_with_the_epochs_and_with_the_steps():
    assert settings(epochs=3).for_images(640).drops == (8, 12, 14)  # 15 steps
    assert settings(steps=60).drops == (32, 48, 56)
    assert settings(epochs=0.01).for_images(40).steps == 1
    assert settings(recipe="small", epochs=2.5).for_images(640).steps == 25


def test_a_persons_choice_goes_before_the_recipes():
    config = settings(steps=60, lr=0.05, batch=8, momentum=0.5, weight_decay=0.0)
    assert (config.lr, config.batch, config.momentum, config.weight_decay) == (0.05, 8, 0.5, 0.0)
    assert config.for_images(10**6) is config


def test_what_cannot_be_is_one_line():
    for make, words in [
        (lambda: settings(steps=5, epochs=2), "steps = 5 and epochs = 2: give one of them"),
        (lambda: settings(epochs=0), "epochs = 0 is outside"),
        (lambda: settings(width=0.01), "width = 0.01 is outside"),
        (lambda: settings().drops, r"epochs = 30: steps are not known before Config\.for_images"),
        (lambda: settings(recipe="small", epochs=2).schedule(), "epochs = 2: steps are not known"),
        (lambda: settings(recipe="npcface-cassia"), "did you mean 'npcface-casia'"),
    ]:
        with pytest.raises(InputError, match=words):
            make()


def test_a_recipe_says_how_images_are_changed_and_how_the_optimizer_steps(monkeypatch):
    x, y = images()
    for recipe, augmentation, nesterov in (("npcface-casia", "flip", False), ("preset", "affine", True)):
        seen = []
        real = batches.AUGMENTATIONS[augmentation]
        spy = lambda pixels, *rest, real=real, seen=seen: seen.append(len(pixels)) or real(pixels, *rest)  # noqa: E731
        monkeypatch.setitem(batches.AUGMENTATIONS, augmentation, spy)
        job = Job.start(settings(recipe=recipe, steps=3, batch=8), 4, 16)
        steps = list(fit(job, x, y))
        assert seen == [8, 8, 8]
        assert all(group["nesterov"] is nesterov for group in job.optimizer.param_groups)
        expected = [learning_rate(job.lr, k, 3, job.config.drops) for k in range(3)]
        assert [step.lr for step in steps] == expected


def test_fit_turns_epochs_into_steps_itself():
    x, y = images()
    job = Job.start(settings(epochs=2, batch=8), 4, 16)
    assert len(list(fit(job, x, y))) == 10
    assert job.config.steps == 10


def test_width_reaches_the_network():
    narrow, plain = (Job.start(settings(steps=1, width=width), 4, 16).backbone[0][0] for width in (0.5, 1.0))
    assert (narrow.out_channels, plain.out_channels) == (16, 24)


def test_mirrored_images_are_themselves_or_their_mirror_image():
    x = torch.from_numpy(images()[0]).permute(0, 3, 1, 2)
    out = mirror(x, 3, 0)
    kept, turned = ((out == other).flatten(1).all(dim=1) for other in (x, x.flip(3)))
    assert torch.equal(kept, ~turned)
    assert 8 < int(turned.sum()) < 32
    assert torch.equal(out, mirror(x, 3, 0))
    assert not torch.equal(out, mirror(x, 4, 0))


def test_a_papers_run_is_recorded_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    config = settings(backbone="resnet18", width=0.125, epochs=0.2, batch=32)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    runs.train(config, whole)
    run = Run.open(whole)
    steps, drops = run.config["steps"], run.config["drops"]
    assert run.status == "finished"
    assert drops == [-(-steps * epoch // 30) for epoch in (16, 24, 28)]
    assert (run.config["augmentation"], run.config["nesterov"], run.config["width"]) == ("flip", False, 0.125)
    assert Config.from_json(run.config) == replace(config, steps=steps, epochs=None)
    real = fitting.train_step

    def interrupted(job, *rest):
        if job.step == drops[0] + 1:
            raise KeyboardInterrupt
        return real(job, *rest)

    monkeypatch.setattr(fitting, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.train(config, cut)
    monkeypatch.undo()
    runs.resume(cut)
    again = Run.open(cut)
    for name in ("loss", "lr"):
        assert np.array_equal(run.steps[name], again.steps[name])
    assert np.array_equal(run.snapshot(steps).x, again.snapshot(steps).x)
    np.testing.assert_allclose(run.steps["lr"], [0.1 / 10 ** sum(k >= d for d in drops) for k in range(steps)])
    assert run.steps["lr"][-1] == pytest.approx(0.001)


def test_the_command_line_takes_recipe_epochs_and_width(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    words = ["--data", "digits", "--size", 16, "--recipe", "recurricular", "--method", "recurricularface", "--dim", 8]
    words += ["--epochs", 0.1, "--batch", 32, "--width", 0.5, "--snapshots", 1, "--out", out]
    monkeypatch.setattr(sys, "argv", ["workbench", "train", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0, capsys.readouterr().err
    config = Run.open(out).config
    assert (config["width"], config["batch"], config["lr"], config["recipe"]) == (0.5, 32, 0.1, "recurricular")
    assert config["steps"] == len(Run.open(out).steps["step"])
