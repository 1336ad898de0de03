"""What the classifier of a loss costs: this workbench's ways beside those of others, interleaved."""

from collections.abc import Mapping, Sequence

from torch import nn

from workbench.compare.cost.measure import counted, interleaved, peak
from workbench.compare.cost.memory import SMALL, Footprint, allocations, free_memory, sizes
from workbench.compare.cost.results import SPARED, Cost, at_least, too_large
from workbench.compare.cost.ways import ABSENT, Batch, Way, checked, ways
from workbench.core.progress import Progress


def heads(
    classes: Sequence[int],
    batch: int,
    dim: int,
    methods: Sequence[str],
    rounds: int,
    costs: list[Cost],
    progress: Progress = lambda done, total, what: None,
) -> None:
    """Measure a forward and backward of every way (`workbench.compare.cost.ways`) with each number of classes, into
    `costs`.

    bytes of a cost: the most that was allocated at once above the inputs and their gradients. A way whose peak,
    estimated from a run in small, does not fit into the free memory is left out and says so. costs is filled as the
    measuring goes on: it holds what there is when it is interrupted. Raises InputError for methods that cannot be
    measured and for numbers out of range.
    """
    methods = checked(methods)
    at_least(classes=(min(classes), 2), batch=(batch, 1), dim=(dim, 2), rounds=(rounds, 1))
    small = footprints(methods) if max(classes) > SMALL["C"] else {}
    advance = None
    for C in classes:
        inputs = Batch.drawn(C, batch, dim)
        listed = list(ways(inputs, methods))
        advance = advance or counted(progress, len(classes) * len(listed) * (1 + rounds))
        runs = []
        for way in listed:
            advance(f"{way.name}, {C:,} classes")
            cost = Cost(way.name, C, estimated=estimated(small, way, C, batch, dim))
            costs.append(cost)
            if ready(way, inputs, cost):
                runs.append((cost, inputs.clear, way.run))
        interleaved(runs, rounds, advance)


def ready(way: Way, inputs: Batch, cost: Cost) -> bool:
    """Whether a way can be timed; its peak is measured then, after a run that compiles what is compiled."""
    if way.run is None:
        cost.note = ABSENT
    elif cost.estimated is not None and cost.estimated > (free := free_memory()) * (1 - SPARED):
        cost.note = too_large(cost.estimated, free)
    if cost.note:
        return False
    inputs.clear()
    way.run()
    inputs.clear()
    held = peak(allocations(nn.Identity, lambda _: way.run()))
    cost.bytes = max(0, held - inputs.gradients)
    cost.note = way.note()
    inputs.clear()
    return True


def footprints(methods: Sequence[str]) -> dict[str, Footprint]:
    """What a run of every way takes in small, by name."""
    inputs, found = Batch.drawn(SMALL["C"], SMALL["B"], SMALL["D"]), {}
    for way in ways(inputs, methods):
        if way.run is not None:
            inputs.clear()
            found[way.name] = Footprint(allocations(nn.Identity, lambda _, way=way: way.run()), 4)
    return found


def estimated(small: Mapping[str, Footprint], way: Way, C: int, B: int, D: int) -> int | None:
    """The bytes of a way's peak, gradients included, from its run in small; None where there is none."""
    if way.name not in small:
        return None
    units = sizes(C, D, B, C)
    grows, rest = small[way.name].at_peak(units)
    return sum(each * units[unit] for unit, each in grows.items()) + rest
