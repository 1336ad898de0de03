"""Similarities: how an embedding is compared with a class: by cosine, by dot product, by its best sub-center."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from workbench.declared import Declared, param
from workbench.sphere import cosines, full


@dataclass(frozen=True)
class Cosine(Declared):
    """cos(theta_j) between the embedding and the class center."""

    biased: ClassVar[bool] = False  # whether each class owns a bias as well
    rows: ClassVar[int] = 1  # of the weight, for each class

    def __call__(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """Similarities (B, C) of embeddings x (B, D) to the classes that own the rows of W; float32 at least."""
        return cosines(x, W)


@dataclass(frozen=True)
class Dot(Cosine):
    """w_j . x + b_j: what a plain linear classifier computes."""

    biased: ClassVar[bool] = True

    def __call__(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        return full(torch.nn.functional.linear(full(x), W, bias))


@dataclass(frozen=True)
class SubCenters(Cosine):
    """The largest of the cosines to the K sub-centers of a class (Sub-center ArcFace, Deng et al. 2020, Eq. 3)."""

    latex: ClassVar[tuple[str, ...]] = (r"\cos\theta_j = \max_{k \le K} \cos\theta_{j,k}",)
    K: float = param(3, "K", "sub-centers a class; fixed once the objective is made", low=1, high=100)

    @property
    def rows(self) -> int:
        return int(self.K)

    def __call__(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        return cosines(x, W).unflatten(1, (-1, self.rows)).amax(dim=2)
