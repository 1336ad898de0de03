"""Estimate the memory of the classifier of a training, part by part, for every class set.

Two training steps are run at small sizes, with prime numbers of classes, samples and dimensions, and every allocation
is recorded. The primes identify what an allocation is proportional to (a multiple of C x D: the centers, of B x C: the
cosines), so the same sequence of allocations can be evaluated at other sizes.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.centers.base import ClassSet
from workbench.centers.queued import QueuedCenters
from workbench.centers.sampled import SampledCenters
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError, unknown
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS, build

GIB = 2**30
GROWS = (
    "C x D",
    "n x D",
    "B x C",
    "B x n",
    "B x D",
    "C",
    "n",
)  # what an allocation is proportional to; n: active classes
SMALL = {"C": 32_771, "D": 67, "B": 131, "n": 1_031}  # primes; C exceeds any chunk or tile of classes
Maker = Callable[[int, int, int, Cosine], ClassSet]  # (C, D, n, similarity) -> class set


@dataclass(frozen=True)
class Part:
    """Bytes of one part of the memory, with the reason; host: in CPU memory even if the rest is on a GPU."""

    name: str
    bytes: int
    why: str
    host: bool = False


@dataclass(frozen=True)
class Need:
    """The peak memory of one class set; split over `processes`, that of each."""

    name: str
    parts: tuple[Part, ...]
    processes: int = 1

    @property
    def cpu(self) -> int:
        """Bytes in CPU memory without a GPU."""
        return sum(part.bytes for part in self.parts)

    @property
    def gpu(self) -> int:
        """Bytes on a GPU, without those of CUDA and its libraries."""
        return self.cpu - self.host

    @property
    def host(self) -> int:
        """Bytes in CPU memory with a GPU."""
        return sum(part.bytes for part in self.parts if part.host)


@dataclass(frozen=True)
class Footprint:
    """The allocations of two training steps at the sizes SMALL, see `allocations`.

    center: bytes of the centers per unit of C x D (4, except for sub-centers and half precision).
    """

    allocations: list[tuple[int, int]]
    center: int

    def at_peak(self, units: dict[str, int]) -> tuple[dict[str, int], int]:
        """What is allocated at the peak for `units` of GROWS: {name: bytes per unit}, and bytes of constant size."""
        alive, total, highest, peak = {}, 0, 0, []
        for address, size in self.allocations:
            if size < 0:
                name, freed = alive.pop(address, (None, 0))
                total -= freed * units.get(name, 1)
                continue
            alive[address] = name, factor = grows_with(size)
            total += factor * units.get(name, 1)
            if total > highest:
                highest, peak = total, list(alive.values())
        grows = {unit: sum(factor for name, factor in peak if name == unit) for unit in GROWS}
        return grows, sum(factor for name, factor in peak if name is None)

    def parts(self, classes: int, dim: int, batch: int, active: int, host: bool = False) -> tuple[Part, ...]:
        """The memory of a training of this size; host: the parts of all classes stay in CPU memory."""
        units = sizes(classes, dim, batch, active)
        grows, rest = self.at_peak(units)
        CD, Bn = units["C x D"], grows["B x C"] + grows["B x n"]
        more, rows, ids = grows["C x D"] - 2 * self.center, grows["n x D"], grows["C"]
        product = "B x C" if grows["B x C"] else "B x n"
        rest += grows["n"] * active + grows["B x D"] * units["B x D"] + (0 if host else ids * classes)
        parts = (
            Part("centers", self.center * CD, f"W: C x D, {self.center} bytes each", host),
            Part("momentum", self.center * CD, "as large as W, once every class was active", host),
            Part("gradient, copies", more * CD, f"{floats(more)} x (C x D): of W, its directions, weight decay", host),
            Part("queue", ids * classes if host else 0, f"C x {ids} bytes: ids, scores, ages", host),
            Part(
                "active rows",
                rows * units["n x D"],
                f"{floats(rows)} x (n x D), n = {active:,}: copies, directions, gradient",
            ),
            Part("cosines, logits", Bn * units[product], f"{floats(Bn)} x ({product}): with gradients, for autograd"),
            Part("the rest", rest, "tiles, embeddings, numbers for each class or sample"),
        )
        return tuple(part for part in parts if part.bytes)


def floats(bytes_each: int) -> str:
    """Bytes per unit as a number of float32 values."""
    return f"{bytes_each / 4:.4g}"


def needs(
    method: str,
    classes: int,
    dim: int,
    batch: int,
    rate: float = 0.1,
    max_active: int = 8192,
    K: int = 32,
    processes: int = 2,
) -> list[Need]:
    """The memory of full (dense and streaming), sampled, queued and sharded class sets in a training with `method`.

    classes C, dim D, batch B over all processes; rate: share of the active classes if sampled; max_active: number of
    active classes if queued; K: length of a queue; processes: that share the classes if sharded. Two steps of each are
    run at small sizes, in a second or two. The memory of the network is not included. Raises InputError for an unknown
    method, one without a classifier, and numbers out of range.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if not METHODS[method].has_logits:
        raise InputError(f"method {method}: it compares samples with samples and has no classifier to estimate")
    minima = {"classes": (classes, 2), "dim": (dim, 2), "batch": (batch, 1), "max_active": (max_active, 2)}
    for name, (value, low) in (minima | {"queue": (K, 1), "processes": (processes, 1)}).items():
        if value < low:
            raise InputError(f"{name} = {value}: at least {low}")
    if not 0 < rate <= 1:
        raise InputError(f"rate = {rate:g} is outside (0, 1]: the share of the active classes")

    def sampled_centers(C: int, D: int, n: int, similarity: Cosine) -> ClassSet:
        return SampledCenters(C, D, 0, similarity, max_active=n)

    def queued_centers(C: int, D: int, n: int, similarity: Cosine) -> ClassSet:
        return QueuedCenters(C, D, 0, similarity, K=K, max_active=n)

    few, many = (min(classes, max(n, batch)) for n in (ceil(rate * classes), max_active))
    dense, streaming = footprint(method), footprint(method, compute="streaming")
    partial, queues = footprint(method, sampled_centers), footprint(method, queued_centers)
    split = ceil(classes / processes)
    return [
        Need("full", dense.parts(classes, dim, batch, classes)),
        Need("full, streaming", streaming.parts(classes, dim, batch, classes)),
        Need(f"sampled, {rate:.0%}", partial.parts(classes, dim, batch, few)),
        Need(f"queued, K = {K}", queues.parts(classes, dim, batch, many, host=True)),
        Need(f"sharded, 1 of {processes}", dense.parts(split, dim, batch, split), processes),
    ]


