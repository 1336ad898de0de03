"""Lab: the live lab, a running training session and linked views of it.

    lab = Lab(method="npcface", data="digits", dim=3)      # as the last line of a cell: displays the lab
    lab.session.play()
    lab.selection.classes = (3, 8)

The same object works without a browser: `lab.session.run(200, block=True); lab.refresh()`.
"""

import math
import threading
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch

from workbench.core.errors import InputError, unknown
from workbench.core.files import read_json, write_json
from workbench.core.parameters import Param
from workbench.core.record import Snapshot
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin
from workbench.panels.bar import RunBar
from workbench.panels.curves_view import CurvesView
from workbench.panels.export import export, python_call
from workbench.panels.gradients_view import GradientsView
from workbench.panels.hardness_view import HardnessView
from workbench.panels.kit.refresh import RefreshLoop
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import StreamWidget
from workbench.panels.kit.view import close_children, encode_png, grid, stream_widgets
from workbench.panels.method_setting import THETA
from workbench.panels.queue_view import QueueView
from workbench.panels.scenes import scenes_for
from workbench.panels.similarities_view import SimilaritiesView
from workbench.panels.sphere_view import SphereView
from workbench.panels.training_view import TrainingView
from workbench.training.live.replay import record, replay
from workbench.training.live.session import LiveSession
from workbench.training.live.tuning import LR, Tuning

EXTRAS: dict[str, Param] = {"lr": LR, "theta": THETA}  # controls of the curves beside the parameters of the loss


