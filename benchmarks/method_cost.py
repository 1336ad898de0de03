"""Forward and backward time of each loss over that of ArcFace, dense, without a network.

Peer: ArcFace, timed on the same batch right after each loss; the ratio is the median over the rounds.
Limit: memory bandwidth. Every elementwise operation reads and writes the B x C cosines (20 MB in float32 at 10,000
classes); the three matrix products, most of the arithmetic, are common to all losses.

    python benchmarks/method_cost.py --classes 10000 --batch 512 --dim 512 --rounds 9 --methods npcface,curricularface

The triplet loss has no classes: it compares B x B x B samples.
"""

import statistics
import time
import warnings

import torch
from common import parser

from workbench.methods import METHODS, build


def seconds(objective: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    objective.zero_grad()
    x.grad = None
    start = time.perf_counter()
    objective.step(x, y).total.backward()
    return time.perf_counter() - start


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--classes", type=int, default=10_000, help="number of classes")
    arguments.add_argument("--batch", type=int, default=512, help="batch size")
    arguments.add_argument("--dim", type=int, default=512, help="embedding dimension")
    arguments.add_argument("--rounds", type=int, default=9, help="measurements of each loss")
    arguments.add_argument("--methods", default=",".join(METHODS), help="losses, separated by commas")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")  # of presets that break a condition of their paper
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch, options.dim, generator=rng).requires_grad_(True)
    y = torch.randint(0, options.classes, (options.batch,), generator=rng)
    base = build("arcface", options.classes, options.dim)
    objectives = {key: build(key, options.classes, options.dim) for key in options.methods.split(",")}
    for objective in (base, *objectives.values()):
        seconds(objective, x, y)
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in objectives}
    for _ in range(options.rounds):
        for key, objective in objectives.items():
            times[key].append((seconds(objective, x, y), seconds(base, x, y)))
    print(f"C = {options.classes}, B = {options.batch}, D = {options.dim}, {torch.get_num_threads()} CPU threads")
    print(f"{'method':<20}{'ms':>8}{'over ArcFace':>14}   quartiles")
    for key, pairs in times.items():
        ratios = [loss / arcface for loss, arcface in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{key:<20}{1e3 * statistics.median(a for a, _ in pairs):>8.0f}{middle:>14.2f}   {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
