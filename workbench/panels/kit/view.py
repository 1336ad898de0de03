"""What the live views share: the last snapshot, drawn again when the selection changes, by one thread at a time."""

import threading
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Snapshot
from workbench.panels.kit.selection import Selection


class LiveView(widgets.VBox):
    """A view of snapshots, `show`n from any thread. A view adds what it measures in one and how it draws that."""

    def __init__(self, children: Sequence[widgets.Widget], selection: Selection | None = None) -> None:
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._selection = Selection() if selection is None else selection
        super().__init__(children)
        self._selection.observe(self._again, "samples")

    def show(self, snapshot: Snapshot) -> None:
        """Measure and draw a snapshot; the one that is shown already costs nothing."""
        with self._lock:
            if snapshot is not self._snapshot:
                self._snapshot = snapshot
                self._measure(snapshot)
                self._draw(snapshot)

    def close(self) -> None:
        """Take the view and everything in it off the page."""
        self._selection.unobserve(self._again, "samples")
        for child in self.children:
            child.close()
        super().close()

    def _again(self, _: object = None) -> None:
        with self._lock:
            if self._snapshot is not None:
                self._draw(self._snapshot)

    def _lit(self) -> np.ndarray:
        """Which samples (n,) are not greyed out: those of the selection, or all of them where it is empty."""
        lit = np.full(len(self._snapshot.y), not self._selection.samples)
        lit[[i for i in self._selection.samples if i < len(lit)]] = True
        return lit

    def _measure(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def _draw(self, snapshot: Snapshot) -> None:
        raise NotImplementedError
