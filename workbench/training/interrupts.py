"""Signals noted while a step runs and served between steps, so that what is saved is always a whole step."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Aborted(KeyboardInterrupt):
    """A second Ctrl-C arrived before the first was served: stop at once, without saving."""


@contextmanager
def stop_requests(parent: bool = False) -> Iterator[Callable[[], bool]]:
    """A function that returns whether Ctrl-C or SIGTERM arrived since; parent: or the parent process ended.

    A signal is only noted. A second Ctrl-C raises Aborted at once, but not with `parent`: a launcher repeats signals,
    and all its processes must stop at the same step. Raises KeyboardInterrupt at the end where a
    signal was noted and nothing was raised for it. Signals that are ignored stay ignored; outside the main thread no
    handler can be set, and none is.
    """
    noted: list[int] = []
    started_by = os.getppid()

    def note(number: int) -> None:
        again = number == signal.SIGINT and number in noted and not parent
        noted.append(number)
        if again:
            raise Aborted

    here = threading.current_thread() is threading.main_thread()
    caught = [number for number in SIGNALS if here and signal.getsignal(number) is not signal.SIG_IGN]
    with handle_signals(note, *caught):
        yield lambda: bool(noted) or (parent and os.getppid() != started_by)
    if noted:
        raise KeyboardInterrupt


@contextmanager
def handle_signals(handle: Callable[[int], Any], *signals: signal.Signals) -> Iterator[None]:
    """Let a function of the signal's number handle signals for a while."""
    before = {number: signal.signal(number, lambda caught, _: handle(caught)) for number in signals}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, signal.SIG_DFL if former is None else former)
