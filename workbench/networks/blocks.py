"""The parts that the networks share: convolution with normalisation, residual unit, and the two ends."""

import torch
from torch import Tensor, nn

from workbench.core.random import generator

DROPPED = 0.4  # share of the last feature map that a face head leaves out of each training step


def scaled(channels: int, width: float) -> int:
    """Channels of a network made `width` times as wide: a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for its stride) and its batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """What a residual unit adds to: its input, which a 1x1 convolution reshapes where the unit changes its shape."""
    return nn.Identity() if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)


class SqueezeExcite(nn.Module):
    """Weigh each channel by what the means of all channels say (Hu et al., CVPR 2018, Eq. 2-4: no biases)."""

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
    """The residual unit of face networks: normalised first, not rectified after the sum, as ArcFace has it.

    Two 3x3 convolutions; with `narrow` a bottleneck of that many channels, 1x1 - 3x3 - 1x1 (He et al., CVPR 2016,
    Fig. 5). The stride is that of the last 3x3.
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
    """The beginning of the large networks: a 3x3 convolution at full size, no pooling, because faces come small."""
    return [conv_bn(3, channels, 3), nn.PReLU(channels)]


def summary(channels: int, sums: int, side: int, dim: int) -> list[nn.Module]:
    """The end of a compact network: `sums` learned sums over the places of each channel, a linear map, and BN."""
    return [
        nn.Conv2d(channels, sums * channels, side, groups=channels, bias=False),  # one weight a place and sum
        nn.BatchNorm2d(sums * channels),
        nn.Flatten(),
        nn.Linear(sums * channels, dim, bias=False),
        nn.BatchNorm1d(dim),
    ]


def face_head(channels: int, side: int, dim: int) -> list[nn.Module]:
    """The end of the large networks: BN - dropout - linear map - BN (ArcFace: Deng et al., CVPR 2019)."""
    wide = Projection(channels * side * side, dim, bias=False)
    return [nn.BatchNorm2d(channels), Dropout(), nn.Flatten(), wide, nn.BatchNorm1d(dim)]


class Projection(nn.Linear):
    """A linear map of many inputs to few outputs, drawn by fan-in: by fan-out its rows would be too long to turn."""


class Dropout(nn.Module):
    """Dropout whose draws come from the network's own seed and their count, both saved with the weights.

    torch's own draws from the global generator: two trainings would disturb each other, and a resumed one would differ.
    """

    def __init__(self, share: float = DROPPED) -> None:
        super().__init__()
        self.share, self.seed, self.drawn = share, 0, 0

    def restart(self, seed: int) -> None:
        """Begin the draws of a seed."""
        self.seed, self.drawn = seed, 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        seed = generator(self.seed, f"dropout {self.drawn}").initial_seed()
        self.drawn += 1
        own = torch.Generator(x.device).manual_seed(seed)
        return x * (torch.rand(x.shape, generator=own, device=x.device) >= self.share) / (1 - self.share)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.seed, self.drawn])

    def set_extra_state(self, state: Tensor) -> None:
        self.seed, self.drawn = state.tolist()
