"""Extra terms that some methods add to the softmax loss, functions of the embeddings, with their own state."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from workbench.core.geometry import unit
from workbench.core.parameters import Declared, param
from workbench.core.random import generator
from workbench.margins.base import State


def per_class(y: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The classes (P,) of labels y (B,), and sum_{y_i = k} values_i / (1 + n_k) for each of them, (P, D)."""
    classes, at, n = y.unique(return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(classes), values.shape[1]).index_add(0, at, values)
    return classes, sums / (1 + n[:, None])


def moved_means(means: Tensor, x: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Class means (C, D), moved towards the embeddings x (B, D) of their classes y (B,); a new tensor."""
    classes, moves = per_class(y, x.to(means.dtype) - means[y])
    return means.index_add(0, classes, moves, alpha=alpha)


@dataclass(frozen=True)
class CenterLoss(Declared):
    """Pulls each embedding towards the mean of its class      (center loss, Wen et al. 2016, Eq. 2-4)

    lambda / 2 mean_i |x_i - c_{y_i}|^2;  c_k <- c_k - alpha sum_{y_i = k} (c_k - x_i) / (1 + n_k)

    Gradient: c is a constant. Follows / differs: the paper sums over the batch where this takes the mean, as the
    softmax beside it does; c starts at 0 (paper silent) and moves before the batch uses it, like every state here.
    """

    name: ClassVar[str] = "center"
    latex: ClassVar[tuple[str, ...]] = (
        r"L \leftarrow L + \frac{\lambda}{2}\,\mathrm{mean}_i \|x_i - c_{y_i}\|^2",
        r"c_k \leftarrow c_k - \alpha\,\frac{\sum_{y_i = k}(c_k - x_i)}{1 + n_k}",
    )
    lam: float = param(0.003, "λ", "weight of the distance to the class mean", low=0.0, high=10.0)
    alpha: float = param(0.5, "α", "how fast class means follow", low=0.0, high=1.0)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"means": torch.zeros(classes, dim)}

    def __call__(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        """The term's value for embeddings x (B, D) and labels y (B,)."""
        return self.lam / 2 * (x - state["means"][y]).square().sum(dim=1).mean()

    def observe(self, x: Tensor, y: Tensor, state: State) -> State:
        """The state after a batch."""
        return {"means": moved_means(state["means"], x, y, self.alpha)}


@dataclass(frozen=True)
class UniformTerm(Declared):
    """Pushes the class means apart, evenly over the sphere      (UniformFace, Duan et al. 2019, Eq. 4-7)

    lambda_u mean_{j != k} 1 / (1 + |c_j - c_k|), c the class means of the directions x / |x|, at unit length;
    c_k <- c_k - alpha sum_{y_i = k} (c_k - x_i / |x_i|) / (1 + n_k)

    Gradient: reaches x through the last move of its own class's mean, alpha / (1 + n_k) of it.
    Follows / differs: no public code; c starts in random directions (paper silent). Beyond 2,048 classes the mean is
    estimated from the batch's classes against an even choice of 2,048 classes or fewer, the gradient likewise.
    """

    name: ClassVar[str] = "uniform"
    latex: ClassVar[tuple[str, ...]] = (
        r"L \leftarrow L + \lambda_u\,\mathrm{mean}_{j \ne k} \frac{1}{1 + \|c_j - c_k\|}",
        r"c_k \leftarrow c_k - \alpha\,\frac{\sum_{y_i = k}(c_k - x_i / \|x_i\|)}{1 + n_k}",
    )
    MOST: ClassVar[int] = 2048
    lam_u: float = param(1.0, "λᵤ", "weight of the uniform term", low=0.0, high=100.0)
    alpha: float = param(0.5, "α", "how fast class means follow", low=0.0, high=1.0)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"means": unit(torch.randn(classes, dim, generator=generator(seed, "class means")))[0]}

    def __call__(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        """The term's value for embeddings x (B, D) and labels y (B,)."""
        means, direction = state["means"], unit(x)[0]
        classes, moves = per_class(y, direction - direction.detach())  # 0, with the gradient of the last move
        every = torch.arange(0, len(means), -(-len(means) // self.MOST), device=y.device)
        if len(every) == len(means):
            moved = means.to(moves).index_add(0, classes, moves, alpha=self.alpha)
            return self.lam_u * self.nearness(moved, moved, every[:, None] != every)
        near = self.nearness(means[classes] + self.alpha * moves, means[every], classes[:, None] != every)
        share = 2 * len(classes) / len(means)  # of all pairs, those with a class of the batch carry the gradient
        return self.lam_u * (near.detach() + share * (near - near.detach()))

    def nearness(self, c_j: Tensor, c_k: Tensor, others: Tensor) -> Tensor:
        """The mean of 1 / (1 + |c_j - c_k|) over the pairs that `others` marks, of rows at unit length."""
        distance = (2 - 2 * unit(c_j)[0] @ unit(c_k)[0].T).clamp_min(1e-12).sqrt()
        return ((1 / (1 + distance)) * others).sum() / others.sum()

    def observe(self, x: Tensor, y: Tensor, state: State) -> State:
        """The state after a batch."""
        return {"means": moved_means(state["means"], unit(x)[0], y, self.alpha)}
