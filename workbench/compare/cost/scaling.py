"""Seconds and memory of a training step against the number of classes, for full, sampled and queued centers."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from workbench.compare.cost.memory import allocations, free_memory, needs, two_steps
from workbench.compare.cost.results import Cost, check_minimum, count_calls, peak_bytes, time_interleaved
from workbench.core.progress import Progress, no_progress
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build

CURVES = ("queued", "sampled", "full, streaming", "full, dense")  # smallest first: larger ones must fit beside them


def scaling(
    classes: Sequence[int],
    batch: int,
    dim: int,
    method: str,
    rate: float,
    max_active: int,
    queue: int,
    rounds: int,
    costs: list[Cost],
    progress: Progress = no_progress,
) -> None:
    """Measure a training step of the classifier (forward, backward, update) for each curve and size, into `costs`.

    rate: share of the active classes if sampled; max_active: number of active classes if queued; queue: its length.
    The bytes of a cost are the measured peak of a step, the estimate is that of `memory.needs`. All curves of one size
    are in memory together; a curve that does not fit by its estimate is not measured. After an interruption, `costs`
    has what was measured. Raises InputError as `needs` does.
    """
    check_minimum(classes=(min(classes), 2), rounds=(rounds, 1))
    advance = count_calls(progress, len(classes) * len(CURVES) * (1 + rounds))
    for C in classes:
        options = {
            "full, dense": {"compute": "dense"},
            "full, streaming": {"compute": "streaming"},
            "sampled": {"centers": "sampled", "class_set": {"rate": rate}, "compute": "auto"},
            "queued": {"centers": "queued", "class_set": {"K": min(queue, C - 1), "max_active": max_active}},
        }
        full, streaming, sampled, queued, _ = needs(method, C, dim, batch, rate, max_active, queue)
        runs = []
        for curve, need in zip(CURVES, (queued, sampled, streaming, full), strict=True):
            advance(f"{curve}, {C:,} classes")
            cost = Cost(curve, C, estimated=need.cpu)
            costs.append(cost)
            if cost.fits(free_memory()):
                objective = measure_steps(partial(build, method, C, dim, **options[curve]), batch, cost)
                step = ClassifierStep(objective, batch)
                runs.append((cost, step.draw, step))
        time_interleaved(runs, rounds, advance)


def measure_steps(make: Callable[[], MarginSoftmax], batch: int, cost: Cost) -> MarginSoftmax:
    """The objective that `make` makes, after two training steps; their peak is stored in the cost."""
    made = []
    events = allocations(lambda: made.append(make()) or made[0], lambda objective: two_steps(objective, batch))
    cost.bytes = peak_bytes(events)
    return made[0]


class ClassifierStep:
    """A callable training step. `draw` draws its batch of random directions and classes."""

    def __init__(self, objective: MarginSoftmax, batch: int) -> None:
        self.objective, self.rng = objective, generator(0, "scaling")
        self.x = torch.nn.Parameter(torch.empty(batch, objective.centers.dim))
        learned = [self.x, *objective.parameters()]
        self.optimizer = torch.optim.SGD(learned, lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.draw()
        self()  # allocates the optimizer's state and compiles, before the first round

    def draw(self) -> None:
        """Draw the next batch."""
        self.x.data.normal_(generator=self.rng)
        self.y = torch.randint(0, self.objective.centers.classes, (len(self.x),), generator=self.rng)

    def __call__(self) -> None:
        loss = self.objective.step(self.x, self.y).total
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.objective.apply_updates(0.01)
