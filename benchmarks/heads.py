"""What the classifier of a loss costs: streaming against dense, against what a person writes, and against plain torch.

    python benchmarks/heads.py [--classes 100000] [--batch 512] [--dim 512] [--rounds 5] [--csv FILE]

Forward and backward, every way once in each round, one after another; medians with quartiles, and the peak of what was
allocated above the inputs and their gradients (C x D of the centers' and B x D of the embeddings'). The floor is the
matrix products alone: three for a way that holds all cosines, four for one that computes its tiles again.
"""

import argparse
import csv
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.memory import allocations
from workbench.methods import build

METHODS = ("arcface", "mv_arc", "curricularface", "npcface")


def eager(method: str, x: Tensor, W: Tensor, y: Tensor) -> Tensor:
    """The loss as a person writes it with torch alone, s = 64, the papers' values."""
    i, s, m = torch.arange(len(x)), 64, 0.5
    cos = F.linear(F.normalize(x), F.normalize(W)).clamp(-1, 1)
    pos = cos[i, y][:, None]
    sin = (1 - pos**2).clamp(min=1e-12).sqrt()
    T, N = pos * math.cos(m) - sin * math.sin(m), cos
    if method != "arcface":
        hard = cos > T.detach()
        hard[i, y] = False
        if method == "mv_arc":
            N = torch.where(hard, 1.2 * cos + 0.2, cos)
        elif method == "curricularface":
            N = torch.where(hard, cos * (0.01 * pos.detach().mean() + cos), cos)
        else:
            with torch.no_grad():
                tilde = 0.4 + 0.2 * (cos * hard).sum(1, keepdim=True) / hard.sum(1, keepdim=True).clamp(min=1)
            T, N = pos * tilde.cos() - sin * tilde.sin(), torch.where(hard, 1.1 * cos + 0.25, cos)
    return F.cross_entropy(s * N.scatter(1, y[:, None], T), y)


def ways(x: Tensor, W: nn.Parameter, y: Tensor) -> dict[str, Callable[[], None]]:
    """Everything that is timed, by name: each call is one forward and backward, or the products alone."""

    def composed(method: str, **options: str) -> Callable[[], None]:
        objective = build(method, 2, W.shape[1], **({"s": 64} | options))
        objective.centers.weight = W
        return lambda: objective.step(x, y).total.backward()

    def products(times: int) -> Callable[[], None]:
        def run() -> None:
            x_, W_ = x.detach(), W.detach()
            for _ in range(times - 2):
                cos = x_ @ W_.T
            cos @ W_, cos.T @ x_

        return run

    made: dict[str, Callable[[], None]] = {
        "floor, 3 products": products(3),
        "floor, 4 products": products(4),
        "plain linear + CE": lambda: F.cross_entropy(F.linear(x, W), y).backward(),
    }
    for method in METHODS:
        made[f"{method} eager"] = lambda method=method: eager(method, x, W, y).backward()
        made[f"{method} dense"] = composed(method)
        made[f"{method} streaming"] = composed(method, compute="streaming")
    made["npcface streaming bf16"] = composed("npcface", compute="streaming", precision="bf16")
    return made


def peak(run: Callable[[], None]) -> int:
    """The most bytes that were allocated at once while it ran."""
    held, most = 0, 0
    for _, change in allocations(nn.Identity, lambda _: run()):
        held += change
        most = max(most, held)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    own = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch, options.dim, generator=own).requires_grad_(True)
    y = torch.randint(0, options.classes, (options.batch,), generator=own)
    W = nn.Parameter(torch.randn(options.classes, options.dim, generator=own) / options.dim**0.5)
    gradients = (x.numel() + W.numel()) * 4
    timed, taken, extra = ways(x, W, y), {}, {}
    for name, run in timed.items():
        x.grad = W.grad = None
        extra[name] = max(0, peak(run) - (0 if name.startswith("floor") else gradients))
    for _ in range(options.rounds):
        for name, run in timed.items():
            x.grad = W.grad = None
            began = time.perf_counter()
            run()
            taken.setdefault(name, []).append(time.perf_counter() - began)
    rows = table(taken, extra)
    print(f"C = {options.classes:,}, B = {options.batch}, D = {options.dim}, {torch.get_num_threads()} CPU threads")
    for row in rows:
        print(f"{row[0]:<26}" + "".join(f"{cell:>14}" for cell in row[1:]))
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def table(taken: dict[str, list[float]], extra: dict[str, int]) -> list[list[str]]:
    """A head and a row for each way: seconds, quartiles, against plain, against the floor, against its eager twin."""
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    rows = [["way", "seconds", "quartiles", "over plain", "over floor 4", "over eager", "MiB above", "of eager's"]]
    for name, seconds in taken.items():
        low, _, high = statistics.quantiles(seconds, n=4)
        twin = f"{name.split()[0]} eager"
        against = f"{median[name] / median[twin]:.2f}" if twin in median else ""
        memory = f"{extra[name] / extra[twin]:.2f}" if twin in median else ""
        ratios = [f"{median[name] / median[other]:.2f}" for other in ("plain linear + CE", "floor, 4 products")]
        spread = f"{low:.2f}-{high:.2f}"
        rows.append([name, f"{median[name]:.3f}", spread, *ratios, against, f"{extra[name] / 2**20:,.0f}", memory])
    return rows


if __name__ == "__main__":
    main()
