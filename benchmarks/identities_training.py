"""Trained on 10,000 synthetic identities in families: queued centers beside all of them, and beside Partial FC.

    python benchmarks/identities_training.py [--seeds 5] [--active 2000] [--steps 600] [--out identities_training]

An identity is a direction; an image of it is that direction jittered, mixed with a nuisance (pose and light, which do
not say who it is) and sent through a fixed random non-linear layer, with noise. A small network embeds the images. What
counts is the EER on identities never seen, of the same families as those that were: pairs of one identity against pairs
of look-alikes. All class sets start from the same weights and see the same batches, and their centers move by plain
SGD: what a lazy optimiser does to rows that are not met is another question. Queued is after MutualFace's abstract, a
reconstruction. Writes OUT.csv, a line for each training, and OUT_mass.csv, the captured negative mass on the way.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from workbench.compare.statistics import interval, sample_std
from workbench.core.files import write
from workbench.core.random import generator
from workbench.data.identities import families
from workbench.evaluation.verification import pair_scores, verify
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build
from workbench.mining.measures import captured_mass

FAMILY, UNSEEN = 60, 10  # identities in a family, and how many of them no training sees
LATENT, NUISANCE, PIXELS, DIM = 64, 32, 256, 64
WITHIN = 0.5  # rad from an identity to its images, before nuisance and noise
SEEN_IMAGES, TEST_IMAGES = 10, 4  # of each identity
LOSS = {"name": "arcface", "s": 32, "m": 0.2}
BATCH, LR, CENTER_LR = 128, 1.0, 20.0
MOMENTS, PROBED = 10, 8  # when the captured mass is measured, and on how many batches


class Images(NamedTuple):
    """Images (n, PIXELS) of the identities y (n,)."""

    pixels: Tensor
    y: Tensor


class Camera:
    """Takes images of directions."""

    def __init__(self, seed: int) -> None:
        self.own = generator(seed, "camera")
        self.layer = torch.randn(LATENT + NUISANCE, PIXELS, generator=self.own) / math.sqrt(LATENT)

    def images(self, directions: np.ndarray) -> Tensor:
        """Images (n, PIXELS) of directions (n, LATENT): tanh of a random layer of direction and nuisance, and noise."""
        nuisance = torch.randn(len(directions), NUISANCE, generator=self.own)
        inside = torch.cat([math.sqrt(LATENT) * torch.from_numpy(directions), nuisance], dim=1)
        seen = (inside @ self.layer).tanh()
        return seen + 0.3 * torch.randn(seen.shape, generator=self.own)


def identities(classes: int, seed: int) -> tuple[Images, Images]:
    """Images of `classes` identities to train on, and of those that no training sees, family by family."""
    population = families(classes * FAMILY // (FAMILY - UNSEEN), LATENT, FAMILY, within=WITHIN, seed=seed)
    everyone, camera = np.arange(population.classes), Camera(seed)
    known = everyone % FAMILY < FAMILY - UNSEEN

    def taken(who: np.ndarray, images: int) -> Images:
        every = [camera.images(population.samples(who, draw)) for draw in range(images)]
        return Images(torch.cat(every), torch.arange(len(who)).repeat(images))

    return taken(everyone[known], SEEN_IMAGES), taken(everyone[~known], TEST_IMAGES)


def network(seed: int) -> nn.Sequential:
    """A small network from images to embeddings, its first weights from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = [(nn.Linear(n, 256), nn.BatchNorm1d(256), nn.ReLU()) for n in (PIXELS, 256)]
        return nn.Sequential(*hidden[0], *hidden[1], nn.Linear(256, DIM), nn.BatchNorm1d(DIM))


