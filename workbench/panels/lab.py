"""Lab: a running session and everything that is snapshot of it, linked.

    lab = Lab(method="npcface", data="digits", dim=3)      # as the last line of a cell: the live lab
    lab.session.play()
    lab.selection.classes = (3, 8)

The same object works where nobody looks: `lab.session.run(200, block=True); lab.refresh()`.
"""

import io
import math
import threading
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image

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
from workbench.panels.method_setting import THETA
from workbench.panels.queue_view import QueueView
from workbench.panels.scenes import scenes_for
from workbench.panels.similarities_view import SimilaritiesView
from workbench.panels.sphere_view import SphereView
from workbench.panels.training_view import TrainingView
from workbench.training.live.replay import record, replay
from workbench.training.live.session import LiveSession
from workbench.training.live.tuning import LR

EXTRAS: dict[str, Param] = {"lr": LR, "theta": THETA}  # what the curves' controls set beside the loss's parameters


class Lab(widgets.VBox):
    """The live lab of a session; settings: those of a LiveSession, where none is given.

    Raises InputError for settings that cannot be.
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
        self._views = (self.sphere, self.similarities, self.hardness, self.gradients, self.queue)
        self._shown: Snapshot | None = None
        self._drawn_curves: tuple[Any, ...] = ()  # the snapshot, tuning and angle that the curves show
        self._lock = threading.RLock()  # one thread shows at a time
        self._counts = [0, 0, 0]  # of the session's steps, log and notes, how many the training view has
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
    def call(self) -> str:
        """The Python call that makes this lab as it started."""
        return python_call(self.session, self.theta)

    def state(self) -> dict[str, Any]:
        """Everything as JSON: the record of the session, which replays, and what is shown of it."""
        shown = {"theta": self.theta, "samples": list(self.selection.samples), "classes": list(self.selection.classes)}
        return record(self.session) | {"lab": shown}

    def save(self, path: Path | str) -> Path:
        """Write `state` to a JSON file, whole or not at all; returns its path."""
        path = Path(path)
        write_json(path, self.state())
        return path

    @classmethod
    def load(cls, path: Path | str, **given: Any) -> "Lab":
        """The lab that was saved: its session trained again to the same bits, and what was shown and selected.

        given: images and margin, where the session was made with them. InputError for a file that cannot be used.
        """
        saved = read_json(Path(path))
        session = replay(saved, where=str(path), **({"name": "live"} | given))
        lab = cls(session)
        shown = saved.get("lab", {})
        lab.theta = THETA.check(str(path), "theta", shown.get("theta", lab.theta))
        lab.selection.samples, lab.selection.classes = shown.get("samples", ()), shown.get("classes", ())
        lab.refresh()
        return lab

    def export(self, folder: Path | str) -> list[Path]:
        """Write figures, tables, the record and the Python call into a new folder; returns the files."""
        self.refresh()
        return export(self.session, self._shown, self.theta, self.state(), folder)

    def picture(self, sample: int) -> bytes | None:
        """The image of a sample of the snapshot, as PNG."""
        if not 0 <= sample < len(self.session.sample):
            return None
        file = io.BytesIO()
        Image.fromarray(self.session.images.images[self.session.sample[sample]]).save(file, "PNG")
        return file.getvalue()

    def refresh(self) -> None:
        """Show what holds now."""
        self.session.frame()
        if self.session.status != "stopped":
            self.session.between(lambda: None)
        self._show()

    def play_scene(self, title: str) -> None:
        """Start a scene in the place of the session: a fresh one with its settings, which plays.

        InputError for a title that is not among the scenes for so many classes.
        """
        known = scenes_for(self.session.images.classes)
        if title not in known:
            raise unknown("scene", title, known)
        old = self.session.config
        own = {"data": old.data, "dim": old.dim, "size": old.size, "seed": old.seed, "device": old.device}
        with self._lock:  # the old session ends here, which the pump need not know
            self.steer(LiveSession(images=self.session.images, name=self.session.name, **own | known[title].settings))
        self.session.play()

    def steer(self, session: LiveSession) -> None:
        """Show and steer another session of the same images from here on."""
        if session.images is not self.session.images:
            raise InputError("the session was made of other images; make a Lab of its own for it")
        with self._lock:
            self.session, self._shown, self._counts = session, None, [0, 0, 0]
            self.refresh()

    def close(self) -> None:
        """Take the lab off the page and end its training."""
        if self._refresh_loop is not None:
            self._refresh_loop.close()
        self.session.stop()
        close_within(self)
        super().close()

    def _refresh_views(self) -> bool:
        """What the pump does: the newest frame to every view, and how the session stands; False ends it."""
        with self._lock:
            if any(stream.watched for stream in self._streams()):
                try:
                    self._show()
                except Exception as error:  # a thread has no caller to tell
                    self.bar.problem(f"The views could not show this: {type(error).__name__}: {error}")
            if self.session.status == "stopped" and self.session.superseded:
                self.close()  # the cell was run again: nothing of the old lab stays
            return self.session.status != "stopped"

    def _show(self) -> None:
        with self._lock:
            self._show_all()

    def _show_all(self) -> None:
        session, snapshot = self.session, self.session.frame()
        if snapshot is not None and snapshot is not self._shown:
            self._shown = snapshot
            self.gradients.method = session.tuning.composed
            for view in (self.sphere, self.similarities, self.hardness, self.gradients):
                view.show(snapshot)
            self.queue.show(snapshot, getattr(session.job.objective.centers, "queue", None))
        self._show_curves(snapshot)
        self._show_training()
        streams = list(self._streams())
        lag = max((s.lag for s in streams), default=0.0)
        self.bar.show(lag, sum(s.dropped for s in streams), sum(s.shown for s in streams))

    def _show_curves(self, snapshot: Snapshot | None) -> None:
        tuning = self.session.tuning
        method = tuning.composed
        shown = (snapshot, tuning, self.theta)
        if not method.has_logits or snapshot is None or same_objects(shown, self._drawn_curves):
            return
        self._drawn_curves = shown
        values = dict(tuning.values) | {"lr": tuning.lr, "theta": self.theta}
        hard = mean_hard_cosine(method.margin_of(tuning.values), snapshot)
        self.curves.show(method, values, snapshot.state, snapshot.length, self.theta, hard)

    def _show_training(self) -> None:
        session = self.session
        for step in session.steps[self._counts[0] :]:
            self.training.add(step)
            self._counts[0] += 1
        for entry in session.log[self._counts[1] :]:
            for event in entry.events:
                self.training.mark(event)
            self._counts[1] += 1
        for sentence in session.notes[self._counts[2] :]:
            self.training.report(sentence)
            self._counts[2] += 1

    def _on_change(self, change: dict[str, Any]) -> None:
        """A control of the curves was moved."""
        own = dict(change)
        if "theta" in own:
            self.theta = THETA.check("Lab", "theta", own.pop("theta"))
        if own:
            self.session.set(**own)
        self._show_curves(self._shown)

    def _streams(self) -> list[StreamWidget]:
        return [w for view in (self.curves, *self._views, self.training) for w in stream_widgets(view)]


def same_objects(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    """Whether two tuples hold the very same objects."""
    return len(these) == len(those) and all(a is b for a, b in zip(these, those, strict=True))


def close_within(box: widgets.Widget) -> None:
    """Close every widget in a box: ipywidgets keeps each one that is not closed, and all that it refers to."""
    for child in getattr(box, "children", ()):
        close_within(child)
        child.close()
    for part in (getattr(box, "layout", None), getattr(box, "style", None)):
        if part is not None:
            part.close()


def stream_widgets(view: widgets.Widget) -> list[StreamWidget]:
    """The streamed widgets in a view."""
    own = [view] if isinstance(view, StreamWidget) else []
    return own + [leaf for child in getattr(view, "children", ()) for leaf in stream_widgets(child)]


def grid(*views: widgets.Widget) -> widgets.Box:
    """Views side by side, as many as the page is wide."""
    box = widgets.Box(views)
    box.add_class("workbench-grid")
    return box


def mean_hard_cosine(margin: Margin, snapshot: Snapshot) -> float | None:
    """The mean, over the samples that have hard negatives, of their hard negatives' mean cosine (NPCFace Eq. 11).

    None where no sample has any, and for a margin that knows its classes one by one.
    """
    if margin.learned(2, 2) or not margin.init(2, 2).keys() <= snapshot.state.keys():
        return None
    cos = torch.from_numpy(snapshot.cos)
    norm = torch.from_numpy(snapshot.x).norm(dim=1, keepdim=True)
    state = {name: torch.tensor(value) for name, value in snapshot.state.items()}
    with torch.no_grad():
        rows = DenseRows(margin, cos, norm, torch.from_numpy(snapshot.y)[:, None], {}, state)
        hard = rows.hard_weight > 0
        return float(rows.hard_mean[hard].mean()) if hard.any() else None
