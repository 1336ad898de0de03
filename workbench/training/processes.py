"""Several processes for one training: starting and joining them, what they share, and what a dead one means.

torchrun starts and joins processes by environment variables; `launch` does the same on one computer, and turns a death
into one line where torchrun prints its own account.
"""

import os
import signal
import socket
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
from workbench.training.interrupts import handle_signals

LOST = 69  # exit status of a process that ends because another one is gone
GRACE = 20.0  # seconds that the others have to end by themselves
JOIN_LIMIT = 300.0  # seconds that a process waits for the others when a training begins
LAUNCHED = "WORKBENCH_LAUNCHED_BY"  # holds the number of the process that launched this one


def group() -> tuple[int, int, int] | None:
    """Rank, local rank and number of the processes that torchrun or `launch` started together; None: alone.

    A scheduler may set some of the variables for its own purposes: they count only when all five are there, are whole
    numbers, and agree.
    """
    values = [os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")]
    if not os.environ.get("MASTER_ADDR") or not all(value.isascii() and value.isdigit() for value in values):
        return None
    rank, local, size, _ = map(int, values)
    return (rank, local, size) if rank < size > 1 and local < size else None


@contextmanager
def joined(device: str = "auto", sharded: bool = True) -> Iterator[None]:
    """Join the processes that were started together; alone, nothing. gloo between CPUs, NCCL between GPUs.

    sharded: whether the centers are, else this process trains alone. Raises InputError where there are fewer GPUs than
    processes on this computer, and where the others do not join within JOIN_LIMIT.
    """
    started = group()
    if started is None or not sharded or processes() > 1:
        yield
        return
    rank, local, size = started
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        if local >= (found := torch.cuda.device_count()):
            raise InputError(f"{local + 1} or more processes and {found} GPUs: give --device cpu, or fewer processes")
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=meeting(rank, size), rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def meeting(rank: int, size: int) -> dist.Store:
    """The store in which the processes find each other; InputError where they are not all there in time."""
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
    """Run a command in n processes on this computer and wait: its exit status, and one line if they did not say why.

    The first of them speaks on this terminal, the others only through that line. When one ends badly, the others end
    as well. Ctrl-C is theirs to handle.
    """
    own = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), LAUNCHED: str(os.getpid())}
    own |= {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n)}
    own = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // n))} | own
    own = ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}) | own
    with tempfile.TemporaryFile("w+") as said, handle_signals(lambda _: None, signal.SIGINT):
        workers = []
        for rank in range(n):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": said} if rank else {}
            ranked = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            workers.append(subprocess.Popen(command, env=own | ranked, **quiet))
        with handle_signals(lambda _: [worker.terminate() for worker in workers], signal.SIGTERM):
            statuses = wait(workers)
        said.seek(0)
        return verdict(statuses, said.read().strip())


def wait(workers: list[subprocess.Popen]) -> list[int | None]:
    """The exit statuses of all, None of those that had to be killed because another had ended badly."""
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


def verdict(statuses: list[int | None], said: str) -> tuple[int, str]:
    """The exit status of a launch, and what is to be said; said: what all but the first process wrote."""
    if not any(status != 0 for status in statuses):
        return 0, ""
    if statuses[0] in (1, 2, 130):  # it leads, and has said so itself
        return statuses[0], ""
    n = len(statuses)
    for rank, status in enumerate(statuses):
        if status is not None and status < 0:
            return 1, f"process {rank} of {n} was killed ({signal.Signals(-status).name})"
        if status not in (0, None, LOST):
            last = said.splitlines()[-1] if said else "it said nothing"
            return status, f"process {rank} of {n} ended with status {status}: {last}"
    return 1, f"the {n} processes lost each other"


def leads(sharded: bool = True) -> bool:
    """Whether this process prints for all that were started together; always where it trains alone."""
    started = group()
    return started is None or not sharded or started[0] == 0


def launched() -> bool:
    """Whether `launch` started this process, and so reports how it ended."""
    return LAUNCHED in os.environ


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of parameters that every process has a copy of; see `workbench.core.distributed`."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if processes() == 1 or not grads:
        return
    sums = all_reduce_sum(torch.cat([grad.flatten() for grad in grads]))
    for grad, total in zip(grads, sums.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(total.view_as(grad))


def shared_norms(net: nn.Module) -> nn.Module:
    """The network, whose batch normalisations look at the whole batch where several processes have a share each."""
    if processes() > 1:
        for module in list(net.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    setattr(module, name, SharedBatchNorm.of(child))
    return net


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the mean and variance of the whole batch; torch's SyncBatchNorm asks for GPUs."""

    @classmethod
    def of(cls, norm: nn.Module) -> "SharedBatchNorm":
        """One with the weights and the statistics of a batch normalisation."""
        new = cls(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
        new.load_state_dict(norm.state_dict())
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions, the channels second."""

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
    """Stands for the run on the processes that do not record it: takes everything and writes nothing."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def add_step(self, *_: Any) -> None:
        """Not recorded here."""

    add_event = add_snapshot = add_note = finish = sync = add_step
