"""SampledCenters: the classes of the batch and random others are active (Partial FC, An et al. 2021/22).

Truly sparse: a step is O(active classes). Rows of other classes get no gradient, momentum or weight decay.
"""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from workbench.centers.bank import Bank, directions, others
from workbench.centers.base import ActiveClasses, ClassSet
from workbench.centers.options import SampledOptions
from workbench.centers.similarity import Cosine
from workbench.core.random import generator


class SampledCenters(ClassSet):
    """The classes of the batch and random others, `max_active` in all (default: ceil(rate C)), or all of the batch's.

    Which others depends on (seed, step); `step`, a buffer, counts the observed batches. Centers start as those of
    FullCenters. options: see SampledOptions. The rows are in a Bank, which updates the active ones by SGD; `handle`
    stands for them in the optimizer of a training loop (`workbench.losses.link`).

    The order of a training step: select, observe (the step advances), backward, apply_updates. `select` returns new
    leaf tensors, and a backward pass that reaches one registers it for the next `apply_updates`. So apply_updates moves
    exactly the rows that received gradients; a batch that was only read moves nothing. Several backward passes before
    one apply_updates add up, as for a parameter.

    Follows / differs: the released Partial FC 2 keeps a dense parameter, whose inactive rows still move by momentum
    and weight decay; here they do not.
    """

    partial = True
    Options = SampledOptions
    HOST: ClassVar[bool] = False  # whether the rows stay in CPU memory when the module is moved to a device

    def __init__(
        self,
        classes: int,
        dim: int,
        seed: int = 0,
        similarity: Cosine = Cosine(),  # noqa: B008
        **options: Any,
    ) -> None:
        super().__init__()
        o = self.options = self.Options.of(options)
        self.similarity, self.seed = similarity, seed
        kept = {"host": self.HOST, "folder": o.folder, "precision": o.precision}
        moved = {"momentum": o.momentum, "weight_decay": o.weight_decay, "nesterov": o.nesterov}
        self.bank = Bank((classes, similarity.rows, dim), renormalise=o.renormalise, **kept, **moved)
        directions(self.bank.rows, seed)
        self.biases = Bank((classes,), **kept, **moved) if similarity.biased else None
        self.handle = nn.Parameter(torch.zeros(1))
        self._made = (self.handle,)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._reached: dict[Tensor, tuple[Bank, Tensor, Tensor | slice]] = {}
        self._last: Tensor | None = None  # active classes of the batch observed last

    def tune(self, name: str, value: float) -> None:
        live = self.Options.live()
        if name not in live:
            return super().tune(name, value)
        changed = {name: value} | ({"max_active": None} if name == "rate" else {})
        self.options = replace(self.options, **changed)

    @property
    def max_active(self) -> int:
        """Active classes in a batch, unless the batch itself has more."""
        most = self.options.max_active
        return min(self.classes, share(self.options.rate, self.classes) if most is None else most)

    @property
    def weight(self) -> Tensor:
        """Every center (C sub, D), as stored."""
        return self.bank.rows.flatten(0, 1)

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        """The active classes of a batch with labels y (B,), in ascending order, and leaf tensors of their rows."""
        labels = y.detach().cpu()
        own = labels.unique()
        ids = self._last if again else self._draw(own)
        W = self._leaf(self.bank, ids, own, y.device).flatten(0, 1)
        bias = self._leaf(self.biases, ids, own, y.device) if self.biases is not None else None
        return ActiveClasses(W, bias, torch.searchsorted(ids, labels).to(y.device), ids.to(y.device))

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        self._last = None if ids is None else ids.cpu()
        self.step += 1

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Move the rows that gradients have reached since the last call, and no others."""
        reached, self._reached = self._reached, {}
        noise = generator(self.seed, f"rounding {int(self.step)}")
        for bank in (self.bank, self.biases):
            parts = [(ids, leaf.grad[at]) for leaf, (owner, ids, at) in reached.items() if owner is bank]
            if parts:
                ids, grad = add_up(parts)
                bank.move(ids, grad if scale is None else grad * scale.to(grad), lr, noise)

    @property
    def replaced(self) -> bool:
        """Whether the handle is another parameter than the one made with the module, as FSDP's is."""
        return self.handle is not self._made[0]

    @property
    def pending(self) -> bool:
        return bool(self._reached)

    def discard_updates(self) -> None:
        self._reached = {}

    def _draw(self, own: Tensor) -> Tensor:
        """The active classes (n,) of a batch with the classes own (P,), sorted."""
        certain = self._certain(own)
        rng = generator(self.seed, f"negatives {int(self.step)}")
        drawn = others(self.classes, self.max_active - len(certain), certain, rng)
        return torch.cat([certain, drawn]).sort().values

    def _certain(self, own: Tensor) -> Tensor:
        """The classes, sorted, that are active for certain in a batch with the classes own (P,)."""
        return own

    def _moving(self, ids: Tensor, own: Tensor) -> Tensor | slice | None:
        """Positions in ids (n,) of rows that may move, in a batch with the classes own (P,); None: none of them."""
        return slice(None)

    def _leaf(self, bank: Bank, ids: Tensor, own: Tensor, device: torch.device) -> Tensor:
        """The rows of classes ids (n,) on a device; a backward pass that reaches them registers them for an update."""
        leaf = bank.gather(ids).to(device)
        at = self._moving(ids, own)
        if at is None or not torch.is_grad_enabled():
            return leaf
        leaf.requires_grad_()
        leaf.register_post_accumulate_grad_hook(lambda leaf: self._reached.__setitem__(leaf, (bank, ids[at], at)))
        return leaf

    def __deepcopy__(self, memo: dict[int, Any]) -> "SampledCenters":
        """A copy without the gradients that wait for an update, which belong to the loss of the original."""
        return copy_without(self, memo, _reached={})

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.pop(f"{prefix}handle", None)  # always zero between steps

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state | {f"{prefix}handle": self.handle.detach()}, prefix, *rest)


def copy_without(module: nn.Module, memo: dict[int, Any], **replaced: Any) -> Any:
    """A deep copy of a module with other values of some attributes, which are not copied."""
    new = module.__class__.__new__(module.__class__)
    memo[id(module)] = new
    new.__dict__.update({k: replaced[k] if k in replaced else deepcopy(v, memo) for k, v in vars(module).items()})
    return new


def share(rate: float, classes: int) -> int:
    """The number of classes that a share of them is, at least 2."""
    return max(2, math.ceil(rate * classes - 1e-9))


def add_up(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Classes (n,), each once, and their gradients (n, ...) summed over parts of the same form."""
    if len(parts) == 1:
        return parts[0]
    ids, at = torch.cat([ids for ids, _ in parts]).unique(return_inverse=True)
    grads = torch.cat([grad for _, grad in parts])
    return ids, grads.new_zeros(len(ids), *grads.shape[1:]).index_add(0, at.to(grads.device), grads)
