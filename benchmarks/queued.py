"""What queued class centers cost at a million classes, and how much of the negatives' softmax mass they meet.

    python benchmarks/queued.py [--classes 1000000] [--rounds 7] [--no-refresh] [--no-streaming] [--csv FILE]

steps      one training step (ArcFace, the embeddings given) of queued centers (fp16 bank and momentum) at a tenth of
           the classes and at all of them, and of the full classifier streaming over all of them. Each lives in a
           process of its own, whose peak memory is its own; they step in turn.
refresh    new queues for all classes while training goes on, from codes of a byte a number: seconds until they are
           adopted, the index, its recall on a sample; the peak of the process covers it.
captured   centers learned from embeddings of identities in families: the share of the negatives' softmax mass that the
           queue of each sample's class holds, beside a random tenth of the classes, as training goes on.
"""

import argparse
import csv
import math
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.centers.queued import QueuedCenters
from workbench.core.random import generator
from workbench.data.identities import Identities, families
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build
from workbench.mining.measures import captured_mass

K = 32
FAMILY = 50


def queued(identities: Identities, refresh_every: int = 0) -> MarginSoftmax:
    """ArcFace on queued centers that lie where the identities do, each queue full of members of the own family."""
    C = identities.classes
    objective = build("arcface", 2, identities.dim)
    objective.centers = centers = QueuedCenters(C, identities.dim, K=K, refresh_every=refresh_every, refresh_delay=1)
    for start, W in identities.blocks():
        centers.bank.rows[start : start + len(W), 0] = torch.from_numpy(W)
        own = torch.arange(start, start + len(W))[:, None]
        mates = own // FAMILY * FAMILY + (own + torch.arange(1, K + 1)) % FAMILY
        centers.queue.ids[start : start + len(W)] = mates.where(mates < C, own - FAMILY)
    centers.queue.scores.fill_(0.3)
    return objective


def streaming(identities: Identities) -> MarginSoftmax:
    """ArcFace over all classes, tile by tile."""
    objective = build("arcface", identities.classes, identities.dim, compute="streaming")
    with torch.no_grad():
        for start, W in identities.blocks():
            objective.centers.weight[start : start + len(W)] = torch.from_numpy(W)
    return objective


def work(pipe: Connection, way: str, classes: int, dim: int, batch: int, refresh_every: int) -> None:
    """A process of its own: a step for every True, its seconds back; then what the queues say, and the peak memory."""
    identities = families(classes, dim, FAMILY)
    objective = queued(identities, refresh_every) if way == "queued" else streaming(identities)
    optimiser = torch.optim.SGD(objective.centers.parameters(), lr=0.1) if way == "streaming" else None
    step = 0
    pipe.send(None)
    while pipe.recv():
        y = np.random.default_rng(step).integers(0, classes, batch)
        x = torch.from_numpy(identities.samples(y, step)).requires_grad_()
        began = time.perf_counter()
        objective.step(x, torch.from_numpy(y)).total.backward()
        if optimiser:
            optimiser.step()
            optimiser.zero_grad()
        objective.apply_updates(0.1)
        pipe.send(time.perf_counter() - began)
        step += 1
    said = objective.centers.queue.rebuilt if way == "queued" else ""
    pipe.send((said, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def steps(ways: list[tuple[str, int]], options: argparse.Namespace) -> list[list[str]]:
    """Rows of the table: every way steps in turn, `rounds` times after one to warm up; then the refresh."""
    context, workers = multiprocessing.get_context("spawn"), {}
    for way, classes in ways:
        here, there = context.Pipe()
        every = options.rounds + 1 if options.refresh and way == "queued" else 0
        given = (there, way, classes, options.dim, options.batch, every)
        worker = context.Process(target=work, args=given, daemon=True)
        worker.start()
        here.recv()
        workers[way, classes] = here, worker
    seconds: dict[tuple[str, int], list[float]] = {which: [] for which in workers}
    for _ in range(options.rounds):
        for which, (pipe, _) in workers.items():
            pipe.send(True)
            seconds[which].append(pipe.recv())
    rows, first = [], statistics.median(seconds[ways[0]][1:])
    for which, (pipe, worker) in workers.items():
        took, refreshed = seconds[which][1:], ""
        if options.refresh and which[0] == "queued":
            began = time.perf_counter()
            for _ in range(2):  # the first starts the refresh, the second waits for it
                pipe.send(True)
                pipe.recv()
            refreshed = f"{time.perf_counter() - began:.0f}"
        pipe.send(False)
        said, peak = pipe.recv()
        worker.join()
        low, middle, high = statistics.quantiles(took, n=4)
        cells = [f"{middle:.3f}", f"{low:.3f}-{high:.3f}", f"{middle / first:.2f}", f"{peak / 1e9:.2f}"]
        rows.append([which[0], f"{which[1]:,}", *cells, refreshed, said])
    return rows


def captured(classes: int = 4_000, dim: int = 512, batch: int = 256, steps: int = 320) -> list[list[str]]:
    """Rows of the table: centers learned from embeddings of identities in families; the mass as training goes on."""
    own, identities = generator(0, "captured"), families(classes, dim, FAMILY)
    objective = build("arcface", 2, dim, m=0.3)
    objective.centers = centers = QueuedCenters(
        classes, dim, K=K, max_active=classes // 5, warmup=steps // 4, refresh_every=steps // 8, refresh_delay=5
    )
    drawn = torch.rand(classes, generator=own) < 0.1
    rows = []
    for step in range(steps + 1):
        y = torch.randint(0, classes, (batch,), generator=own)
        x = torch.from_numpy(identities.samples(y.numpy(), step))
        if step % (steps // 8) == 0:
            rows.append([f"{step:,}", *(f"{share:.3f}" for share in masses(x, y, centers, drawn, objective.s))])
        objective.step(x, y).total.backward()
        objective.apply_updates(0.05 * (1 + math.cos(math.pi * step / (steps + 1))))
    return rows


@torch.no_grad()
def masses(x: Tensor, y: Tensor, centers: QueuedCenters, drawn: Tensor, s: float) -> tuple[float, float, float, float]:
    """Accuracy; and the mean share of the negative mass in the samples' queues, in what is met, in a random tenth."""
    cos = centers.similarity(x, centers.weight, None)
    met = torch.zeros(centers.classes, dtype=torch.bool)
    met[centers.select(y).ids] = True
    mass = (captured_mass(cos, y, active, s).mean() for active in (centers.queue.of(y), met, drawn))
    return float((cos.argmax(dim=1) == y).float().mean()), *(float(share) for share in mass)


def show(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--refresh", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--streaming", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--captured", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    print(f"B = {options.batch}, D = {options.dim}, {torch.get_num_threads()} CPU threads, families of {FAMILY}")
    tables = []
    if options.rounds:
        ways = [("queued", options.classes // 10), ("queued", options.classes)]
        ways += [("streaming", options.classes)] if options.streaming else []
        head = ["way", "classes", "step, s", "quartiles", "over first", "peak GB", "refresh, s", "index"]
        tables.append((head, steps(ways, options)))
        show(*tables[-1])
    if options.captured:
        head = ["step", "accuracy", f"mass in queues, K = {K}", "in all that is met", "in a random 10 %"]
        tables.append((head, captured()))
        show(*tables[-1])
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            for head, rows in tables:
                csv.writer(file).writerows([head, *rows])


if __name__ == "__main__":
    main()
