"""Versus: two sessions from the same seed side by side, with their differences: curves, loss, similarities, metrics.

a = LiveSession(name="A", method="arcface", data="digits", dim=3)
b = LiveSession(name="B", method="npcface", images=a.images, data="digits", dim=3)
Versus(a, b)                                   # or, from a running lab: Versus(lab.session, lab.session.fork())
"""

import math
import threading
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.evaluation.verification import all_pairs
from workbench.panels.curves_view import CurvesView
from workbench.panels.kit.chart import BLUE, GREEN, PURPLE, VERMILION, Chart, ChartAxis, line
from workbench.panels.kit.controls import Page, button, problem_html, state_html
from workbench.panels.kit.history import decimate
from workbench.panels.kit.refresh import RefreshLoop
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import close_children, grid, stream_widgets
from workbench.panels.lab import EXTRAS, apply_change, same_objects, show_curves
from workbench.panels.similarities_view import MAX_SAMPLES, sample_classes
from workbench.panels.sphere_view import SphereView
from workbench.probes.hardness import hardness
from workbench.probes.pairs import PairSimilarity, pair_similarity
from workbench.probes.similarity import similarity
from workbench.training.live.session import LiveSession

BLOCK = 10  # steps that each session trains before it waits for the other
MEAN = 20  # steps of the running mean of the loss
LETTERS = "AB"


class Versus(widgets.VBox):
    """Two sessions of the same images: A is drawn solid, B dashed.

    theta: angle between the two class centers of the curves, in rad. Both sessions train in blocks of BLOCK steps, so
    that they stay together. Raises InputError for sessions of different images.
    """

    _refresh_loop: RefreshLoop | None = None
    sessions: tuple[LiveSession, ...] = ()

    def __init__(self, a: LiveSession, b: LiveSession, theta: float = math.radians(80)) -> None:
        if a.images is not b.images:
            raise InputError(
                f"sessions '{a.name}' and '{b.name}' have different images; pass the images of one to both"
            )
        if a is b:
            raise InputError(f"both are session '{a.name}'; compare it with its fork()")
        self.sessions, self.theta = (a, b), theta
        self.selection = Selection()
        self._lock, self._playing = threading.RLock(), False
        self._snapshots: list[Snapshot | None] = [None, None]
        self._drawn: tuple[Any, ...] = ()  # snapshots and curves of the differences shown
        self._button = button("Play both", "Train both sessions, or pause both.", self._toggle)
        step = button("Step both", "Train both sessions for 1 step.", lambda: self.run(1))
        self._status, self._message, self._table = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.curves = tuple(CurvesView(lambda change, k=k: self._on_change(k, change), EXTRAS) for k in (0, 1))
        self.spheres = tuple(SphereView(self.selection, a.images.names) for _ in self.sessions)
        self._margins = Chart("Difference of the curves", 240)
        self._losses = Chart("Loss of both sessions and its difference", 240)
        self._pairs = Chart("Similarity distributions of both sessions", 240)
        bar = widgets.HBox([self._button, step, self._status])
        bar.add_class("workbench-bar")
        titles = [
            widgets.HTML(f"<b>{letter}: session '{escape(s.name)}'</b>")
            for letter, s in zip(LETTERS, self.sessions, strict=True)
        ]
        views = (*self.curves, *self.spheres, self._margins, self._losses, self._pairs)
        super().__init__([bar, self._message, grid(*titles, *views, self._table), Page()])
        self.add_class("workbench-lab")
        self.refresh()
        self._refresh_loop = RefreshLoop(self._refresh_views)

    def __repr__(self) -> str:
        return f"Versus: {self.sessions[0]!r} against {self.sessions[1]!r}"

    def play(self) -> None:
        """Train both sessions until `pause`."""
        self._playing = True

    def pause(self) -> None:
        """Pause both sessions after their present block of steps."""
        self._playing = False

    def run(self, steps: int) -> None:
        """Train both sessions for this number of steps and wait. A failed step is reported in the page."""
        try:
            for session in self.sessions:
                session.run(steps)
            for session in self.sessions:
                session.wait()
            self._report("")
        except (InputError, RuntimeError) as error:
            self._playing = False
            self._report(str(error))
        self.refresh()

    def differences(self) -> dict[str, tuple[float, float]]:
        """The metrics of the table, of A and of B."""
        a, b = (session_metrics(session, seen) for session, seen in zip(self.sessions, self._snapshots, strict=True))
        return {name: (a[name], b[name]) for name in a}

    def refresh(self) -> None:
        """Update the views from the present state of the sessions."""
        for session in self.sessions:
            session.frame()
            if session.status != "stopped":
                session.between(lambda: None)
        self._show()

    def close(self) -> None:
        """Remove the widget from the page and end both trainings."""
        if self._refresh_loop is not None:
            self._refresh_loop.close()
        for session in self.sessions:
            session.stop()
        close_children(self)
        super().close()

    def _toggle(self) -> None:
        self._playing = not self._playing

    def _refresh_views(self) -> bool:
        """Callback of the refresh loop: train the next block and update the views; False ends the loop."""
        watched = any(stream.watched for stream in stream_widgets(self))
        if self._playing and all(session.status == "paused" for session in self.sessions):
            for session in self.sessions:
                session.run(BLOCK)
        if watched:
            self._show()
        if any(session.superseded for session in self.sessions):
            self.close()  # the cell was run again
        return all(session.status != "stopped" for session in self.sessions)

    def _show(self) -> None:
        with self._lock:
            for k, session in enumerate(self.sessions):
                snapshot = session.frame()
                if snapshot is not None and snapshot is not self._snapshots[k]:
                    self._snapshots[k] = snapshot
                    self.spheres[k].show(snapshot)
                show_curves(self.curves[k], self._snapshots[k], session.tuning, self.theta)
            drawn = (*self._snapshots, *(view.result for view in self.curves))
            if None not in self._snapshots and not same_objects(drawn, self._drawn):
                self._drawn = drawn
                self._draw_margins()
                self._draw_losses()
                self._draw_pairs()
                self._table.value = table_html(self.differences())
            named = zip(LETTERS, self.sessions, strict=True)
            self._status.value = state_html(*(f"{letter}: {s.status}, step {s.job.step:,}" for letter, s in named))
            self._button.description = "Pause both" if self._playing else "Play both"
            for session in self.sessions:
                if session.failure:
                    self._playing = False
                    self._report(f"'{session.name}' stopped: {session.failure}")

    def _on_change(self, k: int, change: dict[str, Any]) -> None:
        """Callback of the controls of the k-th curves. The angle between the centers applies to both."""
        self.theta = apply_change(self.sessions[k], change, self.theta)
        self._show()

    def _report(self, text: str) -> None:
        self._message.value = problem_html(text)

    def _draw_margins(self) -> None:
        """Draw T and N of A minus those of B, on the arc between two centers."""
        a, b = (view.result for view in self.curves)
        if a is None or b is None or len(a.curve.phi) != len(b.curve.phi):
            return
        gaps = {"T of A − T of B": a.curve.T - b.curve.T, "N of A − N of B": a.curve.N - b.curve.N}
        every = np.array(list(gaps.values()))
        span = self._margins.reach("y", float(np.nanmin(every)), float(np.nanmax(every)))
        layers = [
            line(name, a.curve.phi, gap, color, dashed)
            for (name, gap), color, dashed in zip(gaps.items(), (BLUE, VERMILION), (False, True), strict=True)
        ]
        x = ChartAxis("Angle from the target center φ", "φ", (0.0, float(self.theta)), degrees=True)
        self._margins.draw(x, ChartAxis("Difference of logits before scale", "difference", span), layers)

    def _draw_losses(self) -> None:
        """Draw the running mean of both losses, over the steps that both have trained, and A minus B."""
        n = min(session.at for session in self.sessions)
        if n < 2:
            return
        a, b = (running_mean(np.array([s.loss for s in session.steps[:n]])) for session in self.sessions)
        steps = np.arange(len(a)) + n - len(a)
        span = self._losses.reach("y", min(0.0, float((a - b).min())), float(max(a.max(), b.max())))
        layers = [
            line("A", *decimate(steps, a), BLUE),
            line("B", *decimate(steps, b), VERMILION, True),
            line("A − B", *decimate(steps, a - b), "gray"),
        ]
        x = ChartAxis("Training step", "steps", self._losses.reach("x", 0.0, max(100.0, n)))
        self._losses.draw(x, ChartAxis(f"Loss, mean of {MEAN} steps (nats)", "loss", span), layers)

    def _draw_pairs(self) -> None:
        """Draw the distributions of the cosines of genuine and impostor pairs, A solid, B dashed."""
        results = [snapshot_pairs(snapshot) for snapshot in self._snapshots]
        middle = (results[0].edges[:-1] + results[0].edges[1:]) / 2
        top = max(float(max(r.genuine.max(), r.impostor.max())) for r in results)
        layers = [
            line(f"{kind} {LETTERS[k]}", middle, getattr(results[k], kind), color, k == 1)
            for kind, color in (("genuine", GREEN), ("impostor", PURPLE))
            for k in (0, 1)
        ]
        x = ChartAxis("Cosine of two samples", "cosine", (-1.0, 1.0))
        self._pairs.draw(
            x, ChartAxis("Fraction of pairs per bin", "fraction", self._pairs.reach("y", 0.0, top)), layers
        )


