"""FullCenters: every class is active in every batch; one parameter holds all centers."""

import torch
from torch import Tensor, nn

from workbench.centers.base import ActiveClasses, ClassSet
from workbench.centers.similarity import Cosine
from workbench.core.random import generator


class FullCenters(ClassSet):
    """All centers as one parameter `weight`, initialized with random directions of norms near 1, by `seed`.

    weight is (C, D), or (C K, D) with the K sub-centers of a class in adjacent rows; `bias` (C,) where the similarity
    has one, else None.
    """

    handle = None

    def __init__(self, classes: int, dim: int, seed: int = 0, similarity: Cosine = Cosine()) -> None:  # noqa: B008
        super().__init__()
        shape = classes * similarity.rows, dim
        self.similarity = similarity
        self.weight = nn.Parameter(torch.randn(shape, generator=generator(seed, "centers")) / dim**0.5)
        self.register_parameter("bias", nn.Parameter(torch.zeros(classes)) if similarity.biased else None)

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        return ActiveClasses(self.weight, self.bias, y)
