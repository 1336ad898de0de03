"""Objective: the protocol of every loss here; a criterion of torch with a state that behaves as BatchNorm's does.

total = objective(x, y)          a scalar; in train(), a forward that requires gradients advances the state once
objective.loss(x, y)             Loss(total, per_sample, terms); reads only
objective.observe(x, y)          advances the state only
objective.step(x, y)             both in one pass, for a training loop that calls apply_updates itself
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.core.distributed import all_gather, all_gather_averaged, multiply_gradient, processes
from workbench.core.errors import InputError
from workbench.core.geometry import full
from workbench.losses.link import OptimizerLink, recomputes
from workbench.margins.base import State

IGNORE_INDEX = -100  # label of the rows to leave out, as in torch.nn.functional.cross_entropy
LABEL_TYPES = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


class Loss(NamedTuple):
    """total: the scalar to differentiate; per_sample (B,); terms: the named summands of the total."""

    total: Tensor
    per_sample: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """The base of all losses. `centers` holds the class centers, `learned` the parameters of margin and criterion.

    Embeddings x (B, D) are not normalized; labels y (B,) have any integer type. Rows with the label `ignore_index` are
    left out of loss, state and gradient. x is converted to the floating type of the centers where one is float64.

    Under DistributedDataParallel (more than one rank, train mode) the embeddings of all ranks are gathered: the value
    is the loss of the whole batch on every rank, and gradients averaged over ranks are its gradients.

    Raises InputError for shapes that do not match, labels outside 0..C-1, embeddings of norm 0, and a batch of which
    every label is ignored.
    """

    margin: Any
    centers: Any
    learned: nn.ParameterDict

    def __init__(self, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self._link = OptimizerLink()

    # --- to be defined by each loss ---

    def _loss(self, x: Tensor, y: Tensor, advance: bool = False, again: bool = False) -> Loss:
        """The loss of a checked batch.

        advance: first advance the state by it; again: with the classes of the last batch that advanced the state.
        """
        raise NotImplementedError

    def _advance(self, x: Tensor, y: Tensor) -> None:
        """Advance the state by a checked batch."""
        raise NotImplementedError

    def parameters_now(self) -> dict[str, Any]:
        """The value of every parameter of the loss, by name; `replace` changes those."""
        raise NotImplementedError

    def change(self, changes: Mapping[str, Any]) -> None:
        """`replace` without its warnings."""
        raise NotImplementedError

    # --- the same for all ---

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch, a scalar. In train() with gradients the state advances once, before the batch uses it.

        A recomputation by torch.utils.checkpoint does not advance it again.
        """
        if not self._differentiates(x):
            return self.loss(x, y).total
        x, y = self.check(x, y)
        if not self.training:
            return self._link.attach(self, self._loss(*self._sharded(x, y)).total)
        if torch.compiler.is_compiling() and not self.centers.partial and processes() == 1:
            return self._loss(x, y, advance=True).total
        return self._train_forward(x, y)

    def loss(self, x: Tensor, y: Tensor) -> Loss:
        """Total, loss of each sample (B,) and terms; reads only. Ignored rows are not in per_sample."""
        self._link.check_applied(self)
        return self._loss(*self._sharded(*self.check(x, y)))

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Advance the state by a batch."""
        self._advance(*self._sharded(*self.check(x, y)))

    def step(self, x: Tensor, y: Tensor) -> Loss:
        """Observe a batch, then its loss, for a training loop that calls `apply_updates` after the optimizer's step.

        On a GPU labels are not checked, because that would wait for it. With several ranks only sharded centers gather
        the batch; use `forward` with others.
        """
        self._link.check_applied(self)
        if processes() > 1 and not self.centers.sharded:
            self._link.warn_once("step sees only the batch of this rank; call criterion(x, y), which gathers all ranks")
        return self._loss(*self._sharded(*self.check(x, y, wait=False)), advance=True)

    @torch.no_grad()
    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """After the optimizer's step at rate lr: move the rows that no optimizer owns, and project learned parameters.

        scale: multiplies the gradients of those rows. After `forward`, the step of any optimizer that holds
        `parameters()` calls this.
        """

    @property
    def state(self) -> State:
        """A copy of the state that survives between batches, by name."""
        found = {name: value for name, value in self._buffers.items() if name.startswith("state_")}
        return {name.removeprefix("state_"): value.clone() for name, value in found.items()}

    def check(self, x: Tensor, y: Tensor, wait: bool = True) -> tuple[Tensor, Tensor]:
        """Embeddings and labels as the loss uses them: without ignored rows, labels int64. InputError names a fault.

        wait: read values on a GPU too, which waits for it.
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

    def _differentiates(self, x: Tensor) -> bool:
        """Whether gradients are enabled and something requires them."""
        if not torch.is_grad_enabled():
            return False
        return x.requires_grad or any(p.requires_grad for p in self.parameters())

    @torch.compiler.disable
    def _train_forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The forward that the backward pass and the next step of an optimizer belong to."""
        if processes() > 1:
            x, y = self._all_ranks(x, y)
        again = recomputes()
        if again:
            self._link.check_recomputed(self, y)
        else:
            self._link.begin_forward(self, y)
        loss = self._loss(x, y, advance=not again, again=again)
        return self._link.attach(self, loss.total)

    def _all_ranks(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batches of all ranks; gradients are those that DistributedDataParallel averages."""
        if self.centers.sharded:  # gradients of this loss are summed over ranks, not averaged
            if self.learned:
                names = ", ".join(self.learned)
                raise InputError(f"sharded centers and learned parameters ({names}): train with step and sum_gradients")
            return self._sharded(multiply_gradient(x), y)
        return all_gather_averaged(x), all_gather(y)

    def _sharded(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batches of all ranks where the centers are sharded; else the given one."""
        return (all_gather(x), all_gather(y)) if self.centers.sharded and processes() > 1 else (x, y)


def check_shapes(x: Tensor, y: Tensor, dim: int) -> None:
    """InputError for embeddings that are not (B, dim) and for labels that are not B integers."""
    if x.ndim != 2 or x.shape[1] != dim or len(x) == 0 or not x.is_floating_point():
        found = f"shape {tuple(x.shape)} and type {x.dtype}"
        raise InputError(f"embeddings have {found}; expected (B, {dim}) with B of at least 1, of a floating type")
    if y.shape != x.shape[:1] or y.dtype not in LABEL_TYPES:
        found = f"shape {tuple(y.shape)} and type {y.dtype}"
        raise InputError(f"labels have {found}; expected ({len(x)},) and an integer type such as torch.int64")


def check_values(x: Tensor, y: Tensor, classes: int, ignore_index: int) -> None:
    """InputError for a label outside 0..classes-1, an empty batch and an embedding of norm 0 (read on the CPU only)."""
    if len(y) == 0:
        raise InputError(f"every label of the batch is ignore_index = {ignore_index}; no row is left")
    low, high = torch.stack([y.min(), y.max()]).tolist()
    if low < 0 or high >= classes:
        raise InputError(
            f"label {low if low < 0 else high} is outside 0..{classes - 1} ({classes} classes);"
            f" rows to leave out have the label ignore_index = {ignore_index}"
        )
    if x.device.type != "cpu":
        return
    zero = (x.detach() == 0).all(dim=1)
    if zero.any():
        raise InputError(f"the embedding of sample {int(zero.nonzero()[0])} of the batch has norm 0, so no direction")
