"""The papers' large networks as face networks: VGG-19, ResNet-18, -50 and -101, SE-ResNet-50, Attention-56 and -92.

Depths and channels are those of the published networks, with a stem without stride and ArcFace's residual unit and
head. Four strides of two (VGG: five), rounded up, lead from `size` px to the last feature map.
"""

import torch
from torch import Tensor, nn

from workbench.networks.blocks import ImprovedResidual, conv_bn, face_head, scale_channels, stem

STAGES = (64, 128, 256, 512)  # channels of the four stages; times four with bottlenecks


def resnet(size: int, dim: int, width: float, blocks: tuple[int, ...], wide: bool, excite: bool = False) -> nn.Module:
    """ResNet (He et al., CVPR 2016, Table 1) with `blocks` units in its stages.

    wide: bottleneck units; excite: squeeze-and-excitation in every unit (Hu et al., CVPR 2018).
    """
    inputs = scale_channels(64, width)
    layers = stem(inputs)
    for channels, units in zip(STAGES, blocks, strict=True):
        narrow = scale_channels(channels, width)
        outputs = 4 * narrow if wide else narrow
        for unit in range(units):
            stride = 2 if unit == 0 else 1
            layers.append(ImprovedResidual(inputs, outputs, stride, narrow if wide else None, excite))
            inputs = outputs
    return nn.Sequential(*layers, *face_head(inputs, -(-size // 16), dim))


def vgg19(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """VGG-19 (Simonyan and Zisserman, ICLR 2015, Table 1 E): 16 convolutions with BN, one linear layer for three."""
    layers, inputs, side = [], 3, size
    for channels, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            outputs = scale_channels(channels, width)
            layers += [conv_bn(inputs, outputs, 3), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        side = -(-side // 2)
    return nn.Sequential(*layers, *face_head(inputs, side, dim))


def unit(channels: int) -> nn.Module:
    """The residual unit of an attention module: a bottleneck that keeps the shape."""
    return ImprovedResidual(channels, channels, narrow=channels // 4)


class Mask(nn.Module):
    """The mask branch of an attention module with `levels` nested downsamplings, (B, C, S, S) to (B, C, S, S).

    Wang et al., CVPR 2017, Fig. 2: max-pooling, unit; the next level in parallel with a unit; unit, bilinear
    interpolation.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.MaxPool2d(3, 2, 1), unit(channels))
        self.bridge = unit(channels) if levels > 1 else None
        self.inner = Mask(channels, levels - 1) if levels > 1 else None
        self.up = unit(channels)

    def forward(self, x: Tensor) -> Tensor:
        low = self.down(x)
        if self.inner is not None:
            low = self.bridge(low) + self.inner(low)
        return nn.functional.interpolate(self.up(low), size=x.shape[2:], mode="bilinear", align_corners=False)


class Attention(nn.Module):
    """An attention module: H = (1 + M) F with trunk F and mask M in (0, 1) (Wang et al., CVPR 2017, Eq. 3).

    One unit before the branches, two in the trunk, one after the branches (p = 1, t = 2, r = 1 of section 3).
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.before, self.after = unit(channels), unit(channels)
        self.trunk = nn.Sequential(unit(channels), unit(channels))
        end = [conv_bn(channels, channels, 1), nn.PReLU(channels), nn.Conv2d(channels, channels, 1, bias=False)]
        self.mask = nn.Sequential(Mask(channels, levels), *end)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.after((1 + torch.sigmoid(self.mask(x))) * self.trunk(x))


def attention(size: int, dim: int, width: float, modules: tuple[int, int, int]) -> nn.Module:
    """Residual attention network (Wang et al., CVPR 2017, Table 2) with `modules` attention modules in its stages.

    Every mask downsamples to the size of the last feature map: three levels in the first stage, two, one.
    """
    inputs = scale_channels(64, width)
    layers = stem(inputs)
    for channels, count, levels in zip(STAGES, (*modules, 0), (3, 2, 1, 0), strict=True):
        narrow = scale_channels(channels, width)
        layers.append(ImprovedResidual(inputs, 4 * narrow, 2, narrow))
        inputs = 4 * narrow
        layers += [Attention(inputs, levels) for _ in range(count)]
    layers += [unit(inputs), unit(inputs)]
    return nn.Sequential(*layers, *face_head(inputs, -(-size // 16), dim))
