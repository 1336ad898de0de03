"""fit: a generator that trains one batch at a time and yields a Step for each; send it changes and they become events.

    steps = fit(job, images, labels)
    for step in steps: ...              # just train
    steps.send({"m": 0.4})              # change the margin before the next step

Every method runs through the same few lines: nothing here knows a method's name. What a step draws (its images, its
flips and shifts) is a function of the seed and the step, so a run can be cut any_rank and go on with the same bits.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.centers.sharded import every_center
from workbench.core.device import device, float32_default
from workbench.core.distributed import all_gather, processes, shard_range
from workbench.core.errors import InputError
from workbench.core.geometry import full, unit
from workbench.core.random import generator
from workbench.core.record import Snapshot, Step
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS, build
from workbench.networks import backbone
from workbench.training import kept
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.processes import shared_norms, sum_gradients

# How far an image is changed, either way, when it is trained on:
TURN = 0.2  # rad
ZOOM = 0.1  # share of its size
MOVE = 0.1  # share of half its side
TINT = 0.3  # a power of two by which each colour channel is multiplied: another light


class TrainingFault(RuntimeError):
    """Training cannot go on: the message names the step and the tensor. The weights are those before that step."""


@dataclass
class Job:
    """Everything that moves while training: the network, the objective, the optimiser and the number of steps done."""

    config: Config
    backbone: nn.Module
    objective: MarginSoftmax
    optimiser: torch.optim.Optimizer
    device: torch.device
    lr: float
    step: int = 0

    @classmethod
    @float32_default()
    def start(cls, config: Config, classes: int, size: int, objective: MarginSoftmax | None = None) -> "Job":
        """A job before its first step, for `classes` identities and images of `size` px.

        objective: a loss of one's own, in place of the method that the configuration names. Raises InputError where
        several processes have no classes or images to share.
        """
        check_shares(config)
        where = device(config.device)
        net = shared_norms(backbone(config.backbone, size, config.dim, config.seed, config.width))
        net = net.to(where, memory_format=torch.channels_last)
        if objective is None:
            options = {"seed": config.seed, "compute": config.compute, "centers": config.centers}
            options["class_set"] = config.class_set | (config.sgd() if config.partial else {})
            objective = build(config.method, classes, config.dim, config.preset, **options, **config.settings())
        objective = objective.to(where)
        return cls(config, net, objective, sgd(config, net, objective), where, config.lr)

    def change(self, values: Mapping[str, Any]) -> list[Event]:
        """Change the learning rate `lr` and parameters of the loss, all or none; the events say what changed."""
        lr = float(values.get("lr", self.lr))
        if not 0 < lr <= 10:
            raise InputError(f"lr = {lr:g} is outside (0, 10]")
        old = self.objective.parameters_now() | {"lr": self.lr}
        self.objective.change({name: value for name, value in values.items() if name != "lr"})
        self.lr = lr
        return [Event(self.step, name, value, old[name]) for name, value in values.items()]

    def adopt(self, objective: MarginSoftmax) -> None:
        """Go on with another loss. The parameters that both share keep their momentum."""
        kept = self.optimiser.state
        self.objective = objective.to(self.device)
        self.optimiser = sgd(self.config, self.backbone, self.objective)
        for group in self.optimiser.param_groups:
            self.optimiser.state.update({p: kept[p] for p in group["params"] if p in kept})

    def autocast(self) -> AbstractContextManager:
        """bf16 for the network, on a GPU or where it is asked for; the margin arithmetic stays in float32."""
        bf16 = self.config.precision == "bf16" or (self.config.precision == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)


def check_shares(config: Config) -> None:
    """InputError unless each of the processes gets a part of the classes and of every batch."""
    if processes() == 1:
        return
    if config.centers != "sharded":
        raise InputError(f"centers = {config.centers}: {processes()} processes split the classes; use sharded")
    if config.batch < processes():
        raise InputError(f"batch = {config.batch}: at least one image for each of {processes()} processes")


def sgd(config: Config, net: nn.Module, objective: MarginSoftmax) -> torch.optim.SGD:
    """The optimiser of a network and what a loss gives it."""
    learned = list(objective.learned.parameters())  # margins and thresholds: nothing should pull them to zero
    return torch.optim.SGD(
        [
            {"params": [*net.parameters(), *objective.centers.parameters()]},
            *([{"params": learned, "weight_decay": 0.0}] if learned else []),
        ],
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
    )


def on_device(images: np.ndarray, labels: np.ndarray, where: torch.device) -> tuple[Tensor, Tensor]:
    """Images (n, S, S, 3) uint8 and labels (n,) resident on the device, as (n, 3, S, S) and int64."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(where).permute(0, 3, 1, 2)
    return pixels, torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64)).to(where)


def normalised(pixels: Tensor) -> Tensor:
    """(p - 127.5) / 128, as NPCFace section V-A."""
    return (pixels.float() - 127.5) / 128


