"""Worker: a thread that takes steps while there are any to take, does what is asked between them, and sleeps else.

It knows nothing of training. What goes wrong in a step stops the steps and is kept, to be shown; nothing is printed.
"""

import atexit
import math
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from workbench.core.errors import InputError
from workbench.training.interrupts import stop_requests

POLL = 0.1  # s between two looks for a signal
_WORKERS: "weakref.WeakSet[Worker]" = weakref.WeakSet()


class Worker:
    """A thread of its own, started when it is first needed.

    begin: done first, in the thread; step: takes one step; between: what is done before it whenever the thread is
    awake; due: whether there is something to do between. `lock` guards what both sides write. failure, trace: what went
    wrong in the last step, if anything.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[], None],
        step: Callable[[], None],
        between: Callable[[], None],
        due: Callable[[], bool],
    ) -> None:
        self.name, self.failure, self.trace, self.stopped = name, None, "", False
        self.lock = threading.Condition(threading.RLock())
        self._begin, self._step, self._between, self._due = begin, step, between, due
        self._todo = 0.0
        self._orders: list[tuple[Callable[[], Any], Future]] = []
        self._thread: threading.Thread | None = None
        _WORKERS.add(self)

    @property
    def playing(self) -> bool:
        """Whether there are steps to take."""
        return self._todo > 0

    def take(self, steps: float = math.inf) -> None:
        """Take so many steps from here, or without end; 0 stops after the present one."""
        with self.lock:
            self._usable()
            self._todo = steps
            self.wake()

    def wait(self) -> None:
        """Until all steps are taken, or something stopped them. Ctrl-C ends them after the present one."""
        with stop_requests() as asked, self.lock:
            while not self.lock.wait_for(lambda: not self._todo or self.stopped, timeout=POLL):
                if asked():
                    self._todo = 0.0

    def ask(self, order: Callable[[], Any]) -> Any:
        """Have something done between two steps, and wait for it; raises what it raises."""
        done: Future = Future()
        with self.lock:
            self._usable()
            self._orders.append((order, done))
            self.wake()
        return done.result()

    def wake(self) -> None:
        """Say that there is something to do."""
        with self.lock:
            if self._thread is None and not self.stopped:
                self._thread = threading.Thread(target=self._work, name=f"worker of {self.name}", daemon=True)
                self._thread.start()
            self.lock.notify_all()

    def stop(self) -> None:
        """End the thread after the present step, for good, and wait for it."""
        with self.lock:
            self.stopped, self._todo = True, 0.0
            self.lock.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _usable(self) -> None:
        if self.stopped:
            raise InputError(f"session '{self.name}' was stopped; make another one")

    def _work(self) -> None:
        self._begin()
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.stopped or self._orders or self._todo or self._due())
                if self.stopped:
                    break
                orders, self._orders = self._orders, []
            self._turn(orders)
        for _, done in self._orders:
            done.set_exception(InputError(f"session '{self.name}' was stopped; make another one"))

    def _turn(self, orders: list[tuple[Callable[[], Any], Future]]) -> None:
        try:
            self._between()
            for order, done in orders:
                obey(order, done)
            if self._todo:
                self._step()
                with self.lock:
                    self._todo = max(0.0, self._todo - 1)
                    self.lock.notify_all()
        except Exception as error:  # it belongs into the panel, not into the output of whatever cell ran last
            kind = "" if isinstance(error, (InputError, RuntimeError)) else f"{type(error).__name__}: "
            with self.lock:
                self.failure, self.trace = f"{kind}{error}", "".join(traceback.format_exception(error))
                self._todo = 0.0
                self.lock.notify_all()


def obey(order: Callable[[], Any], done: Future) -> None:
    """Do what was asked, and hand on what comes of it."""
    try:
        done.set_result(order())
    except Exception as error:
        done.set_exception(error)


@atexit.register
def stop_all() -> None:
    """End every thread before the process does: one that is inside torch then would abort it."""
    for worker in list(_WORKERS):
        worker.stop()
