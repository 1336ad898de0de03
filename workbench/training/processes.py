"""Training in several processes: start them, join them in a process group, share gradients and batch statistics.

torchrun starts processes by environment variables. `launch` does the same on one computer, and reports the failure of a
process in one line.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workbench.core.distributed import all_reduce_sum, processes, stack_ranks
from workbench.core.errors import InputError
from workbench.core.geometry import full
from workbench.core.ports import free_port
from workbench.training.interrupts import handle_signals

LOST = 69  # exit status of a process that ends because another one has ended
GRACE = 20.0  # s that the other processes have to end by themselves
JOIN_LIMIT = 300.0  # s that a process waits for the others at the start
LAUNCHED = "WORKBENCH_LAUNCHED_BY"  # environment variable: process number of the launcher


def process_ranks() -> tuple[int, int, int] | None:
    """Rank, local rank and world size as set by torchrun or `launch`; None in a single process.

    A scheduler may set some of the variables for other purposes: they count only when all five are set, are whole
    numbers, and are consistent.
    """
    values = [os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")]
    if not os.environ.get("MASTER_ADDR") or not all(value.isascii() and value.isdigit() for value in values):
        return None
    rank, local, size, _ = map(int, values)
    return (rank, local, size) if rank < size > 1 and local < size else None


@contextmanager
def join_processes(device: str = "auto", sharded: bool = True) -> Iterator[None]:
    """Join the process group of the processes started together. gloo on CPUs, NCCL on GPUs.

    Nothing happens in a single process, in a group that exists already, and where the centers are not `sharded`: then
    this process trains alone. Raises InputError where this computer has fewer GPUs than processes, and where the others
    do not join within JOIN_LIMIT.
    """
    ranks = process_ranks()
    if ranks is None or not sharded or processes() > 1:
        yield
        return
    rank, local, size = ranks
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        if local >= (count := torch.cuda.device_count()):
            raise InputError(f"{local + 1} or more processes and {count} GPUs: give --device cpu, or fewer processes")
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=rendezvous_store(rank, size), rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def rendezvous_store(rank: int, size: int) -> dist.Store:
    """The store through which the processes connect; InputError where one is missing after JOIN_LIMIT."""
    try:
        store, _, _ = next(dist.rendezvous("env://", rank, size, timeout=timedelta(seconds=JOIN_LIMIT)))
    except (dist.DistError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise InputError(
            f"process {rank} of {size} (RANK, WORLD_SIZE) did not find the others at {address} within {JOIN_LIMIT:g} s"
            f" ({' '.join(str(error).split())[:120]}); start all {size}, or unset WORLD_SIZE to train alone"
        ) from None
    store.set_timeout(timedelta(minutes=30))
    return dist.PrefixStore("workbench", store)


def launch(command: list[str], n: int) -> tuple[int, str]:
    """Run a command in n processes on this computer and wait. Returns the exit status and an error line ("": none).

    Only the first process prints on this terminal. When one process fails, the others are ended. Ctrl-C is left to the
    processes.
    """
    env = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), LAUNCHED: str(os.getpid())}
    env |= {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n)}
    env = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // n))} | env
    env = ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}) | env
    with tempfile.TemporaryFile("w+") as errors, handle_signals(lambda _: None, signal.SIGINT):
        workers = []
        for rank in range(n):
            streams = {"stdout": subprocess.DEVNULL, "stderr": errors} if rank else {}
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            workers.append(subprocess.Popen(command, env=env | ranks, **streams))
        with handle_signals(lambda _: [worker.terminate() for worker in workers], signal.SIGTERM):
            statuses = wait(workers)
        errors.seek(0)
        return verdict(statuses, errors.read().strip())


def wait(workers: list[subprocess.Popen]) -> list[int | None]:
    """The exit statuses of all processes; None for those that were killed after another one had failed."""
    while any(worker.poll() is None for worker in workers) and not any(worker.returncode for worker in workers):
        time.sleep(0.05)
    until = time.monotonic() + GRACE
    while any(worker.poll() is None for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    statuses = [worker.poll() for worker in workers]
    for worker in workers:
        worker.kill()
        worker.wait()
    return statuses


def verdict(statuses: list[int | None], errors: str) -> tuple[int, str]:
    """Exit status and error line of a launch; errors: the standard error of all processes but the first."""
    if not any(status != 0 for status in statuses):
        return 0, ""
    if statuses[0] in (1, 2, 130):  # the first process has printed the reason
        return statuses[0], ""
    n = len(statuses)
    for rank, status in enumerate(statuses):
        if status is not None and status < 0:
            return 1, f"process {rank} of {n} was killed ({signal.Signals(-status).name})"
        if status not in (0, None, LOST):
            last = errors.splitlines()[-1] if errors else "it said nothing"
            return status, f"process {rank} of {n} ended with status {status}: {last}"
    return 1, f"the {n} processes lost each other"


def is_leader(sharded: bool = True) -> bool:
    """Whether this process prints for its group; always true where it trains alone."""
    ranks = process_ranks()
    return ranks is None or not sharded or ranks[0] == 0


def is_launched() -> bool:
    """Whether `launch` started this process, and so reports how it ended."""
    return LAUNCHED in os.environ


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """All-reduce (sum) the gradients of replicated parameters; see `workbench.core.distributed`."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if processes() == 1 or not grads:
        return
    sums = all_reduce_sum(torch.cat([grad.flatten() for grad in grads]))
    for grad, total in zip(grads, sums.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(total.view_as(grad))


def share_batch_norm(net: nn.Module) -> nn.Module:
    """Replace the batch normalizations of a network in place by SharedBatchNorm; unchanged in a single process."""
    if processes() > 1:
        for module in list(net.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    setattr(module, name, SharedBatchNorm.of(child))
    return net


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization by the mean and variance over all processes, on CPUs too (SyncBatchNorm needs GPUs)."""

    @classmethod
    def of(cls, norm: nn.Module) -> "SharedBatchNorm":
        """A copy of a batch normalization, with its weights and statistics."""
        new = cls(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
        new.load_state_dict(norm.state_dict())
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions; the second one is the channels."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values, column = full(x), (-1, *[1] * (x.ndim - 2))
        var, mean = torch.var_mean(values, [d for d in range(x.ndim) if d != 1], correction=0)
        parts = stack_ranks(torch.cat([values.new_tensor([x.numel() // x.shape[1]]), mean, var]))
        n, means, variances = parts.split([1, len(mean), len(mean)], dim=1)
        share = n / n.sum()
        mean = (share * means).sum(dim=0)
        var = (share * (variances + (means - mean).square())).sum(dim=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (n.sum() / (n.sum() - 1)), self.momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        return ((values - mean.view(column)) * scale.view(column) + self.bias.view(column)).to(x.dtype)


class Follower:
    """The run of a process that does not record it: its methods do nothing."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def add_step(self, *_: Any) -> None:
        """Do nothing."""

    add_event = add_snapshot = add_note = finish = sync = add_step
