"""Putting a job into another state: with another tuning, back to a state that was kept, or fresh at step 0."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.centers import class_set
from workbench.centers.base import ClassSet
from workbench.centers.full import FullCenters
from workbench.core.device import float32_default
from workbench.data.images import ImageSet
from workbench.losses.triplet import TripletLoss
from workbench.methods.method import Method
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Feed, Job
from workbench.training.live.tuning import Tuning


@dataclass(frozen=True)
class Captured:
    """A whole state, in memory: the tuning, the step, and copies of every tensor that a later step depends on."""

    tuning: Tuning
    step: int
    lr: float
    by_hand: frozenset[str]
    tensors: dict[str, dict[str, Tensor]]


@float32_default()
def started(config: Config, tuning: Tuning, images: ImageSet) -> tuple[Job, Feed]:
    """A job before its first step with this tuning, and its batches."""
    objective = composed(config, tuning, images.classes, None)
    job = Job.start(config, images.classes, images.size, objective)
    job.lr = tuning.lr
    return job, Feed(job, images.images, images.labels, tuning.composed.images_per_class)


@float32_default()
def composed(config: Config, tuning: Tuning, classes: int, old: nn.Module | None) -> nn.Module:
    """The objective of a tuning, over the centers of an old one where their shapes agree."""
    method = tuning.composed
    if not method.has_logits:
        return TripletLoss(method.margin_of(tuning.values), classes, config.dim, config.seed)
    centers = kept_centers(method, tuning, old)
    if centers is None:
        options = dict(config.class_set) | ({} if config.centers == "full" else config.sgd()) | dict(tuning.class_set)
        similarity = method.similarity_of(tuning.values)
        centers = class_set(config.centers, classes, config.dim, config.seed, similarity, options)
        carry_weight(old, centers)
    return method.objective(tuning.values, centers, config.seed, config.compute)


def kept_centers(method: Method, tuning: Tuning, old: nn.Module | None) -> ClassSet | None:
    """The class set of the old objective, where it compares in the way that the new method does."""
    held = getattr(old, "centers", None)
    same = isinstance(held, ClassSet) and held.similarity == method.similarity_of(tuning.values)
    return held if same else None


def carry_weight(old: nn.Module | None, centers: ClassSet) -> None:
    """Give new centers the weight of the old ones, the parameter itself, where the shapes agree."""
    held = getattr(old, "centers", None)
    if isinstance(centers, FullCenters) and isinstance(held, FullCenters) and held.weight.shape == centers.weight.shape:
        centers.weight = held.weight


def applied(job: Job, old: Tuning, new: Tuning, images: ImageSet, feed: Feed) -> tuple[tuple[Event, ...], str, Feed]:
    """Let a job train with another tuning; returns the events, what else is to be known, and its batches."""
    asked = new.differences(old)
    before = dict(old.values) | {name: getattr(old, name) for name in ("method", "preset", "weighting", "lr")}
    events = tuple(
        Event(job.step, name, value, before.get(name)) for name, value in asked.items() if name != "class_set"
    )
    note = ""
    if other_objective(old, new):
        note = switch(job, old, new, images)
        feed = Feed(job, images.images, images.labels, new.composed.images_per_class)
    else:
        job.change({name: v for name, v in new.values.items() if v != old.values[name]} | {"lr": new.lr})
    for name, value in asked.get("class_set", {}).items():
        events += (Event(job.step, name, value, old.class_set[name]),)
        job.objective.centers.tune(name, value)
    job.lr = new.lr
    return events, note, feed


def other_objective(old: Tuning, new: Tuning) -> bool:
    """Whether the difference is more than the value of parameters: other parts, or centers of another form."""
    a, b = old.composed, new.composed
    return a != b or (b.has_logits and a.similarity_of(old.values) != b.similarity_of(new.values))


def switch(job: Job, old: Tuning, new: Tuning, images: ImageSet) -> str:
    """Give a job another objective; says what became of the centers and of the margin's state."""
    before = job.objective
    after = composed(job.config, new, images.classes, before)
    kept = getattr(after.centers, "weight", None) is getattr(before.centers, "weight", False)
    same_margin = old.composed.margin is new.composed.margin
    if same_margin:
        carry_state(before, after)
    job.adopt(after)
    centers = "centers kept" if kept else "centers new: their shapes differ"
    return f"{centers}; state of the margin {'kept' if same_margin else 'new'}"


@torch.no_grad()
def carry_state(before: nn.Module, after: nn.Module) -> None:
    """Copy the states and learned values that both objectives have."""
    held = before.state_dict()
    for name, value in after.state_dict().items():
        if name.startswith(("state_", "learned.")) and name in held and held[name].shape == value.shape:
            value.copy_(held[name])


def captured(job: Job, tuning: Tuning, by_hand: frozenset[str]) -> Captured:
    """A copy of everything a later step depends on."""
    momentum = {}
    for i, parameter in enumerate(owned(job)):
        buffer = job.optimiser.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            momentum[str(i)] = buffer
    parts = {"backbone": job.backbone.state_dict(), "objective": job.objective.state_dict(), "momentum": momentum}
    copies = {part: {name: value.detach().clone() for name, value in held.items()} for part, held in parts.items()}
    return Captured(tuning, job.step, job.lr, by_hand, copies)


def put_back(job: Job, tuning: Tuning, kept: Captured, images: ImageSet, feed: Feed) -> Feed:
    """Bring a job, which trains with `tuning`, to a state that was kept; returns its batches."""
    if other_objective(tuning, kept.tuning):
        job.adopt(composed(job.config, kept.tuning, images.classes, job.objective))
        feed = Feed(job, images.images, images.labels, kept.tuning.composed.images_per_class)
    else:
        job.change(dict(kept.tuning.values))
    for name, value in kept.tuning.class_set.items():
        if value != tuning.class_set[name]:
            job.objective.centers.tune(name, value)
    job.backbone.load_state_dict(kept.tensors["backbone"])
    job.objective.load_state_dict(kept.tensors["objective"])
    job.optimiser.state.clear()
    for i, parameter in enumerate(owned(job)):
        if str(i) in kept.tensors["momentum"]:
            job.optimiser.state[parameter]["momentum_buffer"] = kept.tensors["momentum"][str(i)].clone()
    job.step, job.lr = kept.step, kept.lr
    return feed


def owned(job: Job) -> list[Any]:
    """The parameters that the optimiser moves, in its order."""
    return [parameter for group in job.optimiser.param_groups for parameter in group["params"]]