def sizes(C: int, D: int, B: int, n: int) -> dict[str, int]:
    """The values of the products in GROWS."""
    return dict(zip(GROWS, (C * D, n * D, B * C, B * n, B * D, C, n), strict=True))


def grows_with(size: int) -> tuple[str | None, int]:
    """The product of GROWS that an allocation of `size` bytes is proportional to (or None), and the bytes per unit."""
    units = sizes(**SMALL)
    name = next((name for name in GROWS if size % units[name] == 0), None)
    return name, size // units.get(name, 1)


def footprint(method: str, make: Maker | None = None, compute: str = "dense") -> Footprint:
    """The footprint of two training steps; make: the class set (default: full centers)."""

    def small() -> MarginSoftmax:
        objective = build(method, SMALL["C"], SMALL["D"])
        if make is not None:
            objective.centers = make(SMALL["C"], SMALL["D"], SMALL["n"], objective.centers.similarity)
        objective.compute = compute
        return objective

    centers = small().centers
    center = centers.weight.element_size() * centers.sub
    return Footprint(allocations(small, lambda objective: two_steps(objective, SMALL["B"])), center)


def two_steps(objective: MarginSoftmax, batch: int) -> None:
    """Two training steps in the order of `workbench.training.fit`; the second one has momentum and gradients.

    The optimizer moves the embeddings in place of a network.
    """
    rng, centers = generator(0, "memory"), objective.centers
    x = torch.nn.Parameter(torch.randn(batch, centers.dim, generator=rng))
    learned = [*centers.parameters(), *objective.learned.parameters()]
    optimizer = torch.optim.SGD([x, *learned], lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        y = torch.randperm(max(batch, centers.classes), generator=rng)[:batch]  # distinct: the most active classes
        if batch > centers.classes:
            y %= centers.classes
        loss = objective.step(x, y).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.apply_updates(0.01)


def allocations(make: Callable[[], nn.Module], run: Callable[[Any], None]) -> list[tuple[int, int]]:
    """(address, bytes) of every CPU allocation while `run` is called on the module of `make`; bytes below 0: freed.

    The memory that the module keeps comes first, then the allocations of `run` in order. Temporaries inside operations
    are included, since torch's allocator reports to the profiler. Tensors in foreign memory (numpy, a mapped file) are
    included if the module holds them.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler logs to standard error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of presets outside a condition of their paper
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
            module = make()
            with torch.profiler.record_function("run"):
                run(module)
    events, stack, start = [], list(profiler.profiler.kineto_results.experimental_event_tree()), 0
    while stack:
        event = stack.pop()
        stack += event.children
        if event.tag.name == "Allocation":
            events.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size))
        elif event.name == "run":
            start = event.start_time_ns
    kept, during = {}, []
    for time, address, size in sorted(events, key=lambda event: event[0]):
        if time >= start:
            during.append((address, size))
        elif size > 0:
            kept[address] = size
        else:
            kept.pop(address, None)
    storages = (tensor.untyped_storage() for tensor in (*module.parameters(), *module.buffers()))
    held = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return [*(kept | held).items(), *during]


def free_memory() -> int:
    """Bytes of free CPU memory now, within the limit of the container."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # the total: no better number is known
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return free
    return min(free, limit - used)


def free_gpu_memory() -> int | None:
    """Bytes of free GPU memory; None without a GPU."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
