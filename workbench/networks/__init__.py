"""Networks from images to embeddings: the two compact ones for teaching and tests, and the papers' large ones.

All take images (B, 3, S, S) in about [-1, 1] and give un-normalised embeddings (B, D). They end as face networks do: a
learned summary of the last feature map rather than its plain mean, then a linear map and batch normalisation. They are
written here, of a few shared parts, because of a library's ImageNet networks stem, unit, end, width and input size
would all have to be replaced.
"""

from collections.abc import Callable

import torch
from torch import nn

from workbench.core.errors import InputError, unknown
from workbench.core.random import generator
from workbench.networks.blocks import Dropout, Projection, conv_bn, summary
from workbench.networks.compact import Bottleneck, Residual, mobilefacenet, small
from workbench.networks.external import Factory, create, is_external, register
from workbench.networks.large import attention56, attention92, resnet18, resnet50, resnet101, se_resnet50, vgg19

__all__ = [
    "BACKBONES",
    "Bottleneck",
    "Factory",
    "Residual",
    "backbone",
    "check_name",
    "conv_bn",
    "draw_weights",
    "mobilefacenet",
    "register",
    "small",
    "summary",
]

BACKBONES: dict[str, Callable[[int, int, float], nn.Module]] = {
    "small": small,
    "mobilefacenet": mobilefacenet,
    "vgg19": vgg19,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "se_resnet50": se_resnet50,
    "attention56": attention56,
    "attention92": attention92,
}


def check_name(name: str) -> None:
    """InputError, with the nearest name, for a backbone that is neither in BACKBONES nor external."""
    if name not in BACKBONES and not is_external(name):
        raise unknown("backbone", name, [*BACKBONES, "timm:NAME", "python:MODULE:FUNCTION"])


def backbone(name: str, size: int, dim: int, seed: int = 0, width: float = 1.0) -> nn.Module:
    """A network for square images of `size` px and embeddings of `dim` numbers; weights from an own generator.

    width multiplies the channels of every layer (rounded to multiples of 8): 0.25 is quick on a CPU. Raises InputError
    for an unknown name (with the nearest), for an external network (see `external`) that is not found or has another
    shape, and for a size, dimension or width that is too small.
    """
    check_name(name)
    for option, value, least in (("size", size, 16), ("dim", dim, 2), ("width", width, 1 / 16)):
        if not value >= least:
            raise InputError(f"{option} = {value}: at least {least}")
    if is_external(name):
        if width != 1:
            raise InputError(f"width = {width:g}: the width of {name} is its own; expected 1")
        return create(name, size, dim, seed)
    with torch.device("meta"):  # no weights yet, so the global generator is not touched
        net = BACKBONES[name](size, dim, width)
    return draw_weights(net.to_empty(device="cpu"), generator(seed, "weights"))


def draw_weights(net: nn.Module, own: torch.Generator) -> nn.Module:
    """Draw every weight of a network: convolutions and linear maps by He's rule, normalisations as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = "fan_in" if isinstance(module, Projection) else "fan_out"
            nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu", generator=own)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
        elif isinstance(module, Dropout):
            module.restart(int(torch.randint(2**31, (), generator=own)))
    return net
