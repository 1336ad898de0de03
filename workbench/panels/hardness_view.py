"""HardnessView: do hard positives make hard negatives? (NPCFace, section IV-A)

Distances of the samples to the own and to the nearest other center; below, the correlation r
of the misclassified ones as training goes on.
"""

import math
from collections.abc import Callable

import numpy as np

from workbench.core.record import Snapshot
from workbench.panels.kit.chart import BLUE, VERMILION, Chart, ChartAxis, Group, Span, line, mark, points
from workbench.panels.kit.history import StepHistory, decimate
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import LiveView
from workbench.probes.hardness import hardness, own_and_nearest

GROUPS = (Group("well classified", BLUE, "circle"), Group("misclassified", VERMILION, "cross"))


class HardnessView(LiveView):
    """A scatter of the samples; a box that is dragged over selects what is in it. `result`: what the probe measured.

    picture: sample number -> its PNG, or None.
    """

    def __init__(self, selection: Selection, picture: Callable[[int], bytes | None]) -> None:
        self._picture = picture
        self._scatter = Chart("Hardness of samples", 320, self._describe_sample, self._on_brush, self._redraw)
        self._strip = Chart("Correlation r over the training steps", 150)
        self.history = StepHistory(1)
        self.result = None
        super().__init__([self._scatter, self._strip], selection)

    def _measure(self, snapshot: Snapshot) -> None:
        cos = snapshot.cos
        self.result = hardness(cos, snapshot.y)
        own, nearest, self._other = own_and_nearest(cos, snapshot.y)
        self._x, self._y = 1 - own, 1 - nearest
        self.history.add(snapshot.step, self.result.r)

    def _draw(self, snapshot: Snapshot) -> None:
        result, n = self.result, len(snapshot.y)
        across = self._scatter.reach("x", 0.0, float(self._x.max()))
        up = self._scatter.reach("y", 0.0, float(self._y.max()))
        x = ChartAxis("Distance to the own center, 1 − cos", "own", across)
        y = ChartAxis("To the nearest other, 1 − cos", "nearest other", up)
        ends = np.array([0.0, min(across[1], up[1])])
        equal = line("equally far", ends, ends, "grey", dashed=True)
        samples = points(self._x, self._y, result.misclassified, self._lit(), GROUPS)
        r = f"r = {result.r:.3f} over them" if math.isfinite(result.r) else "too few of them for r"
        note = f"All {n:,} samples, {result.count:,} misclassified: {r}."
        self._scatter.draw(x, y, [equal, samples], note=note, brush="box")
        step = ChartAxis(
            "Training step (batches seen)", "step", self._strip.reach("x", 0.0, max(100.0, self.history.last))
        )
        lines = [line("", *decimate(*old), "grey") for old in self.history.past]
        lines.append(line("r of the misclassified", *decimate(*self.history.arrays()), VERMILION))
        self._strip.draw(step, ChartAxis("r (no unit)", "r", (-1.0, 1.0)), lines, [mark(0.0, across=True)])

    def _describe_sample(self, i: int) -> tuple[str, bytes | None]:
        with self._lock:
            if self._snapshot is None or not 0 <= i < len(self._snapshot.y):
                return "", None
            text = f"sample {i}, class {self._snapshot.y[i]}\nnearest other: class {self._other[i]}"
        return text, self._picture(i)

    def _on_brush(self, box: tuple[Span, Span] | None) -> None:
        with self._lock:
            if self._snapshot is None:
                return
            inside = np.zeros(len(self._x), dtype=bool)
            if box is not None:
                (left, right), (low, high) = box
                inside = (self._x >= left) & (self._x <= right) & (self._y >= low) & (self._y <= high)
        self._selection.samples = tuple(np.flatnonzero(inside))
