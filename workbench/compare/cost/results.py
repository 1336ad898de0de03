"""Cost: measured seconds and bytes of one way of computing something; timing, peaks and the CSV file."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.tables import write_csv

RESERVE = 0.2  # share of the free memory that is left for everything else
COLUMNS = ("classes", "way", "median_s", "quartile1_s", "quartile3_s", "rounds", "bytes", "estimated_bytes", "note")

Run = Callable[[], None]


@dataclass(eq=False)
class Cost:
    """Seconds of each round and peak bytes of `way` with `classes` classes; filled round by round.

    estimated: expected peak bytes, None without an estimate; note: why it was not measured, or a remark.
    """

    way: str
    classes: int
    bytes: int | None = None
    estimated: int | None = None
    note: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile of the seconds; nan before the first round."""
        if len(self.seconds) < 2:
            return (self.seconds[0] if self.seconds else math.nan,) * 3
        return tuple(statistics.quantiles(self.seconds, n=4, method="inclusive"))

    @property
    def median(self) -> float:
        return self.quartiles[1]

    def fits(self, free: int) -> bool:
        """Whether the estimate fits into `free` bytes, with the RESERVE; if not, the note says so."""
        if self.estimated is None or self.estimated <= free * (1 - RESERVE):
            return True
        self.note = f"does not fit: needs {self.estimated / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        return False


def time_interleaved(runs: Sequence[tuple[Cost, Run, Run]], rounds: int, advance: Callable[[str], None]) -> None:
    """Add the seconds of `rounds` rounds to each cost; a round runs all ways once, so that load affects all alike.

    runs: (cost, setup, run); `setup` is not timed. advance: called with the name of each way.
    """
    for _ in range(rounds):
        for cost, setup, run in runs:
            advance(cost.way)
            setup()
            start = time.perf_counter()
            run()
            cost.seconds.append(time.perf_counter() - start)


def peak_bytes(events: Iterable[tuple[int, int]]) -> int:
    """The peak of the allocated bytes in (address, bytes) events of `memory.allocations`."""
    alive: dict[int, int] = {}
    total = peak = 0
    for address, size in events:
        total += size if size > 0 else -alive.pop(address, 0)  # 0: allocated before the first event
        if size > 0:
            alive[address] = size
        peak = max(peak, total)
    return peak


def count_calls(progress: Progress, total: int) -> Callable[[str], None]:
    """A function that reports its number of calls so far, of `total`, with a text."""
    done = 0

    def advance(what: str) -> None:
        nonlocal done
        progress(done, total, what)
        done += 1

    return advance


def find_cost(costs: Sequence[Cost], way: str, classes: int) -> Cost | None:
    """The measured cost of a way with this number of classes, or None."""
    return next((c for c in costs if c.way == way and c.classes == classes and c.seconds), None)


def write_costs(path: Path, costs: Iterable[Cost]) -> None:
    """Write a row for each cost (COLUMNS); seconds and bytes that were not measured are empty."""
    rows = []
    for c in costs:
        low, median, high = (f"{q:.6f}" if c.seconds else "" for q in c.quartiles)
        rows.append([c.classes, c.way, median, low, high, len(c.seconds), c.bytes, c.estimated, c.note])
    write_csv(path, [COLUMNS, *rows])


def check_minimum(**options: tuple[int, int]) -> None:
    """Raise InputError for the first option below its minimum: option=(value, minimum)."""
    for option, (value, minimum) in options.items():
        if value < minimum:
            raise InputError(f"--{option} {value}: at least {minimum}")
