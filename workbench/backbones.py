"""Networks from images to embeddings: a small residual net for 32 to 64 px, and MobileFaceNet for any size.

Both take images (B, 3, S, S) in about [-1, 1] and give un-normalised embeddings (B, D). They end as face networks do: a
learned summary of the last feature map rather than its plain mean, then a linear map and batch normalisation.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.errors import InputError, unknown
from workbench.seeds import generator


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for its stride) and its batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two 3x3 convolutions added to their input, which a 1x1 convolution reshapes where they change its shape."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(inputs, outputs, 3, stride), nn.ReLU(), conv_bn(outputs, outputs, 3))
        self.skip = nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def small(size: int, dim: int) -> nn.Module:
    """Residual stages at 1/2, 1/4 and 1/8 of the size, then four weighted sums a channel: 0.4 M weights at 56 px."""
    side = -(-size // 8)  # three strides of two, each rounding up
    return nn.Sequential(
        conv_bn(3, 24, 5, stride=2),
        nn.ReLU(),
        Residual(24, 48, stride=2),
        Residual(48, 96, stride=2),
        Residual(96, 96),
        *summary(96, 4, side, dim),
    )


def summary(channels: int, sums: int, side: int, dim: int) -> list[nn.Module]:
    """The end of a network: `sums` learned sums over the places of each channel, a linear map to the embedding."""
    return [
        nn.Conv2d(channels, sums * channels, side, groups=channels, bias=False),  # one weight a place and sum
        nn.BatchNorm2d(sums * channels),
        nn.Flatten(),
        nn.Linear(sums * channels, dim, bias=False),
        nn.BatchNorm1d(dim),
    ]


class Bottleneck(nn.Module):
    """MobileFaceNet's block: widen by 1x1, filter each channel by 3x3, narrow by 1x1; added to its input if alike."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.body = nn.Sequential(
            conv_bn(inputs, wide, 1),
            nn.PReLU(wide),
            conv_bn(wide, wide, 3, stride, groups=wide),
            nn.PReLU(wide),
            conv_bn(wide, outputs, 1),
        )
        self.alike = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.alike else self.body(x)


def mobilefacenet(size: int, dim: int) -> nn.Module:
    """MobileFaceNet (Chen et al., CCBR 2018, Table 1), the last filter as large as the map it meets: size / 16."""
    # outputs, blocks, stride of the first, expansion
    stages = ((64, 5, 2, 2), (128, 1, 2, 4), (128, 6, 1, 2), (128, 1, 2, 4), (128, 2, 1, 2))
    layers = [conv_bn(3, 64, 3, stride=2), nn.PReLU(64), conv_bn(64, 64, 3, groups=64), nn.PReLU(64)]
    channels = 64
    for outputs, blocks, stride, expansion in stages:
        for block in range(blocks):
            layers.append(Bottleneck(channels, outputs, stride if block == 0 else 1, expansion))
            channels = outputs
    side = -(-size // 16)
    return nn.Sequential(
        *layers,
        conv_bn(channels, 512, 1),
        nn.PReLU(512),
        *summary(512, 1, side, dim),
    )


BACKBONES: dict[str, Callable[[int, int], nn.Module]] = {"small": small, "mobilefacenet": mobilefacenet}


def backbone(name: str, size: int, dim: int, seed: int = 0) -> nn.Module:
    """A network for square images of `size` px and embeddings of `dim` numbers; weights from an own generator.

    Raises InputError for an unknown name (with the nearest) and for a size or dimension that is too small.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    for option, value, least in (("size", size, 16), ("dim", dim, 2)):
        if value < least:
            raise InputError(f"{option} = {value}: at least {least}")
    with torch.device("meta"):  # no weights yet, so the global generator is not touched
        net = BACKBONES[name](size, dim)
    return draw_weights(net.to_empty(device="cpu"), generator(seed, "weights"))


def draw_weights(net: nn.Module, own: torch.Generator) -> nn.Module:
    """Draw every weight of a network: convolutions and linear maps by He's rule, normalisations as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=own)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
    return net
