"""Every class meets every batch: one parameter with all centers, owned by the training's optimiser."""

import torch
from torch import Tensor, nn

from workbench.seeds import generator


class FullCenters(nn.Module):
    """All C centers as one parameter `weight` (C, D), drawn from an own generator: random directions, norms near 1."""

    def __init__(self, classes: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim, generator=generator(seed, "centers")) / dim**0.5)

    @property
    def classes(self) -> int:
        return self.weight.shape[0]

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    def select(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The centers that labels y (B,) are compared with, and the labels' rows among them: here all, unchanged."""
        return self.weight, y
