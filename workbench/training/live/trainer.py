"""Trainer: a job under live changes, with its warm-up, its health and its checkpoints.

Everything here runs in the training thread of a session.
"""

import time
from dataclasses import dataclass
from typing import Any

from workbench.core.record import Step
from workbench.data.images import ImageSet
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import train_step
from workbench.training.health import Health
from workbench.training.live.switching import apply_tuning, make_feed, restore_job, start_job
from workbench.training.live.tuning import Tuning
from workbench.training.live.warmup import WarmUp
from workbench.training.state import JobState

RAMP = 30  # steps over which the learning rate rises to its value


@dataclass(frozen=True)
class Checkpoint:
    """A state of a live training in memory. by_hand: the parameters that its warm-up leaves alone."""

    tuning: Tuning
    by_hand: frozenset[str]
    state: JobState


class Trainer:
    """A job that trains on `images`, starting with a tuning.

    tuning: the present one; steps: those taken so far, including steps before a restore; notes: remarks on the
    training's health; steps_per_second: over about the last second.
    """

    def __init__(self, config: Config, images: ImageSet, tuning: Tuning) -> None:
        self.config, self.images, self.tuning = config, images, tuning
        self.job = start_job(config, tuning, images)
        self.warm_up = WarmUp(config, tuning)
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.steps_per_second = 0.0
        self._feed = make_feed(self.job, tuning, images)
        self._health = self._make_health(tuning.method)

    def warm(self) -> dict[str, Any]:
        """Apply the warm-up's changes that are due before the next step, and return them."""
        due = self.warm_up.due(self.job.step, self.tuning.method)
        if due:
            self.job.change(due)
            self.tuning = self.tuning.with_changes(**due)
        return due

    def step(self) -> None:
        """Take one step. Raises TrainingFault where the loss is not finite."""
        began = time.perf_counter()
        lr = self.job.lr * min(1.0, (self.job.step + 1) / RAMP)
        step = train_step(self.job, *self._feed(self.job.step), lr, began)
        self.steps.append(step)
        if note := self._health.watch(step):
            self.notes.append(note)
        self.steps_per_second += (1 / step.seconds - self.steps_per_second) * min(1.0, step.seconds)

    def apply(self, tuning: Tuning) -> tuple[tuple[Event, ...], str]:
        """Train with another tuning from the next step on. Returns the events and a note."""
        self.warm_up.by_hand |= frozenset(tuning.differences(self.tuning))
        events, note = apply_tuning(self.job, self.tuning, tuning, self.images)
        self._use(tuning)
        return events, note

    def checkpoint(self) -> Checkpoint:
        """A copy of the present state."""
        return Checkpoint(self.tuning, self.warm_up.by_hand, JobState.of(self.job).copy())

    def initial_checkpoint(self) -> Checkpoint:
        """The state at step 0 with the present tuning, which no warm-up changes."""
        job = start_job(self.config, self.tuning, self.images)
        return Checkpoint(self.tuning, frozenset(self.tuning.values), JobState.of(job))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint of this trainer, or of one with the same configuration."""
        restore_job(self.job, self.tuning, checkpoint.tuning, checkpoint.state, self.images)
        self.warm_up.by_hand = checkpoint.by_hand
        self._use(checkpoint.tuning)

    def _make_health(self, method: str) -> Health:
        return Health(self.job.objective, method, self.images.labels, self.config.batch)

    def _use(self, tuning: Tuning) -> None:
        """Make a tuning, which the job has already, the present one."""
        if tuning.composed.images_per_class != self.tuning.composed.images_per_class:
            self._feed = make_feed(self.job, tuning, self.images)
        self.tuning = tuning
        self._health = self._make_health(tuning.method)
