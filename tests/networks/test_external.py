"""Networks from elsewhere train as ours do: timm, a function of the user's module, a module or a factory in Python."""

import copy
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from packages import skip_without
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from workbench.core.errors import InputError
from workbench.networks import backbone, register
from workbench.training.config import Config
from workbench.training.fit import Job, fit, learning_rate, train_step
from workbench.training.live.replay import record, replay
from workbench.training.live.session import LiveSession
from workbench.training.state import JobState

SIZE, DIM, CLASSES = 16, 8, 4
IMAGES = np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)
LABELS = np.arange(24) % CLASSES


class Net(nn.Module):
    """A network with dropout, whose draws are random in training."""

    def __init__(self, size=SIZE, dim=DIM):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * size * size, dim))

    def forward(self, x):
        return self.net(x)


def factory(size, dim):
    return Net(size, dim)


def job(network, steps=4):
    config = Config("arcface", backbone=network, dim=DIM, steps=steps, batch=8, device="cpu")
    return Job.start(config, CLASSES, SIZE)


def weights(job):
    return torch.cat([p.detach().flatten() for p in job.backbone.parameters()])


@pytest.mark.parametrize("network", [factory, Net(), lambda size, dim: Net(size, dim), nn.Sequential(Net())])
def test_an_own_network_trains_and_repeats_to_the_bit(network):
    jobs = [job(network) for _ in range(2)]
    before, state = weights(jobs[0]), torch.random.get_rng_state()
    for each in jobs:
        list(fit(each, IMAGES, LABELS))
    assert torch.equal(weights(jobs[0]), weights(jobs[1]))
    assert not torch.equal(weights(jobs[0]), before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_resumes_its_random_draws():
    whole, first, second = job(factory), job(factory), job(factory)
    list(fit(whole, IMAGES, LABELS))
    for _, step in zip(range(2), fit(first, IMAGES, LABELS), strict=False):
        assert step.step < 2
    JobState.of(first).copy().restore(second)
    list(fit(second, IMAGES, LABELS))
    assert torch.equal(weights(second), weights(whole))


def test_a_function_is_named_so_that_other_processes_find_it():
    assert register(factory) == f"python:{__name__}:factory"
    assert Config(backbone=factory).backbone == f"python:{__name__}:factory"
    assert Config.from_json(Config(backbone=factory).to_json()).backbone == f"python:{__name__}:factory"


def test_a_live_session_trains_replays_and_forks_an_own_network():
    session = LiveSession(
        data="digits", dim=DIM, size=SIZE, method="arcface", backbone=factory, device="cpu", name="own"
    )
    try:
        session.run(3, block=True)
        session.set(m=0.3)
        session.run(2, block=True)
        again, fork = replay(record(session)), session.fork()
        assert again.agrees
        assert fork.job.config.backbone == session.job.config.backbone == f"python:{__name__}:factory"
        for each in (again, fork):
            each.stop()
    finally:
        session.stop()


@pytest.mark.slow
def test_the_command_line_trains_a_function_of_a_file_in_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\ndef net(size, dim):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, dim))\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "workbench.cli"]
    options = ["--data", "digits", "--backbone", "python:mine:net", "--steps", "3", "--dim", "8", "--out", "run"]
    trusted = {"WORKBENCH_TRUSTED": "python:mine:net"}
    evaluate = ["evaluate", "run", "--no-report"]
    for arguments, given, status in ((["train", *options], {}, 0), (evaluate, {}, 2), (evaluate, trusted, 0)):
        env = {k: v for k, v in os.environ.items() if k != "WORKBENCH_TRUSTED"} | given
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert status == 0 or "set WORKBENCH_TRUSTED=python:mine:net" in done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["backbone"] == "python:mine:net"


def loader(images=IMAGES, labels=LABELS, batch=8):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    return DataLoader(TensorDataset(pixels, torch.from_numpy(labels)), batch_size=batch)


def test_an_own_loader_gives_the_batches():
    by_hand, by_loader, floats = job("small"), job("small"), job("small")
    list(fit(by_loader, loader()))
    pixels = ((torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() - 127.5) / 128).contiguous(
        memory_format=torch.channels_last
    )
    list(fit(floats, DataLoader(TensorDataset(pixels, torch.from_numpy(LABELS)), batch_size=8)))
    for step in range(4):
        rows = slice(step % 3 * 8, step % 3 * 8 + 8)
        lr = learning_rate(by_hand.lr, step, 4, by_hand.config.drops)
        train_step(by_hand, pixels[rows], torch.from_numpy(LABELS[rows]), lr, 0.0)
    assert torch.equal(weights(by_hand), weights(by_loader))
    assert torch.equal(weights(by_hand), weights(floats))


