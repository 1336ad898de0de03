"""SampledCenters: active are the classes of the batch and randomly sampled others (Partial FC, An et al. 2021/22).

Truly sparse: a step is O(active classes). Rows of inactive classes get no gradient, momentum or weight decay.
"""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from workbench.centers.bank import Bank, fill_centers, sample_others
from workbench.centers.base import ActiveClasses, ClassSet
from workbench.centers.options import SampledOptions
from workbench.centers.similarity import Cosine
from workbench.core.random import generator


class SampledCenters(ClassSet):
    """The classes of the batch and sampled others, in total `max_active` (default: ceil(rate C)) or those of the batch.

    The sample depends on (seed, step); `step`, a buffer, counts the observed batches. Initial centers are those of
    FullCenters. options: see SampledOptions. The rows are in a Bank, which updates the active ones by SGD; `handle`
    represents them in the optimizer of a training loop (`workbench.losses.link`).

    Order of a training step: select, observe (the step advances), backward, apply_updates. `select` returns new leaf
    tensors; a backward pass that reaches one registers its gradient for the next `apply_updates`, which updates exactly
    the rows with gradients. Several backward passes before one apply_updates accumulate, as for a parameter.

    Follows / differs: the released Partial FC 2 has a dense parameter, whose inactive rows are still updated by
    momentum and weight decay; here they are not.
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
        self.bank = Bank((classes, similarity.rows, dim), o, self.HOST)
        fill_centers(self.bank.rows, seed)
        self.biases = Bank((classes,), replace(o, renormalize=False), self.HOST) if similarity.biased else None
        self.handle = nn.Parameter(torch.zeros(1))
        self._first_handle = (self.handle,)  # a tuple, so that it is not registered as a parameter
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._updates: dict[Tensor, tuple[Bank, Tensor, Tensor | slice]] = {}  # by leaf tensor with a gradient
        self._last: Tensor | None = None  # active classes of the last observed batch

    def tune(self, name: str, value: float) -> None:
        live = self.Options.live()
        if name not in live:
            return super().tune(name, value)
        changes = {name: value} | ({"max_active": None} if name == "rate" else {})
        self.options = replace(self.options, **changes)

    @property
    def max_active(self) -> int:
        """Active classes in a batch, unless the batch itself has more classes."""
        limit = self.options.max_active
        if limit is None:
            limit = max(2, math.ceil(self.options.rate * self.classes - 1e-9))
        return min(self.classes, limit)

    @property
    def weight(self) -> Tensor:
        """Every center (C sub, D), as stored."""
        return self.bank.rows.flatten(0, 1)

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        """The active classes of a batch with labels y (B,), in ascending order, and leaf tensors of their rows."""
        labels = y.detach().cpu()
        present = labels.unique()
        ids = self._last if again else self._sample(present)
        W = self._make_leaf(self.bank, ids, present, y.device).flatten(0, 1)
        bias = self._make_leaf(self.biases, ids, present, y.device) if self.biases is not None else None
        return ActiveClasses(W, bias, torch.searchsorted(ids, labels).to(y.device), ids.to(y.device))

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        self._last = None if ids is None else ids.cpu()
        self.step += 1

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Update the rows that have received gradients since the last call, and no others."""
        updates, self._updates = self._updates, {}
        rng = generator(self.seed, f"rounding {int(self.step)}")
        for bank in (self.bank, self.biases):
            parts = [(ids, leaf.grad[at]) for leaf, (owner, ids, at) in updates.items() if owner is bank]
            if parts:
                ids, grad = sum_by_class(parts)
                bank.update(ids, grad if scale is None else grad * scale.to(grad), lr, rng)

    @property
    def handle_replaced(self) -> bool:
        """Whether the handle is not the parameter that the module was constructed with, as under FSDP."""
        return self.handle is not self._first_handle[0]

    @property
    def pending(self) -> bool:
        return bool(self._updates)

    def discard_updates(self) -> None:
        self._updates = {}

    def _sample(self, present: Tensor) -> Tensor:
        """The active classes (n,), sorted, of a batch with the classes present (P,)."""
        required = self._required_classes(present)
        rng = generator(self.seed, f"negatives {int(self.step)}")
        others = sample_others(self.classes, self.max_active - len(required), required, rng)
        return torch.cat([required, others]).sort().values

    def _required_classes(self, present: Tensor) -> Tensor:
        """The classes, sorted, that must be active in a batch with the classes present (P,)."""
        return present

    def _update_positions(self, ids: Tensor, present: Tensor) -> Tensor | slice | None:
        """Positions in ids (n,) of rows to update, in a batch with the classes present (P,); None: no row."""
        return slice(None)

    def _make_leaf(self, bank: Bank, ids: Tensor, present: Tensor, device: torch.device) -> Tensor:
        """The rows of classes ids (n,) as a leaf tensor; a backward pass that reaches it registers an update."""
        leaf = bank.gather(ids).to(device)
        at = self._update_positions(ids, present)
        if at is None or not torch.is_grad_enabled():
            return leaf
        leaf.requires_grad_()
        leaf.register_post_accumulate_grad_hook(lambda leaf: self._updates.__setitem__(leaf, (bank, ids[at], at)))
        return leaf

    def __deepcopy__(self, memo: dict[int, Any]) -> "SampledCenters":
        """A copy without registered updates, which belong to the loss of the original."""
        return copy_without(self, memo, _updates={})

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.pop(f"{prefix}handle", None)  # zero between steps

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state | {f"{prefix}handle": self.handle.detach()}, prefix, *rest)


def copy_without(module: nn.Module, memo: dict[int, Any], **values: Any) -> Any:
    """A deep copy of a module, with `values` for some attributes instead of copies."""
    new = module.__class__.__new__(module.__class__)
    memo[id(module)] = new
    new.__dict__.update({k: values[k] if k in values else deepcopy(v, memo) for k, v in vars(module).items()})
    return new


def sum_by_class(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Distinct classes (n,) and their gradients (n, ...), summed over parts of the same form."""
    if len(parts) == 1:
        return parts[0]
    ids, at = torch.cat([ids for ids, _ in parts]).unique(return_inverse=True)
    grads = torch.cat([grad for _, grad in parts])
    return ids, grads.new_zeros(len(ids), *grads.shape[1:]).index_add(0, at.to(grads.device), grads)
