"""Frames: pictures of a training for those who watch, taken when one is wanted, and never at much cost."""

import time
from collections.abc import Callable

from workbench.core.record import Snapshot

SHARE = 0.05  # of the time, at most, goes into frames


class Frames:
    """The newest picture, and when the next one may be taken. take: makes one, in the thread that trains.

    wanted: somebody asked for one; stale: the training has moved since the last one.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take, self.newest, self.wanted, self.stale = take, None, False, False
        self._cost = self._at = 0.0

    def due(self, playing: bool) -> bool:
        """Whether to take one: while it trains, they may cost no more than their share of the time."""
        return self.wanted and (not playing or time.perf_counter() - self._at >= self._cost / SHARE)

    def refresh(self) -> None:
        """Take one, if the training has moved since the last one."""
        self.wanted = False
        if self.newest is None or self.stale:
            self.stale = False
            began = time.perf_counter()
            self.newest = self._take()
            self._at = time.perf_counter()
            self._cost = self._at - began
