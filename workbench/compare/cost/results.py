"""Cost: what one way of computing something took, in seconds and in bytes; as a table of numbers and as a CSV file."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import InputError

SPARED = 0.2  # of the free memory, for everything else that goes on
COLUMNS = ("classes", "way", "median_s", "quartile1_s", "quartile3_s", "rounds", "bytes", "estimated_bytes", "note")


@dataclass(eq=False)
class Cost:
    """What `way` took with so many classes: the seconds of each round so far, and the bytes of its peak.

    estimated: the bytes that were expected, None where nobody asked; note: why it was not measured, or what to know.
    It is filled while the rounds go on, so that an interruption leaves what was measured.
    """

    way: str
    classes: int
    bytes: int | None = None
    estimated: int | None = None
    note: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile of the rounds' seconds; nan before the first."""
        if len(self.seconds) < 2:
            return (self.seconds[0] if self.seconds else math.nan,) * 3
        return tuple(statistics.quantiles(self.seconds, n=4, method="inclusive"))

    @property
    def median(self) -> float:
        return self.quartiles[1]


def beside(costs: Sequence[Cost], cost: Cost, other: str) -> Cost | None:
    """What the way `other` took with as many classes as `cost`, if it was timed."""
    found = (c for c in costs if c.way == other and c.classes == cost.classes and c.seconds)
    return next(found, None)


def write_costs(path: Path, costs: Iterable[Cost]) -> None:
    """One line a way and number of classes (COLUMNS); seconds and bytes that were not measured stay empty."""
    from workbench.core.files import write_csv

    lines = []
    for c in costs:
        low, median, high = (f"{q:.6f}" if c.seconds else "" for q in c.quartiles)
        sizes = ("" if size is None else size for size in (c.bytes, c.estimated))
        lines.append([c.classes, c.way, median, low, high, len(c.seconds), *sizes, c.note])
    write_csv(path, [COLUMNS, *lines])


def at_least(**given: tuple[int, int]) -> None:
    """InputError for the first option whose value is below its least: option=(value, least)."""
    for option, (value, least) in given.items():
        if value < least:
            raise InputError(f"--{option} {value}: at least {least}")


def too_large(needed: int, free: int) -> str:
    """Why something was not measured."""
    return f"does not fit: needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
