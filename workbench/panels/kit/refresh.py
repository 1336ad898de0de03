"""RefreshLoop: a thread that updates the views of a session a few times a second."""

import threading
import time
from collections.abc import Callable

from workbench.core.threads import ENDING, spawn

RATE = 8.0  # calls per second, at most; the browser animates between two frames
SHARE = 0.25  # of the wall time, at most, spent in calls


class RefreshLoop:
    """Calls `refresh` repeatedly until it returns False or `close` is called.

    A slow call lowers the rate, so that training keeps most of the processor.
    """

    def __init__(self, refresh: Callable[[], bool]) -> None:
        self._refresh, self._closed = refresh, threading.Event()
        self._thread = spawn(self._work, "refresh")

    def close(self) -> None:
        """Stop the thread and wait for its end."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        pause = 1 / RATE
        while not self._closed.wait(pause) and not ENDING.is_set():
            began = time.thread_time()
            if not self._refresh():
                return
            pause = max(1 / RATE, (time.thread_time() - began) / SHARE)
