"""Explorer: the sphere, similarities, hardness and hard negatives of given embeddings, without training.

    explorer = Explorer("embeddings.npz")            # as the last line of a cell: displays four linked views
    explorer = Explorer(x, labels, centers=W)        # arrays or tensors
    explorer.selection.classes = (3, 8)
    explorer.export("plotted.csv")

The views are those of the live lab.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.core.errors import InputError
from workbench.core.progress import Progress, log_progress
from workbench.core.record import Snapshot
from workbench.core.tables import write_table
from workbench.data.embeddings import check_images, read
from workbench.data.sampling import sample_embeddings
from workbench.panels.hardness_view import HardnessView
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import encode_png, grid
from workbench.panels.queue_view import QueueView
from workbench.panels.similarities_view import SimilaritiesView
from workbench.panels.sphere_view import SphereView
from workbench.probes.hardness import own_and_nearest

DELAY = 1.0  # seconds before progress is reported
COLUMNS = ("row", "label", "own_cosine", "nearest_other", "nearest_other_cosine", "misclassified")


class CachedSnapshot(Snapshot):
    """A snapshot that computes its cosines once for all views."""

    @cached_property
    def cos(self) -> np.ndarray:
        return super().cos


class Explorer(widgets.VBox):
    """Four views of embeddings (n, D), linked by one selection. At most `limit` embeddings are drawn.

    embeddings: an array, a tensor, or a file that `workbench.data.embeddings` reads. A file may also hold labels,
    centers and images; arguments override them. labels (n,): integers or text; None: one class, which only the sphere
    shows. centers (C, D): of classes 0 to C - 1, or of `names` in their order; None: the mean direction of each class.
    names: class names. images: uint8 (n, H, W) or (n, H, W, 3 or 4). Raises InputError for invalid arrays.

    rows: indices of the drawn embeddings. snapshot: the drawn embeddings and centers.
    """

    def __init__(
        self,
        embeddings: Any,
        labels: Any = None,
        centers: Any = None,
        names: Sequence[str] | None = None,
        images: Any = None,
        limit: int = 20_000,
    ) -> None:
        progress = delay_progress(log_progress("Explorer"))
        if isinstance(embeddings, str | os.PathLike):
            path = Path(embeddings)
            stored = read(path, progress)
            if stored.embeddings is None:
                raise InputError(f"{path}: holds centers but no embeddings")
            for note in stored.notes:
                print(f"Explorer: {note}", file=sys.stderr)
            embeddings = stored.embeddings
            names = stored.names if names is None and labels is None else names
            labels = stored.labels if labels is None else labels
            centers = stored.centers if centers is None else centers
            images = stored.images if images is None else images
        sample = sample_embeddings(embeddings, labels, centers, names, limit, progress)
        self.rows, self._labels, self._total = sample.rows, sample.labels, sample.total
        self._images = None if images is None else check_images(images, sample.total, "images")
        self._has_centers = centers is not None
        self.snapshot = CachedSnapshot(0, sample.x, sample.y, sample.W)
        self._selection = Selection()
        picture = None if images is None else self.picture
        self.sphere = SphereView(self._selection, sample.names, picture, sample.total)
        self._views = [self.sphere]
        if len(sample.W) > 1:
            self.similarities = SimilaritiesView(self._selection)
            self.hardness = HardnessView(self._selection, self.picture)
            self.queue = QueueView(self._selection, sample.names, picture)
            self._views += [self.similarities, self.hardness, self.queue]
        for view in self._views:
            view.show(self.snapshot)
        super().__init__([widgets.HTML(escape(self.description)), grid(*self._views)])

    def __repr__(self) -> str:
        return f"Explorer: {self.description}"

    @property
    def selection(self) -> Selection:
        """The selected samples and classes. A Selection or sample indices may be assigned."""
        return self._selection

    @selection.setter
    def selection(self, chosen: Selection | Iterable[int]) -> None:
        other = chosen if isinstance(chosen, Selection) else Selection(samples=tuple(chosen))
        with self._selection.hold_trait_notifications():
            self._selection.samples, self._selection.classes = other.samples, other.classes

    @property
    def description(self) -> str:
        """Numbers of embeddings, dimensions and classes, and the source of the class centers."""
        n, classes = len(self.rows), len(self.snapshot.W)
        count = "all" if n == self._total else f"{n:,} of"
        how = "" if n == self._total or classes == 1 else ", stratified by class"
        text = f"{count} {self._total:,} embeddings of {self.snapshot.x.shape[1]} dimensions{how}"
        if classes == 1:
            return f"{text}; one class: similarities, hardness and hard negatives need labels"
        centers = "given" if self._has_centers else "the mean directions of the classes"
        return f"{text}; {classes:,} classes; centers: {centers}"

    def picture(self, sample: int) -> bytes | None:
        """The image of a sample of the snapshot, as PNG; None without an image."""
        if self._images is None or not 0 <= sample < len(self.rows):
            return None
        return encode_png(self._images[self.rows[sample]])

    def export(self, path: str | os.PathLike) -> Path:
        """Write the plotted values to a .csv or .parquet file with COLUMNS, a row per drawn embedding; return its path.

        row: index among the given embeddings. With one class the last three columns are empty. Raises InputError for
        another file type, and for Parquet without pyarrow.
        """
        return write_table(path, dict(zip(COLUMNS, self._columns(), strict=True)))

    def close(self) -> None:
        """Remove the views from the page. Closing twice is allowed."""
        if self.comm is not None:
            for view in self._views:
                view.close()
        super().close()

    def _columns(self) -> Iterator[list[Any]]:
        snapshot, empty = self.snapshot, [None] * len(self.rows)
        yield self.rows.tolist()
        yield self._labels[snapshot.y].tolist()
        if len(snapshot.W) == 1:
            yield snapshot.cos[:, 0].tolist()
            yield from (empty, empty, empty)
            return
        own, nearest, other = own_and_nearest(snapshot.cos, snapshot.y)
        yield own.tolist()
        yield self._labels[other].tolist()
        yield nearest.tolist()
        yield (snapshot.cos.argmax(axis=1) != snapshot.y).tolist()


def delay_progress(progress: Progress) -> Progress:
    """A progress callback that reports nothing in the first DELAY seconds."""
    start = time.monotonic()

    def report(done: int, total: int, what: str = "") -> None:
        if time.monotonic() - start > DELAY:
            progress(done, total, what)

    return report
