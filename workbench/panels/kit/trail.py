"""Trail: values over steps as they come, many a second; where training goes back, the old way on is kept apart."""

from array import array
from bisect import bisect_left

import numpy as np

BLOCKS = 400  # of a line as it is drawn: of each block its lowest and its highest value


class Trail:
    """Columns of numbers over the step. past: for each time a step came again, what followed it before, (1 + columns,
    k), steps first, from the last point that both ways share.
    """

    def __init__(self, columns: int) -> None:
        self._now = [array("d") for _ in range(1 + columns)]
        self.past: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._now[0])

    @property
    def last(self) -> float:
        """The last step, -inf before the first one."""
        return self._now[0][-1] if self._now[0] else float("-inf")

    def add(self, step: int, *values: float) -> None:
        """One more point; one at a step that was already there starts a new way on from that step."""
        self.back(step)
        for column, value in zip(self._now, (step, *values), strict=True):
            column.append(value)

    def back(self, step: int) -> None:
        """What comes next is at this step: what was there from it on, if anything, is past."""
        if step <= self.last:
            first = bisect_left(self._now[0], step)
            self.past.append(np.array([column[max(first - 1, 0) :] for column in self._now]))
            self._now = [column[:first] for column in self._now]

    def arrays(self) -> np.ndarray:
        """A copy of the way that led here, (1 + columns, k): the steps first."""
        return np.array(self._now)


def decimated(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each block of a line, and its two ends; all of a short line.

    A block is a power of two of points long and starts at a multiple of that, so a line that grows does not flicker.
    """
    size = 1 << max(0, (len(y) - 1) // BLOCKS).bit_length()
    if size <= 2:
        return x, y
    whole = len(y) - len(y) % size
    blocks, starts = y[:whole].reshape(-1, size), np.arange(0, whole, size)
    rest = np.arange(whole, len(y))
    keep = np.unique(
        np.concatenate([starts + blocks.argmin(axis=1), starts + blocks.argmax(axis=1), [0, len(y) - 1], rest])
    )
    return x[keep], y[keep]
