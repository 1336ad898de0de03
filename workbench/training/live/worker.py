"""Worker: a thread that takes steps on request and runs functions between two steps.

An error in a step stops the steps and is stored; nothing is printed.
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

POLL = 0.1  # s between two tests for a signal
_WORKERS: "weakref.WeakSet[Worker]" = weakref.WeakSet()


class Worker:
    """A daemon thread, started at its first use.

    begin: called first, in the thread; step: takes one step; between: called before each step and whenever `due`
    returns True. `lock` guards the state that both threads write. failure, trace: message and traceback of the last
    error in the thread, if any.
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
        self._remaining = 0.0  # steps
        self._requests: list[tuple[Callable[[], Any], Future]] = []
        self._thread: threading.Thread | None = None
        _WORKERS.add(self)

    @property
    def playing(self) -> bool:
        """Whether steps remain to be taken."""
        return self._remaining > 0

    def take(self, steps: float = math.inf) -> None:
        """Take this number of steps from now on; 0 stops after the current one."""
        with self.lock:
            self._check_running()
            self._remaining = steps
            self.wake()

    def wait(self) -> None:
        """Wait until no steps remain. Ctrl-C stops them after the current one."""
        with stop_requests() as stop_requested, self.lock:
            while not self.lock.wait_for(lambda: not self._remaining or self.stopped, timeout=POLL):
                if stop_requested():
                    self._remaining = 0.0

    def ask(self, function: Callable[[], Any]) -> Any:
        """Call a function in the thread between two steps; returns its result or raises its error."""
        future: Future = Future()
        with self.lock:
            self._check_running()
            self._requests.append((function, future))
            self.wake()
        return future.result()

    def wake(self) -> None:
        """Make the thread test whether there is something to do."""
        with self.lock:
            if self._thread is None and not self.stopped:
                self._thread = threading.Thread(target=self._work, name=f"worker of {self.name}", daemon=True)
                self._thread.start()
            self.lock.notify_all()

    def stop(self) -> None:
        """End the thread after the current step, and wait for it."""
        with self.lock:
            self.stopped, self._remaining = True, 0.0
            self.lock.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _check_running(self) -> None:
        if self.stopped:
            raise self._stopped_error()

    def _stopped_error(self) -> InputError:
        return InputError(f"session '{self.name}' was stopped; make another one")

    def _work(self) -> None:
        self._begin()
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.stopped or self._requests or self._remaining or self._due())
                if self.stopped:
                    break
                requests, self._requests = self._requests, []
            self._turn(requests)
        for _, future in self._requests:
            future.set_exception(self._stopped_error())

    def _turn(self, requests: list[tuple[Callable[[], Any], Future]]) -> None:
        try:
            self._between()
            for function, future in requests:
                run_request(function, future)
            if self._remaining:
                self._step()
                with self.lock:
                    self._remaining = max(0.0, self._remaining - 1)
                    self.lock.notify_all()
        except Exception as error:  # the panel shows it; printed, it would appear below an unrelated cell
            kind = "" if isinstance(error, (InputError, RuntimeError)) else f"{type(error).__name__}: "
            with self.lock:
                self.failure, self.trace = f"{kind}{error}", "".join(traceback.format_exception(error))
                self._remaining = 0.0
                self.lock.notify_all()


def run_request(function: Callable[[], Any], future: Future) -> None:
    """Call a function and store its result or its error in the future."""
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)


@atexit.register
def stop_all() -> None:
    """End every worker before the interpreter exits: it would abort with a thread inside torch."""
    for worker in list(_WORKERS):
        worker.stop()
