"""SampledCenters: every batch meets its own classes and a random few of the others (Partial FC, An et al. 2021/22).

Sparse in truth: a step costs what the classes it met cost. No gradient, momentum or decay of the others is ever made.
"""

import math
import os
from typing import ClassVar

import torch
from torch import Tensor

from workbench.centers.bank import Bank, directions, others
from workbench.centers.base import ClassSet, Selected
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.core.random import generator


class SampledCenters(ClassSet):
    """The classes of the batch and random others, `most` together (or ceil(rate C)); never fewer than the batch's own.

    Which others is a function of (seed, step); `step`, a buffer, counts the batches observed. Centers start as those of
    FullCenters. They belong to no optimiser: they are rows of a Bank that moves them by SGD with these settings, over
    only the rows met. precision: fp32 or fp16; folder: see Bank.

    The order of a training step matters: select, observe (the step advances), backward, settle. Rows therefore remember
    for themselves: each select hands out a new leaf, and a backward that reaches it marks it for the next settle. So
    settle moves exactly the rows that the gradients belong to, however often other batches were looked at in between,
    and a batch that was only looked at moves nothing. Several backwards before one settle add up, as in a parameter.

    Follows / differs: the released Partial FC 2 keeps a dense parameter, whose unsampled rows go on moving by momentum
    and weight decay; here they do not.
    """

    LIVE: ClassVar[dict[str, Param]] = {
        "rate": Param("rate", "share of the classes that a batch meets", low=1e-6, high=1)
    }
    HOST = False  # whether the centers stay in the CPU's memory when the objective is moved to a device

    def __init__(
        self,
        classes: int,
        dim: int,
        seed: int = 0,
        similarity: Cosine = Cosine(),  # noqa: B008
        rate: float = 0.1,
        most: int | None = None,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        nesterov: bool = False,
        renormalise: bool = False,
        precision: str = "fp32",
        folder: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise InputError(f"rate = {rate:g} is outside (0, 1]: the share of the classes that a batch meets")
        if most is not None and most < 2:
            raise InputError(f"most = {most}: a batch meets at least 2 classes")
        self.similarity, self.seed = similarity, seed
        self.most = min(classes, most if most is not None else share(rate, classes))
        kept = {"host": self.HOST, "folder": folder, "precision": precision}
        moved = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        self.bank = Bank((classes, similarity.rows, dim), renormalise=renormalise, **kept, **moved)
        directions(self.bank.rows, seed)
        self.biases = Bank((classes,), **kept, **moved) if similarity.biased else None
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._reached: dict[Tensor, tuple[Bank, Tensor, Tensor | slice]] = {}

    def tune(self, name: str, value: float) -> None:
        super().tune(name, value)
        if name == "rate":
            self.most = share(value, self.classes)

    @property
    def weight(self) -> Tensor:
        """Every center (C sub, D), as stored."""
        return self.bank.rows.flatten(0, 1)

    def select(self, y: Tensor) -> Selected:
        """The classes that a batch with labels y (B,) meets now, in ascending order, and leaves of their rows."""
        labels = y.detach().cpu()
        met = labels.unique()
        taken = self._taken(met)
        drawn = others(self.classes, self.most - len(taken), taken, generator(self.seed, f"negatives {int(self.step)}"))
        ids = torch.cat([taken, drawn]).sort().values
        W = self._leaf(self.bank, ids, met, y.device).flatten(0, 1)
        bias = self._leaf(self.biases, ids, met, y.device) if self.biases is not None else None
        return Selected(W, bias, torch.searchsorted(ids, labels).to(y.device), ids.to(y.device))

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        self.step += 1

    def settle(self, lr: float) -> None:
        """Move the rows that gradients have reached since the last settle, and no others."""
        reached, self._reached = self._reached, {}
        noise = generator(self.seed, f"rounding {int(self.step)}")
        for bank in (self.bank, self.biases):
            parts = [(ids, leaf.grad[place]) for leaf, (owner, ids, place) in reached.items() if owner is bank]
            if parts:
                bank.move(*added(parts), lr, noise)

    def _taken(self, met: Tensor) -> Tensor:
        """The classes that a batch of the classes met (P,) meets for certain; sorted."""
        return met

    def _moving(self, ids: Tensor, met: Tensor) -> Tensor | slice | None:
        """Which places of ids (n,) may move, in a batch of the classes met (P,); None: none of them."""
        return slice(None)

    def _leaf(self, bank: Bank, ids: Tensor, met: Tensor, where: torch.device) -> Tensor:
        """The rows of classes ids (n,) on a device; a backward that reaches them marks them for settle."""
        leaf = bank.gather(ids).to(where)
        place = self._moving(ids, met)
        if place is None:
            return leaf
        leaf.requires_grad_()
        leaf.register_post_accumulate_grad_hook(lambda leaf: self._reached.__setitem__(leaf, (bank, ids[place], place)))
        return leaf


def share(rate: float, classes: int) -> int:
    """How many classes a share of them is, at least 2."""
    return max(2, math.ceil(rate * classes - 1e-9))


def added(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Classes (n,), each once, and their gradients (n, ...) summed over parts of the same form."""
    if len(parts) == 1:
        return parts[0]
    ids, place = torch.cat([ids for ids, _ in parts]).unique(return_inverse=True)
    grads = torch.cat([grad for _, grad in parts])
    return ids, grads.new_zeros(len(ids), *grads.shape[1:]).index_add(0, place.to(grads.device), grads)
