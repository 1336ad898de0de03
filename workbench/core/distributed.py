"""What several processes of one training do together: sums that carry gradient, the whole of what each has a part of.

The convention of all gradients here: every process has the same loss, and what it sends back counts once over all of
them (`once`). So a quantity that only one process owns gets its whole gradient, and one that every process holds a
copy of gets a part on each: the parts are summed after the backward pass. Alone, every function returns what it was
given. Every process calls them in the same order.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class PartnerLost(RuntimeError):
    """Another process of the training is gone, so nothing can be done together any more."""


def processes() -> int:
    """How many processes train together; 1 where this one is alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; number 0 leads: it writes and speaks."""
    return dist.get_rank() if processes() > 1 else 0


def stretch(n: int, of: int, at: int) -> slice:
    """The part of n things in order that process `at` of `of` has: neighbours, as many as of any other, or one more."""
    return slice(n * at // of, n * (at + 1) // of)


def own_stretch(n: int) -> slice:
    """This process's part of n things."""
    return stretch(n, processes(), rank())


def summed(part: Tensor) -> Tensor:
    """The sum of the tensors, of one shape, that the processes have: the same bits on each of them."""
    return Summed.apply(part) if processes() > 1 else part


def largest(part: Tensor) -> Tensor:
    """The largest of the tensors that the processes have, entry by entry; a constant."""
    return reduced(part.detach(), dist.ReduceOp.MAX) if processes() > 1 else part.detach()


def logsumexp(part: Tensor) -> Tensor:
    """log sum exp over processes of numbers that are themselves such logs; no part is needed: -infinity."""
    top = largest(part)
    return top + summed((part - top).exp()).log()


def stacked(part: Tensor) -> Tensor:
    """The tensors, of one shape, of all processes in their order: (processes, ...)."""
    zeros = [torch.zeros_like(part)] * processes()
    return summed(torch.stack([*zeros[: rank()], part, *zeros[rank() + 1 :]]))


def gathered(part: Tensor) -> Tensor:
    """The rows (n, ...) of all processes in their order, whose numbers n may differ: (sum of n, ...)."""
    if processes() == 1:
        return part
    counts = stacked(torch.tensor(len(part))).tolist()
    before, after = sum(counts[: rank()]), sum(counts[rank() + 1 :])
    return summed(torch.cat([part.new_zeros(before, *part.shape[1:]), part, part.new_zeros(after, *part.shape[1:])]))


def once(value: Tensor) -> Tensor:
    """A value that every process has, as it is; of its gradient each process sends back its share, all together one."""
    return Once.apply(value)


def anywhere(here: bool) -> bool:
    """Whether something is so on any process."""
    return bool(largest(torch.tensor(int(here))))


def collected(part: Tensor, n: int, each: int = 1) -> Tensor:
    """The rows of n things, `each` of every one, of which each process has its stretch: whole on the CPU of the leader.

    The others get their own part back.
    """
    part = part.detach().cpu().contiguous()
    if processes() == 1:
        return part
    if rank() > 0:
        carried(dist.send, part.view(torch.uint8), 0)
        return part
    whole = part.new_empty(n * each, *part.shape[1:])
    whole[: len(part)] = part
    for other in range(1, processes()):
        theirs = stretch(n, processes(), other)
        carried(dist.recv, whole[theirs.start * each : theirs.stop * each].view(torch.uint8), other)
    return whole


class Summed(torch.autograd.Function):
    """The sum over processes, and of its gradients: each process's loss depends on each process's part."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return reduced(part, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return reduced(grad, dist.ReduceOp.SUM)


class Once(torch.autograd.Function):
    """The value itself; a share of its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / processes()


def reduced(part: Tensor, how: dist.ReduceOp) -> Tensor:
    """A new tensor with what all processes make of their parts."""
    whole = part.contiguous().clone()
    carried(dist.all_reduce, whole, how)
    return whole


def carried(exchange: Any, *arguments: Any) -> None:
    """Exchange something with the other processes; PartnerLost where one of them does not answer."""
    try:
        exchange(*arguments)
    except RuntimeError as error:
        raise PartnerLost("another process of this training does not answer") from error