def test_a_job_resumes_within_an_epoch_of_an_own_loader():
    whole, first, second = job("small", 5), job("small", 5), job("small", 5)
    list(fit(whole, loader()))
    for _, _ in zip(range(2), fit(first, loader()), strict=False):
        pass
    JobState.of(first).copy().restore(second)
    list(fit(second, loader()))
    assert torch.equal(weights(second), weights(whole))


def test_epochs_are_those_of_the_loader():
    config = Config("arcface", dim=DIM, epochs=2, batch=8, device="cpu")
    assert len(list(fit(Job.start(config, CLASSES, SIZE), loader()))) == 6
    with pytest.raises(InputError, match="the loader has no length; give steps"):
        next(fit(Job.start(config, CLASSES, SIZE), (batch for batch in loader())))


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "step 0: the loader gives nothing"),
        ([torch.zeros(8, 3, SIZE, SIZE)], "the loader gives a Tensor; expected a pair"),
        (
            [(IMAGES[:8], LABELS[:8])],
            r"images of shape \(8, 16, 16, 3\) and labels of shape \(8,\); expected",
        ),
        ([(torch.zeros(2, 3, SIZE, SIZE), torch.tensor([0, CLASSES]))], "label 4"),
    ],
)
def test_a_wrong_batch_of_a_loader_is_named(batches, words):
    with pytest.raises(InputError, match=words):
        list(fit(job("small"), batches))


def test_a_copy_of_the_module_trains():
    net = Net()
    before = copy.deepcopy(net.state_dict())
    list(fit(job(net), IMAGES, LABELS))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("own:Never", "own:Never is not known in this process"),
        ("python:nowhere:f", "No module named 'nowhere'"),
        ("python:math:nothing", "no attribute 'nothing'"),
        ("python:math:pi", "pi is a float, not a function"),
        ("python:math", "expected python:MODULE:FUNCTION"),
        ("smal", "did you mean 'small'"),
    ],
)
def test_a_network_that_is_not_found_is_named(spec, words, monkeypatch):
    monkeypatch.setenv("WORKBENCH_TRUSTED", spec)
    with pytest.raises(InputError, match=words):
        backbone(spec, SIZE, DIM)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            lambda size, dim: Net(size, dim + 1),
            r"gives \(2, 9\) for images of shape \(2, 3, 16, 16\); expected \(2, 8\)",
        ),
        (
            lambda size, dim: Net(size + 1, dim),
            r"fails on images of shape \(2, 3, 16, 16\): RuntimeError: mat1",
        ),
        (lambda size, dim: 3, "gives a int, not an nn.Module"),
        (3, "expected a name, an nn.Module or a function"),
    ],
)
def test_a_network_of_another_shape_is_refused_before_training(network, words):
    with pytest.raises(InputError, match=words):
        job(network)


def test_a_function_that_a_file_names_does_not_run_without_trust(monkeypatch):
    monkeypatch.delenv("WORKBENCH_TRUSTED", raising=False)
    config = Config.from_json(Config().to_json() | {"backbone": "python:os:mkdir"})
    with pytest.raises(InputError, match=r"python:os:mkdir would run code .* set WORKBENCH_TRUSTED=python:os:mkdir"):
        Job.start(config, CLASSES, SIZE)


def test_two_networks_of_one_name_are_two():
    first, second = (Config(backbone=lambda size, dim, k=k: Net(size, dim + k)) for k in (0, 1))
    assert first.backbone != second.backbone
    Job.start(replace(first, dim=DIM, device="cpu"), CLASSES, SIZE)
    with pytest.raises(InputError, match="expected"):
        Job.start(replace(second, dim=DIM, device="cpu"), CLASSES, SIZE)


def test_the_width_of_an_external_network_is_its_own():
    with pytest.raises(InputError, match=r"width = 0\.5: the width of .* is its own"):
        backbone(register(factory), SIZE, DIM, width=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_a_model_of_timm_trains(name):
    skip_without("timm")
    config = Config("npcface", backbone=f"timm:{name}", dim=DIM, steps=2, batch=8, device="cpu")
    images = np.repeat(np.repeat(IMAGES, 2, 1), 2, 2)
    jobs = [Job.start(config, CLASSES, 2 * SIZE) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = [[step.loss for step in fit(each, images, LABELS)] for each in jobs]
    assert losses[0] == losses[1]
    assert np.isfinite(losses).all()
    with pytest.raises(InputError, match="unknown model of timm 'resnet10x'"):
        backbone("timm:resnet10x", SIZE, DIM)
