"""StepHistory: values recorded at each training step; branches that a restore left are kept apart."""

from array import array
from bisect import bisect_left

import numpy as np

from workbench.panels.kit.chart import Layer, line

BLOCKS = 400  # of a decimated line: the minimum and maximum of each block are drawn


class StepHistory:
    """Columns of values over the training step.

    past: the branches left by a restore, each (1 + columns, k) with the steps first, from the last point shared with
    the present branch.
    """

    def __init__(self, columns: int) -> None:
        self._now = [array("d") for _ in range(1 + columns)]
        self.past: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._now[0])

    @property
    def last(self) -> float:
        """The last step; -inf if empty."""
        return self._now[0][-1] if self._now[0] else float("-inf")

    def add(self, step: int, *values: float) -> None:
        """Append a point; a step that exists already starts a new branch at that step."""
        self.rewind(step)
        for column, value in zip(self._now, (step, *values), strict=True):
            column.append(value)

    def rewind(self, step: int) -> None:
        """Move all points from `step` on, if any, to `past`."""
        if step <= self.last:
            first = bisect_left(self._now[0], step)
            self.past.append(np.array([column[max(first - 1, 0) :] for column in self._now]))
            self._now = [column[:first] for column in self._now]

    def arrays(self) -> np.ndarray:
        """A copy of the present branch, (1 + columns, k): the steps first."""
        return np.array(self._now)

    def lines(self, column: int, name: str, color: int) -> list[Layer]:
        """One column as chart lines: the past branches in gray, then the present one."""
        past = [line("", *decimate(old[0], old[1 + column]), "gray") for old in self.past]
        steps, *columns = self.arrays()
        return [*past, line(name, *decimate(steps, columns[column]), color)]


def decimate(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a line (k,) to the minimum and maximum of each block and both ends; a short line is returned whole.

    The block size is a power of two and blocks start at multiples of it, so that a growing line does not flicker.
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
