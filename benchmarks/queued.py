"""Step time, memory and captured negative softmax mass of queued class centers, at a million classes.

Peers: full centers (streaming) for time and memory; a random 10 % of the classes (Partial FC) for the captured mass.
Limit: a step is O(active classes), so its time does not grow with C. Bank and momentum in fp16 take 4 C D bytes, 2 GB
for a million classes of dimension 512. All classes hold 100 % of the mass.

    python benchmarks/queued.py --classes 1000000 --rounds 7 --csv FILE

steps      time of a training step (ArcFace, given embeddings) and peak memory of queued centers at C / 10 and C classes
           and of full centers, streaming. Each variant has a process of its own; their steps are interleaved.
refresh    seconds until new queues of all classes are adopted, built during training from 8-bit codes; the index and
           its recall on a sample.
captured   mass in the queues of the samples, in the active classes and in a random 10 % of the classes, during the
           training of centers of identities in families.
"""

import argparse
import math
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from common import parser, print_table
from torch import Tensor

from workbench.centers.queued import QueuedCenters
from workbench.core.random import generator
from workbench.core.tables import write_csv
from workbench.data.identities import Identities, families
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build
from workbench.mining.measures import captured_mass

K = 32
FAMILY = 50


def build_queued(identities: Identities, refresh_every: int = 0) -> MarginSoftmax:
    """ArcFace on queued centers at the directions of the identities; each queue holds members of the own family."""
    C = identities.classes
    objective = build("arcface", 2, identities.dim)
    objective.centers = centers = QueuedCenters(C, identities.dim, K=K, refresh_every=refresh_every, refresh_delay=1)
    for start, W in identities.blocks():
        centers.bank.rows[start : start + len(W), 0] = torch.from_numpy(W)
        ids = torch.arange(start, start + len(W))[:, None]
        family = ids // FAMILY * FAMILY + (ids + torch.arange(1, K + 1)) % FAMILY
        centers.queue.ids[start : start + len(W)] = family.where(family < C, ids - FAMILY)
    centers.queue.scores.fill_(0.3)
    return objective


def build_streaming(identities: Identities) -> MarginSoftmax:
    """ArcFace on full centers, streaming over tiles of classes."""
    objective = build("arcface", identities.classes, identities.dim, compute="streaming")
    with torch.no_grad():
        for start, W in identities.blocks():
            objective.centers.weight[start : start + len(W)] = torch.from_numpy(W)
    return objective


