"""Change a running job: another tuning, another method over the same centers, a fresh start at step 0."""

import torch
from torch import nn

from workbench.centers import class_set
from workbench.centers.base import ClassSet
from workbench.centers.full import FullCenters
from workbench.core.device import float32_default
from workbench.data.images import ImageSet
from workbench.losses.triplet import TripletLoss
from workbench.methods.method import Method
from workbench.training.batches import Feed
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Job
from workbench.training.live.tuning import Tuning
from workbench.training.state import JobState


@float32_default()
def start_job(config: Config, tuning: Tuning, images: ImageSet) -> Job:
    """A job with this tuning before its first step."""
    objective = build_objective(config, tuning, images.classes, None)
    job = Job.start(config, images.classes, images.size, objective)
    job.lr = tuning.lr
    return job


def make_feed(job: Job, tuning: Tuning, images: ImageSet) -> Feed:
    """The batches that the tuning's method needs."""
    return Feed(job, images.images, images.labels, tuning.composed.images_per_class)


@float32_default()
def build_objective(config: Config, tuning: Tuning, classes: int, old: nn.Module | None) -> nn.Module:
    """The objective of a tuning. It shares the class centers of the old objective where their shapes agree."""
    method = tuning.composed
    if not method.has_logits:
        return TripletLoss(method.margin_of(tuning.values), classes, config.dim, config.seed)
    centers = reusable_centers(method, tuning, old)
    if centers is None:
        options = config.center_options() | dict(tuning.class_set)
        similarity = method.similarity_of(tuning.values)
        centers = class_set(config.centers, classes, config.dim, config.seed, similarity, options)
        share_weight(old, centers)
    return method.objective(tuning.values, centers, config.seed, config.compute)


def reusable_centers(method: Method, tuning: Tuning, old: nn.Module | None) -> ClassSet | None:
    """The class set of the old objective if the new method uses the same similarity, else None."""
    centers = getattr(old, "centers", None)
    same = isinstance(centers, ClassSet) and centers.similarity == method.similarity_of(tuning.values)
    return centers if same else None


def share_weight(old: nn.Module | None, centers: ClassSet) -> None:
    """Use the old objective's weight parameter in new centers of the same shape."""
    before = getattr(old, "centers", None)
    full = isinstance(centers, FullCenters) and isinstance(before, FullCenters)
    if full and before.weight.shape == centers.weight.shape:
        centers.weight = before.weight


def apply_tuning(job: Job, old: Tuning, new: Tuning, images: ImageSet) -> tuple[tuple[Event, ...], str]:
    """Change a job from one tuning to another. Returns the events and a note on the centers and the state."""
    changes = new.differences(old)
    before = dict(old.values) | {name: getattr(old, name) for name in ("method", "preset", "weighting", "lr")}
    events = tuple(
        Event(job.step, name, value, before.get(name)) for name, value in changes.items() if name != "class_set"
    )
    note = ""
    if needs_objective(old, new):
        note = switch_method(job, old, new, images)
    else:
        job.change({name: v for name, v in new.values.items() if v != old.values[name]} | {"lr": new.lr})
    for name, value in changes.get("class_set", {}).items():
        events += (Event(job.step, name, value, old.class_set[name]),)
        job.objective.centers.tune(name, value)
    job.lr = new.lr
    return events, note


def needs_objective(old: Tuning, new: Tuning) -> bool:
    """Whether the tunings differ in more than values of parameters: in parts of the loss, or in the similarity."""
    a, b = old.composed, new.composed
    return a != b or (b.has_logits and a.similarity_of(old.values) != b.similarity_of(new.values))


def switch_method(job: Job, old: Tuning, new: Tuning, images: ImageSet) -> str:
    """Give a job another objective. Returns a note: whether the centers and the margin's state are kept."""
    before = job.objective
    after = build_objective(job.config, new, images.classes, before)
    same_centers = getattr(after.centers, "weight", None) is getattr(before.centers, "weight", False)
    same_margin = old.composed.margin is new.composed.margin
    if same_margin:
        carry_state(JobState.of(job), after)
    job.adopt(after)
    centers = "centers kept" if same_centers else "centers new: their shapes differ"
    return f"{centers}; state of the margin {'kept' if same_margin else 'new'}"


@torch.no_grad()
def carry_state(before: JobState, objective: nn.Module) -> None:
    """Copy the margin's states and learned values of the same name and shape into another objective."""
    values = before.part("objective")
    for name, value in objective.state_dict().items():
        if name.startswith(("state_", "learned.")) and name in values and values[name].shape == value.shape:
            value.copy_(values[name])


def restore_job(job: Job, present: Tuning, target: Tuning, state: JobState, images: ImageSet) -> None:
    """Restore a job, which trains with `present`, to a state that it or its parent had with `target`."""
    if needs_objective(present, target):
        job.adopt(build_objective(job.config, target, images.classes, job.objective))
    for name, value in target.class_set.items():
        if value != present.class_set[name]:
            job.objective.centers.tune(name, value)
    state.restore(job)