def class_sets(active: int, K: int, steps: int) -> dict[str, dict[str, Any]]:
    """What is compared, as options of `build`: plain SGD everywhere, and no conflicts, since nobody is here twice."""
    plain = {"max_active": active, "momentum": 0.0, "weight_decay": 0.0, "precision": "fp32"}
    often = max(steps // 10, 1)
    refreshed = {"warmup": steps // 5, "refresh_every": often, "refresh_delay": max(often // 5, 1), "conflict": None}
    return {
        "full": {},
        "queued": {"centers": "queued", "class_set": plain | refreshed | {"K": K}},
        "sampled": {"centers": "sampled", "class_set": plain},
    }


class Training:
    """One training of a network and a class set; `run` yields (step, captured by the classes met, by the queues)."""

    def __init__(self, seen: Images, classes: int, options: dict[str, Any], seed: int) -> None:
        self.seen, self.own = seen, generator(seed, "batches")
        self.network = network(seed)
        self.objective: MarginSoftmax = build(**LOSS, classes=classes, dim=DIM, seed=seed, **options)
        moved = {"params": list(self.objective.centers.parameters()), "momentum": 0.0, "weight_decay": 0.0}
        self.optimiser = torch.optim.SGD(
            [{"params": list(self.network.parameters()), "rate": LR}, moved | {"rate": CENTER_LR}],
            lr=LR,
            momentum=0.9,
            weight_decay=5e-4,
        )

    def run(self, steps: int) -> Iterable[tuple[int, float, float]]:
        for step in range(steps):
            share = min(1, 20 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2
            for group in self.optimiser.param_groups:
                group["lr"] = share * group["rate"]
            images, y = self.batch(self.own)
            loss = self.objective.step(self.network(images), y).total
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.objective.apply_updates(share * CENTER_LR)
            if (step + 1) % max(1, steps // MOMENTS) == 0:
                yield step + 1, *self.captured()

    def batch(self, own: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.randint(0, len(self.seen.y), (BATCH,), generator=own)
        return self.seen.pixels[drawn], self.seen.y[drawn]

    @torch.no_grad()
    def captured(self) -> tuple[float, float]:
        """The negative softmax mass in the classes that a batch meets, and in the samples' own queues (nan: none)."""
        centers, own, met, queued = self.objective.centers, generator(0, "probe"), [], []
        self.network.eval()
        for images, y in (self.batch(own) for _ in range(PROBED)):
            x, ids = self.network(images), centers.select(y).ids
            cos = nn.functional.normalize(x) @ nn.functional.normalize(centers.weight.float()).T
            active = torch.ones(centers.classes, dtype=torch.bool)
            if ids is not None:
                active = torch.zeros_like(active).index_fill_(0, ids, True)
            met.append(captured_mass(cos, y, active, LOSS["s"]).mean().item())
            queue = getattr(centers, "queue", None)
            queued.append(captured_mass(cos, y, queue.of(y), LOSS["s"]).mean().item() if queue else math.nan)
        self.network.train()
        return float(np.mean(met)), float(np.mean(queued))

    @torch.no_grad()
    def embeddings(self, pixels: Tensor) -> np.ndarray:
        return self.network.eval()(pixels).numpy()


def eer(x: np.ndarray, seed: int) -> float:
    """The EER of embeddings x of the unseen: all pairs of an identity against as many with another of its family."""
    n, own = len(x) // TEST_IMAGES, np.random.default_rng(seed)
    first, second = np.triu_indices(TEST_IMAGES, 1)
    who = np.tile(np.arange(n), len(first))
    left, right = np.repeat(first, n) * n, np.repeat(second, n) * n
    kin = who // UNSEEN * UNSEEN + (who + own.integers(1, UNSEEN, len(who))) % UNSEEN
    scores = pair_scores(x, np.tile(left + who, 2), np.concatenate([right + who, right + kin]))
    return verify(scores, np.repeat([True, False], len(who))).eer


def table(path: Path, head: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file."""

    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *lines])

    write(path, save)


def report(found: dict[str, list[float]], seconds: dict[str, list[float]]) -> None:
    """The EERs, and the paired differences with their 95 % intervals."""
    for name, values in found.items():
        mean, deviation = 100 * np.mean(values), 100 * sample_std(np.array(values))
        print(f"{name:8s} EER {mean:.2f} % (deviation {deviation:.2f})   {np.mean(seconds[name]):.0f} s a training")
    for left, right in (("queued", "full"), ("sampled", "full"), ("queued", "sampled")):
        of = interval(100 * (np.array(found[left]) - np.array(found[right])))
        print(f"{left} - {right}: {of.mean:+.2f} points, 95 % interval {of.low:+.2f} to {of.high:+.2f}, {of.n} seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=2000, help="classes that a batch meets, queued or sampled")
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("identities_training"))
    given = parser.parse_args()
    sets = class_sets(given.active, given.queue, given.steps)
    found, seconds = {name: [] for name in sets}, {name: [] for name in sets}
    trainings, masses = [], []
    for seed in range(given.seeds):
        seen, unseen = identities(given.classes, seed)
        untrained = eer(unseen.pixels.numpy(), seed)
        for name, options in sets.items():
            began, training = time.perf_counter(), Training(seen, given.classes, options, seed)
            moments = list(training.run(given.steps))
            took = time.perf_counter() - began
            error = eer(training.embeddings(unseen.pixels), seed)
            found[name].append(error)
            seconds[name].append(took)
            trainings.append([name, seed, f"{error:.5f}", f"{untrained:.5f}", f"{took:.1f}"])
            masses += [[name, seed, step, f"{met:.4f}", f"{queue:.4f}"] for step, met, queue in moments]
            table(given.out.with_suffix(".csv"), ["class set", "seed", "EER", "EER of the images", "s"], trainings)
            table(
                given.out.with_name(f"{given.out.name}_mass.csv"),
                ["class set", "seed", "step", "met", "own queue"],
                masses,
            )
            _, met, queue = moments[-1]
            print(f"seed {seed} {name:8s} EER {error:.2%}, mass met {met:.2f}, in own queues {queue:.2f}", flush=True)
    report(found, seconds)


if __name__ == "__main__":
    main()
