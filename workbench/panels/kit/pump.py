"""Pump: a thread that brings what a session does to the views, the newest only, a few times a second."""

import threading
import time
from collections.abc import Callable

from workbench.core.threads import ENDING, spawn

RATE = 8.0  # times a second, at most: what moves between two frames moves in the browser
SHARE = 0.25  # of the time, at most, is spent in it


class Pump:
    """Calls `turn` again and again until it returns False or `close` is called.

    A turn that takes long is called less often, so that the training keeps most of the processor.
    """

    def __init__(self, turn: Callable[[], bool]) -> None:
        self._turn, self._closed = turn, threading.Event()
        self._thread = spawn(self._work, "pump")

    def close(self) -> None:
        """End the thread, and wait for it."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        pause = 1 / RATE
        while not self._closed.wait(pause) and not ENDING.is_set():
            began = time.thread_time()
            if not self._turn():
                return
            pause = max(1 / RATE, (time.thread_time() - began) / SHARE)
