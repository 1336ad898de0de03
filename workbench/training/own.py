"""Train a margin of one's own, which has no name in METHODS: `train_margin(MyMargin())`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.centers.full import FullCenters
from workbench.core.errors import InputError
from workbench.core.record import Snapshot, Step
from workbench.curves.check import check_margin
from workbench.data.images import ImageSet, load
from workbench.data.pairs import split_identities
from workbench.data.sampling import stratified_sample
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.losses.scales import Fixed
from workbench.margins.base import Margin
from workbench.training.config import SMALL_WARM_UP, Config
from workbench.training.events import Event, warm_up
from workbench.training.fit import Job, fit, snapshot
from workbench.training.run import SNAPSHOT_IMAGES, SNAPSHOT_LIMIT, snapshot_steps


@dataclass(frozen=True)
class Trained:
    """A training of a margin: the job at its end, its steps, snapshots and events, and the images it never saw."""

    job: Job
    steps: tuple[Step, ...]
    snapshots: tuple[Snapshot, ...]
    events: tuple[Event, ...]
    unseen: ImageSet

    @property
    def margin(self) -> Margin:
        """The margin, with the parameters it has now."""
        return self.job.objective.margin

    @property
    def state(self) -> dict[str, float]:
        """The scalars of the state now: what `curve`, `boundaries` and `gradient_map` take."""
        known = self.job.objective.state
        return {name: float(known[name]) for name in self.margin.states}

    @property
    def losses(self) -> np.ndarray:
        """The loss of each step (steps,), in nats."""
        return np.array([step.loss for step in self.steps])

    def summary(self) -> dict[str, float]:
        """The mean loss of the first and the last 10 steps, and the states at the end."""
        ends = {"loss first": self.losses[:10].mean(), "loss last": self.losses[-10:].mean()}
        return {name: float(value) for name, value in ends.items()} | self.state

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.3g}" for name, value in self.summary().items())
        return f"{type(self.margin).__name__}, {self.job.step} steps: {told}"


def train_margin(
    margin: Margin,
    data: str = "heads",
    steps: int = 300,
    s: float | None = None,
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
    **settings: Any,
) -> Trained:
    """Train a margin as the method norm_softmax is trained, with this margin in the place of none.

    The recipe is the one for small data: s = 24 unless given, every parameter with a neutral value grown from it over
    the first third of the steps. settings: other fields of Config, such as size (px), batch, lr, recipe, device.
    Raises InputError, with the line of the formula, for a margin that does not compute T and N.
    """
    config = Config(method="norm_softmax", data=data, steps=steps, seed=seed, **settings)
    broken = check_margin(margin).of("computes")
    if broken:
        raise InputError(broken[0].says)
    images = load(config.data, config.size)
    known, unseen = (images.of(ids) for ids in split_identities(images.classes, config.test, config.seed))
    centers = FullCenters(known.classes, config.dim, config.seed)
    objective = MarginSoftmax(margin, centers, Fixed(config.settings()["s"] if s is None else s), seed=config.seed)
    job = Job.start(config, known.classes, known.size, objective)
    sample = known.take(stratified_sample(known.labels, SNAPSHOT_LIMIT, SNAPSHOT_IMAGES, config.seed))
    keep = snapshot_steps(config.steps, config.snapshots)
    plan = warm_up(margin, math.ceil(config.steps * SMALL_WARM_UP)) if config.recipe == "small" else ()
    events: list[Event] = []
    taken, shots = [], [snapshot(job, sample.images, sample.labels)]
    for step in fit(job, known.images, known.labels, plan, events.append):
        taken.append(step)
        if job.step in keep:
            shots.append(snapshot(job, sample.images, sample.labels))
        progress(step)
    return Trained(job, tuple(taken), tuple(shots), tuple(events), unseen)
