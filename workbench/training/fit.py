"""fit: a generator that takes one training step at a time and yields a Step. Changes sent to it become events.

    steps = fit(job, images, labels)
    for step in steps: ...              # just train
    steps.send({"m": 0.4})              # change the margin before the next step

The loop is the same for every method. Everything random in a step is a function of the seed and the step, so a training
can stop anywhere and continue bitwise identically.
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.centers.sharded import gather_centers
from workbench.core.device import float32_default, resolve_device
from workbench.core.distributed import all_gather, processes, shard_range
from workbench.core.errors import InputError
from workbench.core.geometry import full, unit
from workbench.core.progress import Progress, no_progress
from workbench.core.random import generator
from workbench.core.record import Snapshot, Step
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS, build
from workbench.networks import backbone
from workbench.training import kept
from workbench.training.batches import Feed, LoaderFeed, normalize, to_device
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.processes import share_batch_norm, sum_gradients


class TrainingFault(RuntimeError):
    """Training cannot continue: the message names the step and the tensor. The weights are those before that step."""


@dataclass
class Job:
    """A training between two steps: the network, the objective, the optimizer, the peak learning rate and the step."""

    config: Config
    backbone: nn.Module
    objective: MarginSoftmax
    optimizer: torch.optim.Optimizer
    device: torch.device
    lr: float
    step: int = 0

    @classmethod
    @float32_default()
    def start(cls, config: Config, classes: int, size: int, objective: MarginSoftmax | None = None) -> "Job":
        """A job before its first step, for `classes` identities and images of `size` px.

        objective: a loss to train in place of the configuration's method. Raises InputError where there are fewer
        classes or images in a batch than processes.
        """
        check_shares(config)
        where = resolve_device(config.device)
        net = share_batch_norm(backbone(config.backbone, size, config.dim, config.seed, config.width))
        net = net.to(where, memory_format=torch.channels_last)
        if objective is None:
            options = {"seed": config.seed, "compute": config.compute, "centers": config.centers}
            options["class_set"] = config.center_options()
            objective = build(config.method, classes, config.dim, config.preset, **options, **config.settings())
        objective = objective.to(where)
        return cls(config, net, objective, make_optimizer(config, net, objective), where, config.lr)

    def change(self, values: Mapping[str, Any]) -> list[Event]:
        """Change the learning rate `lr` and parameters of the loss, all or none. Returns the events."""
        lr = float(values.get("lr", self.lr))
        if not 0 < lr <= 10:
            raise InputError(f"lr = {lr:g} is outside (0, 10]")
        old = self.objective.parameters_now() | {"lr": self.lr}
        self.objective.change({name: value for name, value in values.items() if name != "lr"})
        self.lr = lr
        return [Event(self.step, name, value, old[name]) for name, value in values.items()]

    def adopt(self, objective: MarginSoftmax) -> None:
        """Continue with another loss. Parameters that both losses share keep their momentum."""
        before = self.optimizer.state
        self.objective = objective.to(self.device)
        self.optimizer = make_optimizer(self.config, self.backbone, self.objective)
        for group in self.optimizer.param_groups:
            self.optimizer.state.update({p: before[p] for p in group["params"] if p in before})

    def autocast(self) -> AbstractContextManager:
        """bf16 for the network, on a GPU or where the configuration asks for it; the loss is computed in float32."""
        bf16 = self.config.precision == "bf16" or (self.config.precision == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)


def check_shares(config: Config) -> None:
    """InputError unless each process gets a share of the classes and of every batch."""
    if processes() == 1:
        return
    if not config.sharded:
        raise InputError(f"centers = {config.centers}: {processes()} processes split the classes; use sharded")
    if config.batch < processes():
        raise InputError(f"batch = {config.batch}: at least one image for each of {processes()} processes")


def make_optimizer(config: Config, net: nn.Module, objective: MarginSoftmax) -> torch.optim.SGD:
    """SGD over a network and the parameters of a loss."""
    learned = list(objective.learned.parameters())  # margins and thresholds, which weight decay must not shrink
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


def learning_rate(peak: float, step: int, steps: int, drops: tuple[int, ...] = ()) -> float:
    """The learning rate of a step: linear warm-up over the first 5 % of the steps, then half a cosine to zero.

    With drops: the peak, divided by 10 from each of these steps on.
    """
    if drops:
        return peak / 10 ** sum(step >= drop for drop in drops)
    ramp = max(1, steps // 20)
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


Changes = Mapping[str, Any] | None


def fit(
    job: Job,
    images: np.ndarray | Iterable[Any],
    labels: np.ndarray | None = None,
    schedule: tuple[Event, ...] = (),
    on_event: Callable[[Event], None] = lambda event: None,
) -> Generator[Step, Changes, None]:
    """Train `job` for its configured steps, yielding a Step after each.

    images (n, S, S, 3) uint8 and labels (n,) in 0..C-1; or, without labels, an iterable of batches (images, labels)
    such as a torch DataLoader, see `LoaderFeed`. A mapping sent to the generator is applied before the next step, as
    are the scheduled events of that step; on_event is called with every event. Raises InputError for labels outside the
    classes and for fewer than 2 images; TrainingFault, before the weights change, where the loss is not finite.
    """
    if labels is None:
        config, feed = job.config.for_loader(images), LoaderFeed(job, images)
    else:
        config = job.config.for_images(len(labels))
        feed = Feed(job, images, labels, METHODS[config.method].images_per_class)
    job.config = config
    changes: Changes = None
    while job.step < config.steps:
        began = time.perf_counter()
        due = {event.name: event.new for event in schedule if event.step == job.step} | dict(changes or {})
        for event in job.change(due):
            on_event(event)
        lr = learning_rate(job.lr, job.step, config.steps, config.drops)
        changes = yield train_step(job, *feed(job.step), lr, began)


def train_step(job: Job, pixels: Tensor, y: Tensor, lr: float, began: float) -> Step:
    """One step of the optimizer on normalized images (B, 3, S, S), y (B,). Each process computes its share of them.

    began: start of the step, by time.perf_counter. Raises TrainingFault where the loss is not finite.
    """
    share = shard_range(len(y))
    job.backbone.train()
    for group in job.optimizer.param_groups:
        group["lr"] = lr
    with job.autocast():
        x = job.backbone(pixels[share])
        every = all_gather(x.detach())
        check_embeddings(every, job)
        loss = job.objective.step(x, y[share]).total
    direction, length = unit(full(every))
    numbers = [loss.detach(), length.mean(), direction.mean(dim=0).norm()]
    value, length, alignment = torch.stack(numbers).tolist()  # the one synchronization with the device
    if not math.isfinite(value):
        raise TrainingFault(f"step {job.step}: the loss is {value}; {describe_fault(job, every)}")
    job.optimizer.zero_grad()
    loss.backward()
    sum_gradients([*job.backbone.parameters(), *job.objective.learned.parameters()])
    job.optimizer.step()
    job.objective.apply_updates(lr)
    job.step += 1
    return Step(job.step - 1, value, lr, time.perf_counter() - began, length, alignment)


def check_embeddings(x: Tensor, job: Job) -> None:
    """TrainingFault where embeddings are not finite. Only on the CPU: on a GPU the test would synchronize."""
    if x.device.type == "cpu" and not torch.isfinite(x).all():
        raise TrainingFault(f"step {job.step}: the embeddings are not finite; {describe_fault(job, x)}")


def describe_fault(job: Job, x: Tensor) -> str:
    """In words, the first tensor that is not finite: of the network, the objective or the embeddings x (B, D)."""
    for owner, module in (("network", job.backbone), ("objective", job.objective)):
        for name, value in module.state_dict().items():
            if not torch.isfinite(value).all() and "queue" not in name:  # empty entries of a queue have score -inf
                return f"'{name}' of the {owner} holds NaN or infinity; try a smaller lr ({job.lr:g} now) or s"
    bad = (~torch.isfinite(x)).any(dim=1) | (x == 0).all(dim=1)
    if bad.any():
        first = int(bad.nonzero()[0])
        return f"embedding {first} of the batch is not finite or zero; try a smaller lr ({job.lr:g} now)"
    return f"embeddings and weights are finite; try a smaller s ({job.objective.s:g} now)"


@torch.no_grad()
def embed_images(
    net: nn.Module,
    images: np.ndarray,
    device: torch.device,
    mirror: bool = False,
    chunk: int = 256,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Embeddings (n, D) float32 of images (n, S, S, 3) uint8, not normalized.

    mirror: add the embedding of the mirrored image to that of the image.
    """
    training = net.training
    net.eval()
    blocks = []
    for start in range(0, len(images), chunk):
        pixels, _ = to_device(images[start : start + chunk], np.zeros(0), device)
        x = normalize(pixels)
        blocks.append((net(x) + net(x.flip(3)) if mirror else net(x)).float().cpu())
        progress(start + len(x), len(images), "embedding images")
    net.train(training)
    return torch.cat(blocks).numpy()


def snapshot(job: Job, images: np.ndarray, labels: np.ndarray) -> Snapshot:
    """Embeddings of a sample of the training images, the class centers, and every parameter of the loss.

    images (n, S, S, 3) uint8, labels (n,). With more than `kept.CENTERS_KEPT` classes, the centers that the probes
    need and those of randomly chosen classes are kept.
    """
    x = embed_images(job.backbone, images, job.device)
    sub, W, y, ids = job.objective.centers.sub, gather_centers(job.objective.centers).detach(), labels, None
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
