"""TrainingView: loss and learning rate of each training step, parameter changes, and notes on the health of the loss.

After a restore, the abandoned branch stays as a gray line.
"""

import math
import threading
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Step
from workbench.panels.kit.chart import BLUE, GREEN, Chart, ChartAxis, Span, mark
from workbench.panels.kit.history import StepHistory
from workbench.training.events import Event

MARKS = 200  # parameter changes marked in the chart, the last ones
NOTES = 4  # notes shown below the charts, the last ones
COLUMNS = (("loss", "Training loss (nats)", BLUE, 220), ("learning rate", "Learning rate", GREEN, 150))


class TrainingView(widgets.VBox):
    """`add` steps, `mark` parameter changes and `report` notes, from any thread; then `draw`.

    history: loss and learning rate of each step.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.history = StepHistory(2)
        self._marks: list[dict[str, Any]] = []
        self._lowest = [math.inf] * 2  # smallest positive value of each column
        self._charts = [
            Chart(f"{name} over training steps", height, on_fit=self.draw) for name, _, _, height in COLUMNS
        ]
        self._health = widgets.HTML()
        self._notes: list[str] = []
        super().__init__([*self._charts, self._health])

    def add(self, step: Step) -> None:
        """Add a training step."""
        with self._lock:
            self._rewind(step.step)
            self.history.add(step.step, step.loss, step.lr)

    def mark(self, event: Event) -> None:
        """Mark a parameter change, before step `event.step`."""
        with self._lock:
            self._rewind(event.step)
            text = f"before step {event.step}: {event.name} {format_value(event.old)} → {format_value(event.new)}"
            self._marks.append(mark(event.step, f"{event.name} {format_value(event.new)}", text))

    def report(self, note: str) -> None:
        """Show a note on the health of the loss, above the earlier ones."""
        with self._lock:
            self._notes.insert(0, note)
            items = "".join(f"<li>{escape(note)}</li>" for note in self._notes[:NOTES])
            self._health.value = f'<ul class="workbench-health" role="status">{items}</ul>'

    def draw(self) -> None:
        """Draw everything added so far."""
        with self._lock:
            columns = self.history.arrays()[1:]
            last = max((m["at"] for m in self._marks), default=0)
            for k in range(len(COLUMNS)):
                reached = self._charts[k].reach("x", 0.0, max(100.0, self.history.last, last))
                self._draw_column(k, reached, columns[k])

    def close(self) -> None:
        """Remove the view and its widgets from the page."""
        for child in self.children:
            child.close()
        super().close()

    def _draw_column(self, k: int, reached: Span, values: np.ndarray) -> None:
        name, title, color, _ = COLUMNS[k]
        finite = values[np.isfinite(values)]
        span = (0.0, 0.0)
        if len(finite):
            self._lowest[k] = min(self._lowest[k], float(finite[finite > 0].min(initial=math.inf)))
            span = float(finite.min()), float(finite.max())
        least = 10.0 ** math.floor(math.log10(self._lowest[k])) if math.isfinite(self._lowest[k]) else None
        layers = self.history.lines(k, name, color)
        x = ChartAxis("Training step", "step", reached)
        y = ChartAxis(title, name, self._charts[k].reach("y", *span), least=least)
        marks, note = self._marks[-MARKS:], ""
        if k > 0:
            marks = [m | {"label": ""} for m in marks]
        elif len(self._marks) > MARKS:
            note = f"The last {MARKS} of {len(self._marks):,} parameter changes are marked."
        self._charts[k].draw(x, y, layers, marks, note)

    def _rewind(self, step: int) -> None:
        """Move later steps and marks to the past, if training continues from an earlier step."""
        if step <= self.history.last:
            self.history.rewind(step)
            self._marks = [m | {"past": m["past"] or m["at"] >= step} for m in self._marks]


def format_value(value: Any) -> str:
    """A parameter value as text; empty for None."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
