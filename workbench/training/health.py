"""Health: is this loss normal? In one sentence each: what the first loss should be, a loss that is stuck, a collapse.

The expected first loss is the objective's own, on embeddings in random directions: 43.5 is normal for ArcFace at 10,572
classes, D = 512, s = 64, and no sign of a fault.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.core.random import generator
from workbench.core.record import Step

WINDOW = 150  # steps over which a loss should fall
FALL = 0.02  # share of the expected loss that it should fall by in them
HIGH = 0.5  # share of the expected loss above which standing still is being stuck
ALIGNED = 0.98  # length of the mean direction of a batch from which it is a collapse
SETTLED = 20  # steps after which a collapse is no accident of the start
SAMPLES = 1024  # random directions compared, fewer where that would be more cosines than MOST
MOST = 20_000_000


@torch.no_grad()
def expected_loss(objective: Any, norm: float, seed: int = 0) -> float:
    """The loss of embeddings of length `norm` in random directions with random labels: what a fresh network has."""
    own, like = generator(seed, "health"), objective.centers.weight
    samples = max(16, min(SAMPLES, MOST // objective.centers.classes))
    x = torch.nn.functional.normalize(torch.randn(samples, objective.centers.dim, generator=own)) * norm
    y = torch.randint(0, objective.centers.classes, (samples,), generator=own)
    dtype = like.dtype if like.dtype == torch.float64 else torch.float32
    return float(objective.loss(x.to(like.device, dtype), y.to(like.device)).total)


@dataclass
class Health:
    """Watches the steps of a training with `objective`, which is called `method`.

    `watch` returns a sentence where something new is to be said, once for each kind of trouble; `changed` is told of
    every change of a parameter, because a loss that was made harder may well stand or rise for a while.
    """

    objective: Any
    method: str
    expected: float | None = None
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _said: set[str] = field(default_factory=set)

    def watch(self, step: Step) -> str | None:
        """What this step shows that was not said before, or None."""
        self._losses.append(step.loss)
        if self.expected is None:
            self.expected = expected_loss(self.objective, step.length)
            if step.step == 0:
                return self._first(step.loss)
        if step.alignment > ALIGNED and step.step >= SETTLED:
            return self._once("collapse", self._collapse(step))
        if self._stuck():
            return self._once("stuck", self._standing(step))
        return None

    def changed(self) -> None:
        """A parameter was changed: what was seen before says nothing about now."""
        self._losses.clear()
        self.expected = None

    def _first(self, loss: float) -> str:
        usual = f"random directions have {self.expected:.1f} with {about(self.objective, self.method)}"
        if abs(loss - self.expected) <= 1 + 0.25 * abs(self.expected):
            return f"A first loss of {loss:.1f} is normal: {usual}."
        return (
            f"The first loss is {loss:.1f}, but {usual}: check the labels, and that the embeddings are not all alike."
        )

    def _stuck(self) -> bool:
        if len(self._losses) < WINDOW or self._losses[-1] < HIGH * abs(self.expected):
            return False
        losses, third = list(self._losses), WINDOW // 3
        fall = (sum(losses[:third]) - sum(losses[-third:])) / third
        return fall < FALL * abs(self.expected)

    def _standing(self, step: Step) -> str:
        return (
            f"Step {step.step}: the loss has stood at {step.loss:.1f} for {WINDOW} steps, and random directions"
            f" have {self.expected:.1f}: nothing is learned; try a smaller margin or s, a warm-up, or another lr."
        )

    def _collapse(self, step: Step) -> str:
        return (
            f"Step {step.step}: the embeddings all point the same way (their mean direction has length"
            f" {step.alignment:.3f}, 1 is a single point): the network has collapsed; start again with a smaller lr or"
            " margin."
        )

    def _once(self, kind: str, sentence: str) -> str | None:
        if kind in self._said:
            return None
        self._said.add(kind)
        return sentence


def about(objective: Any, method: str) -> str:
    """The loss and the numbers that its size depends on: 'arcface at C = 128, D = 128, s = 24'."""
    s = "" if objective.s != objective.s else f", s = {objective.s:.3g}"
    return f"{method} at C = {objective.centers.classes}, D = {objective.centers.dim}{s}"
