"""Seconds of several ways, interleaved so that a busy moment meets all of them; the bytes that one takes at most."""

import time
from collections.abc import Callable, Iterable, Sequence

from workbench.compare.cost.results import Cost
from workbench.core.progress import Progress

Run = Callable[[], None]


def interleaved(runs: Sequence[tuple[Cost, Run, Run]], rounds: int, advance: Callable[[str], None]) -> None:
    """Add to each cost the seconds of its run, `rounds` times: every way once, then every way again.

    runs: (cost, before, run); `before` makes ready and is not timed. advance: called with each way's name.
    """
    for _ in range(rounds):
        for cost, before, run in runs:
            advance(cost.way)
            before()
            began = time.perf_counter()
            run()
            cost.seconds.append(time.perf_counter() - began)


def peak(events: Iterable[tuple[int, int]]) -> int:
    """The most bytes alive at once, of what `workbench.compare.cost.memory.allocations` saw; what was there before is
    left out."""
    alive: dict[int, int] = {}
    held = most = 0
    for place, size in events:
        held += size if size > 0 else -alive.pop(place, 0)
        if size > 0:
            alive[place] = size
        most = max(most, held)
    return most


def counted(progress: Progress, total: int) -> Callable[[str], None]:
    """A progress bar of (done, total, what) as a function of what is done now, called `total` times."""
    done = 0

    def advance(what: str) -> None:
        nonlocal done
        progress(done, total, what)
        done += 1

    return advance
