"""The link between an objective and the optimizers of any training loop.

Rows of sampled and queued centers belong to no optimizer, because a step of a dense parameter is O(C). Their class set
has one parameter of one element, the `handle`, in their place: `criterion.parameters()` contains it, so that it lies in
a group of an optimizer. After each step of that optimizer (a global hook of torch.optim) the rows move at the group's
learning rate. The handle's gradient shows what happened to gradients in between: None after zero_grad, divided by the
scale of a GradScaler, multiplied by a clipping factor; the rows' gradients are treated likewise.
"""

import gc
import inspect
import threading
import warnings
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from workbench.core.errors import InputError

UNIT = 2.0**-40  # gradient of a handle: nothing beside others in a clipped norm, and exact in float32
PATIENCE = 100  # backward passes without a step of the optimizer after which a warning follows
FIX = "give criterion.parameters() to a torch.optim optimizer, in its own group if its lr is to differ"


class OptimizerLink:
    """What an objective knows of the optimizers: whether one holds its parameters, and gradients that wait for a step.

    held: an optimizer that holds parameters of the objective has stepped; others: another one has stepped since
    gradients arrived; backwards: backward passes since the last step; received: the sum of the gradients that the
    totals received, as the handle's gradient should be.
    """

    def __init__(self) -> None:
        self.held = self.others = self.stepped = self.unapplied = self.warned = False
        self.backwards = 0
        self.received: Tensor | None = None
        self.labels: Tensor | None = None

    def __deepcopy__(self, memo: Any) -> "OptimizerLink":
        return OptimizerLink()

    def begin_forward(self, objective: Any, y: Tensor) -> None:
        """Before a forward that advances the state. Raises InputError where centers would stay; warns once if full."""
        register(objective)
        self.labels = y
        handle = objective.centers.handle
        if handle is not None and objective.centers.replaced:
            raise InputError(
                "FSDP shards full centers only: leave a criterion with sampled or queued centers out of it"
            )
        if handle is not None and bool(handle.any()):
            raise InputError(f"something else than a torch.optim optimizer has changed criterion.parameters(); {FIX}")
        unmoved = not self.held and self.others and self.backwards > 0  # another optimizer has stepped
        if not (unmoved or (objective.centers.partial and self.backwards >= PATIENCE)):
            return
        moves = objective.centers.partial or any(p.grad is not None for p in objective.parameters())
        self.held = self.held or not moves or held_anywhere(objective)
        if self.held and self.backwards < PATIENCE:
            return
        message = f"the centers have gradients and no optimizer moves them; {FIX}"
        if objective.centers.partial and unmoved:
            raise InputError(message)
        self.warn_once(message)

    def warn_once(self, message: str) -> None:
        """Warn, once for each objective."""
        if not self.warned:
            self.warned = True
            warnings.warn(message, stacklevel=find_stacklevel())

    def check_applied(self, objective: Any) -> None:
        """Before `step` or `loss`: InputError where an optimizer has stepped without an update of the rows."""
        if torch.compiler.is_compiling() or not objective.centers.partial:
            return
        register(objective)
        if self.unapplied and objective.centers.pending:
            raise InputError(
                "an optimizer has stepped and the centers have not moved: call criterion(x, y) in a training loop,"
                " or apply_updates(lr) after each optimizer.step()"
            )

    def check_recomputed(self, objective: Any, y: Tensor) -> None:
        """InputError where the batch that is recomputed is not the last one that advanced the state."""
        depends = objective.centers.partial or any(name.startswith("state_") for name in objective._buffers)
        if depends and (self.labels is None or not torch.equal(self.labels, y)):
            raise InputError(
                "a checkpointed criterion is recomputed after another batch advanced its state;"
                " call backward after each forward, or leave the criterion out of the checkpoint"
            )

    def attach(self, objective: Any, total: Tensor) -> Tensor:
        """The total, connected to the handle, so that its backward pass is noticed."""
        handle = objective.centers.handle
        return Attach.apply(total, total.new_zeros(1) if handle is None else handle, weakref.ref(objective))

    def begin_backward(self, objective: Any, grad: Tensor) -> None:
        """As the backward pass of a total starts, before any gradient of rows arrives."""
        handle = objective.centers.handle
        self.backwards += 1
        if handle is None:
            return
        if handle.grad is None or not bool(handle.grad.any()):
            objective.centers.discard_updates()
            self.received = None
        elif self.stepped:
            self.warn_once(
                "the optimizer has stepped and its gradients were not set to zero; call optimizer.zero_grad() after"
                " each step: gradients of sampled or queued centers do not add up over steps"
            )
        self.stepped = False
        self.received = grad.detach() if self.received is None else self.received + grad.detach()

    @torch.no_grad()
    def after_step(self, objective: Any, rates: dict[int, float]) -> None:
        """After a step of an optimizer; rates: the learning rate of each of its parameters, by id."""
        self.unapplied = objective.centers.pending
        mine = [rates[id(p)] for p in objective.parameters() if id(p) in rates]
        if not mine:
            self.others = True
            return
        self.held, self.others, self.backwards = True, False, 0
        handle = objective.centers.handle
        if handle is None:
            return objective.apply_updates(mine[0])
        if id(handle) not in rates or handle.grad is None or self.received is None:
            return
        ratio = handle.grad / (UNIT * self.received).to(handle.grad)
        near = (ratio - 1).abs() < 1e-6  # rounding of an average over ranks
        objective.apply_updates(rates[id(handle)], torch.where(near, torch.ones_like(ratio), ratio))
        handle.zero_()
        self.stepped, self.received = True, None


