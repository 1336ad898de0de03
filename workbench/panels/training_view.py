"""TrainingView: loss and learning rate of every step, changes of parameters marked, and the loss's health in words.

Training that goes back in time starts a new line there; the old one stays, greyed.
"""

import math
import threading
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Step
from workbench.panels.kit.chart import BLUE, GREEN, Chart, ChartAxis, Span, line, mark
from workbench.panels.kit.history import StepHistory, decimate
from workbench.training.events import Event

PAUSE = 0.1  # seconds between two drawings
MARKS = 200  # the last so many changes are marked
SENTENCES = 4  # the last so many stand below the plots
COLUMNS = (("loss", "Training loss (nats)", BLUE, 220), ("learning rate", "Learning rate", GREEN, 150))


class TrainingView(widgets.VBox):
    """`add` every step, `mark` every event and `say` every sentence about the health, from any thread.

    What is added is drawn within a tenth of a second; `draw` does so at once. trail: loss and learning rate by step.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self.history = StepHistory(2)
        self._marks: list[dict[str, Any]] = []
        self._least = [math.inf] * 2
        self._charts = [
            Chart(f"{name} over the training steps", height, fitted=self.draw) for name, _, _, height in COLUMNS
        ]
        self._health = widgets.HTML()
        self._sentences: list[str] = []
        super().__init__([*self._charts, self._health])

    def add(self, step: Step) -> None:
        """One more step."""
        with self._lock:
            self._rewind(step.step)
            self.history.add(step.step, step.loss, step.lr)
            self._schedule()

    def mark(self, event: Event) -> None:
        """A change of a parameter, before the step it names."""
        with self._lock:
            self._rewind(event.step)
            text = f"before step {event.step}: {event.name} {format_value(event.old)} → {format_value(event.new)}"
            self._marks.append(mark(event.step, f"{event.name} {format_value(event.new)}", text))
            self._schedule()

    def report(self, sentence: str) -> None:
        """A sentence about the health of the loss; the newest stands first."""
        with self._lock:
            self._sentences.insert(0, sentence)
            told = "".join(f"<li>{escape(s)}</li>" for s in self._sentences[:SENTENCES])
            self._health.value = f'<ul class="workbench-health" role="status">{told}</ul>'

    def draw(self) -> None:
        """Draw what was added."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            steps, *columns = self.history.arrays()
            last = max((m["at"] for m in self._marks), default=0)
            for k in range(len(COLUMNS)):
                reached = self._charts[k].reach("x", 0.0, max(100.0, self.history.last, last))
                self._draw_column(k, reached, steps, columns[k])

    def close(self) -> None:
        """Take the view off the page."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        for child in self.children:
            child.close()
        super().close()

    def _draw_column(self, k: int, reached: Span, steps: np.ndarray, values: np.ndarray) -> None:
        name, title, colour, _ = COLUMNS[k]
        seen = values[np.isfinite(values)]
        if len(seen):
            self._least[k] = min(self._least[k], float(seen[seen > 0].min(initial=math.inf)))
        least = 10.0 ** math.floor(math.log10(self._least[k])) if math.isfinite(self._least[k]) else None
        span = self._charts[k].reach("y", *((float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)))
        layers = [line("", *decimate(past[0], past[1 + k]), "grey") for past in self.history.past]
        layers.append(line(name, *decimate(steps, values), colour))
        left = f"The last {MARKS} of {len(self._marks):,} changes are marked." if len(self._marks) > MARKS else ""
        x = ChartAxis("Training step (batches seen)", "step", reached)
        marks = [m if k == 0 else m | {"label": ""} for m in self._marks[-MARKS:]]
        self._charts[k].draw(x, ChartAxis(title, name, span, least=least), layers, marks, left if k == 0 else "")

    def _rewind(self, step: int) -> None:
        """Training is at this step: what was marked from there on belongs to the old way."""
        if step <= self.history.last:
            self.history.rewind(step)
            self._marks = [m | {"past": m["past"] or m["at"] >= step} for m in self._marks]

    def _schedule(self) -> None:
        """Draw within PAUSE seconds, however much comes until then."""
        if self._timer is None:
            self._timer = threading.Timer(PAUSE, self.draw)
            self._timer.daemon = True
            self._timer.start()


def format_value(value: Any) -> str:
    """A value of a parameter for people; nothing where it is not known."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
