"""Explorer: anyone's embeddings on the sphere, their similarities, hardness and hard negatives, without training.

    explorer = Explorer("embeddings.npz")            # as the last line of a cell: four linked views
    explorer = Explorer(x, labels, centers=W)        # arrays or tensors
    explorer.selection.classes = (3, 8)
    explorer.export("plotted.csv")

The views are those of the live lab, and show one snapshot.
"""

import io
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
from PIL import Image

from workbench.core.errors import InputError
from workbench.core.files import write_table
from workbench.core.progress import Progress, log_progress
from workbench.core.record import Snapshot
from workbench.data.embeddings import check_images, read
from workbench.data.sampling import sample_embeddings
from workbench.panels.hardness_view import HardnessView
from workbench.panels.kit.selection import Selection
from workbench.panels.queue_view import QueueView
from workbench.panels.similarities_view import SimilaritiesView
from workbench.panels.sphere_view import SphereView
from workbench.probes.hardness import own_and_nearest

LONG = 1.0  # seconds after which progress is shown
COLUMNS = ("row", "label", "own_cosine", "nearest_other", "nearest_other_cosine", "misclassified")


class Still(Snapshot):
    """A snapshot that stays: its cosines are computed once for all views."""

    @cached_property
    def cos(self) -> np.ndarray:
        return super().cos


class Explorer(widgets.VBox):
    """Four views of embeddings (n, D), linked by one selection; at most `limit` embeddings are drawn, whatever n is.

    embeddings: an array, a tensor, or the path of a file that `workbench.data.embeddings` reads, which may hold what
    follows too; what is given here counts. labels (n,): integers or text; None: all are one class, which only the
    sphere can show. centers (C, D): of classes 0 to C - 1, or of `names` in their order; None: each class's mean
    direction. names: of the classes. images: uint8 (n, H, W) or (n, H, W, 3 or 4). Raises InputError.

    rows (n,): the places of the drawn embeddings in what was given. snapshot: what is drawn.
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
        progress = late(log_progress("Explorer"))
        if isinstance(embeddings, str | os.PathLike):
            path = Path(embeddings)
            found = read(path, progress)
            if found.embeddings is None:
                raise InputError(f"{path}: holds centers but no embeddings")
            for note in found.notes:
                print(f"Explorer: {note}", file=sys.stderr)
            embeddings = found.embeddings
            names = found.names if names is None and labels is None else names
            labels, centers, images = (
                file if given is None else given
                for given, file in ((labels, found.labels), (centers, found.centers), (images, found.images))
            )
        sample = sample_embeddings(embeddings, labels, centers, names, limit, progress)
        self.rows, self._labels, self._total = sample.rows, sample.labels, sample.total
        self._images = None if images is None else check_images(images, sample.total, "images")
        self._own_centers = centers is not None
        self.snapshot = Still(0, sample.x, sample.y, sample.W)
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
        grid = widgets.Box(self._views)
        grid.add_class("workbench-grid")
        super().__init__([widgets.HTML(escape(self.line)), grid])

    def __repr__(self) -> str:
        return f"Explorer: {self.line}"

    @property
    def selection(self) -> Selection:
        """What is singled out in all views; a Selection, or the places of samples, may be assigned."""
        return self._selection

    @selection.setter
    def selection(self, chosen: Selection | Iterable[int]) -> None:
        other = chosen if isinstance(chosen, Selection) else Selection(samples=tuple(chosen))
        with self._selection.hold_trait_notifications():
            self._selection.samples, self._selection.classes = other.samples, other.classes

    @property
    def line(self) -> str:
        """What is shown, of how much, and what cannot be."""
        n, classes = len(self.rows), len(self.snapshot.W)
        drawn = "all" if n == self._total else f"{n:,} of"
        how = "" if n == self._total or classes == 1 else ", stratified by class"
        said = f"{drawn} {self._total:,} embeddings of {self.snapshot.x.shape[1]} numbers{how}"
        if classes == 1:
            return f"{said}; one class, so there are no similarities, hardness and hard negatives to show: give labels"
        whose = "given" if self._own_centers else "the mean directions of the classes"
        return f"{said}; {classes:,} classes; centers: {whose}"

    def picture(self, sample: int) -> bytes | None:
        """The image of a sample of the snapshot, as PNG; None where there is none."""
        if self._images is None or not 0 <= sample < len(self.rows):
            return None
        file = io.BytesIO()
        Image.fromarray(np.asarray(self._images[self.rows[sample]])).save(file, "PNG")
        return file.getvalue()

    def export(self, path: str | os.PathLike) -> Path:
        """Write what is plotted to a .csv or .parquet file and return its path: COLUMNS, one line an embedding drawn.

        row: its place in what was given; cosines to the own center and the nearest other, and whose that is. With one
        class the last three are empty. Raises InputError for another ending, and for parquet without pyarrow.
        """
        return write_table(path, dict(zip(COLUMNS, self._columns(), strict=True)))

    def close(self) -> None:
        """Take the views off the page; a second time changes nothing."""
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


def late(advance: Progress) -> Progress:
    """Progress that is silent for the first LONG seconds."""
    began = time.monotonic()

    def later(done: int, total: int, what: str) -> None:
        if time.monotonic() - began > LONG:
            advance(done, total, what)

    return later
