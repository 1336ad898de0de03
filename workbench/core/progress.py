"""Progress callbacks: the type that long operations accept, and two implementations without a terminal UI."""

import sys
from typing import Protocol


class Progress(Protocol):
    """Callback with the number of completed units, the total, and an optional description of the current unit."""

    def __call__(self, done: int, total: int, what: str = "", /) -> None: ...


def no_progress(done: int, total: int, what: str = "") -> None:
    """Ignore progress."""


def log_progress(title: str) -> Progress:
    """Progress callback that writes one line to stderr at every fifth of the total."""
    last = -1

    def report(done: int, total: int, what: str = "") -> None:
        nonlocal last
        fifth = 5 * done // max(total, 1)
        if fifth != last:
            last = fifth
            print(f"{title}: {done} of {total} {what}", file=sys.stderr, flush=True)

    return report
