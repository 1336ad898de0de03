"""What each method costs over ArcFace in the dense path: forward and backward of the loss alone, taken in turn.

    python benchmarks/method_cost.py [--classes 10000] [--batch 512] [--dim 512] [--rounds 9] [--methods npcface,...]

Every round times ArcFace and then each method on the same batch; the ratio is the median over the rounds. Memory is the
limit: at 10,000 classes the B x C cosines (20 MB in float32) are read and written again by every elementwise operation,
while the three matrix products, which every method shares, are most of the arithmetic. Triplet compares samples with
samples, B x B x B of them, and is timed beside the others at that.
"""

import argparse
import statistics
import time
import warnings

import torch

from workbench.methods import METHODS, build


def seconds(objective: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Time of one step's loss and its gradients."""
    objective.zero_grad()
    x.grad = None
    began = time.perf_counter()
    objective.step(x, y).total.backward()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of presets that break a condition of their paper
    own = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch, options.dim, generator=own).requires_grad_(True)
    y = torch.randint(0, options.classes, (options.batch,), generator=own)
    base = build("arcface", options.classes, options.dim)
    made = {key: build(key, options.classes, options.dim) for key in options.methods.split(",")}
    for objective in (base, *made.values()):
        seconds(objective, x, y)
    taken: dict[str, list[tuple[float, float]]] = {key: [] for key in made}
    for _ in range(options.rounds):
        for key, objective in made.items():
            taken[key].append((seconds(objective, x, y), seconds(base, x, y)))
    print(f"C = {options.classes}, B = {options.batch}, D = {options.dim}, {torch.get_num_threads()} CPU threads")
    print(f"{'method':<20}{'ms':>8}{'over ArcFace':>14}   quartiles")
    for key, pairs in taken.items():
        ratios = [own / other for own, other in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{key:<20}{1e3 * statistics.median(a for a, _ in pairs):>8.0f}{middle:>14.2f}   {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
