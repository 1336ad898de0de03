"""Objective: base class of all losses, a torch criterion whose state is updated as BatchNorm updates its statistics.

total = objective(x, y)          scalar; in train mode a forward that requires gradients advances the state once
objective.loss(x, y)             Loss(total, per_sample, terms); does not change the state
objective.observe(x, y)          advances the state only
objective.step(x, y)             both in one pass, for a training loop that calls apply_updates itself

The formula of a loss is in its `_loss` (softmax losses: losses/margin_softmax.py, triplet loss: losses/triplet.py).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.core.distributed import all_gather, all_gather_averaged, processes, scale_gradient
from workbench.core.errors import InputError
from workbench.core.geometry import full
from workbench.losses.link import OptimizerLink, is_recomputation
from workbench.margins.base import State

IGNORE_INDEX = -100  # label of ignored rows, as in torch.nn.functional.cross_entropy
LABEL_TYPES = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


class Loss(NamedTuple):
    """total: scalar to differentiate; per_sample (B,): loss of each sample; terms: summands of the total by name."""

    total: Tensor
    per_sample: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """Base class of all losses. `centers`: the class centers; `learned`: parameters of the margin and the criterion.

    Embeddings x (B, D) are not normalized; labels y (B,) have any integer type. Rows with the label `ignore_index`
    contribute to neither loss, state nor gradient. x is converted to the dtype of the centers if either is float64.

    Under DistributedDataParallel (several ranks, train mode) the embeddings of all ranks are gathered: every rank
    returns the loss of the whole batch, and gradients averaged over ranks are the gradients of that loss.

    Raises InputError for shapes that do not match, labels outside 0..C-1, embeddings of norm 0, and a batch whose
    labels are all ignored.
    """

    margin: Any
    centers: Any
    learned: nn.ParameterDict

    def __init__(self, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self._link = OptimizerLink()

    # --- defined by each loss ---

    def _compare(self, x: Tensor, y: Tensor, again: bool = False) -> Any:
        """Compare a checked batch with the class centers; the result is the argument of `_observe` and `_loss`.

        again: use the active classes of the last observed batch.
        """
        raise NotImplementedError

    def _observe(self, batch: Any) -> None:
        """Advance the state by a batch."""
        raise NotImplementedError

    def _loss(self, batch: Any, advance: bool = False) -> Loss:
        """The loss of a batch. advance: advance the state first."""
        raise NotImplementedError

    def parameters_now(self) -> dict[str, Any]:
        """The current value of every parameter of the loss, by name; `replace` changes them."""
        raise NotImplementedError

    def change(self, changes: Mapping[str, Any]) -> None:
        """`replace` without warnings."""
        raise NotImplementedError

    # --- common to all losses ---

    def replace(self, **changes: Any) -> None:
        """Change parameters by name; the state is kept. An invalid value changes nothing."""
        self.change(changes)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch, a scalar. In train mode with gradients, the state advances before the loss uses it.

        A recomputation by torch.utils.checkpoint does not advance the state again.
        """
        if not self._requires_grad(x):
            return self.loss(x, y).total
        x, y = self.check(x, y)
        if not self.training:
            return self._link.attach(self, self._loss(self._compare(*self._gather(x, y))).total)
        if torch.compiler.is_compiling() and not self.centers.partial and processes() == 1:
            return self._loss(self._compare(x, y), advance=True).total
        return self._train_forward(x, y)

    def loss(self, x: Tensor, y: Tensor) -> Loss:
        """Total, loss of each sample and terms, without a change of the state. per_sample leaves out ignored rows."""
        self._link.check_applied(self)
        return self._loss(self._compare(*self._gather(*self.check(x, y))))

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Advance the state by a batch."""
        self._observe(self._compare(*self._gather(*self.check(x, y))))

    def step(self, x: Tensor, y: Tensor) -> Loss:
        """Advance the state and return the loss; the training loop calls `apply_updates` after the optimizer's step.

        On a GPU labels are not checked, to avoid a synchronization. With several ranks only sharded centers gather the
        batch; with other class sets use `forward`.
        """
        self._link.check_applied(self)
        if processes() > 1 and not self.centers.sharded:
            self._link.warn_once("step sees only the batch of this rank; call criterion(x, y), which gathers all ranks")
        return self._loss(self._compare(*self._gather(*self.check(x, y, wait=False))), advance=True)

    @torch.no_grad()
    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Update the rows that no optimizer owns at learning rate lr, and project the learned parameters.

        scale: factor on the gradients of those rows. A training loop that uses `step` calls this after the optimizer's
        step; after `forward`, a step of the optimizer that holds `parameters()` calls it.
        """

    @property
    def state(self) -> State:
        """A copy of the state, by name."""
        return {name: value.clone() for name, value in self._state_buffers().items()}

    def _state_buffers(self) -> State:
        prefix = "state_"
        return {name.removeprefix(prefix): v for name, v in self._buffers.items() if name.startswith(prefix)}

    def check(self, x: Tensor, y: Tensor, wait: bool = True) -> tuple[Tensor, Tensor]:
        """Embeddings and int64 labels without ignored rows. Raises InputError for invalid ones.

        wait: also check values of GPU tensors, which synchronizes.
        """
        check_shapes(x, y, self.centers.dim)
        dtype = full(self.centers.weight[:0]).dtype
        x, y = (x if full(x[:0]).dtype == dtype else x.to(dtype)), y.long()
        if torch.compiler.is_compiling():
            inside = (y >= 0) & (y < self.centers.classes)
            torch._assert_async(inside.all(), f"a label is outside 0..{self.centers.classes - 1}, or ignored")
            return x, y
        if y.device.type != "cpu" and not wait:
            return x, y
        keep = y != self.ignore_index
        if not bool(keep.all()):
            x, y = x[keep], y[keep]
        check_values(x, y, self.centers.classes, self.ignore_index)
        return x, y

    def _requires_grad(self, x: Tensor) -> bool:
        """Whether gradients are enabled, and required by x or a parameter."""
        if not torch.is_grad_enabled():
            return False
        return x.requires_grad or any(p.requires_grad for p in self.parameters())

    @torch.compiler.disable
    def _train_forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Forward of a training step, linked to its backward pass and the next step of an optimizer."""
        if processes() > 1:
            x, y = self._gather_for_training(x, y)
        again = is_recomputation()
        if again:
            self._link.check_recomputed(self, y)
        else:
            self._link.begin_forward(self, y)
        loss = self._loss(self._compare(x, y, again), advance=not again)
        return self._link.attach(self, loss.total)

    def _gather_for_training(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batches of all ranks, with gradients for DistributedDataParallel, which averages over ranks."""
        if self.centers.sharded:  # gradients of this loss are summed over ranks, not averaged
            if self.learned:
                names = ", ".join(self.learned)
                raise InputError(f"sharded centers and learned parameters ({names}): train with step and sum_gradients")
            return self._gather(scale_gradient(x, times=processes()), y)
        return all_gather_averaged(x), all_gather(y)

    def _gather(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batches of all ranks if the centers are sharded, else this batch."""
        return (all_gather(x), all_gather(y)) if self.centers.sharded and processes() > 1 else (x, y)


def check_shapes(x: Tensor, y: Tensor, dim: int) -> None:
    """Raise InputError unless embeddings are (B, dim) and labels B integers."""
    if x.ndim != 2 or x.shape[1] != dim or len(x) == 0 or not x.is_floating_point():
        actual = f"shape {tuple(x.shape)} and type {x.dtype}"
        raise InputError(f"embeddings have {actual}; expected (B, {dim}) with B of at least 1, of a floating type")
    if y.shape != x.shape[:1] or y.dtype not in LABEL_TYPES:
        actual = f"shape {tuple(y.shape)} and type {y.dtype}"
        raise InputError(f"labels have {actual}; expected ({len(x)},) and an integer type such as torch.int64")


def check_values(x: Tensor, y: Tensor, classes: int, ignore_index: int) -> None:
    """Raise InputError for a label outside 0..classes-1, an empty batch or an embedding of norm 0 (on the CPU only)."""
    if len(y) == 0:
        raise InputError(f"every label of the batch is ignore_index = {ignore_index}; no row is left")
    low, high = torch.stack([y.min(), y.max()]).tolist()
    if low < 0 or high >= classes:
        raise InputError(
            f"label {low if low < 0 else high} is outside 0..{classes - 1} ({classes} classes);"
            f" ignored rows have the label ignore_index = {ignore_index}"
        )
    if x.device.type != "cpu":
        return
    zero = (x.detach() == 0).all(dim=1)
    if zero.any():
        raise InputError(f"the embedding of sample {int(zero.nonzero()[0])} of the batch has norm 0, so no direction")
