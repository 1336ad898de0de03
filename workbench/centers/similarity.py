"""Similarities: how an embedding is compared with a class: by cosine, by dot product, by its nearest sub-center.

A similarity prepares embeddings and centers separately (normalized or not) and compares prepared rows; so a batch whose
classes are streamed in tiles is prepared once.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from workbench.core.geometry import Direction, full
from workbench.core.parameters import Declared, param


@dataclass(frozen=True)
class Cosine(Declared):
    """cos(theta_j) between the embedding and the class center."""

    biased: ClassVar[bool] = False  # whether each class has a bias
    rows: ClassVar[int] = 1  # rows of the weight per class

    def prepare(self, rows: Tensor) -> Tensor:
        """Embeddings (B, D) or rows of the weight prepared for comparison: directions, in float32 at least."""
        return Direction.apply(full(rows))

    def compare(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """Similarities (B, C) of prepared rows; under autocast only this product is in lower precision than float32."""
        return full(torch.nn.functional.linear(x.to(W.dtype), W, bias))

    def target(self, x: Tensor, W: Tensor, bias: Tensor | None, y: Tensor) -> Tensor:
        """The similarity (B, 1) of each prepared embedding to its own class, position y (B,) of unprepared rows W."""
        dot = (x * self.prepare(W[y])).sum(dim=1, keepdim=True)
        return dot if bias is None else dot + bias[y][:, None]

    def __call__(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """Similarities (B, C) of embeddings x (B, D) to the classes of the rows of W; float32 at least."""
        return self.compare(self.prepare(x), self.prepare(W), bias)


@dataclass(frozen=True)
class Dot(Cosine):
    """w_j . x + b_j: what a plain linear classifier computes."""

    biased: ClassVar[bool] = True

    def prepare(self, rows: Tensor) -> Tensor:
        return full(rows)


@dataclass(frozen=True)
class SubCenters(Cosine):
    """The largest of the cosines to the K sub-centers of a class (Sub-center ArcFace, Deng et al. 2020, Eq. 3)."""

    latex: ClassVar[tuple[str, ...]] = (r"\cos\theta_j = \max_{k \le K} \cos\theta_{j,k}",)
    K: float = param(3, "K", "sub-centers per class; fixed after construction", low=1, high=100)

    @property
    def rows(self) -> int:
        return int(self.K)

    def compare(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        return super().compare(x, W, bias).unflatten(1, (-1, self.rows)).amax(dim=2)

    def target(self, x: Tensor, W: Tensor, bias: Tensor | None, y: Tensor) -> Tensor:
        every = self.prepare(W.unflatten(0, (-1, self.rows))[y])  # (B, K, D)
        return (every * x[:, None]).sum(dim=2).amax(dim=1, keepdim=True)
