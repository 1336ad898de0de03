"""Health of a training: remarks on an unusual first loss, a loss that does not fall, and a collapsed network.

The expected first loss is that of embeddings in random directions. It depends on the number of classes and on s: 43.5
is normal for ArcFace with 10,572 classes, D = 512, s = 64.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.core.random import generator
from workbench.core.record import Step

WINDOW = 150  # steps within which the loss should fall
FALL = 0.02  # the fall, as a share of the expected loss
HIGH = 0.5  # share of the expected loss below which a constant loss is not stuck
ALIGNED = 0.98  # alignment of a batch (see Step) from which the network has collapsed
SETTLED = 20  # steps before which alignment is ignored
SAMPLES = 1024  # random embeddings of the expected loss
MOST = 20_000_000  # cosines of the expected loss; with more classes there are fewer samples


@torch.no_grad()
def expected_loss(objective: Any, norm: float, seed: int = 0) -> float:
    """The loss, in nats, of embeddings of length `norm` in random directions with random labels."""
    rng, weight = generator(seed, "health"), objective.centers.weight
    samples = max(16, min(SAMPLES, MOST // objective.centers.classes))
    x = torch.nn.functional.normalize(torch.randn(samples, objective.centers.dim, generator=rng)) * norm
    y = torch.randint(0, objective.centers.classes, (samples,), generator=rng)
    dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
    return float(objective.loss(x.to(weight.device, dtype), y.to(weight.device)).total)


@dataclass
class Health:
    """Remarks on the steps of a training. method: the name of the objective's method.

    Call `watch` with each step, and `reset` after each change of a parameter, since the loss may rise after it. Each
    kind of remark is made once.
    """

    objective: Any
    method: str
    expected: float | None = None
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _remarked: set[str] = field(default_factory=set)

    def watch(self, step: Step) -> str | None:
        """A new remark on a step, or None."""
        self._losses.append(step.loss)
        if self.expected is None:
            self.expected = expected_loss(self.objective, step.length)
            if step.step == 0:
                return self._first(step.loss)
        if step.alignment > ALIGNED and step.step >= SETTLED:
            return self._once("collapse", self._collapse(step))
        if self._is_stuck():
            return self._once("stuck", self._describe_plateau(step))
        return None

    def reset(self) -> None:
        """Forget the past losses: a parameter has changed."""
        self._losses.clear()
        self.expected = None

    def _first(self, loss: float) -> str:
        usual = f"random directions have {self.expected:.1f} with {describe_loss(self.objective, self.method)}"
        if abs(loss - self.expected) <= 1 + 0.25 * abs(self.expected):
            return f"A first loss of {loss:.1f} is normal: {usual}."
        return (
            f"The first loss is {loss:.1f}, but {usual}: check the labels, and that the embeddings are not all alike."
        )

    def _is_stuck(self) -> bool:
        if len(self._losses) < WINDOW or self._losses[-1] < HIGH * abs(self.expected):
            return False
        losses, third = list(self._losses), WINDOW // 3
        fall = (sum(losses[:third]) - sum(losses[-third:])) / third
        return fall < FALL * abs(self.expected)

    def _describe_plateau(self, step: Step) -> str:
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

    def _once(self, kind: str, remark: str) -> str | None:
        if kind in self._remarked:
            return None
        self._remarked.add(kind)
        return remark


def describe_loss(objective: Any, method: str) -> str:
    """The loss and the numbers on which its size depends: 'arcface at C = 128, D = 128, s = 24'."""
    s = "" if objective.s != objective.s else f", s = {objective.s:.3g}"
    return f"{method} at C = {objective.centers.classes}, D = {objective.centers.dim}{s}"
