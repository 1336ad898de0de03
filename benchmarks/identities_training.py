"""EER on unseen synthetic identities after training with full, queued and sampled class centers.

Peers: full centers, and sampled centers (Partial FC). Queued centers are reconstructed from MutualFace's abstract.
Limit: the EER of full centers, the same softmax over all classes; chance is 50 %.

    python benchmarks/identities_training.py --seeds 5 --active 2000 --steps 600 --out identities_training

An identity is a direction. An image of it is the direction with jitter, mixed with a nuisance (pose, light) by a fixed
random non-linear layer, plus noise. A small network embeds the images. The EER compares genuine pairs with impostor
pairs of one family, on unseen identities of the training families. All class sets start from the same weights and use
the same batches; their centers are updated by plain SGD, so momentum of inactive rows plays no part. Writes OUT.csv,
one row for each training, and OUT_mass.csv, the captured negative mass during the training.
"""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import parser
from torch import Tensor, nn

from workbench.compare.statistics import interval, sample_std
from workbench.core.random import generator
from workbench.core.tables import write_csv
from workbench.data.identities import families
from workbench.evaluation.verification import pair_scores, verify
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build
from workbench.mining.measures import captured_mass

FAMILY, UNSEEN = 60, 10  # identities of a family, and those of them held out
LATENT, NUISANCE, PIXELS, DIM = 64, 32, 256, 64
WITHIN = 0.5  # angle from an identity to its images before nuisance and noise, rad
TRAIN_IMAGES, TEST_IMAGES = 10, 4  # of each identity
LOSS = {"name": "arcface", "s": 32, "m": 0.2}
BATCH, LR, CENTER_LR = 128, 1.0, 20.0
MEASUREMENTS, PROBE_BATCHES = 10, 8  # of the captured mass: how often, and on how many batches


class Images(NamedTuple):
    """Images (n, PIXELS) and their identities y (n,)."""

    pixels: Tensor
    y: Tensor


class Camera:
    """Maps directions to images."""

    def __init__(self, seed: int) -> None:
        self.rng = generator(seed, "camera")
        self.layer = torch.randn(LATENT + NUISANCE, PIXELS, generator=self.rng) / math.sqrt(LATENT)

    def images(self, directions: np.ndarray) -> Tensor:
        """Images (n, PIXELS) of directions (n, LATENT): tanh of a random layer of direction and nuisance, and noise."""
        nuisance = torch.randn(len(directions), NUISANCE, generator=self.rng)
        inside = torch.cat([math.sqrt(LATENT) * torch.from_numpy(directions), nuisance], dim=1)
        pixels = (inside @ self.layer).tanh()
        return pixels + 0.3 * torch.randn(pixels.shape, generator=self.rng)


