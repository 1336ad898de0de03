"""Triplet loss, which compares samples with samples. It implements the Objective protocol, so training, recording and
evaluation need no special case. Its class means are used by the probes only.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from workbench.core.errors import unknown
from workbench.core.geometry import full, unit
from workbench.core.parameters import Declared, param
from workbench.core.random import generator
from workbench.losses.base import IGNORE_INDEX, Loss, Objective
from workbench.losses.terms import update_means


@dataclass(frozen=True)
class Triplet(Declared):
    """Pulls a sample closer to samples of its class than to samples of other classes, by a margin of alpha.

    L = mean over triplets of [d(a, p) - d(a, n) + alpha]_+      (FaceNet Eq. 3), d of unit embeddings

    all        all triplets of the batch with a positive hinge
    hard       for each anchor, its farthest positive and its nearest negative
    semi-hard  for each pair (a, p), the nearest negative with d(a, p) < d(a, n) < d(a, p) + alpha, if any
    random     for each pair (a, p), a random negative whose hinge is positive (FaceX-Zoo's code)

    pairs (a, p): both samples of a pair are anchors ("ordered"), or only the first in the batch ("combinations")

    Gradient: the choice of triplets is a constant. Reduces to: no other method.
    Follows / differs: FaceNet uses squared distances; PML's default is the distance itself. FaceX-Zoo takes each pair
    once (pairs="combinations").
    """

    latex: ClassVar[tuple[str, ...]] = (r"L = \mathrm{mean}\,[\,d(a, p) - d(a, n) + \alpha\,]_+",)
    alpha: float = param(0.2, "α", "margin, in units of d", low=0.0, high=4.0)
    mining: str = param("semi-hard", "mining", "selection of triplets", choices=("all", "hard", "semi-hard", "random"))
    distance: str = param("squared", "d", "squared or plain Euclidean distance", choices=("squared", "euclidean"))
    pairs: str = param(
        "ordered", "pairs", "anchors of a pair: both samples, or the first", choices=("ordered", "combinations")
    )


class ClassMeans(nn.Module):
    """Moving means of the embeddings' directions, `weight` (C, D); the probes use them as class centers."""

    partial, sharded, pending, handle = False, False, False, None

    def __init__(self, classes: int, dim: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("weight", unit(torch.randn(classes, dim, generator=generator(seed, "centers")))[0])
        self.classes, self.dim, self.sub = classes, dim, 1


class TripletLoss(Objective):
    """The triplet loss of a batch of embeddings x (B, D) with labels y (B,). Raises InputError as Objective does.

    per_sample: for each anchor the mean over its triplets, 0 without triplets. violating: the share of the triplets
    (a, p, n) of the last training batch whose hinge is positive, which falls even where the loss of mined triplets does
    not; NaN for a batch without triplets, None before the first one.
    """

    RATE: ClassVar[float] = 0.5  # step of the class means towards those of a batch

    def __init__(
        self, margin: Triplet, classes: int, dim: int, seed: int = 0, ignore_index: int = IGNORE_INDEX
    ) -> None:
        super().__init__(ignore_index)
        self.margin = margin
        self.centers = ClassMeans(classes, dim, seed)
        self.learned = nn.ParameterDict()
        self.violating: Tensor | None = None
        self.register_buffer("state_seed", torch.tensor(seed))
        self.register_buffer("state_step", torch.zeros(()))

    @property
    def s(self) -> float:
        return float("nan")

    def parameters_now(self) -> dict[str, Any]:
        return {name: getattr(self.margin, name) for name in self.margin.parameters()}

    def change(self, changes: Mapping[str, Any]) -> None:
        for name in changes:
            if name not in self.parameters_now():
                raise unknown("parameter of Triplet", name, self.parameters_now())
        self.margin = dataclasses.replace(self.margin, **changes)

    def how(self, batch: int) -> str:
        """What a batch of this size is compared with, in one sentence."""
        return f"{batch:,} samples with each other: no class centers"

    def _compare(self, x: Tensor, y: Tensor, again: bool = False) -> tuple[Tensor, Tensor]:
        return x, y

    def _loss(self, batch: tuple[Tensor, Tensor], advance: bool = False) -> Loss:
        """L = mean over triplets of [d(a, p) - d(a, n) + alpha]_+      (FaceNet Eq. 3)"""
        x, y = batch
        with torch.autocast(x.device.type, enabled=False):
            direction = unit(full(x))[0]
            d = (2 - 2 * direction @ direction.T).clamp_min(0)
            if self.margin.distance == "euclidean":
                d = d.clamp_min(1e-12).sqrt()
            if advance:
                self._observe(batch)
            anchor, hinge, counts, violating = self._triplets(d, y)
            self.violating = violating.detach() if advance else self.violating
            of_pair, n = (hinge * counts).sum(dim=1), counts.sum(dim=1)
            sums, numbers = (v.new_zeros(len(y)).index_add(0, anchor, v) for v in (of_pair, n))
            per_sample = sums / numbers.clamp_min(1)
            total = of_pair.sum() / n.sum().clamp_min(1)
        return Loss(total, per_sample, {"triplet": total})

    @torch.no_grad()
    def _observe(self, batch: tuple[Tensor, Tensor]) -> None:
        """Move the class means towards the batch and count the step."""
        x, y = batch
        self.centers.weight.copy_(update_means(self.centers.weight, unit(full(x))[0], y, self.RATE))
        self.state_step.add_(1)

    def _triplets(self, d: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Anchors (P,) of the positive pairs, their hinges (P, n) with n negatives, and which hinges count (P, n).

        The last tensor is the share of all triplets whose hinge is positive; with mining="hard", of the hardest ones.
        """
        alpha, mining = self.margin.alpha, self.margin.mining
        same = y[:, None] == y
        positive = same & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
        if self.margin.pairs == "combinations":
            positive = positive.triu()
        if mining == "hard":
            farthest = d.masked_fill(~positive, -torch.inf).amax(dim=1)
            nearest = d.masked_fill(same, torch.inf).amin(dim=1)
            counts = positive.any(dim=1) & ~same.all(dim=1)
            hinge = torch.where(counts, farthest - nearest + alpha, 0).clamp_min(0)
            violating = (hinge > 0).sum() / counts.sum()
            return torch.arange(len(y), device=y.device), hinge[:, None], counts[:, None], violating
        anchor, other = positive.nonzero(as_tuple=True)
        near, far = d[anchor, other][:, None], d[anchor]
        hinge = near - far + alpha
        negative = ~same[anchor]
        counts = negative & (hinge > 0)
        violating = counts.sum() / negative.sum()
        if mining == "all":
            return anchor, hinge, counts, violating
        if mining == "semi-hard":
            counts = counts & (far > near)
            order = far.detach()
        else:
            order = torch.rand(
                hinge.shape, generator=generator(int(self.state_seed), f"triplets {int(self.state_step)}")
            )
        chosen = order.to(d).masked_fill(~counts, torch.inf).argmin(dim=1, keepdim=True)
        return anchor, hinge.gather(1, chosen), counts.any(dim=1, keepdim=True), violating
