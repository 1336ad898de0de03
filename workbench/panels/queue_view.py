"""QueueView: the hard-negative classes of one class, with cosine, age and reason.

Without a queue these are the classes with the nearest centers, by exact search in the snapshot. With a queue they are
its entries, and the exact search gives the recall of the queue.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from workbench.core.angles import format_angle
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.mining.queue import HardNegativeQueue
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import source
from workbench.panels.kit.view import Picture, SnapshotWidget
from workbench.panels.sphere_view import arccos
from workbench.probes.rivals import Rivals, center_cosines, most_confused_class, nearest_classes, rivals

ROWS = 16  # rivals shown
MAX_LISTED = 500  # classes that a dropdown lists; with more classes the class is entered as a number
MAX_NUMBERS = 4_000_000  # size of the center matrix up to which every frame is searched, about 10 ms
INTERVAL = 2.0  # seconds between two searches of a larger matrix, and between two recall measurements
MAX_RECALL, RECALL_SAMPLE = 20_000, 64  # classes up to which the recall is measured, and classes in its sample
FIRST = "first seen now"  # age in the first frame


class QueueView(SnapshotWidget):
    """A table of the hard negatives of class `own`; `show` may be called from any thread.

    own: the class shown; by default the last selected class, or the most confused one. Picking a row selects both
    classes. names: class names; result: the rivals shown, None before the first snapshot.

    A queue does not store why a class is in it: the reason is derived from the snapshot and from the refreshes that
    this view has seen. Ages are visits of the class; without a queue, training steps since this view saw the rival.
    """

    _esm = source("queue.js")
    own = traitlets.Int(-1).tag(sync=True)  # -1: default
    classes = traitlets.Int(0).tag(sync=True)  # number of classes

    def __init__(
        self, selection: Selection, names: Sequence[str] | None = None, picture: Picture | None = None
    ) -> None:
        self._queue: HardNegativeQueue | None = None
        self._step = 0  # of the snapshot or queue shown
        self._searched_at = float("-inf")  # time of the last search
        self._since: dict[int, dict[int, tuple[int, bool]]] = {}  # class -> rival -> first step seen, was it new then
        self._refreshed: dict[int, dict[int, int]] = {}  # class -> rival -> step of the refresh that added it
        self._recall = (float("-inf"), "")  # time of the last measurement, and its text
        self.result: Rivals | None = None
        super().__init__(selection, names, picture)

    def show(self, snapshot: Snapshot, queue: HardNegativeQueue | None = None, step: int | None = None) -> None:
        """Draw a snapshot and the queue of the training at `step` (None: the step of the snapshot).

        A snapshot that is not finite is not drawn. With many centers at most one search per INTERVAL is made.
        """
        with self._lock:
            replaced = queue is not None and self._queue is not None and queue is not self._queue
            self._step = snapshot.step if step is None else step
            if replaced:
                self._note_refresh(self._queue, queue)
            self._snapshot, self._queue = snapshot, queue
            classes = len(snapshot.W) // snapshot.sub
            if classes != self.classes:
                self._reset(classes)
            if self.own < 0:
                self.own = self._default_class()  # draws
            elif snapshot.W.size <= MAX_NUMBERS or time.monotonic() - self._searched_at > INTERVAL:
                self._draw()

    def on_message(self, content: dict[str, Any]) -> None:
        """Handle a picked row, the two buttons, and requests of images."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        if "pick" in content:
            both = (self.own, int(content["pick"]))
            self.selection.select_classes(snapshot.y, () if set(both) == set(self.selection.classes) else both)
        elif "clear" in content:
            self.selection.clear()
        elif "confused" in content:
            self.own = most_confused_class(snapshot)
        elif "pictures" in content and self._picture is not None:
            samples = [int(i) for i in content["pictures"] if 0 <= int(i) < len(snapshot.y)]
            images = {i: image for i in samples if (image := self._picture(i)) is not None}
            self.send({"pictures": list(images)}, list(images.values()))

    @traitlets.validate("own")
    def _check_class(self, proposal: dict[str, Any]) -> int:
        own = proposal["value"]
        if self._snapshot is not None and not -1 <= own < self.classes:
            raise InputError(f"own = {own}: the classes are 0 to {self.classes - 1}")
        return own

    @traitlets.observe("own")
    def _on_class(self, _: object) -> None:
        with self._lock:
            if self._snapshot is not None and self.own >= 0:
                self._draw()

    def _sync_selection(self, _: object = None) -> None:
        """Update the selected classes. If the class shown is not among them, show the last one."""
        self.chosen = chosen = list(self.selection.classes)
        if chosen and self.own not in chosen and 0 <= chosen[-1] < self.classes:
            self.own = chosen[-1]

    def _reset(self, classes: int) -> None:
        """Discard all state that belongs to another number of classes."""
        self._since, self._refreshed, self._recall = {}, {}, (float("-inf"), "")
        self.classes = classes
        self.titles = [self._class_name(j) for j in range(classes)] if classes <= MAX_LISTED else []
        if self.own >= classes:
            self.own = -1

    def _default_class(self) -> int:
        chosen = [j for j in self.selection.classes if 0 <= j < self.classes]
        return chosen[-1] if chosen else most_confused_class(self._snapshot)

    def _note_refresh(self, old: HardNegativeQueue, new: HardNegativeQueue) -> None:
        """Record the entries that a refreshed queue adds, for the classes shown so far."""
        for own in self._since:
            if own < min(len(old.ids), len(new.ids)):
                added = set(new.ids[own].tolist()) - set(old.ids[own].tolist())
                self._refreshed.setdefault(own, {}).update(dict.fromkeys(added, self._step))

    def _draw(self) -> None:
        """Search, and push the table of the class shown."""
        snapshot, own = self._snapshot, self.own
        centers = snapshot.centers
        cos = center_cosines(centers, own)
        self._searched_at = time.monotonic()
        if not np.isfinite(cos).all():
            return
        nearest = nearest_classes(cos, own, ROWS if self._queue is None else self._queue.K)
        if self._queue is None:
            ids, ages = nearest, self._update_ages(own, nearest)
            line = f"{len(ids)} nearest of {self.classes - 1:,} other centers, exact search: recall@{len(ids)} = 1"
        else:
            ids, visits = self._queue_entries(own)
            ages = {j: f"{v:,} visit{'s' * (v != 1)}" for j, v in zip(ids.tolist(), visits.tolist(), strict=True)}
            self._since.setdefault(own, {})
            self._refreshed[own] = {j: at for j, at in self._refreshed.get(own, {}).items() if j in ages}
            count = f"{min(ROWS, len(ids))} nearest of {len(ids)} queued" if len(ids) else "the queue is empty"
            line = f"{count}, of {self.classes - 1:,} other classes; {self._describe_recall(nearest, ids, centers)}"
        self.result = rivals(snapshot, own, ids, cos)
        rows = [self._row(k, ages, set(nearest.tolist())) for k in range(min(ROWS, len(self.result.ids)))]
        if self.classes < 2:
            line = "there is one class, so there are no other classes"
        images = int((snapshot.y == own).sum())
        line = f"step {self._step:,} · {line} · {images:,} of {len(snapshot.y):,} samples are of this class"
        columns = {"images": self._picture is not None, "age": any(row["age"] != FIRST for row in rows)}
        self.push({"own": own, "name": self._class_name(own), "line": line, "rows": rows, "columns": columns})

    def _row(self, k: int, ages: dict[int, str], nearest: set[int]) -> dict[str, Any]:
        """The k-th rival as a table row, in JSON."""
        result = self.result
        j, cosine, sample = int(result.ids[k]), float(result.cosine[k]), int(result.sample[k])
        why = []
        if (step := self._refreshed.get(self.own, {}).get(j)) is not None:
            why.append(f"added by a refresh, seen at step {step:,}")
        elif j in nearest:
            why.append("nearest centers")
        if result.nearer[k]:
            why.append(f"misclassified sample {sample}")
        theirs = np.flatnonzero(self._snapshot.y == j)[:1].tolist()
        return {
            "id": j,
            "name": self._class_name(j),
            "cosine": f"{cosine:.3f}",
            "angle": format_angle(arccos(cosine)),
            "sample": f"{result.sample_cosine[k]:.3f} (sample {sample})" if sample >= 0 else "no sample",
            "age": ages[j],
            "why": "; ".join(why) or "from an earlier batch",
            "images": [[sample, self._class_name(self.own)], [theirs[0] if theirs else -1, self._class_name(j)]],
        }

    def _queue_entries(self, own: int) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the ids and ages of a class's queue, which the training thread may overwrite."""
        ids, ages = self._queue.ids[own].numpy().astype(np.intp), self._queue.ages[own].numpy().copy()
        valid = (ids >= 0) & (ids < self.classes)
        return ids[valid], ages[valid]

    def _update_ages(self, own: int, nearest: np.ndarray) -> dict[int, str]:
        """Ages of the nearest classes as text: steps since this view first saw each among the nearest."""
        before = self._since.get(own)
        now, text = {}, {}
        for j in nearest.tolist():
            first, new = (before or {}).get(j, (self._step, before is not None))
            if first > self._step:  # the training was restored to an earlier step
                first, new = self._step, False
            now[j] = first, new
            age = self._step - first
            text[j] = f"{age:,} steps{'' if new else ' or more'}" if age or new else FIRST
        self._since[own] = now
        return text

    def _describe_recall(self, nearest: np.ndarray, ids: np.ndarray, centers: np.ndarray) -> str:
        """recall@K of the queue against exact search, for the class shown and for a sample of classes."""
        if not len(nearest):
            return "recall: no other class"
        text = f"recall@{len(nearest)} = {np.isin(nearest, ids).mean():.2f} for this class"
        if self.classes > MAX_RECALL:
            return text
        if time.monotonic() - self._recall[0] > INTERVAL:
            recall = self._queue.recall(torch.from_numpy(centers), RECALL_SAMPLE)
            classes = min(RECALL_SAMPLE, self.classes)
            self._recall = time.monotonic(), f"{recall:.2f} for {classes} classes at step {self._step:,}"
        return f"{text}, {self._recall[1]}"
