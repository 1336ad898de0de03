"""The papers' large networks in their face variants: VGG-19, ResNet-18, -50 and -101, SE-ResNet-50, Attention-56, -92.

Depths and channels are those of the published networks; a face variant has a stem at full size, ArcFace's residual unit
and ArcFace's end. Four strides of two (VGG: five), each rounding up, take `size` px to the last map.
"""

import torch
from torch import Tensor, nn

from workbench.networks.blocks import ImprovedResidual, conv_bn, face_head, scaled, stem

STAGES = (64, 128, 256, 512)  # channels of the four stages; four times as many where the units are bottlenecks


def resnet(size: int, dim: int, width: float, blocks: tuple[int, ...], wide: bool, excite: bool = False) -> nn.Module:
    """ResNet (He et al., CVPR 2016, Table 1) with `blocks` units in its stages; `wide`: bottlenecks."""
    inputs = scaled(64, width)
    layers = stem(inputs)
    for channels, units in zip(STAGES, blocks, strict=True):
        narrow = scaled(channels, width)
        outputs = 4 * narrow if wide else narrow
        for unit in range(units):
            stride = 2 if unit == 0 else 1
            layers.append(ImprovedResidual(inputs, outputs, stride, narrow if wide else None, excite))
            inputs = outputs
    return nn.Sequential(*layers, *face_head(inputs, -(-size // 16), dim))


def resnet18(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """ResNet-18, ReCurricularFace's network."""
    return resnet(size, dim, width, (2, 2, 2, 2), wide=False)


def resnet50(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """ResNet-50."""
    return resnet(size, dim, width, (3, 4, 6, 3), wide=True)


def resnet101(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """ResNet-101."""
    return resnet(size, dim, width, (3, 4, 23, 3), wide=True)


def se_resnet50(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """ResNet-50 with squeeze and excitation in every unit (Hu et al., CVPR 2018)."""
    return resnet(size, dim, width, (3, 4, 6, 3), wide=True, excite=True)


def vgg19(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """VGG-19 (Simonyan and Zisserman, ICLR 2015, Table 1 E): its 16 convolutions, normalised; one end for its three."""
    layers, inputs, side = [], 3, size
    for channels, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            outputs = scaled(channels, width)
            layers += [conv_bn(inputs, outputs, 3), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        side = -(-side // 2)
    return nn.Sequential(*layers, *face_head(inputs, side, dim))


def unit(channels: int) -> nn.Module:
    """The residual unit of an attention module: a bottleneck that keeps the shape."""
    return ImprovedResidual(channels, channels, narrow=channels // 4)


class Mask(nn.Module):
    """Look at the map at half its size, `levels` times one inside the other, and come back: (B, C, S, S) to the same.

    Wang et al., CVPR 2017, Fig. 2: max-pool, unit; inside, a further level beside a unit that bridges it; unit,
    bilinear interpolation.
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
    """An attention module: H = (1 + M) F, trunk F weighed by its mask M in (0, 1) (Wang et al., CVPR 2017, Eq. 3).

    One unit before the branches part, two in the trunk, one after they meet (p = 1, t = 2, r = 1 of section 3).
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

    Every mask looks down to the size of the last map: three levels in the first stage, two, one.
    """
    inputs = scaled(64, width)
    layers = stem(inputs)
    for channels, count, levels in zip(STAGES, (*modules, 0), (3, 2, 1, 0), strict=True):
        narrow = scaled(channels, width)
        layers.append(ImprovedResidual(inputs, 4 * narrow, 2, narrow))
        inputs = 4 * narrow
        layers += [Attention(inputs, levels) for _ in range(count)]
    layers += [unit(inputs), unit(inputs)]
    return nn.Sequential(*layers, *face_head(inputs, -(-size // 16), dim))


def attention56(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """Attention-56, NPCFace's network in its comparisons."""
    return attention(size, dim, width, (1, 1, 1))


def attention92(size: int, dim: int, width: float = 1.0) -> nn.Module:
    """Attention-92."""
    return attention(size, dim, width, (1, 2, 3))
