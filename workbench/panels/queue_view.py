"""The queue inspector: one class and its hard-negative classes, with how near they are, since when, and why.

Without a queue the rivals are the classes whose centers are nearest in what is shown, all of them compared; with one
they are what the training keeps in it, and the exact search says what it misses.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.mining.queue import HardNegativeQueue
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import Streamed, source
from workbench.panels.sphere_view import both
from workbench.probes.rivals import Rivals, center_cosines, most_confused_class, nearest_classes, rivals

K = 16  # rivals shown
LISTED = 500  # classes up to which a list offers them by name; a number is typed for one of more
QUICK = 4_000_000  # numbers in the centers up to which every frame is searched: some 10 ms
EVERY = 2.0  # seconds between two searches among more, and between two measurements of a sample
SMALL, SAMPLE = 20_000, 64  # up to so many classes the recall of a queue is measured on a sample of so many
NOW = "first seen now"  # the age of what was there at the first look


class QueueView(Streamed):
    """Shows the hard negatives of class `own` in a table; `show` from any thread; picking a row selects both classes.

    own: the class; where nobody chose one, the last of the selected classes or the most confused one. names: of the
    classes; picture(i): the PNG of sample i, or None. result: the rivals shown, None before the first snapshot.

    A queue does not keep why a class is in it: the reasons told are those that the snapshot shows, and the refreshes
    that this view saw. Its ages count visits of the class; without a queue they count steps since this view saw it.
    """

    _esm = source("queue.js")
    own = traitlets.Int(-1).tag(sync=True)  # -1: not chosen yet
    titles = traitlets.List().tag(sync=True)  # the names of the classes, where they are few enough for a list
    classes = traitlets.Int(0).tag(sync=True)  # how many there are
    chosen = traitlets.List().tag(sync=True)  # the selected classes

    def __init__(
        self,
        selection: Selection,
        names: Sequence[str] | None = None,
        picture: Callable[[int], bytes | None] | None = None,
    ) -> None:
        self._lock = threading.RLock()  # never held while the selection is set: other views listen to that
        self._snapshot: Snapshot | None = None
        self._queue: HardNegativeQueue | None = None
        self._step = 0  # of what is shown
        self._searched = float("-inf")  # when, for `own`
        self._since: dict[int, dict[int, tuple[int, bool]]] = {}  # class -> rival -> first step seen, was it new then
        self._refreshed: dict[
            int, dict[int, int]
        ] = {}  # class -> rival -> the step at which the refresh that brought it was seen
        self._recall = (float("-inf"), "")  # of a sample of classes: when it was measured, what was found
        self._names, self._picture = names, picture
        self.result: Rivals | None = None
        self.selection = selection
        super().__init__()
        selection.observe(self._select, "classes")
        self._select()

    def show(self, snapshot: Snapshot, queue: HardNegativeQueue | None = None, step: int | None = None) -> None:
        """Draw this next. queue: what the training keeps, at `step` (None: the snapshot's).

        A snapshot that is not finite is not drawn, nor one of so many centers that the last search is too recent.
        """
        with self._lock:
            changed = queue is not None and self._queue is not None and queue is not self._queue
            self._step = snapshot.step if step is None else step
            if changed:
                self._note_refresh(self._queue, queue)
            self._snapshot, self._queue = snapshot, queue
            classes = len(snapshot.W) // snapshot.sub
            if classes != self.classes:
                self._begin(classes)
            if self.own < 0:
                self.own = self._first()  # which draws
            elif snapshot.W.size <= QUICK or time.monotonic() - self._searched > EVERY:
                self._draw()

    def close(self) -> None:
        """Take the view off the page; a second time changes nothing."""
        if self.comm is not None:
            self.selection.unobserve(self._select, "classes")
        super().close()

    def told(self, content: dict[str, Any]) -> None:
        """A wish of the browser's: a row picked, nothing selected, the most confused class, images of samples."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        if "pick" in content:
            both = (self.own, int(content["pick"]))
            self.selection.of_class(snapshot.y, () if set(both) == set(self.selection.classes) else both)
        elif "clear" in content:
            self.selection.clear()
        elif "confused" in content:
            self.own = most_confused_class(snapshot)
        elif "pictures" in content and self._picture is not None:
            places = [int(i) for i in content["pictures"] if 0 <= int(i) < len(snapshot.y)]
            found = [(i, image) for i in places if (image := self._picture(i)) is not None]
            self.send({"pictures": [i for i, _ in found]}, [image for _, image in found])

    @traitlets.validate("own")
    def _exists(self, proposal: dict[str, Any]) -> int:
        own = proposal["value"]
        if self._snapshot is not None and not -1 <= own < self.classes:
            raise InputError(f"own = {own}: the classes are 0 to {self.classes - 1}")
        return own

    @traitlets.observe("own")
    def _turned(self, _: object) -> None:
        with self._lock:
            if self._snapshot is not None and self.own >= 0:
                self._draw()

    def _select(self, _: object = None) -> None:
        """Tell the browser what is selected; where the class shown is not, show the last that is."""
        chosen = list(self.selection.classes)
        self.chosen = chosen
        if chosen and self.own not in chosen and 0 <= chosen[-1] < self.classes:
            self.own = chosen[-1]

    def _begin(self, classes: int) -> None:
        """Forget what was known of another set of classes."""
        self._since, self._refreshed, self._recall = {}, {}, (float("-inf"), "")
        self.classes = classes
        self.titles = [self._name(j) for j in range(classes)] if classes <= LISTED else []
        if self.own >= classes:
            self.own = -1

    def _first(self) -> int:
        chosen = [j for j in self.selection.classes if 0 <= j < self.classes]
        return chosen[-1] if chosen else most_confused_class(self._snapshot)

    def _name(self, j: int) -> str:
        return f"class {j}" if self._names is None else str(self._names[j])

    def _note_refresh(self, old: HardNegativeQueue, new: HardNegativeQueue) -> None:
        """Another queue took the place of the last: what is new in it."""
        for own in self._since:  # the classes that were looked at
            if own < min(len(old.ids), len(new.ids)):
                brought = set(new.ids[own].tolist()) - set(old.ids[own].tolist())
                self._refreshed.setdefault(own, {}).update(dict.fromkeys(brought, self._step))

    def _draw(self) -> None:
        """Search, and push the table of the class shown."""
        snapshot, own = self._snapshot, self.own
        centers = snapshot.centers
        cos = center_cosines(centers, own)
        self._searched = time.monotonic()
        if not np.isfinite(cos).all():
            return
        near = nearest_classes(cos, own, K if self._queue is None else self._queue.K)
        if self._queue is None:
            found = rivals(snapshot, own, near, cos)
            ages = self._tracked(own, near)
            line = f"{len(near)} nearest of {self.classes - 1:,} other centers, all compared: recall@{len(near)} = 1"
        else:
            ids, visits = self._queued(own)
            found = rivals(snapshot, own, ids, cos)
            ages = {j: f"{v:,} visit{'s' * (v != 1)}" for j, v in zip(ids.tolist(), visits.tolist(), strict=True)}
            self._since.setdefault(own, {})
            self._refreshed[own] = {j: at for j, at in self._refreshed.get(own, {}).items() if j in ages}
            held = f"{min(K, len(ids))} nearest of {len(ids)} queued" if len(ids) else "nothing is queued yet"
            line = f"{held}, of {self.classes - 1:,} other classes; {self._recalled(near, ids, centers)}"
        self.result = found
        rows = [self._row(k, ages, set(near.tolist())) for k in range(min(K, len(found.ids)))]
        if self.classes < 2:
            line = "there is one class, so there is none to tell it from"
        images = int((snapshot.y == own).sum())
        line = f"step {self._step:,} · {line} · {images:,} samples of this class of {len(snapshot.y):,}"
        columns = {"images": self._picture is not None, "age": any(row["age"] != NOW for row in rows)}
        self.push({"own": own, "name": self._name(own), "line": line, "rows": rows, "columns": columns})

    def _row(self, k: int, ages: dict[int, str], near: set[int]) -> dict[str, Any]:
        """The k-th rival, for the browser."""
        found = self.result
        j, cosine, sample = int(found.ids[k]), float(found.cosine[k]), int(found.sample[k])
        why = []
        if (step := self._refreshed.get(self.own, {}).get(j)) is not None:
            why.append(f"from a refresh, seen at step {step:,}")
        elif j in near:
            why.append("nearest centers")
        if found.nearer[k]:
            why.append(f"misclassified sample {sample}")
        theirs = np.flatnonzero(self._snapshot.y == j)[:1].tolist()
        return {
            "id": j,
            "name": self._name(j),
            "cosine": f"{cosine:.3f}",
            "angle": both(cosine),
            "sample": f"{found.sample_cosine[k]:.3f} (sample {sample})" if sample >= 0 else "no sample",
            "age": ages[j],
            "why": "; ".join(why) or "kept from a batch before",
            "images": [[sample, self._name(self.own)], [theirs[0] if theirs else -1, self._name(j)]],
        }

    def _queued(self, own: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids and ages of a class's queue, copied, since the training goes on writing it."""
        ids, ages = self._queue.ids[own].numpy().astype(np.intp), self._queue.ages[own].numpy().copy()
        real = (ids >= 0) & (ids < self.classes)
        return ids[real], ages[real]

    def _tracked(self, own: int, near: np.ndarray) -> dict[int, str]:
        """Since when each of the K nearest has been among them, as far as this view has looked."""
        before = self._since.get(own)
        now, said = {}, {}
        for j in near.tolist():
            first, new = (before or {}).get(j, (self._step, before is not None))
            if first > self._step:  # the training went back to before it was seen
                first, new = self._step, False
            now[j] = first, new
            age = self._step - first
            said[j] = f"{age:,} steps{'' if new else ' or more'}" if age or new else NOW
        self._since[own] = now
        return said

    def _recalled(self, near: np.ndarray, ids: np.ndarray, centers: np.ndarray) -> str:
        """recall@K of the queue against the exact search: of the class shown, and of a sample of classes."""
        if not len(near):
            return "recall: there is nothing to find"
        said = f"recall@{len(near)} = {np.isin(near, ids).mean():.2f} for this class"
        if self.classes > SMALL:
            return said
        if time.monotonic() - self._recall[0] > EVERY:
            found = self._queue.recall(torch.from_numpy(centers), SAMPLE)
            several = f"{found:.2f} for {min(SAMPLE, self.classes)} classes at step {self._step:,}"
            self._recall = time.monotonic(), several
        return f"{said}, {self._recall[1]}"
