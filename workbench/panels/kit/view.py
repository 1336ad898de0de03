"""LiveView: base of the views of a snapshot. Draws again when the selection changes, in one thread at a time."""

import threading
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Snapshot
from workbench.panels.kit.selection import Selection


class LiveView(widgets.VBox):
    """A view of snapshots; `show` may be called from any thread. Subclasses implement `_measure` and `_draw`."""

    def __init__(self, children: Sequence[widgets.Widget], selection: Selection | None = None) -> None:
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._selection = Selection() if selection is None else selection
        super().__init__(children)
        self._selection.observe(self._redraw, "samples")

    def show(self, snapshot: Snapshot) -> None:
        """Measure and draw a snapshot, unless it is already shown."""
        with self._lock:
            if snapshot is not self._snapshot:
                self._snapshot = snapshot
                self._measure(snapshot)
                self._draw(snapshot)

    def close(self) -> None:
        """Remove the view and its widgets from the page."""
        self._selection.unobserve(self._redraw, "samples")
        for child in self.children:
            child.close()
        super().close()

    def _redraw(self, _: object = None) -> None:
        with self._lock:
            if self._snapshot is not None:
                self._draw(self._snapshot)

    def _lit(self) -> np.ndarray:
        """Mask (n,) of the samples that are not grayed out: the selected ones, or all without a selection."""
        lit = np.full(len(self._snapshot.y), not self._selection.samples)
        lit[[i for i in self._selection.samples if i < len(lit)]] = True
        return lit

    def _measure(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def _draw(self, snapshot: Snapshot) -> None:
        raise NotImplementedError
