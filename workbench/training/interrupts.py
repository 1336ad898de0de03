"""Signals during a training: noted at once, handled between two steps, so that checkpoints are of whole steps."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Aborted(KeyboardInterrupt):
    """A second Ctrl-C arrived before the first was handled: stop at once, without saving."""


@contextmanager
def stop_requests(parent: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C or SIGTERM has arrived, or, with `parent`, the parent has ended.

    A second Ctrl-C raises Aborted at once; not with `parent`, since a launcher repeats signals and all its processes
    must stop at the same step. At the end a signal that raised nothing raises KeyboardInterrupt. Ignored signals stay
    ignored. Outside the main thread signals are not handled.
    """
    noted: list[int] = []
    started_by = os.getppid()

    def note(number: int) -> None:
        again = number == signal.SIGINT and number in noted and not parent
        noted.append(number)
        if again:
            raise Aborted

    main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in SIGNALS if main and signal.getsignal(number) is not signal.SIG_IGN]
    with handle_signals(note, *numbers):
        yield lambda: bool(noted) or (parent and os.getppid() != started_by)
    if noted:
        raise KeyboardInterrupt


@contextmanager
def handle_signals(handle: Callable[[int], Any], *signals: signal.Signals) -> Iterator[None]:
    """Call a function with the number of each of these signals while the context lasts."""
    before = {number: signal.signal(number, lambda number, _: handle(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
