"""NPCFace's loss on every backbone (NPCFace, Fig. 6: it falls on all of them), on reduced widths and small images.

    python benchmarks/backbones.py [--width 0.25] [--size 32] [--steps 100] [--batch 64] [--csv backbones.csv]

Each network trains alike on the embedded heads: NPCFace's own parameters and recipe, the same seed, the same batches.
Only s, which the paper does not print, is made for 200 identities: at 64, networks without shortcuts start slowly.
The table has the mean loss over each tenth of the steps; exit status 1 where the last is not below the first.
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path

import numpy as np
import torch

from workbench.data.images import load
from workbench.networks import BACKBONES
from workbench.training.config import Config
from workbench.training.fit import Job, fit

TENTHS = 10
S = 24.0


def curve(config: Config, images: np.ndarray, labels: np.ndarray) -> tuple[int, float, list[float]]:
    """Weights of the network, milliseconds of a step (median), mean loss over each tenth of the steps."""
    job = Job.start(config, int(labels.max()) + 1, images.shape[1])
    steps = list(fit(job, images, labels))
    losses = [part.mean() for part in np.array_split([step.loss for step in steps], TENTHS)]
    weights = sum(p.numel() for p in job.backbone.parameters())
    return weights, 1e3 * statistics.median(step.seconds for step in steps), losses


def main() -> int:
    parser = argparse.ArgumentParser(description="NPCFace's loss on every backbone.")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--size", type=int, default=32, help="px")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--csv", type=Path, default=Path("backbones.csv"))
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    path = given.pop("csv")
    data = load("heads", given["size"])
    print(f"NPCFace, recipe npcface-casia, s = {S:g}, {len(data)} images of {data.classes} identities; {given}")
    print(f"{'network':14s} {'weights':>9s} {'ms/step':>8s}   mean loss over each tenth of the steps")
    rows = []
    for name in BACKBONES:
        paper = {"method": "npcface", "recipe": "npcface-casia", "parameters": {"s": S}, "device": "cpu"}
        config = Config(**paper, backbone=name, **given)
        weights, ms, losses = curve(config, data.images, data.labels)
        print(f"{name:14s} {weights:9,d} {ms:8.1f}   {' '.join(f'{loss:5.1f}' for loss in losses)}", flush=True)
        rows.append([name, weights, round(ms, 2), *(round(loss, 4) for loss in losses)])
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["network", "weights", "ms", *(f"tenth {k + 1}" for k in range(TENTHS))], *rows])
    risen = [row[0] for row in rows if row[-1] >= row[3]]
    print(f"falls on all {len(rows)}" if not risen else f"does not fall on {', '.join(risen)}", f"(table: {path})")
    return 1 if risen else 0


if __name__ == "__main__":
    sys.exit(main())
