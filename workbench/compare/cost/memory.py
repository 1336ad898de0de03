"""Know before you run: how much memory the classifier of a training needs, part by part, for every class set.

Nothing here is a rule of thumb. Two steps of the very training are run in small, with primes for the numbers of
classes, samples and dimensions, and every allocation is followed. Each says by its size what it grows with (a multiple
of C x D is as large as the centers, one of B x C as the cosines), so the same steps can be gone through in large.
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
GROWS = ("C x D", "n x D", "B x C", "B x n", "B x D", "C", "n")  # what an allocation grows with; n classes are met
SMALL = {"C": 32_771, "D": 67, "B": 131, "n": 1_031}  # primes; C is more than any chunk or tile of classes
Maker = Callable[[int, int, int, Cosine], ClassSet]  # makes a class set of C, D, n and a similarity


@dataclass(frozen=True)
class Part:
    """A share of the memory in bytes, and why; host: it stays in the CPU's memory when the rest is on a GPU."""

    name: str
    bytes: int
    why: str
    host: bool = False


@dataclass(frozen=True)
class Need:
    """What a way of holding the classes needs at its peak; split over `processes`, what each of them needs."""

    name: str
    parts: tuple[Part, ...]
    processes: int = 1

    @property
    def cpu(self) -> int:
        """Bytes in the CPU's memory where there is no GPU."""
        return sum(part.bytes for part in self.parts)

    @property
    def gpu(self) -> int:
        """Bytes on a GPU, without what CUDA and its libraries take for themselves."""
        return self.cpu - self.host

    @property
    def host(self) -> int:
        """Bytes in the CPU's memory beside a GPU."""
        return sum(part.bytes for part in self.parts if part.host)


@dataclass(frozen=True)
class Footprint:
    """What two steps in small took: see `allocations`.

    center: bytes of the centers themselves for each unit of C x D (4, but for sub-centers and half precision).
    """

    allocations: list[tuple[int, int]]
    center: int

    def at_peak(self, units: dict[str, int]) -> tuple[dict[str, int], int]:
        """What is alive when the same steps in large take most: {name of GROWS: bytes for each unit}, and other bytes.

        units: of GROWS in large.
        """
        alive, total, most, found = {}, 0, 0, []
        for place, size in self.allocations:
            if size < 0:
                name, gone = alive.pop(place, (None, 0))
                total -= gone * units.get(name, 1)
                continue
            alive[place] = name, each = grows_with(size)
            total += each * units.get(name, 1)
            if total > most:
                most, found = total, list(alive.values())
        grows = {unit: sum(each for name, each in found if name == unit) for unit in GROWS}
        return grows, sum(each for name, each in found if name is None)

    def parts(self, classes: int, dim: int, batch: int, met: int, host: bool = False) -> tuple[Part, ...]:
        """The memory of a training of this size; host: what grows with C stays in the CPU's memory."""
        units = sizes(classes, dim, batch, met)
        grows, rest = self.at_peak(units)
        CD, Bn = units["C x D"], grows["B x C"] + grows["B x n"]
        more = grows["C x D"] - 2 * self.center
        compared = "B x C" if grows["B x C"] else "B x n"
        found = (
            Part("centers", self.center * CD, f"W: C x D, {self.center} bytes each", host),
            Part("momentum", self.center * CD, "as large as W, once every class was met", host),
            Part(
                "gradient, copies",
                more * CD,
                f"{floats(more)} x (C x D): of W; its directions, the decayed gradient",
                host,
            ),
            Part("queue", grows["C"] * classes if host else 0, f"C x {grows['C']} bytes: ids, scores, ages", host),
            Part(
                "rows met",
                grows["n x D"] * units["n x D"],
                f"{floats(grows['n x D'])} x (n x D), n = {met:,}: copies, directions, gradient",
            ),
            Part(
                "cosines, logits",
                Bn * units[compared],
                f"{floats(Bn)} x ({compared}): with gradients and what autograd keeps",
            ),
            Part(
                "the rest",
                rest + grows["n"] * met + grows["B x D"] * units["B x D"] + (0 if host else grows["C"] * classes),
                "tiles, embeddings, numbers for each class or sample",
            ),
        )
        return tuple(part for part in found if part.bytes)


def floats(bytes_each: int) -> str:
    """Bytes for each unit as a number of float32."""
    return f"{bytes_each / 4:.4g}"


