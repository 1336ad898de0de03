"""Collective operations of several processes (ranks), most of them differentiable.

Alone, every function returns its argument. Every rank calls the functions in the same order. Gradients: where ranks
exchange parts of one loss (`all_reduce_sum`, `all_gather`), the backward pass sums over ranks, and `divide_gradient`
makes the loss, which every rank holds, count once; so gradients of replicated parameters are summed after the backward
pass. `all_gather_averaged` is for DistributedDataParallel, which averages gradients instead.

`torch.distributed.nn.functional.all_reduce` computes the same as `AllReduceSum`. It is not used because a rank that is
lost during the backward pass must raise `PartnerLost`, not a RuntimeError of the autograd engine.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class PartnerLost(RuntimeError):
    """Another rank of the training does not answer, so no collective operation can complete."""


def processes() -> int:
    """The number of ranks; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The rank of this process, from 0; rank 0 writes files and messages."""
    return dist.get_rank() if processes() > 1 else 0


def shard_range(n: int, ranks: int | None = None, at: int | None = None) -> slice:
    """The contiguous part of n items that rank `at` of `ranks` owns (default: this rank); sizes differ by at most 1."""
    ranks, at = processes() if ranks is None else ranks, rank() if at is None else at
    return slice(n * at // ranks, n * (at + 1) // ranks)


def all_reduce_sum(part: Tensor) -> Tensor:
    """Differentiable all-reduce (sum); bitwise identical on all ranks."""
    return AllReduceSum.apply(part) if processes() > 1 else part


def all_reduce_max(part: Tensor) -> Tensor:
    """All-reduce (elementwise maximum); a constant."""
    return all_reduce(part.detach(), dist.ReduceOp.MAX) if processes() > 1 else part.detach()


def logsumexp(part: Tensor) -> Tensor:
    """log sum exp over ranks of values that are log-sum-exps themselves; -infinity stands for an empty part."""
    top = all_reduce_max(part)
    return top + all_reduce_sum((part - top).exp()).log()


def stack_ranks(part: Tensor) -> Tensor:
    """Tensors of one shape, stacked in rank order: (ranks, ...)."""
    zeros = [torch.zeros_like(part)] * processes()
    return all_reduce_sum(torch.stack([*zeros[: rank()], part, *zeros[rank() + 1 :]]))


def all_gather(part: Tensor) -> Tensor:
    """Rows (n, ...) of all ranks in rank order, n may differ between ranks: (sum of n, ...)."""
    if processes() == 1:
        return part
    counts = stack_ranks(torch.tensor(len(part))).tolist()
    before, after = sum(counts[: rank()]), sum(counts[rank() + 1 :])
    return all_reduce_sum(
        torch.cat([part.new_zeros(before, *part.shape[1:]), part, part.new_zeros(after, *part.shape[1:])])
    )


def all_gather_averaged(part: Tensor) -> Tensor:
    """`all_gather` for a loss that every rank computes from all rows, with gradients averaged over ranks afterwards.

    The gradient of this rank's rows is multiplied by the number of ranks, so that the average over ranks, which
    DistributedDataParallel takes, is the gradient of the loss of the whole batch. No communication in the backward.
    """
    return part if processes() == 1 else AllGatherAveraged.apply(part)


def divide_gradient(value: Tensor) -> Tensor:
    """A value that every rank holds; its gradient is divided by the number of ranks, so that it counts once."""
    return ScaleGradient.apply(value, 1, processes())


def multiply_gradient(value: Tensor) -> Tensor:
    """The value itself; its gradient is multiplied by the number of ranks."""
    return ScaleGradient.apply(value, processes(), 1)


def any_rank(here: bool) -> bool:
    """Whether a condition holds on any rank."""
    return bool(all_reduce_max(torch.tensor(int(here))))


def gather_to_first(part: Tensor, n: int, rows: int = 1) -> Tensor:
    """The rows of n items, `rows` of each, of which each rank owns its `shard_range`: on the CPU of rank 0.

    Other ranks return their own part.
    """
    part = part.detach().cpu().contiguous()
    if processes() == 1:
        return part
    if rank() > 0:
        exchange(dist.send, part.view(torch.uint8), 0)
        return part
    whole = part.new_empty(n * rows, *part.shape[1:])
    whole[: len(part)] = part
    for other in range(1, processes()):
        theirs = shard_range(n, processes(), other)
        exchange(dist.recv, whole[theirs.start * rows : theirs.stop * rows].view(torch.uint8), other)
    return whole


class AllReduceSum(torch.autograd.Function):
    """Sum over ranks; the gradient is summed too, since the loss of each rank depends on the part of each rank."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return all_reduce(part, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return all_reduce(grad, dist.ReduceOp.SUM)


class AllGatherAveraged(torch.autograd.Function):
    """All rows of all ranks; the gradient of this rank's rows, times the number of ranks."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        counts = stack_ranks(torch.tensor(len(part), device=part.device)).tolist()
        ctx.start = sum(counts[: rank()])
        ctx.end = ctx.start + len(part)
        whole = part.new_zeros(sum(counts), *part.shape[1:])
        whole[ctx.start : ctx.end] = part
        return all_reduce(whole, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad[ctx.start : ctx.end] * processes()


class ScaleGradient(torch.autograd.Function):
    """The value itself; its gradient times a number, over a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, times: int, over: int) -> Tensor:
        ctx.times, ctx.over = times, over
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.times / ctx.over, None, None


def all_reduce(part: Tensor, operation: dist.ReduceOp) -> Tensor:
    """A new tensor, reduced over ranks."""
    whole = part.contiguous().clone()
    exchange(dist.all_reduce, whole, operation)
    return whole


def exchange(operation: Any, *arguments: Any) -> None:
    """Run a communication; raises PartnerLost where another rank does not answer."""
    try:
        operation(*arguments)
    except RuntimeError as error:
        raise PartnerLost("another process of this training does not answer") from error
