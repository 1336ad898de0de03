"""Compact networks: a small residual network for 32 to 64 px, and MobileFaceNet for any size."""

import torch
from torch import Tensor, nn

from workbench.networks.blocks import conv_bn, scale_channels, shortcut, summary


class Residual(nn.Module):
    """Residual unit of two 3x3 convolutions, with ReLU after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(inputs, outputs, 3, stride), nn.ReLU(), conv_bn(outputs, outputs, 3))
        self.skip = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def small(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """Residual stages at 1/2, 1/4 and 1/8 of the size, then four weighted sums per channel; 0.4 M weights at 56 px."""
    side = -(-size // 8)  # three strides of two, rounded up
    a, b, c = (scale_channels(channels, width) for channels in (24, 48, 96))
    return nn.Sequential(
        conv_bn(3, a, 5, stride=2),
        nn.ReLU(),
        Residual(a, b, stride=2),
        Residual(b, c, stride=2),
        Residual(c, c),
        *summary(c, 4, side, dim),
    )


class Bottleneck(nn.Module):
    """MobileFaceNet's block: 1x1 expansion, depthwise 3x3, 1x1 projection; residual if the shape does not change."""

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
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def mobilefacenet(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """MobileFaceNet (Chen et al., CCBR 2018, Table 1); the last filter has the size of its input, size / 16."""
    # outputs, blocks, stride of the first, expansion
    stages = ((64, 5, 2, 2), (128, 1, 2, 4), (128, 6, 1, 2), (128, 1, 2, 4), (128, 2, 1, 2))
    channels, last = scale_channels(64, width), scale_channels(512, width)
    layers = [conv_bn(3, channels, 3, stride=2), nn.PReLU(channels)]
    layers += [conv_bn(channels, channels, 3, groups=channels), nn.PReLU(channels)]
    for full, blocks, stride, expansion in stages:
        outputs = scale_channels(full, width)
        for block in range(blocks):
            layers.append(Bottleneck(channels, outputs, stride if block == 0 else 1, expansion))
            channels = outputs
    side = -(-size // 16)
    return nn.Sequential(
        *layers,
        conv_bn(channels, last, 1),
        nn.PReLU(last),
        *summary(last, 1, side, dim),
    )