def needs(
    method: str,
    classes: int,
    dim: int,
    batch: int,
    rate: float = 0.1,
    most: int = 8192,
    K: int = 32,
    processes: int = 2,
) -> list[Need]:
    """What full (dense and streaming), sampled, queued and sharded class sets need in a training with `method`.

    classes C, dim D, batch B: of the training, B over all processes; rate: share of the classes that a batch meets when
    sampled; most: how many it meets when queued; K: length of a queue; processes: how many share the classes when
    sharded. Two steps of each are run in small, in a second or two. The network comes on top. Raises InputError for an
    unknown method, one without a classifier, and numbers out of range.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if not METHODS[method].has_logits:
        raise InputError(f"method {method}: it compares samples with samples and has no classifier to estimate")
    least = {"classes": (classes, 2), "dim": (dim, 2), "batch": (batch, 1), "most": (most, 2), "queue": (K, 1)}
    for name, (value, low) in (least | {"processes": (processes, 1)}).items():
        if value < low:
            raise InputError(f"{name} = {value}: at least {low}")
    if not 0 < rate <= 1:
        raise InputError(f"rate = {rate:g} is outside (0, 1]: the share of the classes that a batch meets")

    def sampled(C: int, D: int, n: int, similarity: Cosine) -> ClassSet:
        return SampledCenters(C, D, 0, similarity, max_active=n)

    def queued(C: int, D: int, n: int, similarity: Cosine) -> ClassSet:
        return QueuedCenters(C, D, 0, similarity, K=K, max_active=n)

    drawn, met = (min(classes, max(n, batch)) for n in (ceil(rate * classes), most))
    dense, streaming = footprint(method), footprint(method, compute="streaming")
    partial, queues = footprint(method, sampled), footprint(method, queued)
    split = ceil(classes / processes)
    return [
        Need("full", dense.parts(classes, dim, batch, classes)),
        Need("full, streaming", streaming.parts(classes, dim, batch, classes)),
        Need(f"sampled, {rate:.0%}", partial.parts(classes, dim, batch, drawn)),
        Need(f"queued, K = {K}", queues.parts(classes, dim, batch, met, host=True)),
        Need(f"sharded, 1 of {processes}", dense.parts(split, dim, batch, split), processes),
    ]


def sizes(C: int, D: int, B: int, n: int) -> dict[str, int]:
    """The units of GROWS."""
    return dict(zip(GROWS, (C * D, n * D, B * C, B * n, B * D, C, n), strict=True))


def grows_with(size: int) -> tuple[str | None, int]:
    """What an allocation of `size` bytes in small grows with, and its bytes for each unit; None: with nothing."""
    units = sizes(**SMALL)
    name = next((name for name in GROWS if size % units[name] == 0), None)
    return name, size // units.get(name, 1)


def footprint(method: str, make: Maker | None = None, compute: str = "dense") -> Footprint:
    """What two steps of a training in small take; make: its class set, full centers if None."""

    def small() -> MarginSoftmax:
        objective = build(method, SMALL["C"], SMALL["D"])
        if make is not None:
            objective.centers = make(SMALL["C"], SMALL["D"], SMALL["n"], objective.centers.similarity)
        objective.compute = compute
        return objective

    centers = small().centers
    each = centers.weight.element_size() * centers.sub
    return Footprint(allocations(small, lambda objective: two_steps(objective, SMALL["B"])), each)


def two_steps(objective: MarginSoftmax, batch: int) -> None:
    """Two steps of a training, in the order of `workbench.training.fit`; the second one has momentum and gradients.

    The embeddings are what the optimiser moves in place of a network.
    """
    own, centers = generator(0, "memory"), objective.centers
    x = torch.nn.Parameter(torch.randn(batch, centers.dim, generator=own))
    learned = [*centers.parameters(), *objective.learned.parameters()]
    optimiser = torch.optim.SGD([x, *learned], lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        y = torch.randperm(centers.classes, generator=own)[:batch]  # of different classes: the most that are met
        loss = objective.step(x, y).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        objective.apply_updates(0.01)


def allocations(make: Callable[[], nn.Module], run: Callable[[Any], None]) -> list[tuple[int, int]]:
    """(place, bytes) of every allocation on the CPU while `run` runs on what `make` made; bytes below 0: freed.

    What is left of `make` comes first, then those of `run` in order. Temporaries inside of operations are seen as well:
    torch's allocator reports to the profiler. Of tensors that live in memory of others (numpy's, a mapped file), those
    that the module holds are seen.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own log would go to standard error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of presets that break a condition of their paper
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
            made = make()
            with torch.profiler.record_function("run"):
                run(made)
    events, open_, began = [], list(seen.profiler.kineto_results.experimental_event_tree()), 0
    while open_:
        event = open_.pop()
        open_ += event.children
        if event.tag.name == "Allocation":
            events.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size))
        elif event.name == "run":
            began = event.start_time_ns
    left, later = {}, []
    for when, place, size in sorted(events, key=lambda event: event[0]):
        if when >= began:
            later.append((place, size))
        elif size > 0:
            left[place] = size
        else:
            left.pop(place, None)
    storages = (tensor.untyped_storage() for tensor in (*made.parameters(), *made.buffers()))
    held = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return [*(left | held).items(), *later]


def free_memory() -> int:
    """Bytes that this process could still take in the computer's memory now (a container's limit counts)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # all there is: no better number here
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return free
    return min(free, limit - used)


def free_gpu_memory() -> int | None:
    """Bytes that are free on the GPU, None where there is none."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
