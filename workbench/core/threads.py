"""Background threads that stop before the process exits: a thread inside torch at that time would abort it."""

import atexit
import threading
import weakref
from collections.abc import Callable

ENDING = threading.Event()  # set when the process exits: loops check it and stop
JOIN_TIMEOUT = 5.0  # seconds to wait for each thread at exit

_THREADS: "weakref.WeakSet[threading.Thread]" = weakref.WeakSet()


def spawn(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that is joined at exit. `target` has to return soon after ENDING is set."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    _THREADS.add(thread)
    thread.start()
    return thread


@atexit.register
def stop_all() -> None:
    """Set ENDING and join all threads of `spawn`."""
    ENDING.set()
    for thread in list(_THREADS):
        if thread is not threading.current_thread():
            thread.join(JOIN_TIMEOUT)