def identities(classes: int, seed: int) -> tuple[Images, Images]:
    """Images of `classes` training identities and of the held-out ones, family by family."""
    population = families(classes * FAMILY // (FAMILY - UNSEEN), LATENT, FAMILY, within=WITHIN, seed=seed)
    everyone, camera = np.arange(population.classes), Camera(seed)
    train = everyone % FAMILY < FAMILY - UNSEEN

    def take_images(who: np.ndarray, images: int) -> Images:
        pixels = [camera.images(population.samples(who, draw)) for draw in range(images)]
        return Images(torch.cat(pixels), torch.arange(len(who)).repeat(images))

    return take_images(everyone[train], TRAIN_IMAGES), take_images(everyone[~train], TEST_IMAGES)


def network(seed: int) -> nn.Sequential:
    """A small network from images to embeddings, initialized from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = [(nn.Linear(n, 256), nn.BatchNorm1d(256), nn.ReLU()) for n in (PIXELS, 256)]
        return nn.Sequential(*hidden[0], *hidden[1], nn.Linear(256, DIM), nn.BatchNorm1d(DIM))


def class_sets(active: int, K: int, steps: int) -> dict[str, dict[str, Any]]:
    """Options of `build` for each class set: plain SGD, and no conflicts, since no identity occurs twice."""
    plain = {"max_active": active, "momentum": 0.0, "weight_decay": 0.0, "precision": "fp32"}
    every = max(steps // 10, 1)
    refreshed = {"warmup": steps // 5, "refresh_every": every, "refresh_delay": max(every // 5, 1), "conflict": None}
    return {
        "full": {},
        "queued": {"centers": "queued", "class_set": plain | refreshed | {"K": K}},
        "sampled": {"centers": "sampled", "class_set": plain},
    }


class Training:
    """One training of a network with a class set."""

    def __init__(self, images: Images, classes: int, options: dict[str, Any], seed: int) -> None:
        self.images, self.rng = images, generator(seed, "batches")
        self.network = network(seed)
        self.objective: MarginSoftmax = build(**LOSS, classes=classes, dim=DIM, seed=seed, **options)
        centers = {"params": list(self.objective.centers.parameters()), "momentum": 0.0, "weight_decay": 0.0}
        self.optimizer = torch.optim.SGD(
            [{"params": list(self.network.parameters()), "rate": LR}, centers | {"rate": CENTER_LR}],
            lr=LR,
            momentum=0.9,
            weight_decay=5e-4,
        )

    def run(self, steps: int) -> Iterable[tuple[int, float, float]]:
        """Train; yields the step and the mass captured by the active classes and by the queues, now and then."""
        for step in range(steps):
            share = min(1, 20 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = share * group["rate"]
            images, y = self.batch(self.rng)
            loss = self.objective.step(self.network(images), y).total
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.objective.apply_updates(share * CENTER_LR)
            if (step + 1) % max(1, steps // MEASUREMENTS) == 0:
                yield step + 1, *self.measure_mass()

    def batch(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        indices = torch.randint(0, len(self.images.y), (BATCH,), generator=rng)
        return self.images.pixels[indices], self.images.y[indices]

    @torch.no_grad()
    def measure_mass(self) -> tuple[float, float]:
        """The negative softmax mass in a batch's active classes, and in the queues of its samples (nan: no queues)."""
        centers, rng, active_mass, queue_mass = self.objective.centers, generator(0, "probe"), [], []
        self.network.eval()
        for images, y in (self.batch(rng) for _ in range(PROBE_BATCHES)):
            x, ids = self.network(images), centers.select(y).ids
            cos = nn.functional.normalize(x) @ nn.functional.normalize(centers.weight.float()).T
            active = torch.ones(centers.classes, dtype=torch.bool)
            if ids is not None:
                active = torch.zeros_like(active).index_fill_(0, ids, True)
            active_mass.append(captured_mass(cos, y, active, LOSS["s"]).mean().item())
            queue = getattr(centers, "queue", None)
            queue_mass.append(captured_mass(cos, y, queue.of(y), LOSS["s"]).mean().item() if queue else math.nan)
        self.network.train()
        return float(np.mean(active_mass)), float(np.mean(queue_mass))

    @torch.no_grad()
    def embeddings(self, pixels: Tensor) -> np.ndarray:
        return self.network.eval()(pixels).numpy()


def eer(x: np.ndarray, seed: int) -> float:
    """The EER of held-out embeddings x: all pairs of an identity against as many with others of its family."""
    n, rng = len(x) // TEST_IMAGES, np.random.default_rng(seed)
    first, second = np.triu_indices(TEST_IMAGES, 1)
    who = np.tile(np.arange(n), len(first))
    left, right = np.repeat(first, n) * n, np.repeat(second, n) * n
    kin = who // UNSEEN * UNSEEN + (who + rng.integers(1, UNSEEN, len(who))) % UNSEEN
    scores = pair_scores(x, np.tile(left + who, 2), np.concatenate([right + who, right + kin]))
    return verify(scores, np.repeat([True, False], len(who))).eer


def print_results(eers: dict[str, list[float]], seconds: dict[str, list[float]]) -> None:
    """Print the EERs, and the paired differences with their 95 % intervals."""
    for name, values in eers.items():
        mean, deviation = 100 * np.mean(values), 100 * sample_std(np.array(values))
        print(f"{name:8s} EER {mean:.2f} % (deviation {deviation:.2f})   {np.mean(seconds[name]):.0f} s a training")
    for left, right in (("queued", "full"), ("sampled", "full"), ("queued", "sampled")):
        of = interval(100 * (np.array(eers[left]) - np.array(eers[right])))
        print(f"{left} - {right}: {of.mean:+.2f} points, 95 % interval {of.low:+.2f} to {of.high:+.2f}, {of.n} seeds")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--classes", type=int, default=10_000, help="training identities")
    arguments.add_argument("--active", type=int, default=2000, help="active classes of a step, queued or sampled")
    arguments.add_argument("--queue", type=int, default=32, help="length K of a queue")
    arguments.add_argument("--steps", type=int, default=600, help="training steps")
    arguments.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ..., at least 2")
    arguments.add_argument(
        "--out", type=Path, default=Path("identities_training"), help="path of the files, without ending"
    )
    options = arguments.parse_args()
    sets = class_sets(options.active, options.queue, options.steps)
    eers, seconds = {name: [] for name in sets}, {name: [] for name in sets}
    trainings, masses = [], []
    for seed in range(options.seeds):
        train, test = identities(options.classes, seed)
        untrained = eer(test.pixels.numpy(), seed)
        for name, class_set in sets.items():
            start, training = time.perf_counter(), Training(train, options.classes, class_set, seed)
            measured = list(training.run(options.steps))
            took = time.perf_counter() - start
            error = eer(training.embeddings(test.pixels), seed)
            eers[name].append(error)
            seconds[name].append(took)
            trainings.append([name, seed, f"{error:.5f}", f"{untrained:.5f}", f"{took:.1f}"])
            masses += [[name, seed, step, f"{active:.4f}", f"{queue:.4f}"] for step, active, queue in measured]
            head = ["class set", "seed", "EER", "EER of the images", "s"]
            write_csv(options.out.with_suffix(".csv"), [head, *trainings])
            head = ["class set", "seed", "step", "active classes", "queue"]
            write_csv(options.out.with_name(f"{options.out.name}_mass.csv"), [head, *masses])
            _, active, queue = measured[-1]
            print(
                f"seed {seed} {name:8s} EER {error:.2%}, mass of active {active:.2f}, of queues {queue:.2f}", flush=True
            )
    print_results(eers, seconds)


if __name__ == "__main__":
    main()
