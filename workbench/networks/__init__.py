"""Networks from images to embeddings: two compact networks for teaching and tests, and the papers' large networks.

Inputs are images (B, 3, S, S) in about [-1, 1], outputs embeddings (B, D) that are not normalized. Like face networks,
they end with a learned summary of the last feature map instead of its mean, a linear layer and batch normalization.
ImageNet networks of a library are not used: stem, residual unit, head, width and input size would have to be replaced.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from workbench.core.errors import InputError, unknown
from workbench.core.random import generator
from workbench.networks.blocks import Dropout, Projection
from workbench.networks.compact import mobilefacenet, small
from workbench.networks.external import Factory, create, is_external, register
from workbench.networks.large import attention, resnet, vgg19

__all__ = ["BACKBONES", "Factory", "backbone", "check_name", "draw_weights", "register"]

BACKBONES: dict[str, Callable[[int, int, float], nn.Module]] = {
    "small": small,
    "mobilefacenet": mobilefacenet,
    "vgg19": vgg19,
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2), wide=False),  # in ReCurricularFace
    "resnet50": partial(resnet, blocks=(3, 4, 6, 3), wide=True),
    "resnet101": partial(resnet, blocks=(3, 4, 23, 3), wide=True),
    "se_resnet50": partial(resnet, blocks=(3, 4, 6, 3), wide=True, excite=True),
    "attention56": partial(attention, modules=(1, 1, 1)),  # in NPCFace's comparisons
    "attention92": partial(attention, modules=(1, 2, 3)),
}


def check_name(name: str) -> None:
    """InputError, with the nearest name, for a backbone that is neither in BACKBONES nor external."""
    if name not in BACKBONES and not is_external(name):
        raise unknown("backbone", name, [*BACKBONES, "timm:NAME", "python:MODULE:FUNCTION"])


def backbone(name: str, size: int, dim: int, seed: int = 0, width: float = 1.0) -> nn.Module:
    """A network for square images of `size` px and embeddings of dimension `dim`, with weights initialized by `seed`.

    width: multiplier of the channels of every layer (rounded to multiples of 8); 0.25 is fast on a CPU. Raises
    InputError for an unknown name (with the nearest one), for an external network (see `external`) that is not found or
    has another shape, and for a size, dimension or width that is too small.
    """
    check_name(name)
    for option, value, least in (("size", size, 16), ("dim", dim, 2), ("width", width, 1 / 16)):
        if not value >= least:
            raise InputError(f"{option} = {value}: at least {least}")
    if is_external(name):
        if width != 1:
            raise InputError(f"width = {width:g}: the width of {name} is its own; expected 1")
        return create(name, size, dim, seed)
    with torch.device("meta"):  # without weights, so the global generator is not used
        net = BACKBONES[name](size, dim, width)
    return init_weights(net.to_empty(device="cpu"), generator(seed, "weights"))


def init_weights(net: nn.Module, rng: torch.Generator) -> nn.Module:
    """Initialize a network: convolutions and linear layers by He's rule, normalizations as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = "fan_in" if isinstance(module, Projection) else "fan_out"
            nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu", generator=rng)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
        elif isinstance(module, Dropout):
            module.restart(int(torch.randint(2**31, (), generator=rng)))
    return net
