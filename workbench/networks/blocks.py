"""Shared parts of the networks: convolution with batch normalization, residual unit, stem, and two heads."""

import torch
from torch import Tensor, nn

from workbench.core.random import generator

DROPOUT = 0.4  # dropout probability of the last feature map in a face head


def scale_channels(channels: int, width: float) -> int:
    """Channels times the width multiplier, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with padding (same size at stride 1) and batch normalization."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut of a residual unit: identity, or a 1x1 convolution if the unit changes the shape."""
    return nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: channel weights from the channel means (Hu et al., CVPR 2018, Eq. 2-4, no biases)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        few = max(4, channels // reduction)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, few, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(few, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)


class ImprovedResidual(nn.Module):
    """The residual unit of face networks (ArcFace): batch normalization first, no ReLU after the sum.

    Two 3x3 convolutions; with `narrow` a bottleneck of that many channels, 1x1 - 3x3 - 1x1 (He et al., CVPR 2016,
    Fig. 5). The last 3x3 convolution has the stride.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, narrow: int | None = None, excite: bool = False
    ) -> None:
        super().__init__()
        if narrow is None:
            convs = [conv_bn(inputs, outputs, 3), nn.PReLU(outputs), conv_bn(outputs, outputs, 3, stride)]
        else:
            convs = [conv_bn(inputs, narrow, 1), nn.PReLU(narrow), conv_bn(narrow, narrow, 3, stride)]
            convs += [nn.PReLU(narrow), conv_bn(narrow, outputs, 1)]
        self.body = nn.Sequential(nn.BatchNorm2d(inputs), *convs, *([SqueezeExcite(outputs)] if excite else []))
        self.skip = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)


def stem(channels: int) -> list[nn.Module]:
    """The stem of the large networks: a 3x3 convolution without stride or pooling, for small face images."""
    return [conv_bn(3, channels, 3), nn.PReLU(channels)]


def summary(channels: int, sums: int, side: int, dim: int) -> list[nn.Module]:
    """The head of a compact network: `sums` learned spatial sums of each channel, a linear layer, and BN."""
    return [
        nn.Conv2d(channels, sums * channels, side, groups=channels, bias=False),  # one weight per position and sum
        nn.BatchNorm2d(sums * channels),
        nn.Flatten(),
        nn.Linear(sums * channels, dim, bias=False),
        nn.BatchNorm1d(dim),
    ]


def face_head(channels: int, side: int, dim: int) -> list[nn.Module]:
    """The head of the large networks: BN - dropout - linear - BN (ArcFace: Deng et al., CVPR 2019)."""
    wide = Projection(channels * side * side, dim, bias=False)
    return [nn.BatchNorm2d(channels), Dropout(), nn.Flatten(), wide, nn.BatchNorm1d(dim)]


class Projection(nn.Linear):
    """A linear layer with many inputs and few outputs, initialized by fan-in (fan-out gives too long rows)."""


class Dropout(nn.Module):
    """Dropout with random numbers from a seed and a count of forwards, both saved with the weights.

    torch's dropout uses the global generator: runs in one process would depend on each other, and a resumed run differ.
    """

    def __init__(self, p: float = DROPOUT) -> None:
        super().__init__()
        self.p, self.seed, self.count = p, 0, 0

    def restart(self, seed: int) -> None:
        """Set the seed and reset the count."""
        self.seed, self.count = seed, 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        seed = generator(self.seed, f"dropout {self.count}").initial_seed()
        self.count += 1
        rng = torch.Generator(x.device).manual_seed(seed)
        return x * (torch.rand(x.shape, generator=rng, device=x.device) >= self.p) / (1 - self.p)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.seed, self.count])

    def set_extra_state(self, state: Tensor) -> None:
        self.seed, self.count = state.tolist()