class Lab(widgets.VBox):
    """The live lab of a session.

    session: the session to show (None: a LiveSession with these settings); theta: angle between the two class centers
    of the curves, in rad. Raises InputError for invalid settings.
    """

    _refresh_loop: RefreshLoop | None = None

    def __init__(self, session: LiveSession | None = None, theta: float = math.radians(80), **settings: Any) -> None:
        self.session = session if session is not None else LiveSession(**settings)
        self.theta = THETA.check("Lab", "theta", theta)
        self.selection = Selection()
        names = self.session.images.names
        self.bar = RunBar(lambda: self.session, self.refresh, self.play_scene)
        self.curves = CurvesView(self._on_change, EXTRAS)
        self.sphere = SphereView(self.selection, names, self.picture, len(self.session.images))
        self.similarities = SimilaritiesView(self.selection)
        self.hardness = HardnessView(self.selection, self.picture)
        self.queue = QueueView(self.selection, names, self.picture)
        self.gradients = GradientsView(self.session.tuning.composed)
        self.training = TrainingView()
        self._snapshot: Snapshot | None = None
        self._drawn_curves: tuple[Any, ...] = ()  # snapshot, tuning and angle of the curves shown
        self._lock = threading.RLock()  # one thread draws at a time
        self._counts = [0, 0, 0]  # numbers of steps, log entries and notes added to the training view
        for view in (self.curves, self.queue):
            view.add_class("workbench-wide")
        views = (self.curves, self.sphere, self.training, self.similarities, self.hardness, self.gradients, self.queue)
        super().__init__([self.bar, grid(*views)])
        self.add_class("workbench-lab")
        self.refresh()
        self._refresh_loop = RefreshLoop(self._refresh_views)

    def __repr__(self) -> str:
        return f"Lab: {self.session!r}"

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that the views show; None before the first one."""
        return self._snapshot

    @property
    def call(self) -> str:
        """The Python call that creates this lab in its initial state."""
        return python_call(self.session, self.theta)

    def state(self) -> dict[str, Any]:
        """The replayable record of the session, the angle and the selection, as JSON."""
        shown = {"theta": self.theta, "samples": list(self.selection.samples), "classes": list(self.selection.classes)}
        return record(self.session) | {"lab": shown}

    def save(self, path: Path | str) -> Path:
        """Write `state` to a JSON file atomically; returns its path."""
        path = Path(path)
        write_json(path, self.state())
        return path

    @classmethod
    def load(cls, path: Path | str, **arguments: Any) -> "Lab":
        """Restore a saved lab: the session is trained again, bit-exactly, and the selection is restored.

        arguments: `images` and `margin`, if the session was created with them. Raises InputError for an invalid file.
        """
        saved = read_json(Path(path))
        session = replay(saved, where=str(path), **({"name": "live"} | arguments))
        lab = cls(session)
        shown = saved.get("lab", {})
        lab.theta = THETA.check(str(path), "theta", shown.get("theta", lab.theta))
        lab.selection.samples, lab.selection.classes = shown.get("samples", ()), shown.get("classes", ())
        lab.refresh()
        return lab

    def export(self, folder: Path | str) -> list[Path]:
        """Write figures, tables, the record and the Python call to a new folder; returns the files."""
        self.refresh()
        return export(self.session, self._snapshot, self.theta, self.state(), folder)

    def picture(self, sample: int) -> bytes | None:
        """The image of a sample of the snapshot, as PNG; None for an invalid index."""
        if not 0 <= sample < len(self.session.sample):
            return None
        return encode_png(self.session.images.images[self.session.sample[sample]])

    def refresh(self) -> None:
        """Update the views from the present state of the session."""
        self.session.frame()
        if self.session.status != "stopped":
            self.session.between(lambda: None)
        self._show()

    def play_scene(self, title: str) -> None:
        """Replace the session by a new one with the settings of a scene, and start it.

        Raises InputError for an unknown title, and for a scene that needs more classes.
        """
        known = scenes_for(self.session.images.classes)
        if title not in known:
            raise unknown("scene", title, known)
        old = self.session.config
        settings = {"data": old.data, "dim": old.dim, "size": old.size, "seed": old.seed, "device": old.device}
        settings |= known[title].settings
        with self._lock:  # the old session ends here: the refresh loop must not see it
            self.steer(LiveSession(images=self.session.images, name=self.session.name, **settings))
        self.session.play()

    def steer(self, session: LiveSession) -> None:
        """Show and control another session of the same images. Raises InputError for other images."""
        if session.images is not self.session.images:
            raise InputError("the session has other images than the lab; create a new Lab for it")
        with self._lock:
            self.session, self._snapshot, self._counts = session, None, [0, 0, 0]
            self.refresh()

    def close(self) -> None:
        """Remove the lab from the page and end the training."""
        if self._refresh_loop is not None:
            self._refresh_loop.close()
        self.session.stop()
        close_children(self)
        super().close()

    def _refresh_views(self) -> bool:
        """Callback of the refresh loop: update the views and the status line; False ends the loop."""
        with self._lock:
            if any(stream.watched for stream in self._streams()):
                try:
                    self._show()
                except Exception as error:  # a thread has no caller: report in the page
                    self.bar.report(f"The views could not be updated: {type(error).__name__}: {error}")
            if self.session.status == "stopped" and self.session.superseded:
                self.close()  # the cell was run again
            return self.session.status != "stopped"

    def _show(self) -> None:
        with self._lock:
            session, snapshot = self.session, self.session.frame()
            if snapshot is not None and snapshot is not self._snapshot:
                self._snapshot = snapshot
                self.gradients.method = session.tuning.composed
                for view in (self.sphere, self.similarities, self.hardness, self.gradients):
                    view.show(snapshot)
                self.queue.show(snapshot, getattr(session.job.objective.centers, "queue", None))
            self._show_curves(snapshot)
            self._show_training()
            streams = self._streams()
            lag = max((s.lag for s in streams), default=0.0)
            self.bar.show(lag, sum(s.dropped for s in streams), sum(s.shown for s in streams))

    def _show_curves(self, snapshot: Snapshot | None) -> None:
        key = (snapshot, self.session.tuning, self.theta)
        if not same_objects(key, self._drawn_curves):
            self._drawn_curves = key
            show_curves(self.curves, *key)

    def _show_training(self) -> None:
        """Add the new steps, events and notes of the session to the training view."""
        session = self.session
        steps, log, notes = (
            rows[count:] for rows, count in zip((session.steps, session.log, session.notes), self._counts, strict=True)
        )
        self._counts = [count + len(rows) for count, rows in zip(self._counts, (steps, log, notes), strict=True)]
        for step in steps:
            self.training.add(step)
        for event in (event for entry in log for event in entry.events):
            self.training.mark(event)
        for note in notes:
            self.training.report(note)
        if steps or log:
            self.training.draw()

    def _on_change(self, change: dict[str, Any]) -> None:
        """Callback of the controls of the curves."""
        self.theta = apply_change(self.session, change, self.theta)
        self._show_curves(self._snapshot)

    def _streams(self) -> list[StreamWidget]:
        return [stream for view in self.children[1].children for stream in stream_widgets(view)]


def same_objects(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    """Whether two tuples hold identical objects."""
    return len(these) == len(those) and all(a is b for a, b in zip(these, those, strict=True))


def apply_change(session: LiveSession, change: dict[str, Any], theta: float) -> float:
    """Set changed parameters of a session; returns the angle between the two centers, changed or not, in rad."""
    parameters = dict(change)
    theta = THETA.check("Lab", "theta", parameters.pop("theta", theta))
    if parameters:
        session.set(**parameters)
    return theta


def show_curves(view: CurvesView, snapshot: Snapshot | None, tuning: Tuning, theta: float) -> None:
    """Show the curves of a session's loss at a snapshot; nothing for a loss without T and N."""
    method = tuning.composed
    if method.has_logits and snapshot is not None:
        values = dict(tuning.values) | {"lr": tuning.lr, "theta": theta}
        hard = mean_hard_cosine(method.margin_of(tuning.values), snapshot)
        view.show(method, values, snapshot.state, snapshot.length, theta, hard)


def mean_hard_cosine(margin: Margin, snapshot: Snapshot) -> float | None:
    """Mean cosine of the hard negatives of each sample, averaged over the samples that have any (NPCFace, Eq. 11).

    None if no sample has any, and for a margin with parameters per class.
    """
    if margin.learned_parameters(2, 2) or not margin.init(2, 2).keys() <= snapshot.state.keys():
        return None
    cos = torch.from_numpy(snapshot.cos)
    norm = torch.from_numpy(snapshot.x).norm(dim=1, keepdim=True)
    state = {name: torch.tensor(value) for name, value in snapshot.state.items()}
    with torch.no_grad():
        rows = DenseRows(margin, cos, norm, torch.from_numpy(snapshot.y)[:, None], {}, state)
        hard = rows.hard_weight > 0
        return float(rows.hard_mean[hard].mean()) if hard.any() else None