class Attach(torch.autograd.Function):
    """A total as it is; its gradient reaches the handle as well, times UNIT."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, handle: Tensor, owner: weakref.ref) -> Tensor:
        ctx.owner = owner
        return total.clone()  # not a view, which code of others could not change in place

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        objective = ctx.owner()
        if objective is not None:
            objective._link.begin_backward(objective, grad)
        return grad, (grad * UNIT).reshape(1) if ctx.needs_input_grad[1] else None, None


LINKED: "weakref.WeakSet[Any]" = weakref.WeakSet()  # objectives that a training loop calls by forward


LOCK = threading.Lock()  # trainings in threads add objectives while others iterate


def register(objective: Any) -> None:
    """Let an objective know of the steps of optimizers from now on."""
    with LOCK:
        LINKED.add(objective)


def after_any_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """After a step of any optimizer of torch: tell the objectives whose parameters it moves."""
    with LOCK:
        objectives = list(LINKED)
    if objectives:
        rates = {id(p): float(group.get("lr", 0.0)) for group in optimizer.param_groups for p in group["params"]}
        for objective in objectives:
            objective._link.after_step(objective, rates)


def held_anywhere(objective: Any) -> bool:
    """Whether any optimizer of this process holds a parameter of the objective (its handle, if it has one)."""
    handle = objective.centers.handle
    wanted = {id(p) for p in (objective.parameters() if handle is None else (handle,))}
    optimizers = (o for o in gc.get_objects() if issubclass(type(o), torch.optim.Optimizer))
    return any(id(p) in wanted for o in optimizers for group in o.param_groups for p in group["params"])


def recomputes() -> bool:
    """Whether a forward runs inside a backward pass because a non-reentrant checkpoint recomputes it.

    A reentrant checkpoint runs its first forward without gradients, which does not advance the state; so its second one
    does.
    """
    if torch._C._current_graph_task_id() == -1:
        return False
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"


def find_stacklevel() -> int:
    """The stacklevel of the first caller outside of torch and of this package."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("torch.", "workbench.")):
        frame, level = frame.f_back, level + 1
    return level


register_optimizer_step_post_hook(after_any_step)
