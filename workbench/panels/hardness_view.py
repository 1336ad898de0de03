"""HardnessView: correlation of hard positives and hard negatives (NPCFace, section IV-A).

A scatter plot of each sample's distances to its own and to the nearest other class center, and the correlation r of
the misclassified samples over the training steps.
"""

import math

import numpy as np

from workbench.core.record import Snapshot
from workbench.panels.kit.chart import BLUE, VERMILION, Chart, ChartAxis, Group, Span, line, mark, points
from workbench.panels.kit.history import StepHistory
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import LiveView, Picture
from workbench.probes.hardness import hardness, own_and_nearest

GROUPS = (Group("well-classified", BLUE, "circle"), Group("misclassified", VERMILION, "cross"))


class HardnessView(LiveView):
    """A scatter plot of the samples; dragging a box selects them. result: the last result of the probe."""

    def __init__(self, selection: Selection, picture: Picture) -> None:
        self._picture = picture
        self._scatter = Chart("Hardness of samples", 320, self._describe_sample, self._on_brush, self._redraw)
        self._strip = Chart("Correlation r over training steps", 150)
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
        x = ChartAxis("Distance to the own class center, 1 − cos", "own", across)
        y = ChartAxis("To the nearest other center, 1 − cos", "nearest other", up)
        ends = np.array([0.0, min(across[1], up[1])])
        equal = line("equal distance", ends, ends, "gray", dashed=True)
        samples = points(self._x, self._y, result.misclassified, self.lit, GROUPS)
        r = f"r = {result.r:.3f}" if math.isfinite(result.r) else "too few for r"
        note = f"All {n:,} samples, {result.count:,} misclassified: {r}."
        self._scatter.draw(x, y, [equal, samples], note=note, brush="box")
        step = ChartAxis("Training step", "step", self._strip.reach("x", 0.0, max(100.0, self.history.last)))
        lines = self.history.lines(0, "r of the misclassified", VERMILION)
        self._strip.draw(step, ChartAxis("Correlation r", "r", (-1.0, 1.0)), lines, [mark(0.0, across=True)])

    def _describe_sample(self, i: int) -> tuple[str, bytes | None]:
        with self._lock:
            if self._snapshot is None or not 0 <= i < len(self._snapshot.y):
                return "", None
            text = f"sample {i}, class {self._snapshot.y[i]}\nnearest other center: class {self._other[i]}"
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
