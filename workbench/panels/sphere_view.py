"""SphereView: embeddings and class centers on the hypersphere, during training.

Embeddings of dimension 2 are drawn on a circle, of dimension 3 on a sphere. For a larger dimension a projection with
fixed axes is drawn (workbench.probes.projections). Python projects; the browser rotates, draws the boundaries and
interpolates between frames.
"""

import base64
import threading
import time
from collections.abc import Sequence
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
from workbench.panels.kit.stream import source
from workbench.panels.kit.view import Picture, SnapshotWidget
from workbench.probes.projections import Axes, log_map, plane, principal, tangent, umap_map

PROJECTIONS = {
    "circle": "Circle",
    "sphere": "Sphere",
    "plane": "Plane through two centers",
    "pca": "Principal axes (fixed)",
    "tangent": "Tangent plane at a center",
    "umap": "UMAP (on demand)",
}
FLAT = ("plane", "pca", "tangent", "umap")
FINEST = 32767  # coordinates are sent as 16-bit integers: a resolution of 3e-5 rad on the unit sphere
MAX_CENTERS = 500  # with more classes, only the centers of the classes in the sample are shown


class SphereView(SnapshotWidget):
    """The samples and class centers of a snapshot; `show` may be called from any thread.

    projection: a key of PROJECTIONS that the dimension allows; pair: the two classes of the plane; at: the class of the
    tangent plane; smooth: whether points are interpolated between frames. names: class names; of: number of samples
    that the snapshot's sample is drawn from.
    """

    SELECTION_TRAITS = ("samples", "classes")

    _esm = source("sphere_math.js", "sphere_drawing.js", "sphere_controls.js", "sphere.js")
    projection = traitlets.Unicode().tag(sync=True)
    pair = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 1)).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    smooth = traitlets.Bool(True).tag(sync=True)
    offered = traitlets.List().tag(sync=True)  # [name, title] of the projections that the dimension allows
    ids = traitlets.List().tag(sync=True)  # the classes whose centers are shown; `titles` holds their names
    labels = traitlets.Bytes().tag(sync=True)  # int32 (n,): the class of each sample, as an index into ids
    lit = traitlets.Bytes().tag(sync=True)  # a bit per sample: whether it is selected; empty: no selection
    note = traitlets.Unicode().tag(sync=True)  # progress of UMAP, or the error of a button

    def __init__(
        self,
        selection: Selection,
        names: Sequence[str] | None = None,
        picture: Picture | None = None,
        of: int | None = None,
    ) -> None:
        self._y, self._W = np.empty(0, dtype=int), np.empty((0, 0))  # labels and center directions shown
        self._reset_axes()
        self._map: tuple[int, float, np.ndarray] | None = None  # step, seconds, coordinates of samples and centers
        self._mapper: threading.Thread | None = None
        self._of = of
        super().__init__(selection, names, picture)

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot; one that is not finite is not drawn. Raises InputError for embeddings of dimension 1."""
        if snapshot.x.shape[1] < 2:
            raise InputError(f"x has shape {snapshot.x.shape}; a direction needs at least 2 dimensions")
        if not (np.isfinite(snapshot.x).all() and np.isfinite(snapshot.W).all()):
            return
        with self._lock:
            centers = unit(snapshot.centers)
            if centers.shape != self._W.shape:
                self._snapshot = None  # no drawing until all settings are updated
                self._set_projections(*centers.shape)
            self._snapshot, self._W = snapshot, centers
            if not np.array_equal(self._y, snapshot.y):
                self._set_labels(snapshot)
            self._draw()

    def isolate(self, first: int | None = None, second: int | None = None) -> None:
        """Show two classes in the plane through their centers, and select them.

        Default: the first two selected classes; the selected class and the nearest one; or the nearest two of all.
        """
        snapshot = self._require_snapshot()
        if first is None or second is None:
            first, second = self._nearest_pair()
        if "plane" in dict(self.offered):
            self.pair = (first, second)
            self.projection = "plane"
        self.selection.select_classes(snapshot.y, (first, second))

    def freeze(self) -> None:
        """Compute the axes from the present snapshot, and keep them from now on."""
        with self._lock:
            self._reset_axes()
            self._draw()

    def draw_map(self) -> threading.Thread:
        """Compute a UMAP map of the present snapshot in a background thread, which is returned; one at a time."""
        snapshot = self._require_snapshot()
        with self._lock:
            if self._mapper is None or not self._mapper.is_alive():
                took = f"; the last one took {self._map[1]:.1f} s" if self._map else "; the first takes about 20 s"
                self.note = f"computing the UMAP map of step {snapshot.step}{took}"
                self._mapper = spawn(partial(self._compute_map, snapshot), "map")
            return self._mapper

    def on_message(self, content: dict[str, Any]) -> None:
        """Handle a sample under the pointer, a lasso, a click, or a button."""
        if self._snapshot is None:
            return
        if "hover" in content:
            self._describe(int(content["hover"]))
        elif "samples" in content:
            with self.selection.hold_trait_notifications():
                self.selection.samples, self.selection.classes = tuple(content["samples"]), ()
        elif "classes" in content:
            self.selection.select_classes(self._snapshot.y, content["classes"])
        elif "press" in content:
            try:
                {"isolate": self.isolate, "freeze": self.freeze, "map": self.draw_map}[content["press"]]()
            except InputError as error:  # a button has no caller: report in the page
                self.note = str(error)

    @traitlets.validate("projection")
    def _check_projection(self, proposal: dict[str, Any]) -> str:
        known = dict(self.offered) if self.offered else PROJECTIONS
        if proposal["value"] not in known:
            raise unknown("projection", proposal["value"], known)
        return proposal["value"]

    @traitlets.validate("pair", "at")
    def _check_classes(self, proposal: dict[str, Any]) -> Any:
        ids = np.atleast_1d(proposal["value"])
        classes = len(self._W) if self._snapshot else ids.max() + 1
        if ids.min() < 0 or ids.max() >= classes or len(set(ids.tolist())) < len(ids):
            raise InputError(f"{proposal['trait'].name} = {proposal['value']}: different classes of 0 to {classes - 1}")
        return proposal["value"]

    @traitlets.observe("projection", "pair", "at")
    def _on_projection(self, change: dict[str, Any]) -> None:
        if change["name"] in ("projection", {"plane": "pair", "tangent": "at"}.get(self.projection)):
            self.freeze()

    def _require_snapshot(self) -> Snapshot:
        if self._snapshot is None:
            raise InputError("nothing is shown yet: call show(snapshot) first")
        return self._snapshot

    def _reset_axes(self) -> None:
        """Discard the axes; the next frame computes new ones."""
        self._axes: Axes | None = None
        self._axes_step = 0  # step of the snapshot that the axes were computed from
        self._toward: tuple[int, int] = (0, 0)  # classes that the axes of the tangent plane point to
        self._reach = 0.0  # largest coordinate shown

    def _set_projections(self, classes: int, dim: int) -> None:
        """Set the available projections for a number of classes and an embedding dimension."""
        names = ("circle",) if dim == 2 else (*(("sphere",) if dim == 3 else ()), "pca", "tangent", "umap")
        if dim > 2 and classes > 1:
            names = (*names[:-3], "plane", *names[-3:])
        self._reset_axes()
        self._y = np.empty(0, dtype=int)  # the labels are set again
        self.offered = [[name, PROJECTIONS[name]] for name in names]
        self.pair = self.pair if max(self.pair) < classes else (0, 1)
        self.at = self.at if self.at < classes else 0
        if self.projection not in names:
            self.projection = "pca" if dim > 3 else names[0]

    def _set_labels(self, snapshot: Snapshot) -> None:
        """Set the labels of a new sample and the centers shown."""
        classes = len(self._W)
        ids = np.arange(classes) if classes <= MAX_CENTERS else np.unique(snapshot.y)
        self._y, self._map = snapshot.y, None  # a map belongs to its samples
        self.ids, self.titles = ids.tolist(), [self._class_name(j) for j in ids]
        self.labels = np.searchsorted(ids, snapshot.y).astype(np.int32).tobytes()
        self._sync_selection()

    def _sync_selection(self, _: Any = None) -> None:
        """Update the selected samples (or all samples of the selected classes) and classes."""
        samples, classes, y = self.selection.samples, self.selection.classes, self._y
        inside = np.isin(np.arange(len(y)), samples) if samples else np.isin(y, classes)
        self.lit = np.packbits(inside).tobytes() if samples or classes else b""
        self.chosen = list(classes)

    def _nearest_pair(self) -> tuple[int, int]:
        """The default pair of `isolate`."""
        W, chosen = self._W, [j for j in self.selection.classes if j < len(self._W)]
        if len(W) < 2:
            raise InputError("there is one class; isolating needs two")
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
        head, points, centers = getattr(self, f"_project_{self.projection}")(x, W)
        reach = self._update_reach(points, centers) if self.projection in ("pca", "tangent", "umap") else 1.0
        kind = "flat" if self.projection in FLAT else self.projection
        sample = f"{len(x):,} samples" if self._of is None else f"{len(x):,} samples of {self._of:,}"
        keeps = head.pop("keeps")
        head |= {
            "kind": kind,
            "view": f"{self.projection} {self.pair} {self.at} {self._axes_step}",
            "reach": reach,
            "all": len(self.ids) == len(W),
            "line": f"step {snapshot.step:,} · {sample}, {int(wrong.sum()):,} misclassified · {keeps}",
        }
        whole = np.rint(points * (FINEST / reach)).astype(np.int16)
        self.push(head, whole, centers[self.ids].astype(np.float32), np.packbits(wrong))

    def _update_reach(self, points: np.ndarray, centers: np.ndarray) -> float:
        """The largest coordinate of the drawing area. It grows, by 10 % more than needed, and does not shrink."""
        largest = float(max(np.abs(points).max(initial=0), np.abs(centers).max(initial=0)))
        if largest > self._reach:
            self._reach = 1.1 * largest
        return self._reach or 1.0

    def _project_circle(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        return {"keeps": "all 2 dimensions"}, x, W

    def _project_sphere(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        return {"keeps": "all 3 dimensions"}, x, W

    def _project_plane(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        first, second = self.pair
        axes = plane(W[first], W[second])
        apart = format_angle(arccos(W[first] @ W[second]))
        keeps = f"centers of {self._class_name(first)} and {self._class_name(second)} {apart} apart"
        head = {
            "right": f"toward {self._class_name(second)}, away from {self._class_name(first)}",
            "up": "toward the mean of both centers",
            "globe": True,
            "keeps": f"{keeps}; the plane keeps {axes.share(x):.0%} of the variance",
        }
        return head, axes.of(x), axes.of(W)

    def _project_pca(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        if self._axes is None:
            self._axes, self._axes_step = principal(x), self._snapshot.step
        keeps = f"principal axes of step {self._axes_step:,} keep {self._axes.share(x):.0%} of the variance"
        head = {"right": "first axis", "up": "second axis", "keeps": keeps}
        return head, self._axes.of(x), self._axes.of(W)

    def _project_tangent(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        at = W[self.at]
        if not self._reach:
            near = np.argsort(-(W @ at), kind="stable")
            near = [int(j) for j in near if j != self.at][:2]
            self._toward, self._axes_step = tuple((near * 2 + [self.at] * 2)[:2]), self._snapshot.step
        right, up = self._toward
        axes = tangent(at, W[right], W[up])
        sides = log_map(x, at)
        head = {
            "right": f"from {self._class_name(self.at)} toward {self._class_name(right)}",
            "up": f"orthogonal to that, toward {self._class_name(up)}",
            "angles": True,
            "keeps": f"tangent plane at {self._class_name(self.at)}; it keeps {axes.share(sides):.0%} of the variance",
        }
        return head, axes.of(sides), axes.of(log_map(W, at))

    def _project_umap(self, x: np.ndarray, W: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        if self._map is None:
            return {"keeps": "no map yet", "empty": "No map yet: press “Compute UMAP”"}, x[:0, :2], 0 * W[:, :2]
        step, seconds, coordinates = self._map
        centers = np.zeros((len(W), 2))
        centers[self.ids] = coordinates[len(x) :]
        keeps = f"UMAP of step {step:,} (took {seconds:.1f} s): keeps neighborhoods, not distances"
        return {"keeps": keeps}, coordinates[: len(x)], centers

    def _compute_map(self, snapshot: Snapshot) -> None:
        """Thread: compute a map, initialized from the previous map of the sample. An error is shown as the note."""
        try:
            start = time.monotonic()
            with self._lock:
                vectors = np.concatenate([snapshot.x, snapshot.centers[self.ids]])
                before = self._map[2] if self._map else None
            coordinates = umap_map(vectors, start=before)
            coordinates -= 0 if before is not None else coordinates.mean(axis=0)
            with self._lock:
                if not np.array_equal(snapshot.y, self._y):
                    raise InputError("the sample has changed in the meantime; compute the map again")
                self._map = (snapshot.step, time.monotonic() - start, coordinates)
                self._reach = 0.0
                self._draw()
            self.note = ""
        except Exception as error:
            self.note = f"UMAP failed: {error}"

    def _describe(self, i: int) -> None:
        """Send the description of sample i: class, index, cosines to the own and nearest other center, image."""
        snapshot = self._snapshot
        if not 0 <= i < len(snapshot.x):
            return
        one = Snapshot(snapshot.step, snapshot.x[i : i + 1], snapshot.y[i : i + 1], snapshot.W, sub=snapshot.sub)
        cos, own = one.cos[0], int(snapshot.y[i])
        text = f"{self._class_name(own)}, sample {i}\nown center: {describe_cosine(cos[own])}"
        if len(cos) > 1:
            other = int(np.where(np.arange(len(cos)) == own, -np.inf, cos).argmax())
            text += f"\nnearest other center, {self._class_name(other)}: {describe_cosine(cos[other])}"
        image = self._picture(i) if self._picture else None
        url = image and f"data:image/png;base64,{base64.b64encode(image).decode()}"
        self.send({"about": i, "text": text, "image": url})


def arccos(cos: float) -> float:
    """The angle of a cosine in rad; a cosine outside [-1, 1] by rounding is clipped."""
    return float(np.arccos(np.clip(cos, -1, 1)))


def describe_cosine(cos: float) -> str:
    """'cos 0.849, 31.9° (0.557 rad)'."""
    return f"cos {cos:.3f}, {format_angle(arccos(cos))}"