def batch_indices(n: int, size: int, step: int, seed: int) -> Tensor:
    """Which of n images step `step` trains on: epoch after epoch, each in its own shuffled order."""
    first, last = step * size, (step + 1) * size
    orders = [
        torch.randperm(n, generator=generator(seed, f"epoch {e}")) for e in range(first // n, (last - 1) // n + 1)
    ]
    start = first - (first // n) * n
    return torch.cat(orders)[start : start + size]


def sampler(labels: np.ndarray, each: int) -> Callable[[int, int, int], Tensor]:
    """A function (batch size, step, seed) -> the images of a batch; with each > 1, so many of every identity in it."""
    if each == 1:
        return lambda size, step, seed: batch_indices(len(labels), size, step, seed)
    owned = [torch.from_numpy(np.flatnonzero(labels == identity)) for identity in np.unique(labels)]

    def draw(size: int, step: int, seed: int) -> Tensor:
        own = generator(seed, f"identities {step}")
        chosen = torch.randperm(len(owned), generator=own)[: max(2, size // each)]
        return torch.cat([owned[i][torch.randperm(len(owned[i]), generator=own)[:each]] for i in chosen])

    return draw


def augmented(pixels: Tensor, step: int, seed: int) -> Tensor:
    """Each image mirrored with probability 1/2, turned, zoomed, moved and tinted; its edge pixels fill what opens."""
    own, n = generator(seed, f"augment {step}"), len(pixels)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=own, dtype=torch.float32) - 1

    turn, zoom, move, tint = TURN * uniform(n), 1 + ZOOM * uniform(n), MOVE * uniform(n, 2), TINT * uniform(n, 3, 1, 1)
    mirror = uniform(n).sign()
    x_axis = torch.stack([mirror * zoom * turn.cos(), mirror * zoom * turn.sin()], dim=1)
    y_axis = torch.stack([-zoom * turn.sin(), zoom * turn.cos()], dim=1)
    maps = torch.stack([x_axis, y_axis, move], dim=2).to(pixels.device)  # (n, 2, 3): where each pixel looks
    grid = nn.functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    moved = nn.functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return (moved * tint.exp2().to(pixels.device)).clamp_(0, 255)


def mirrored(pixels: Tensor, step: int, seed: int) -> Tensor:
    """Each image mirrored with probability 1/2 and not changed otherwise (NPCFace, section V-A)."""
    own = generator(seed, f"augment {step}")
    mirror = torch.rand(len(pixels), generator=own, dtype=torch.float32) < 0.5
    return torch.where(mirror.to(pixels.device)[:, None, None, None], pixels.flip(3), pixels)


AUGMENTATIONS = {"affine": augmented, "flip": mirrored}


def learning_rate(peak: float, step: int, steps: int, drops: tuple[int, ...] = ()) -> float:
    """A straight line up over the first 5 % of the steps, then half a cosine down to nothing.

    With drops: the peak, divided by 10 from each of these steps on.
    """
    if drops:
        return peak / 10 ** sum(step >= drop for drop in drops)
    ramp = max(1, steps // 20)
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


class Feed:
    """The batches of a job from images (n, S, S, 3) uint8 and labels (n,): a function of its seed and the step.

    each: how many images of an identity a batch needs (1: any batch will do). Raises InputError for labels beyond the
    classes and for fewer than 2 images.
    """

    def __init__(self, job: Job, images: np.ndarray, labels: np.ndarray, each: int) -> None:
        check_data(labels, job.objective.centers.classes)
        self._pixels, self._labels = on_device(images, labels, job.device)
        self._batch, self._seed = job.config.batch, job.config.seed
        self._augment = AUGMENTATIONS[job.config.augmentation]
        self._draw = sampler(labels, each)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The images (B, 3, S, S), changed as they are for this step, and labels (B,) that step `step` trains on."""
        chosen = self._draw(self._batch, step, self._seed).to(self._labels.device)
        return self._augment(self._pixels[chosen], step, self._seed), self._labels[chosen]


Changes = Mapping[str, Any] | None


def fit(
    job: Job,
    images: np.ndarray,
    labels: np.ndarray,
    schedule: tuple[Event, ...] = (),
    on_event: Callable[[Event], None] = lambda event: None,
) -> Generator[Step, Changes, None]:
    """Train `job` until its configured steps are done, yielding a Step after each.

    images (n, S, S, 3) uint8, labels (n,) in 0..C-1. A mapping sent to the generator is applied before the next step,
    like the scheduled events of that step; on_event receives every event as it is applied. Raises InputError for labels
    beyond the classes and for fewer than 2 images; TrainingFault, before anything is changed, where the loss is not
    finite.
    """
    config = job.config = job.config.for_images(len(labels))
    feed = Feed(job, images, labels, METHODS[config.method].images_per_class)
    changes: Changes = None
    while job.step < config.steps:
        began = time.perf_counter()
        due = {event.name: event.new for event in schedule if event.step == job.step} | dict(changes or {})
        for event in job.change(due):
            on_event(event)
        lr = learning_rate(job.lr, job.step, config.steps, config.drops)
        changes = yield train_step(job, *feed(job.step), lr, began)


def train_step(job: Job, pixels: Tensor, y: Tensor, lr: float, began: float) -> Step:
    """One step of the optimiser on one batch, of which each process takes its share.

    began: when it was started, by time.perf_counter. Raises TrainingFault where the loss is not finite.
    """
    share = shard_range(len(y))
    job.backbone.train()
    for group in job.optimiser.param_groups:
        group["lr"] = lr
    with job.autocast():
        x = job.backbone(normalised(pixels[share]).contiguous(memory_format=torch.channels_last))
        every = all_gather(x.detach())
        check_embeddings(every, job)
        loss = job.objective.step(x, y[share]).total
    direction, length = unit(full(every))
    seen = torch.stack([loss.detach(), length.mean(), direction.mean(dim=0).norm()]).tolist()  # one wait for the device
    value = seen[0]
    if not math.isfinite(value):
        raise TrainingFault(f"step {job.step}: the loss is {value}; {culprit(job, every)}")
    job.optimiser.zero_grad()
    loss.backward()
    sum_gradients([*job.backbone.parameters(), *job.objective.learned.parameters()])
    job.optimiser.step()
    job.objective.apply_updates(lr)
    done, job.step = job.step, job.step + 1
    return Step(done, value, lr, time.perf_counter() - began, *seen[1:])


def check_embeddings(x: Tensor, job: Job) -> None:
    """Name the fault before a loss hides it. Only on the CPU: on a GPU looking would wait for the step to end."""
    if x.device.type == "cpu" and not torch.isfinite(x).all():
        raise TrainingFault(f"step {job.step}: the embeddings are not finite; {culprit(job, x)}")


def culprit(job: Job, x: Tensor) -> str:
    """In words, the first tensor that is not finite: a weight of the network, the centers, the embeddings."""
    for owner, module in (("network", job.backbone), ("objective", job.objective)):
        for name, value in module.state_dict().items():
            if not torch.isfinite(value).all() and "queue" not in name:  # an empty place has the score -infinity
                return f"'{name}' of the {owner} holds NaN or infinity; try a smaller lr ({job.lr:g} now) or s"
    bad = (~torch.isfinite(x)).any(dim=1) | (x == 0).all(dim=1)
    if bad.any():
        return (
            f"embedding {int(bad.nonzero()[0])} of the batch is not finite or zero; try a smaller lr ({job.lr:g} now)"
        )
    return f"embeddings and weights are finite; try a smaller s ({job.objective.s:g} now)"


def check_data(labels: np.ndarray, classes: int) -> None:
    """InputError unless there are at least 2 labels, all in 0..classes-1."""
    if len(labels) < 2:
        raise InputError(f"{len(labels)} images to train on: at least 2")
    if labels.min() < 0 or labels.max() >= classes:
        bad = int(labels.max() if labels.max() >= classes else labels.min())
        raise InputError(f"label {bad} is outside 0..{classes - 1} ({classes} classes)")


@torch.no_grad()
def embed(
    net: nn.Module, images: np.ndarray, where: torch.device, mirror: bool = False, chunk: int = 256
) -> np.ndarray:
    """Embeddings (n, D) float32 of images (n, S, S, 3); with `mirror`, of each image plus of its mirror image."""
    training = net.training
    net.eval()
    out = []
    for start in range(0, len(images), chunk):
        pixels, _ = on_device(images[start : start + chunk], np.zeros(0), where)
        x = normalised(pixels).contiguous(memory_format=torch.channels_last)
        out.append((net(x) + net(x.flip(3)) if mirror else net(x)).float().cpu())
    net.train(training)
    return torch.cat(out).numpy()


def snapshot(job: Job, images: np.ndarray, labels: np.ndarray) -> Snapshot:
    """The sphere now: embeddings of a sample of the training images beside the centers, and every parameter.

    Of more than `kept.CENTERS_KEPT` classes, those that the probes need and random others are kept.
    """
    x = embed(job.backbone, images, job.device)
    sub, W, y, ids = job.objective.centers.sub, every_center(job.objective.centers).detach(), labels, None
    classes = len(W) // sub
    if classes > kept.CENTERS_KEPT:
        rng = generator(job.config.seed, "centers kept")
        chosen = kept.kept_classes(torch.from_numpy(x), torch.from_numpy(labels).long(), W, sub, rng)
        W = W.unflatten(0, (-1, sub)).index_select(0, chosen.to(W.device)).flatten(0, 1)
        ids, y = chosen.numpy(), np.searchsorted(chosen.numpy(), labels)
    return Snapshot(
        job.step,
        x,
        y,
        W.float().cpu().numpy(),
        job.objective.parameters_now() | {"lr": job.lr},
        {name: float(value) for name, value in job.objective.state.items() if value.ndim == 0},
        sub,
        ids,
    )
