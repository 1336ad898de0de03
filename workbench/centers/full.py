"""Every class meets every batch: one parameter with all centers, owned by the training's optimiser."""

import torch
from torch import Tensor, nn

from workbench.centers.base import ClassSet, Selected
from workbench.centers.similarity import Cosine
from workbench.core.random import generator


class FullCenters(ClassSet):
    """All centers as one parameter `weight`, drawn from an own generator: random directions, norms near 1.

    weight is (C, D), or (C K, D) with the K sub-centers of a class in neighbouring rows; `bias` (C,) where the
    similarity asks for one, else None.
    """

    def __init__(self, classes: int, dim: int, seed: int = 0, similarity: Cosine = Cosine()) -> None:  # noqa: B008
        super().__init__()
        shape = classes * similarity.rows, dim
        self.similarity = similarity
        self.weight = nn.Parameter(torch.randn(shape, generator=generator(seed, "centers")) / dim**0.5)
        self.register_parameter("bias", nn.Parameter(torch.zeros(classes)) if similarity.biased else None)

    def select(self, y: Tensor) -> Selected:
        return Selected(self.weight, self.bias, y)
