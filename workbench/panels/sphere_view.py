"""The sphere of a running training: embeddings and class centers, moving as they train.

Embeddings of two numbers lie on a circle, of three on a sphere; of more, a projection is held still while the points
move (workbench.probes.projections). The kernel projects and the browser turns, draws boundaries, and slides from frame
to frame.
"""

import base64
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import traitlets

from workbench.core.angles import format_angle
from workbench.core.arrays import unit
from workbench.core.errors import InputError, unknown
from workbench.core.record import Snapshot
from workbench.core.threads import spawn
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import Streamed, source
from workbench.probes.projections import Axes, log_map, plane, principal, tangent, umap_map

PROJECTIONS = {
    "circle": "Circle",
    "sphere": "Sphere",
    "plane": "Plane through two centers",
    "pca": "Principal axes, frozen",
    "tangent": "Tangent plane at a center",
    "umap": "UMAP, on demand",
}
FLAT = ("plane", "pca", "tangent", "umap")
FINEST = 32767  # coordinates travel as whole numbers of 16 bits: on the unit sphere 3e-5 rad
MOST_CENTERS = 500  # of more classes only the centers of those in the sample are shown


class SphereView(Streamed):
    """Shows a snapshot's sample and centers; `show` from any thread, and every control has its trait or its call.

    projection: of PROJECTIONS, where the embeddings allow it; pair: the two classes of the plane; at: the class of the
    tangent plane; smooth: whether points slide from frame to frame. names: of the classes; picture(i): the PNG of
    sample i, or None; of: how many samples the snapshots' sample was drawn from.
    """

    _esm = source("sphere_math.js", "sphere_drawing.js", "sphere_controls.js", "sphere.js")
    projection = traitlets.Unicode().tag(sync=True)
    pair = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 1)).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    smooth = traitlets.Bool(True).tag(sync=True)
    offered = traitlets.List().tag(sync=True)  # [name, title] of the projections that these embeddings allow
    ids = traitlets.List().tag(sync=True)  # the classes whose centers are shown
    titles = traitlets.List().tag(sync=True)  # and their names
    labels = traitlets.Bytes().tag(sync=True)  # int32 (n,): each sample's class, as a place in ids
    lit = traitlets.Bytes().tag(sync=True)  # a bit a sample, whether it is in the selection; empty: nothing is selected
    chosen = traitlets.List().tag(sync=True)  # the selected classes
    note = traitlets.Unicode().tag(sync=True)  # what UMAP is doing, or why a wish could not be granted

    def __init__(
        self,
        selection: Selection,
        names: Sequence[str] | None = None,
        picture: Callable[[int], bytes | None] | None = None,
        of: int | None = None,
    ) -> None:
        self._lock = threading.RLock()  # never held while the selection is set: other views listen to that
        self._snapshot: Snapshot | None = None
        self._y, self._W = np.empty(0, dtype=int), np.empty((0, 0))  # the labels and center directions that are shown
        self._forget()
        self._map: tuple[int, float, np.ndarray] | None = None  # step, seconds, coordinates of samples and centers
        self._mapper: threading.Thread | None = None
        self._names, self._picture, self._of = names, picture, of
        self.selection = selection
        super().__init__()
        selection.observe(self._select, ("samples", "classes"))
        self._select()

    def show(self, snapshot: Snapshot) -> None:
        """Draw this next. Raises InputError for embeddings of one number; such that are not finite are not drawn."""
        if snapshot.x.shape[1] < 2:
            raise InputError(f"x has shape {snapshot.x.shape}; a direction needs at least 2 numbers")
        if not (np.isfinite(snapshot.x).all() and np.isfinite(snapshot.W).all()):
            return
        with self._lock:
            centers = unit(snapshot.centers)
            if centers.shape != self._W.shape:
                self._snapshot = None  # so that nothing is drawn with half of the settings
                self._offer(*centers.shape)
            self._snapshot, self._W = snapshot, centers
            if not np.array_equal(self._y, snapshot.y):
                self._label(snapshot)
            self._draw()

    def isolate(self, first: int | None = None, second: int | None = None) -> None:
        """Look at two classes alone, in the plane through their centers.

        Without a class: the first two that are selected, the selected one and its nearest, or the nearest two of all.
        """
        snapshot = self._known()
        if first is None or second is None:
            first, second = self._nearest_pair()
        if "plane" in dict(self.offered):
            self.pair = (first, second)
            self.projection = "plane"
        self.selection.of_class(snapshot.y, (first, second))

    def freeze(self) -> None:
        """Take the axes anew from what is shown now, and hold them still from here on."""
        with self._lock:
            self._forget()
            self._draw()

    def draw_map(self) -> threading.Thread:
        """Draw a UMAP of what is shown now, in a thread of its own; one at a time."""
        snapshot = self._known()
        with self._lock:
            if self._mapper is None or not self._mapper.is_alive():
                took = f"; the last one took {self._map[1]:.1f} s" if self._map else "; the first takes about 20 s"
                self.note = f"drawing the map of step {snapshot.step}{took}"
                self._mapper = spawn(partial(self._compute_map, snapshot), "map")
            return self._mapper

    def close(self) -> None:
        """Take the view off the page."""
        self.selection.unobserve(self._select, ("samples", "classes"))
        super().close()

    def told(self, content: dict[str, Any]) -> None:
        """A wish of the browser's: what the pointer is on, a lasso, a click, a button."""
        if self._snapshot is None:
            return
        if "hover" in content:
            self._describe(int(content["hover"]))
        elif "samples" in content:
            with self.selection.hold_trait_notifications():
                self.selection.samples, self.selection.classes = tuple(content["samples"]), ()
        elif "classes" in content:
            self.selection.of_class(self._snapshot.y, content["classes"])
        elif "press" in content:
            try:
                {"isolate": self.isolate, "freeze": self.freeze, "map": self.draw_map}[content["press"]]()
            except InputError as error:  # a button has no caller to tell
                self.note = str(error)

    @traitlets.validate("projection")
    def _offered(self, proposal: dict[str, Any]) -> str:
        known = dict(self.offered) if self.offered else PROJECTIONS
        if proposal["value"] not in known:
            raise unknown("projection", proposal["value"], known)
        return proposal["value"]

    @traitlets.validate("pair", "at")
    def _exists(self, proposal: dict[str, Any]) -> Any:
        wanted = np.atleast_1d(proposal["value"])
        classes = len(self._W) if self._snapshot else wanted.max() + 1
        if wanted.min() < 0 or wanted.max() >= classes or len(set(wanted.tolist())) < len(wanted):
            raise InputError(f"{proposal['trait'].name} = {proposal['value']}: different classes of 0 to {classes - 1}")
        return proposal["value"]

    @traitlets.observe("projection", "pair", "at")
    def _turned(self, change: dict[str, Any]) -> None:
        if change["name"] in ("projection", {"plane": "pair", "tangent": "at"}.get(self.projection)):
            self.freeze()

    def _known(self) -> Snapshot:
        if self._snapshot is None:
            raise InputError("nothing is shown yet: call show(snapshot) first")
        return self._snapshot

    def _forget(self) -> None:
        """Let go of the axes that were frozen; the next frame freezes its own."""
        self._axes: Axes | None = None
        self._frozen = 0  # the step whose axes they are
        self._toward: tuple[int, int] = (0, 0)  # the two centers that a tangent plane's axes lead to
        self._reach = 0.0  # how far the picture of a plane reaches

    def _offer(self, classes: int, dim: int) -> None:
        """For another number of classes or dimensions: which projections there are."""
        names = ("circle",) if dim == 2 else (*(("sphere",) if dim == 3 else ()), "pca", "tangent", "umap")
        if dim > 2 and classes > 1:
            names = (*names[:-3], "plane", *names[-3:])
        self._forget()
        self._y = np.empty(0, dtype=int)  # so that the sample counts as another one
        self.offered = [[name, PROJECTIONS[name]] for name in names]
        self.pair = self.pair if max(self.pair) < classes else (0, 1)
        self.at = self.at if self.at < classes else 0
        if self.projection not in names:
            self.projection = "pca" if dim > 3 else names[0]

    def _label(self, snapshot: Snapshot) -> None:
        """For another sample: its classes, and which centers are shown."""
        classes = len(self._W)
        ids = np.arange(classes) if classes <= MOST_CENTERS else np.unique(snapshot.y)
        self._y, self._map = snapshot.y, None  # a map of other samples neither shows these nor can be aligned to
        self.ids, self.titles = ids.tolist(), [self._name(j) for j in ids]
        self.labels = np.searchsorted(ids, snapshot.y).astype(np.int32).tobytes()
        self._select()

    def _name(self, j: int) -> str:
        return f"class {j}" if self._names is None else str(self._names[j])

    def _select(self, _: Any = None) -> None:
        """Tell the browser what is selected: samples if any are, else the classes with all of theirs."""
        samples, classes, y = self.selection.samples, self.selection.classes, self._y
        inside = np.isin(np.arange(len(y)), samples) if samples else np.isin(y, classes)
        self.lit = np.packbits(inside).tobytes() if samples or classes else b""
        self.chosen = list(classes)

    def _nearest_pair(self) -> tuple[int, int]:
        """Two classes to look at, from what is selected and from which centers are near each other."""
        W, chosen = self._W, [j for j in self.selection.classes if j < len(self._W)]
        if len(W) < 2:
            raise InputError("there is one class; two are needed to look at two alone")
        if len(chosen) >= 2:
            return chosen[0], chosen[1]
        rows = np.array(chosen or self.ids)
        cos = W[rows] @ W.T
        cos[np.arange(len(rows)), rows] = -np.inf
        row, other = np.unravel_index(cos.argmax(), cos.shape)
        return int(rows[row]), int(other)

    def _draw(self) -> None:
        """Push the present snapshot in the present projection."""
        snapshot = self._snapshot
        if snapshot is None or not self.projection:
            return
        x, W = unit(snapshot.x), self._W
        wrong = snapshot.cos.argmax(axis=1) != snapshot.y
        head, points, centers = getattr(self, f"_{self.projection}")(x, W)
        reach = self._reaching(points, centers) if self.projection in ("pca", "tangent", "umap") else 1.0
        kind = "flat" if self.projection in FLAT else self.projection
        sample = f"{len(x):,} samples" if self._of is None else f"{len(x):,} samples of {self._of:,}"
        keeps = head.pop("keeps")
        head |= {
            "kind": kind,
            "view": f"{self.projection} {self.pair} {self.at} {self._frozen}",
            "reach": reach,
            "all": len(self.ids) == len(W),
            "line": f"step {snapshot.step:,} · {sample}, {int(wrong.sum()):,} misclassified · {keeps}",
        }
        whole = np.rint(points * (FINEST / reach)).astype(np.int16)
        self.push(head, whole, centers[self.ids].astype(np.float32), np.packbits(wrong))

    def _reaching(self, points: np.ndarray, centers: np.ndarray) -> float:
        """How far the picture reaches: it grows where something leaves it, with room to spare, and never shrinks."""
        widest = float(max(np.abs(points).max(initial=0), np.abs(centers).max(initial=0)))
        if widest > self._reach:
            self._reach = 1.1 * widest
        return self._reach or 1.0

    def _circle(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        return {"keeps": "all of both dimensions"}, x, W

    def _sphere(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        return {"keeps": "all of the three dimensions"}, x, W

    def _plane(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        first, second = self.pair
        axes = plane(W[first], W[second])
        keeps = f"centers of {self._name(first)} and {self._name(second)} {both(W[first] @ W[second])} apart"
        head = {
            "right": f"toward {self._name(second)}, away from {self._name(first)}",
            "up": "toward the middle between the two",
            "globe": True,
            "keeps": f"{keeps}; the plane keeps {axes.share(x):.0%} of the variance",
        }
        return head, axes.of(x), axes.of(W)

    def _pca(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        if self._axes is None:
            self._axes, self._frozen = principal(x), self._snapshot.step
        said = f"principal axes of step {self._frozen:,} keep {self._axes.share(x):.0%} of the variance"
        head = {"right": "first axis", "up": "second axis", "keeps": said}
        return head, self._axes.of(x), self._axes.of(W)

    def _tangent(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        at = W[self.at]
        if not self._reach:
            near = np.argsort(-(W @ at), kind="stable")
            near = [int(j) for j in near if j != self.at][:2]
            self._toward, self._frozen = tuple((near * 2 + [self.at] * 2)[:2]), self._snapshot.step
        right, up = self._toward
        axes = tangent(at, W[right], W[up])
        sides = log_map(x, at)
        head = {
            "right": f"from {self._name(self.at)} toward {self._name(right)}",
            "up": f"as far as can be toward {self._name(up)}",
            "angles": True,
            "keeps": f"tangent plane at {self._name(self.at)}; it keeps {axes.share(sides):.0%} of the variance",
        }
        return head, axes.of(sides), axes.of(log_map(W, at))

    def _umap(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        if self._map is None:
            return {"keeps": "no map yet", "empty": "No map yet: press “Draw the map now”"}, x[:0, :2], 0 * W[:, :2]
        step, seconds, found = self._map
        centers = np.zeros((len(W), 2))
        centers[self.ids] = found[len(x) :]
        said = f"UMAP, on demand, step {step:,} (took {seconds:.1f} s): near stays near, distances say little"
        return {"keeps": said}, found[: len(x)], centers

    def _compute_map(self, snapshot: Snapshot) -> None:
        """Compute a map in its thread, from the previous map of the same sample; an error becomes the note."""
        try:
            started = time.monotonic()
            with self._lock:
                vectors = np.concatenate([snapshot.x, snapshot.centers[self.ids]])
                before = self._map[2] if self._map else None
            found = umap_map(vectors, start=before)
            found -= 0 if before is not None else found.mean(axis=0)
            with self._lock:
                if not np.array_equal(snapshot.y, self._y):
                    raise InputError("the sample has changed meanwhile; draw the map again")
                self._map = (snapshot.step, time.monotonic() - started, found)
                self._reach = 0.0
                self._draw()
            self.note = ""
        except Exception as error:
            self.note = f"no map: {error}"

    def _describe(self, i: int) -> None:
        """Answer what sample i is: class, number, cosines to its own and to the nearest other center, picture."""
        snapshot = self._snapshot
        if not 0 <= i < len(snapshot.x):
            return
        one = Snapshot(snapshot.step, snapshot.x[i : i + 1], snapshot.y[i : i + 1], snapshot.W, sub=snapshot.sub)
        cos, own = one.cos[0], int(snapshot.y[i])
        text = f"{self._name(own)}, sample {i}\nown center: cos {cos[own]:.3f}, {both(cos[own])}"
        if len(cos) > 1:
            other = int(np.where(np.arange(len(cos)) == own, -np.inf, cos).argmax())
            text += f"\nnearest other, {self._name(other)}: cos {cos[other]:.3f}, {both(cos[other])}"
        image = self._picture(i) if self._picture else None
        url = image and f"data:image/png;base64,{base64.b64encode(image).decode()}"
        self.send({"about": i, "text": text, "image": url})


def both(cos: float) -> str:
    """The angle of a cosine, in degrees and radians."""
    return format_angle(float(np.arccos(np.clip(cos, -1, 1))))
