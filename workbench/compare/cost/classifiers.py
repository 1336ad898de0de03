"""Seconds and memory of classifiers: this workbench's ways of computing a loss, and those of others, interleaved."""

from collections.abc import Mapping, Sequence

from torch import nn

from workbench.compare.cost.memory import SMALL, Footprint, allocations, free_memory, sizes
from workbench.compare.cost.results import Cost, check_minimum, count_calls, peak_bytes, time_interleaved
from workbench.compare.cost.ways import NOT_INSTALLED, Inputs, Way, check_methods, ways
from workbench.core.progress import Progress, no_progress


def measure_classifiers(
    classes: Sequence[int],
    batch: int,
    dim: int,
    methods: Sequence[str],
    rounds: int,
    costs: list[Cost],
    progress: Progress = no_progress,
) -> None:
    """Measure a forward and backward pass of every way (see `ways`) with each number of classes, into `costs`.

    The bytes of a cost are the peak above the inputs and their gradients. A way whose estimated peak exceeds the free
    memory is not measured; its note says so. After an interruption, `costs` has what was measured. Raises InputError
    for methods that cannot be measured and for numbers out of range.
    """
    methods = check_methods(methods)
    check_minimum(classes=(min(classes), 2), batch=(batch, 1), dim=(dim, 2), rounds=(rounds, 1))
    small = footprints(methods) if max(classes) > SMALL["C"] else {}
    advance = None
    for C in classes:
        inputs = Inputs.random(C, batch, dim)
        all_ways = list(ways(inputs, methods))
        advance = advance or count_calls(progress, len(classes) * len(all_ways) * (1 + rounds))
        runs = []
        for way in all_ways:
            advance(f"{way.name}, {C:,} classes")
            cost = Cost(way.name, C, estimated=estimate_peak(small, way, C, batch, dim))
            costs.append(cost)
            if measure_peak(way, inputs, cost):
                runs.append((cost, inputs.clear, way.run))
        time_interleaved(runs, rounds, advance)


def measure_peak(way: Way, inputs: Inputs, cost: Cost) -> bool:
    """Measure the peak of a way after a first run, which compiles; False if it cannot be run."""
    if way.run is None:
        cost.note = NOT_INSTALLED
        return False
    if not cost.fits(free_memory()):
        return False
    inputs.clear()
    way.run()
    inputs.clear()
    peak = peak_bytes(allocations(nn.Identity, lambda _: way.run()))
    cost.bytes = max(0, peak - inputs.gradients)
    cost.note = way.note()
    inputs.clear()
    return True


def footprints(methods: Sequence[str]) -> dict[str, Footprint]:
    """The allocations of a run of every way at the sizes SMALL, by name."""
    inputs, result = Inputs.random(SMALL["C"], SMALL["B"], SMALL["D"]), {}
    for way in ways(inputs, methods):
        if way.run is not None:
            inputs.clear()
            result[way.name] = Footprint(allocations(nn.Identity, lambda _, way=way: way.run()), 4)
    return result


def estimate_peak(small: Mapping[str, Footprint], way: Way, C: int, B: int, D: int) -> int | None:
    """The peak bytes of a way, gradients included, from its footprint; None without one."""
    if way.name not in small:
        return None
    units = sizes(C, D, B, C)
    growing, constant = small[way.name].at_peak(units)
    return sum(factor * units[unit] for unit, factor in growing.items()) + constant
