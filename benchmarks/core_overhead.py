"""Time of a training step over that of a plain torch loop: same network, batch size and loss, steps interleaved.

Peer: ArcFace written with torch alone: indexing, augmentation, normalization, loss, optimizer. No records, no checks.
Limit: a ratio of 1, since both do the same arithmetic.

    python benchmarks/core_overhead.py --steps 60 --threads 2
"""

import math
import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch
from common import parser
from torch import nn

from workbench.data.heads import load_heads
from workbench.networks import backbone
from workbench.training.batches import MOVE, TINT, TURN, ZOOM
from workbench.training.config import Config
from workbench.training.fit import Job, fit


def plain_steps(images: np.ndarray, labels: np.ndarray, config: Config, m: float, s: float) -> Iterator[float]:
    """Train with the plain loop; yields the seconds of each step."""
    net = backbone(config.backbone, images.shape[1], config.dim).to(memory_format=torch.channels_last).train()
    W = nn.Parameter(torch.randn(int(labels.max()) + 1, config.dim) / config.dim**0.5)
    optimizer = torch.optim.SGD(
        [*net.parameters(), W], config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=True
    )
    pixels, targets = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    order = torch.randperm(len(labels))
    while True:
        start = time.perf_counter()
        if len(order) < config.batch:
            order = torch.randperm(len(labels))
        batch, order = order[: config.batch], order[config.batch :]
        x, y = pixels[batch].float(), targets[batch]
        n = len(x)
        turn, zoom = TURN * (2 * torch.rand(n) - 1), 1 + ZOOM * (2 * torch.rand(n) - 1)
        maps = torch.zeros(n, 2, 3)
        mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
        maps[:, 0, 0], maps[:, 1, 0] = mirror * zoom * turn.cos(), mirror * zoom * turn.sin()
        maps[:, 0, 1], maps[:, 1, 1] = -zoom * turn.sin(), zoom * turn.cos()
        maps[:, :, 2] = MOVE * (2 * torch.rand(n, 2) - 1)
        grid = nn.functional.affine_grid(maps, list(x.shape), align_corners=False)
        x = nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
        x = (x * torch.exp2(TINT * (2 * torch.rand(n, 3, 1, 1) - 1))).clamp_(0, 255)
        x = net(((x - 127.5) / 128).contiguous(memory_format=torch.channels_last))
        cos = nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(W))
        pos = cos.gather(1, y[:, None])
        sin = (1 - pos * pos).clamp_min(1e-12).sqrt()
        logits = s * cos.scatter(1, y[:, None], pos * math.cos(m) - sin * math.sin(m))
        loss = nn.functional.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        yield time.perf_counter() - start


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=60, help="training steps, at least 8")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    images, labels, _ = load_heads()
    config = Config(method="arcface", steps=10**6, recipe="preset", device="cpu")
    job = Job.start(config, int(labels.max()) + 1, images.shape[1])
    core, plain = fit(job, images, labels), plain_steps(images, labels, config, m=0.5, s=64)
    pairs = []
    for _ in range(options.steps):
        start = time.perf_counter()
        next(core)
        pairs.append((time.perf_counter() - start, next(plain)))
    pairs = pairs[5:]  # the first steps also choose kernels
    core_ms, plain_ms = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = statistics.quantiles([a / b for a, b in pairs], n=4)
    print(f"{options.threads} threads, {len(pairs)} steps of {config.batch} images, interleaved")
    print(f"plain loop {plain_ms:7.2f} ms   training core {core_ms:7.2f} ms   (medians)")
    print(f"core / plain, pair by pair: median {ratios[1]:.3f}, quartiles {ratios[0]:.3f} to {ratios[2]:.3f}")


if __name__ == "__main__":
    main()
