"""What a whole training step costs as the classes grow: all of them at once, tile by tile, a random part, queued."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from workbench.compare.cost.measure import counted, interleaved, peak
from workbench.compare.cost.memory import allocations, free_memory, needs, two_steps
from workbench.compare.cost.results import SPARED, Cost, at_least, too_large
from workbench.core.progress import Progress
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import build

CURVES = ("queued", "sampled", "full, streaming", "full, dense")  # the smallest first: what fits beside it is measured


def scaling(
    classes: Sequence[int],
    batch: int,
    dim: int,
    method: str,
    rate: float,
    most: int,
    queue: int,
    rounds: int,
    costs: list[Cost],
    progress: Progress = lambda done, total, what: None,
) -> None:
    """Measure a step of the classifier (comparing, backward, the centers' step) for each curve and size, into `costs`.

    rate: share of the classes that a batch meets when sampled; most: how many when queued; queue: its length. bytes of
    a cost: all that the classifier holds at the peak of a step, measured; estimated: by
    `workbench.compare.cost.memory.needs`. The
    curves of one size are measured side by side, so what does not fit beside the smaller ones, by the estimate, is left
    out and says so. costs holds what there is when it is interrupted. Raises InputError for what `needs` cannot
    estimate.
    """
    at_least(classes=(min(classes), 2), rounds=(rounds, 1))
    advance = counted(progress, len(classes) * len(CURVES) * (1 + rounds))
    for C in classes:
        options = {
            "full, dense": {"compute": "dense"},
            "full, streaming": {"compute": "streaming"},
            "sampled": {"centers": "sampled", "class_set": {"rate": rate}, "compute": "auto"},
            "queued": {"centers": "queued", "class_set": {"K": min(queue, C - 1), "max_active": most}},
        }
        full, streaming, sampled, queued, _ = needs(method, C, dim, batch, rate, most, queue)
        sizes = dict(zip(CURVES, (queued.cpu, sampled.cpu, streaming.cpu, full.cpu), strict=True))
        runs = []
        for curve in CURVES:
            advance(f"{curve}, {C:,} classes")
            cost = Cost(curve, C, estimated=sizes[curve])
            costs.append(cost)
            if sizes[curve] > (free := free_memory()) * (1 - SPARED):
                cost.note = too_large(sizes[curve], free)
                continue
            step = Step(measured(partial(build, method, C, dim, **options[curve]), batch, cost), batch)
            runs.append((cost, step.draw, step))
        interleaved(runs, rounds, advance)


def measured(make: Callable[[], MarginSoftmax], batch: int, cost: Cost) -> MarginSoftmax:
    """What `make` makes, after two steps of a training whose peak is put into the cost."""
    made = []
    events = allocations(lambda: made.append(make()) or made[0], lambda objective: two_steps(objective, batch))
    cost.bytes = peak(events)
    return made[0]


class Step:
    """A step of a training, called; its batch, of random directions and classes, is drawn before by `draw`."""

    def __init__(self, objective: MarginSoftmax, batch: int) -> None:
        self.objective, self.own = objective, generator(0, "scaling")
        self.x = torch.nn.Parameter(torch.empty(batch, objective.centers.dim))
        learned = [self.x, *objective.parameters()]
        self.optimiser = torch.optim.SGD(learned, lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.draw()
        self()  # what an optimiser makes with its first step, and what is compiled, is there before the first round

    def draw(self) -> None:
        self.x.data.normal_(generator=self.own)
        self.y = torch.randint(0, self.objective.centers.classes, (len(self.x),), generator=self.own)

    def __call__(self) -> None:
        loss = self.objective.step(self.x, self.y).total
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.objective.apply_updates(0.01)
