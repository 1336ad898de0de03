"""Versus: two sessions from the same seed side by side, and their differences: curves, loss, similarities, numbers.

a = LiveSession(name="A", method="arcface", data="digits", dim=3)
b = LiveSession(name="B", method="npcface", images=a.images, data="digits", dim=3)
Versus(a, b)                                   # or, from a lab that runs: Versus(lab.session, lab.session.fork())
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
from workbench.panels.kit.controls import Page
from workbench.panels.kit.history import decimate
from workbench.panels.kit.refresh import RefreshLoop
from workbench.panels.kit.selection import Selection
from workbench.panels.lab import EXTRAS, close_within, grid, mean_hard_cosine, same_objects, stream_widgets
from workbench.panels.similarities_view import MOST, sample_classes
from workbench.panels.sphere_view import SphereView
from workbench.probes.hardness import hardness
from workbench.probes.pairs import PairSimilarity, pair_similarity
from workbench.probes.similarity import similarity
from workbench.training.live.session import LiveSession

BLOCK = 10  # steps that both take before the other is waited for
MEAN = 20  # steps over which losses are averaged
LETTERS = "AB"


class Versus(widgets.VBox):
    """Two sessions of the same images, A solid and B dashed. theta: the angle between the two centers, in rad.

    Both train in blocks of steps, so that they stay together. Raises InputError for sessions of different images.
    """

    _refresh_loop: RefreshLoop | None = None
    sessions: tuple[LiveSession, ...] = ()

    _views: tuple[widgets.Widget, ...] = ()

    def __init__(self, a: LiveSession, b: LiveSession, theta: float = math.radians(80)) -> None:
        if a.images is not b.images:
            raise InputError(f"sessions '{a.name}' and '{b.name}' train on different images; hand one's images to both")
        if a is b:
            raise InputError(f"both are session '{a.name}'; compare it with its fork()")
        self.sessions, self.theta = (a, b), theta
        self.selection = Selection()
        self._lock, self._playing = threading.RLock(), False
        self._seen: list[Snapshot | None] = [None, None]
        self._shown: tuple[Any, ...] = ()  # which snapshots and curves the differences were drawn of
        self._button = widgets.Button(description="Play both", tooltip="train both, or pause both")
        self._button.on_click(lambda _: self.pause() if self._playing else self.play())
        step = widgets.Button(description="Step both", tooltip="one step of each")
        step.on_click(lambda _: self.run(1))
        self._state, self._problem, self._table = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.curves = tuple(CurvesView(lambda change, k=k: self._on_change(k, change), EXTRAS) for k in (0, 1))
        self.spheres = tuple(SphereView(self.selection, a.images.names) for _ in self.sessions)
        self._margins = Chart("Difference of the curves", 240)
        self._losses = Chart("Loss of both sessions and its difference", 240)
        self._pairs = Chart("Similarity distributions of both sessions", 240)
        self._views = (*self.curves, *self.spheres, self._margins, self._losses, self._pairs)
        bar = widgets.HBox([self._button, step, self._state])
        bar.add_class("workbench-bar")
        heads = [
            widgets.HTML(f"<b>{letter}: session '{escape(s.name)}'</b>")
            for letter, s in zip(LETTERS, self.sessions, strict=True)
        ]
        rest = (*self.curves, *self.spheres, self._margins, self._losses, self._pairs, self._table)
        super().__init__([bar, self._problem, grid(*heads, *rest), Page()])
        self.add_class("workbench-lab")
        self.refresh()
        self._refresh_loop = RefreshLoop(self._refresh_views)

    def __repr__(self) -> str:
        return f"Versus: {self.sessions[0]!r} against {self.sessions[1]!r}"

    def play(self) -> None:
        """Train both until told otherwise."""
        self._playing = True

    def pause(self) -> None:
        """Stop both after the block they are in."""
        self._playing = False

    def run(self, steps: int) -> None:
        """Take so many steps of each, and wait for them; what stops one is said."""
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
        """Each number of the table, of A and of B."""
        a, b = (session_metrics(session, snapshot) for session, snapshot in zip(self.sessions, self._seen, strict=True))
        return {name: (a[name], b[name]) for name in a}

    def refresh(self) -> None:
        """Show what holds now."""
        for session in self.sessions:
            session.frame()
            if session.status != "stopped":
                session.between(lambda: None)
        self._show()

    def close(self) -> None:
        """Take it off the page and end both trainings."""
        if self._refresh_loop is not None:
            self._refresh_loop.close()
        for session in self.sessions:
            session.stop()
        close_within(self)
        super().close()

    def _refresh_views(self) -> bool:
        watched = any(leaf.watched for view in self._views for leaf in stream_widgets(view))
        if self._playing and all(session.status == "paused" for session in self.sessions):
            for session in self.sessions:
                session.run(BLOCK)
        if watched:
            self._show()
        if any(session.superseded for session in self.sessions):
            self.close()  # the cell was run again: nothing of the old one stays
        return all(session.status != "stopped" for session in self.sessions)

    def _show(self) -> None:
        with self._lock:
            for k, session in enumerate(self.sessions):
                snapshot = session.frame()
                if snapshot is not None and snapshot is not self._seen[k]:
                    self._seen[k] = snapshot
                    self.spheres[k].show(snapshot)
                self._show_curves(k)
            shown = (*self._seen, *(view.result for view in self.curves))
            if None not in self._seen and not same_objects(shown, self._shown):
                self._shown = shown
                self._draw_margins()
                self._draw_losses()
                self._draw_pairs()
                self._table.value = table_html(self.differences())
            status = " · ".join(
                f"{letter}: {s.status}, step {s.job.step:,}" for letter, s in zip(LETTERS, self.sessions, strict=True)
            )
            self._state.value = f'<div class="workbench-state" role="status">{status}</div>'
            self._button.description = "Pause both" if self._playing else "Play both"
            for session in self.sessions:
                if session.failure:
                    self._playing = False
                    self._report(f"'{session.name}' stopped: {session.failure}")

    def _show_curves(self, k: int) -> None:
        tuning, snapshot = self.sessions[k].tuning, self._seen[k]
        method = tuning.composed
        if method.has_logits and snapshot is not None:
            values = dict(tuning.values) | {"lr": tuning.lr, "theta": self.theta}
            hard = mean_hard_cosine(method.margin_of(tuning.values), snapshot)
            self.curves[k].show(method, values, snapshot.state, snapshot.length, self.theta, hard)

    def _on_change(self, k: int, change: dict[str, Any]) -> None:
        """A control of one of the curves was moved; the angle between the centers is of both."""
        own = dict(change)
        if "theta" in own:
            self.theta = EXTRAS["theta"].check("Versus", "theta", own.pop("theta"))
        if own:
            self.sessions[k].set(**own)
        self._show()

    def _report(self, text: str) -> None:
        self._problem.value = f'<div class="workbench-problem" role="alert">{escape(text)}</div>' if text else ""

    def _draw_margins(self) -> None:
        """What A asks of a sample more than B, along the arc between two centers."""
        a, b = (view.result for view in self.curves)
        if a is None or b is None or len(a.curve.phi) != len(b.curve.phi):
            return
        gaps = {"T of A − T of B": a.curve.T - b.curve.T, "N of A − N of B": a.curve.N - b.curve.N}
        every = np.concatenate(list(gaps.values()))
        span = self._margins.reach("y", float(np.nanmin(every)), float(np.nanmax(every)))
        layers = [
            line(name, a.curve.phi, gap, colour, dashed)
            for (name, gap), colour, dashed in zip(gaps.items(), (BLUE, VERMILION), (False, True), strict=True)
        ]
        x = ChartAxis("Angle from the target center φ", "φ", (0.0, float(self.theta)), degrees=True)
        self._margins.draw(x, ChartAxis("Difference of logits before scale", "difference", span), layers)

    def _draw_losses(self) -> None:
        """The losses of the steps that both have taken, averaged, and A less B."""
        n = min(session.at for session in self.sessions)
        if n < 2:
            return
        a, b = (running_mean(np.array([s.loss for s in session.steps[:n]])) for session in self.sessions)
        steps = np.arange(len(a)) + n - len(a)
        span = self._losses.reach("y", min(0.0, float((a - b).min())), float(max(a.max(), b.max())))
        layers = [
            line("A", *decimate(steps, a), BLUE),
            line("B", *decimate(steps, b), VERMILION, True),
            line("A − B", *decimate(steps, a - b), "grey"),
        ]
        x = ChartAxis("Steps taken", "steps", self._losses.reach("x", 0.0, max(100.0, n)))
        self._losses.draw(x, ChartAxis(f"Loss, mean of {MEAN} steps (nats)", "loss", span), layers)

    def _draw_pairs(self) -> None:
        """The cosines of genuine and impostor pairs, of A solid and of B dashed."""
        found = [snapshot_pairs(snapshot) for snapshot in self._seen]
        middle = (found[0].edges[:-1] + found[0].edges[1:]) / 2
        top = max(float(max(f.genuine.max(), f.impostor.max())) for f in found)
        layers = [
            line(f"{kind} {LETTERS[k]}", middle, getattr(found[k], kind), colour, k == 1)
            for kind, colour in (("genuine", GREEN), ("impostor", PURPLE))
            for k in (0, 1)
        ]
        x = ChartAxis("Cosine of two samples", "cosine", (-1.0, 1.0))
        self._pairs.draw(x, ChartAxis("Share of the pairs in a bin", "share", self._pairs.reach("y", 0.0, top)), layers)


def running_mean(values: np.ndarray) -> np.ndarray:
    """The running mean over MEAN values, or over all of fewer."""
    width = min(MEAN, len(values))
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def snapshot_pairs(snapshot: Snapshot) -> PairSimilarity:
    """The similarity of pairs of a snapshot's samples; of whole classes, where all pairs would be too many."""
    kept = sample_classes(snapshot.y, MOST)
    return pair_similarity(*all_pairs(snapshot.x[kept], snapshot.y[kept]))


