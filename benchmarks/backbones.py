"""The loss of NPCFace on every backbone, at reduced width and image size; exit status 1 where it does not fall.

Peer: NPCFace, Fig. 6, where the loss falls on all backbones.
Limit: a step takes no less than three forward passes of the network (forward, gradients of inputs and of weights).

    python benchmarks/backbones.py --width 0.25 --size 32 --steps 100 --csv backbones.csv

Every network is trained on the embedded heads with NPCFace's parameters and recipe, one seed and the same batches. The
paper does not print s; it is 24, since networks without shortcuts start slowly at 64 with 200 identities. The table
has the mean loss over each tenth of the steps.
"""

import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from common import parser

from workbench.core.tables import write_csv
from workbench.data.images import load
from workbench.networks import BACKBONES
from workbench.training.config import Config
from workbench.training.fit import Job, fit

TENTHS = 10
PAPER = {"method": "npcface", "recipe": "npcface-casia", "parameters": {"s": 24.0}, "device": "cpu"}


def measure(config: Config, images: np.ndarray, labels: np.ndarray) -> tuple[int, float, list[float]]:
    """Number of weights, median milliseconds of a step, mean loss over each tenth of the steps."""
    job = Job.start(config, int(labels.max()) + 1, images.shape[1])
    steps = list(fit(job, images, labels))
    losses = [part.mean() for part in np.array_split([step.loss for step in steps], TENTHS)]
    weights = sum(p.numel() for p in job.backbone.parameters())
    return weights, 1e3 * statistics.median(step.seconds for step in steps), losses


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--width", type=float, default=0.25, help="width multiplier")
    options.add_argument("--size", type=int, default=32, help="image side in pixels")
    options.add_argument("--steps", type=int, default=100, help="training steps, at least 10")
    options.add_argument("--batch", type=int, default=64, help="batch size")
    options.add_argument("--dim", type=int, default=128, help="embedding dimension")
    options.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    options.add_argument("--csv", type=Path, default=Path("backbones.csv"))
    settings = vars(options.parse_args())
    torch.set_num_threads(settings.pop("threads"))
    path = settings.pop("csv")
    if settings["steps"] < TENTHS:
        options.error(f"--steps {settings['steps']}: at least {TENTHS}")
    data = load("heads", settings["size"])
    print(f"NPCFace, s = {PAPER['parameters']['s']:g}, {len(data)} images, {data.classes} identities; {settings}")
    print(f"{'network':14s} {'weights':>9s} {'ms/step':>8s}   mean loss over each tenth of the steps")
    rows = []
    for name in BACKBONES:
        weights, ms, losses = measure(Config(**PAPER, backbone=name, **settings), data.images, data.labels)
        print(f"{name:14s} {weights:9,d} {ms:8.1f}   {' '.join(f'{loss:5.1f}' for loss in losses)}", flush=True)
        rows.append([name, weights, round(ms, 2), *(round(loss, 4) for loss in losses)])
    write_csv(path, [["network", "weights", "ms", *(f"tenth {k + 1}" for k in range(TENTHS))], *rows])
    failed = [row[0] for row in rows if not row[-1] < row[3]]
    print(f"does not fall on {', '.join(failed)}" if failed else f"falls on all {len(rows)}", f"(table: {path})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
