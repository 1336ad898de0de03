"""Train a margin of your own, which is not in METHODS: `train_margin(MyMargin())`."""

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
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Job, fit, snapshot
from workbench.training.run import SNAPSHOT_IMAGES, SNAPSHOT_LIMIT, snapshot_steps


@dataclass(frozen=True)
class MarginTraining:
    """The result of `train_margin`.

    job: at its last step; steps: with their losses; snapshots; events: the warm-up; unseen: the test images.
    """

    job: Job
    steps: tuple[Step, ...]
    snapshots: tuple[Snapshot, ...]
    events: tuple[Event, ...]
    unseen: ImageSet

    @property
    def margin(self) -> Margin:
        """The margin with its parameters at the end."""
        return self.job.objective.margin

    @property
    def state(self) -> dict[str, float]:
        """The margin's state at the end, as `curve`, `boundaries` and `gradient_map` take it."""
        values = self.job.objective.state
        return {name: float(values[name]) for name in self.margin.states}

    @property
    def losses(self) -> np.ndarray:
        """The loss of each step (steps,), in nats."""
        return np.array([step.loss for step in self.steps])

    def summary(self) -> dict[str, float]:
        """The mean loss of the first and of the last 10 steps, and the state at the end."""
        ends = {"loss first": self.losses[:10].mean(), "loss last": self.losses[-10:].mean()}
        return {name: float(value) for name, value in ends.items()} | self.state

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in self.summary().items())
        return f"{type(self.margin).__name__}, {self.job.step} steps: {numbers}"


def train_margin(
    margin: Margin,
    data: str = "heads",
    steps: int = 300,
    s: float | None = None,
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
    **settings: Any,
) -> MarginTraining:
    """Train a margin in place of the margin of the method norm_softmax.

    steps: training steps. s: scale; default: the recipe's, 24. seed: of weights, centers, batches and the split.
    settings: other fields of Config, such as size (px), batch, lr, recipe, device. The default recipe grows every
    parameter that has a neutral value from it over the first third of the steps. Raises InputError for invalid
    settings, and, with the line of the formula, for a margin that does not compute T and N.
    """
    config = Config(method="norm_softmax", data=data, steps=steps, seed=seed, **settings)
    faults = check_margin(margin).of("computes")
    if faults:
        raise InputError(faults[0].message)
    images = load(config.data, config.size)
    known, unseen = (images.of(ids) for ids in split_identities(images.classes, config.test, config.seed))
    centers = FullCenters(known.classes, config.dim, config.seed)
    objective = MarginSoftmax(margin, centers, Fixed(config.settings()["s"] if s is None else s), seed=config.seed)
    job = Job.start(config, known.classes, known.size, objective)
    sample = known.take(stratified_sample(known.labels, SNAPSHOT_LIMIT, SNAPSHOT_IMAGES, config.seed))
    at = snapshot_steps(config.steps, config.snapshots)
    events: list[Event] = []
    taken, snapshots = [], [snapshot(job, sample.images, sample.labels)]
    for step in fit(job, known.images, known.labels, config.warm_up(margin, config.steps), events.append):
        taken.append(step)
        if job.step in at:
            snapshots.append(snapshot(job, sample.images, sample.labels))
        progress(step)
    return MarginTraining(job, tuple(taken), tuple(snapshots), tuple(events), unseen)
