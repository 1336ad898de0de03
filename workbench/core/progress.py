"""Progress callbacks: the one type that long operations report to, and two implementations without a terminal UI."""

import sys
from typing import Protocol


class Progress(Protocol):
    """Called with the units done, the units in total, and an optional description of the current one."""

    def __call__(self, done: int, total: int, what: str = "", /) -> None: ...


def no_progress(done: int, total: int, what: str = "") -> None:
    """Report nothing."""


def log_progress(title: str) -> Progress:
    """Progress for a log: one line on stderr for every fifth of the total."""
    last = -1

    def report(done: int, total: int, what: str = "") -> None:
        nonlocal last
        fifth = 5 * done // max(total, 1)
        if fifth != last:
            last = fifth
            print(f"{title}: {done} of {total} {what}", file=sys.stderr, flush=True)

    return report
