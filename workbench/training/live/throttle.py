"""SnapshotThrottle: snapshots of a running training on request, at a bounded share of its time."""

import time
from collections.abc import Callable

from workbench.core.record import Snapshot

SHARE = 0.05  # of the training time, at most, is spent on snapshots


class SnapshotThrottle:
    """The newest snapshot, and when the next one may be taken. take: takes one, in the training thread.

    requested: a snapshot was asked for; stale: the training has moved since the newest one.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take, self.newest, self.requested, self.stale = take, None, False, False
        self._cost = self._at = 0.0  # s

    def due(self, playing: bool) -> bool:
        """Whether to take a snapshot now; while steps are taken, no more than SHARE of the time is spent on them."""
        return self.requested and (not playing or time.perf_counter() - self._at >= self._cost / SHARE)

    def refresh(self) -> None:
        """Take a snapshot if the training has moved since the newest one."""
        self.requested = False
        if self.newest is None or self.stale:
            self.stale = False
            began = time.perf_counter()
            self.newest = self._take()
            self._at = time.perf_counter()
            self._cost = self._at - began