def running_mean(values: np.ndarray) -> np.ndarray:
    """The running mean (n - MEAN + 1,) over MEAN values (n,); over all values if there are fewer."""
    width = min(MEAN, len(values))
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def snapshot_pairs(snapshot: Snapshot) -> PairSimilarity:
    """The similarity distributions of all pairs of a snapshot's samples; of at most MAX_SAMPLES samples."""
    rows = sample_classes(snapshot.y, MAX_SAMPLES)
    return pair_similarity(*all_pairs(snapshot.x[rows], snapshot.y[rows]))


def session_metrics(session: LiveSession, snapshot: Snapshot) -> dict[str, float]:
    """The metrics of a session and its snapshot, as the table shows them."""
    cos, pairs = snapshot.cos, snapshot_pairs(snapshot)
    own = cos[np.arange(len(snapshot.y)), snapshot.y]
    return {
        f"loss, mean of {MEAN} steps (nats)": float(np.mean([s.loss for s in session.steps[-MEAN:]] or [math.nan])),
        "misclassified samples (%)": 100 * float((cos.argmax(axis=1) != snapshot.y).mean()),
        "mean cosine to the own center": float(own.mean()),
        "overlap of well-classified and misclassified": similarity(cos, snapshot.y).overlap,
        "overlap of genuine and impostor pairs": pairs.overlap,
        "correlation r of hard positives and negatives": hardness(cos, snapshot.y).r,
    }


def table_html(metrics: dict[str, tuple[float, float]]) -> str:
    """An HTML table of metrics: A, B, and A minus B."""

    def cell(value: float) -> str:
        return "–" if math.isnan(value) else f"{value:.3f}"

    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{cell(a)}</td><td>{cell(b)}</td><td>{cell(a - b)}</td></tr>"
        for name, (a, b) in metrics.items()
    )
    head = "<tr><th></th><th scope='col'>A</th><th scope='col'>B</th><th scope='col'>A − B</th></tr>"
    return f'<table class="workbench-numbers"><thead>{head}</thead><tbody>{rows}</tbody></table>'
