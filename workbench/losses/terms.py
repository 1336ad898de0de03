"""Extra terms that some methods add to the softmax loss: functions of the embeddings, with a state."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from workbench.core.geometry import unit
from workbench.core.parameters import Declared, param
from workbench.core.random import generator
from workbench.margins.base import State


def class_moves(y: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The classes (P,) of labels y (B,), and sum_{y_i = k} values_i / (1 + n_k) for each of them, (P, D)."""
    classes, at, n = y.unique(return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(classes), values.shape[1]).index_add(0, at, values)
    return classes, sums / (1 + n[:, None])


def update_means(means: Tensor, x: Tensor, y: Tensor, alpha: float) -> Tensor:
    """Class means (C, D) after a step of rate alpha towards embeddings x (B, D) with labels y (B,); a new tensor."""
    classes, moves = class_moves(y, x.to(means.dtype) - means[y])
    return means.index_add(0, classes, moves, alpha=alpha)


@dataclass(frozen=True)
class CenterLoss(Declared):
    """Pulls each embedding towards the mean of its class      (center loss, Wen et al. 2016, Eq. 2-4)

    lambda / 2 mean_i |x_i - c_{y_i}|^2;  c_k <- c_k - alpha sum_{y_i = k} (c_k - x_i) / (1 + n_k)

    Gradient: c is a constant. Follows / differs: the mean over the batch, as in the softmax loss, replaces the paper's
    sum; c starts at 0 (paper silent) and is updated before the batch uses it, as all states here.
    """

    name: ClassVar[str] = "center"
    latex: ClassVar[tuple[str, ...]] = (
        r"L \leftarrow L + \frac{\lambda}{2}\,\mathrm{mean}_i \|x_i - c_{y_i}\|^2",
        r"c_k \leftarrow c_k - \alpha\,\frac{\sum_{y_i = k}(c_k - x_i)}{1 + n_k}",
    )
    lam: float = param(0.003, "λ", "weight of the distance to the class mean", low=0.0, high=10.0)
    alpha: float = param(0.5, "α", "update rate of the class means", low=0.0, high=1.0)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"means": torch.zeros(classes, dim)}

    def __call__(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        """The term's value for embeddings x (B, D) and labels y (B,)."""
        return self.lam / 2 * (x - state["means"][y]).square().sum(dim=1).mean()

    def observe(self, x: Tensor, y: Tensor, state: State) -> State:
        """The state after a batch."""
        return {"means": update_means(state["means"], x, y, self.alpha)}


@dataclass(frozen=True)
class UniformTerm(Declared):
    """Spreads the class means evenly over the sphere      (UniformFace, Duan et al. 2019, Eq. 4-7)

    lambda_u mean_{j != k} 1 / (1 + |c_j - c_k|), c: class means of x / |x|, normalized to unit length;
    c_k <- c_k - alpha sum_{y_i = k} (c_k - x_i / |x_i|) / (1 + n_k)

    Gradient: reaches x through the last update of its class's mean, with factor alpha / (1 + n_k).
    Follows / differs: no public code; c starts in random directions (paper silent). For more than 2,048 classes, mean
    and gradient are estimated from the batch's classes against at most 2,048 evenly spaced classes.
    """

    name: ClassVar[str] = "uniform"
    latex: ClassVar[tuple[str, ...]] = (
        r"L \leftarrow L + \lambda_u\,\mathrm{mean}_{j \ne k} \frac{1}{1 + \|c_j - c_k\|}",
        r"c_k \leftarrow c_k - \alpha\,\frac{\sum_{y_i = k}(c_k - x_i / \|x_i\|)}{1 + n_k}",
    )
    MAX_CLASSES: ClassVar[int] = 2048
    lam_u: float = param(1.0, "λᵤ", "weight of the uniform term", low=0.0, high=100.0)
    alpha: float = param(0.5, "α", "update rate of the class means", low=0.0, high=1.0)

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        return {"means": unit(torch.randn(classes, dim, generator=generator(seed, "class means")))[0]}

    def __call__(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        """The term's value for embeddings x (B, D) and labels y (B,)."""
        means, direction = state["means"], unit(x)[0]
        classes, moves = class_moves(y, direction - direction.detach())  # 0, with the gradient of the last update
        every = torch.arange(0, len(means), -(-len(means) // self.MAX_CLASSES), device=y.device)
        if len(every) == len(means):
            moved = means.to(moves).index_add(0, classes, moves, alpha=self.alpha)
            return self.lam_u * self.nearness(moved, moved, every[:, None] != every)
        near = self.nearness(means[classes] + self.alpha * moves, means[every], classes[:, None] != every)
        share = 2 * len(classes) / len(means)  # share of the pairs that contain a class of the batch
        return self.lam_u * (near.detach() + share * (near - near.detach()))

    def nearness(self, c_j: Tensor, c_k: Tensor, others: Tensor) -> Tensor:
        """Mean of 1 / (1 + |c_j - c_k|) over the pairs marked in `others`, for rows normalized to unit length."""
        distance = (2 - 2 * unit(c_j)[0] @ unit(c_k)[0].T).clamp_min(1e-12).sqrt()
        return ((1 / (1 + distance)) * others).sum() / others.sum()

    def observe(self, x: Tensor, y: Tensor, state: State) -> State:
        """The state after a batch."""
        return {"means": update_means(state["means"], unit(x)[0], y, self.alpha)}