def work(pipe: Connection, variant: str, classes: int, dim: int, batch: int, refresh_every: int) -> None:
    """Take a step and send its seconds for every True received; at last send the index and the peak memory (bytes)."""
    identities = families(classes, dim, FAMILY)
    queued = variant == "queued"
    objective = build_queued(identities, refresh_every) if queued else build_streaming(identities)
    optimizer = None if queued else torch.optim.SGD(objective.centers.parameters(), lr=0.1)
    step = 0
    pipe.send(None)
    while pipe.recv():
        y = np.random.default_rng(step).integers(0, classes, batch)
        x = torch.from_numpy(identities.samples(y, step)).requires_grad_()
        start = time.perf_counter()
        objective.step(x, torch.from_numpy(y)).total.backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()
        objective.apply_updates(0.1)
        pipe.send(time.perf_counter() - start)
        step += 1
    index = objective.centers.queue.rebuilt if queued else ""
    pipe.send((index, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def measure_steps(variants: list[tuple[str, int]], options: argparse.Namespace) -> list[list[str]]:
    """One row for each variant: its step, timed `rounds` - 1 times after a warm-up, and its refresh."""
    context, workers = multiprocessing.get_context("spawn"), {}
    for variant, classes in variants:
        here, there = context.Pipe()
        every = options.rounds + 1 if options.refresh and variant == "queued" else 0
        arguments = (there, variant, classes, options.dim, options.batch, every)
        worker = context.Process(target=work, args=arguments, daemon=True)
        worker.start()
        here.recv()
        workers[variant, classes] = here, worker
    seconds: dict[tuple[str, int], list[float]] = {which: [] for which in workers}
    for _ in range(options.rounds):
        for which, (pipe, _) in workers.items():
            pipe.send(True)
            seconds[which].append(pipe.recv())
    rows, first = [], statistics.median(seconds[variants[0]][1:])
    for which, (pipe, worker) in workers.items():
        times, refresh = seconds[which][1:], ""
        if options.refresh and which[0] == "queued":
            start = time.perf_counter()
            for _ in range(2):  # the first starts the refresh, the second waits for it
                pipe.send(True)
                pipe.recv()
            refresh = f"{time.perf_counter() - start:.0f}"
        pipe.send(False)
        index, peak = pipe.recv()
        worker.join()
        low, middle, high = statistics.quantiles(times, n=4)
        cells = [f"{middle:.3f}", f"{low:.3f}-{high:.3f}", f"{middle / first:.2f}", f"{peak / 1e9:.2f}"]
        rows.append([which[0], f"{which[1]:,}", *cells, refresh, index])
    return rows


def measure_captured(classes: int = 4_000, dim: int = 512, batch: int = 256, steps: int = 320) -> list[list[str]]:
    """One row for every eighth of a training of centers of identities in families: accuracy and captured mass."""
    rng, identities = generator(0, "captured"), families(classes, dim, FAMILY)
    objective = build("arcface", 2, dim, m=0.3)
    objective.centers = centers = QueuedCenters(
        classes, dim, K=K, max_active=classes // 5, warmup=steps // 4, refresh_every=steps // 8, refresh_delay=5
    )
    tenth = torch.rand(classes, generator=rng) < 0.1
    rows = []
    for step in range(steps + 1):
        y = torch.randint(0, classes, (batch,), generator=rng)
        x = torch.from_numpy(identities.samples(y.numpy(), step))
        if step % (steps // 8) == 0:
            rows.append([f"{step:,}", *(f"{share:.3f}" for share in masses(x, y, centers, tenth, objective.s))])
        objective.step(x, y).total.backward()
        objective.apply_updates(0.05 * (1 + math.cos(math.pi * step / (steps + 1))))
    return rows


@torch.no_grad()
def masses(x: Tensor, y: Tensor, centers: QueuedCenters, tenth: Tensor, s: float) -> tuple[float, float, float, float]:
    """Accuracy; mean share of the negative mass in the samples' queues, the active classes and a random 10 %."""
    cos = centers.similarity(x, centers.weight, None)
    active = torch.zeros(centers.classes, dtype=torch.bool)
    active[centers.select(y).ids] = True
    mass = (captured_mass(cos, y, classes, s).mean() for classes in (centers.queue.of(y), active, tenth))
    return float((cos.argmax(dim=1) == y).float().mean()), *(float(share) for share in mass)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--classes", type=int, default=1_000_000, help="number of classes")
    arguments.add_argument("--batch", type=int, default=512, help="batch size")
    arguments.add_argument("--dim", type=int, default=512, help="embedding dimension")
    arguments.add_argument("--rounds", type=int, default=7, help="steps of each variant, at least 3; 0: none")
    arguments.add_argument("--refresh", action=argparse.BooleanOptionalAction, default=True)
    arguments.add_argument("--streaming", action=argparse.BooleanOptionalAction, default=True)
    arguments.add_argument("--captured", action=argparse.BooleanOptionalAction, default=True)
    arguments.add_argument("--csv", type=Path)
    options = arguments.parse_args()
    if options.rounds in (1, 2):
        arguments.error(f"--rounds {options.rounds}: at least 3, or 0")
    print(f"B = {options.batch}, D = {options.dim}, {torch.get_num_threads()} CPU threads, families of {FAMILY}")
    tables = []
    if options.rounds:
        variants = [("queued", options.classes // 10), ("queued", options.classes)]
        variants += [("streaming", options.classes)] if options.streaming else []
        head = ["variant", "classes", "step, s", "quartiles", "over first", "peak GB", "refresh, s", "index"]
        tables.append((head, measure_steps(variants, options)))
        print_table(*tables[-1])
    if options.captured:
        head = ["step", "accuracy", f"mass in queues, K = {K}", "in active classes", "in a random 10 %"]
        tables.append((head, measure_captured()))
        print_table(*tables[-1])
    if options.csv:
        write_csv(options.csv, [row for head, rows in tables for row in (head, *rows)])


if __name__ == "__main__":
    main()
