"""Health of a training: remarks on an unusual first loss, a loss that does not fall or is at chance level, a
collapsed network, and settings or labels with which nothing can be learned.

The expected first loss is that of embeddings in random directions. It depends on the number of classes and on s: 43.5
is normal for ArcFace with 10,572 classes, D = 512, s = 64.
"""

import math
from collections import deque
from collections.abc import Iterable
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
NEAR = 0.05  # relative difference from the chance-level loss below which a constant loss is at chance level
SHARP = 20.0  # s / sqrt(D), the standard deviation of random logits, above which softmax depends on one class only
SAMPLES = 1024  # random embeddings of the expected loss
MOST = 20_000_000  # cosines of the expected loss; with more classes there are fewer samples
FALLEN = 0.1  # relative fall of the triplet loss, or of the share of violating triplets, in a sound training
NO_TRIPLETS = (
    "No batch has two images of one identity and one of another, so there are no triplets, and the loss is 0: nothing"
    " is learned; train on more identities with at least two images each."
)


@torch.no_grad()
def expected_loss(objective: Any, norm: float, seed: int = 0, batch: int | None = None) -> float:
    """The loss, in nats, of embeddings of length `norm` in random directions with random labels.

    batch: the number of embeddings, 4 for each label, if the mining of the loss depends on it; None: up to SAMPLES
    embeddings.
    """
    rng, weight = generator(seed, "health"), objective.centers.weight
    samples = batch or max(16, min(SAMPLES, MOST // objective.centers.classes))
    x = torch.nn.functional.normalize(torch.randn(samples, objective.centers.dim, generator=rng)) * norm
    y = torch.randint(0, objective.centers.classes, (samples,), generator=rng)
    if batch:
        y = y[torch.arange(samples) // 4]
    dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
    return float(objective.loss(x.to(weight.device, dtype), y.to(weight.device)).total)


@torch.no_grad()
def chance_loss(objective: Any, norm: float) -> float:
    """The loss, in nats, if all cosines are 0: ln C for softmax without a margin. NaN for a loss without logits."""
    if not hasattr(objective, "from_cosines"):
        return math.nan
    weight = objective.centers.weight
    dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
    cos = torch.zeros(1, objective.centers.classes, dtype=dtype, device=weight.device)
    y = torch.zeros(1, dtype=torch.long, device=weight.device)
    return float(objective.from_cosines(cos, y, torch.full_like(cos[:, :1], norm)).total)


@dataclass
class Health:
    """Remarks on the steps of a training. method: the name of the objective's method.

    labels: of the training images; batch: the batch size. Call `watch` with each step, and `reset` after each change of
    a parameter, since the loss may rise after it. Each kind of remark is made once.
    """

    objective: Any
    method: str
    labels: Any = None
    batch: int = 256
    expected: float | None = None
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _violating: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _start: list[float] = field(default_factory=list)  # losses and shares of violating triplets at the start
    _remarked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # the initial values, with which the first loss is computed; `watch` is called after their first update
        self._learned = {name: value.detach().clone() for name, value in self.objective.learned.items()}

    @property
    def _triplets(self) -> bool:
        return hasattr(self.objective, "violating")

    def watch(self, step: Step) -> str | None:
        """A new remark on a step, or None."""
        self._losses.append(step.loss)
        if self._triplets:
            self._violating.append(float(self.objective.violating))
        if self.expected is None:
            self._expect(step.length)
            if step.step == 0:
                return self._first(step.loss)
        if step.alignment > ALIGNED and step.step >= SETTLED:
            return self._once("collapse", self._collapse(step))
        if self._triplets and len(self._violating) >= SETTLED and all(map(math.isnan, self._violating)):
            return self._once("triplets", NO_TRIPLETS)
        if len(self._losses) < WINDOW:
            return None
        if "stuck" not in self._remarked and (chance := self._chance_level(step)):
            return self._once("stuck", self._describe_chance(step, chance))
        if self._is_stuck():
            return self._once("stuck", self._describe_plateau(step))
        return None

    @torch.no_grad()
    def _expect(self, length: float) -> None:
        """Compute the expected loss with the initial values of the learned parameters."""
        learned = self.objective.learned
        now = {name: value.detach().clone() for name, value in learned.items()}
        try:
            for name, value in self._learned.items():
                learned[name].copy_(value)
            self.expected = expected_loss(self.objective, length, batch=self.batch if self._triplets else None)
        finally:
            for name, value in now.items():
                learned[name].copy_(value)

    def reset(self) -> None:
        """Forget the past losses: a parameter has changed."""
        self._losses.clear()
        self._violating.clear()
        self._start.clear()
        self._learned, self.expected = {}, None

    def _first(self, loss: float) -> str | None:
        usual = f"random directions have {self.expected:.1f} with {describe_loss(self.objective, self.method)}"
        if self.labels is not None and (self.labels == self.labels[0]).all():
            return "All images are of one class: there is nothing to separate; add other identities."
        if self._triplets and math.isnan(self._violating[-1]):
            return None  # a batch without triplets
        dim, classes = self.objective.centers.dim, self.objective.centers.classes
        spread = self.objective.s / math.sqrt(dim)  # NaN where there is no s
        if spread > SHARP:
            return (
                f"s = {self.objective.s:.3g} is too sharp for D = {dim}: logits of random directions spread by"
                f" {spread:.0f}, and softmax then sees the nearest class alone (the first loss is {loss:.1f}); try s ="
                f" {max(1.0, math.sqrt(2) * math.log(max(2, classes - 1))):.0f}, AdaCos's for {classes} classes."
            )
        excess = loss - self.expected  # a triplet loss may be smaller, if images are separable from the start
        if (excess if self._triplets else abs(excess)) <= 1 + 0.25 * abs(self.expected):
            return f"A first loss of {loss:.1f} is normal: {usual}."
        return (
            f"The first loss is {loss:.1f}, but {usual}: check the labels, and that the embeddings are not all alike."
        )

    def _is_stuck(self) -> bool:
        """Whether the loss does not fall; for triplets, neither the loss nor the share of violating triplets."""
        first, last = thirds(self._losses)
        if not self._triplets:
            return self._losses[-1] >= HIGH * abs(self.expected) and first - last < FALL * abs(self.expected)
        share_first, share_last = thirds(self._violating)
        self._start = self._start or [first, share_first]
        return last > (1 - FALLEN) * self._start[0] and share_last > (1 - FALLEN) * self._start[1]

    def _chance_level(self, step: Step) -> float | None:
        """The chance-level loss at the present parameters if the loss neither falls nor varies there; else None."""
        losses = list(self._losses)
        first, last = thirds(losses)
        if first - last >= FALL * last or max(losses) - min(losses) >= 4 * NEAR * last:
            return None
        chance = chance_loss(self.objective, step.length)
        return chance if abs(last - chance) < NEAR * chance else None

    def _describe_chance(self, step: Step, chance: float) -> str:
        return (
            f"Step {step.step}: the loss has stood at {step.loss:.2f} for {WINDOW} steps, and equal cosines to all"
            f" {self.objective.centers.classes} classes have {chance:.2f} (ln C without a margin): the classes are"
            " not separated; check the labels, and try another lr."
        )

    def _describe_plateau(self, step: Step) -> str:
        if self._triplets:
            return (
                f"Step {step.step}: neither the loss ({step.loss:.2g}) nor the share of triplets that violate the"
                f" margin ({self._violating[-1]:.0%}) has fallen since the start: nothing is learned; check the"
                " labels, or try another lr."
            )
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


def thirds(values: Iterable[float]) -> tuple[float, float]:
    """The means of the first and of the last third of values."""
    values = list(values)
    n = len(values) // 3
    return sum(values[:n]) / n, sum(values[-n:]) / n


def describe_loss(objective: Any, method: str) -> str:
    """The loss and the numbers on which its size depends: 'arcface at C = 128, D = 128, s = 24'."""
    s = "" if objective.s != objective.s else f", s = {objective.s:.3g}"
    return f"{method} at C = {objective.centers.classes}, D = {objective.centers.dim}{s}"
