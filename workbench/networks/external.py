"""Networks from elsewhere: timm's models, a function of the user's code, and modules or factories given in Python.

A specification is text, so that a run's files can hold it:

    timm:NAME               timm.create_model(NAME), random weights, with the papers' linear map and batch normalization
    python:MODULE:FUNCTION  FUNCTION(size, dim) of an importable module; the current folder is searched too
    own:NAME                a module or factory that `register` keeps for this process

A specification read from a file runs no code by itself: python:MODULE:FUNCTION needs the user's trust (`core.trust`),
which `register` and the option --backbone give.
"""

import copy
import importlib
import os
import sys
from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn

from workbench.core.errors import InputError, quote, unknown
from workbench.core.random import generator
from workbench.core.trust import check_trusted, trust

Factory = Callable[[int, int], nn.Module]
KINDS = ("timm", "python", "own")
_registered: dict[str, tuple[nn.Module | Factory, nn.Module | Factory]] = {}  # the object, and what is used of it


def is_external(spec: str) -> bool:
    """Whether a backbone's name is a specification of this module."""
    return spec.partition(":")[0] in KINDS and ":" in spec


def register(network: nn.Module | Factory) -> str:
    """The specification of a module, or of a function (size, dim) -> module.

    A function that its module's name leads to becomes python:MODULE:FUNCTION, which other processes find. Any other
    object is kept as own:NAME (own:NAME-2, ...) for this process; of a module, every training gets a copy as it is now.
    Raises InputError where `network` is neither.
    """
    if not isinstance(network, nn.Module) and not callable(network):
        raise InputError(f"backbone = {quote(network)}; expected a name, an nn.Module or a function (size, dim)")
    module, name = getattr(network, "__module__", ""), getattr(network, "__qualname__", type(network).__name__)
    if getattr(sys.modules.get(module), name, None) is network and module != "__main__":
        return trust(f"python:{module}:{name}")
    others = [spec for spec, (known, _) in _registered.items() if known is not network]
    spec = next(spec for k in count(1) if (spec := f"own:{name}" + (f"-{k}" if k > 1 else "")) not in others)
    _registered[spec] = network, copy.deepcopy(network) if isinstance(network, nn.Module) else network
    return spec


def create(spec: str, size: int, dim: int, seed: int) -> nn.Module:
    """The network of a specification for images (B, 3, size, size) and embeddings (B, dim).

    Weights are drawn from `seed`; the global generator is left as it was. Raises InputError where the network is not
    found, and where its output has another shape.
    """
    kind, _, name = spec.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "timm":
            net = timm_model(name, size, dim)
        elif kind == "python":
            net = factory(spec)(size, dim)
        else:
            net = own_network(spec, size, dim)
        check_output(spec, net, size, dim)
    return ReproducibleDraws(net, seed)


class ReproducibleDraws(nn.Module):
    """A network whose random draws in training (dropout, stochastic depth) follow from a seed and the forward's number.

    Both are saved with the weights, so that a resumed training draws the same; the global generator is left as it was.
    """

    def __init__(self, network: nn.Module, seed: int) -> None:
        super().__init__()
        self.network, self.seed, self.forwards = network, seed, 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.network(x)
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(generator(self.seed, f"network {self.forwards}").initial_seed())
            self.forwards += 1
            return self.network(x)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.seed, self.forwards])

    def set_extra_state(self, state: Tensor) -> None:
        self.seed, self.forwards = state.tolist()


def timm_model(name: str, size: int, dim: int) -> nn.Module:
    """A model of timm without its classifier, then a linear map and batch normalization, as the papers' networks."""
    try:
        import timm
    except ImportError:
        raise InputError(f"backbone timm:{name} needs timm, which is not installed: pip install timm") from None
    if not timm.is_model(name):
        raise unknown("model of timm", name, timm.list_models())
    sized = {"img_size": size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    body = timm.create_model(name, pretrained=False, num_classes=0, **sized)
    features = getattr(body, "head_hidden_size", body.num_features)
    return nn.Sequential(body, nn.Linear(features, dim, bias=False), nn.BatchNorm1d(dim))


def factory(spec: str) -> Factory:
    """The function of python:MODULE:FUNCTION. Raises InputError where it is not trusted or not found."""
    module, _, name = spec.removeprefix("python:").partition(":")
    if not module or not name:
        raise InputError(f"backbone = {quote(spec)}; expected python:MODULE:FUNCTION")
    check_trusted(spec)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"backbone = {spec}: {error}") from None
    if not callable(function):
        raise InputError(f"backbone = {spec}: {name} is a {type(function).__name__}, not a function (size, dim)")
    return function


def own_network(spec: str, size: int, dim: int) -> nn.Module:
    """A copy of the module, or the result of the factory, that `register` keeps under own:NAME."""
    if spec not in _registered:
        advice = "register it with workbench.networks.register(network), or name it python:MODULE:FUNCTION"
        raise InputError(f"backbone = {spec} is not known in this process; {advice}")
    network = _registered[spec][1]
    return copy.deepcopy(network) if isinstance(network, nn.Module) else network(size, dim)


@torch.no_grad()
def check_output(spec: str, net: nn.Module, size: int, dim: int) -> None:
    """InputError unless a network maps images (2, 3, size, size) to embeddings (2, dim)."""
    if not isinstance(net, nn.Module):
        raise InputError(f"backbone = {spec} gives a {type(net).__name__}, not an nn.Module")
    training, shape = net.training, (2, 3, size, size)
    try:
        x = net.eval()(torch.zeros(shape))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"backbone = {spec} fails on images of shape {shape}: {reason}") from error
    net.train(training)
    if not isinstance(x, Tensor) or x.shape != (2, dim):
        result = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"backbone = {spec} gives {result} for images of shape {shape}; expected (2, {dim}): dim = {dim}"
        )
