"""Networks from elsewhere train as ours do: timm, a function of the user's module, a module or a factory in Python."""

import copy
import warnings

import numpy as np
import pytest
import torch
from packages import needs
from torch import nn

from workbench.core.errors import InputError
from workbench.networks import backbone, register
from workbench.training.config import Config
from workbench.training.fit import Job, fit
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
def test_a_network_that_is_not_found_is_named(spec, words):
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


def test_the_width_of_an_external_network_is_its_own():
    with pytest.raises(InputError, match=r"width = 0\.5: the width of .* is its own"):
        backbone(register(factory), SIZE, DIM, width=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_a_model_of_timm_trains(name):
    needs("timm")
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
