"""Threads of the live views: they end before the process does, since one that is inside torch then would abort it."""

import atexit
import threading
import weakref
from collections.abc import Callable

ENDING = threading.Event()  # the process ends: whoever works in a loop should stop
PATIENCE = 5.0  # seconds to wait for each of them

_THREADS: "weakref.WeakSet[threading.Thread]" = weakref.WeakSet()


def spawn(target: Callable[[], None], name: str) -> threading.Thread:
    """A thread that has started."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    _THREADS.add(thread)
    thread.start()
    return thread


@atexit.register
def end_all() -> None:
    """Have all of them stop, and wait for them."""
    ENDING.set()
    for thread in list(_THREADS):
        if thread is not threading.current_thread():
            thread.join(PATIENCE)