def session_metrics(session: LiveSession, snapshot: Snapshot) -> dict[str, float]:
    """What the table compares of a session."""
    cos, pairs = snapshot.cos, snapshot_pairs(snapshot)
    own = cos[np.arange(len(snapshot.y)), snapshot.y]
    return {
        f"loss, mean of {MEAN} steps (nats)": float(np.mean([s.loss for s in session.steps[-MEAN:]] or [math.nan])),
        "misclassified samples (%)": 100 * float((cos.argmax(axis=1) != snapshot.y).mean()),
        "mean cosine to the own center": float(own.mean()),
        "overlap of well and misclassified": similarity(cos, snapshot.y).overlap,
        "overlap of genuine and impostor": pairs.overlap,
        "correlation r of hard positives and negatives": hardness(cos, snapshot.y).r,
    }


def table_html(found: dict[str, tuple[float, float]]) -> str:
    """The numbers as an HTML table: of A, of B, and A less B."""

    def shown(value: float) -> str:
        return "–" if math.isnan(value) else f"{value:.3f}"

    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{shown(a)}</td><td>{shown(b)}</td><td>{shown(a - b)}</td></tr>"
        for name, (a, b) in found.items()
    )
    head = "<tr><th></th><th scope='col'>A</th><th scope='col'>B</th><th scope='col'>A − B</th></tr>"
    return f'<table class="workbench-numbers"><thead>{head}</thead><tbody>{rows}</tbody></table>'
