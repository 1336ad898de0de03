"""LiveView and SnapshotWidget: bases of the views of a snapshot, linked by a selection; helpers for boxes of views."""

import io
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np
import traitlets
from PIL import Image

from workbench.core.record import Snapshot
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.stream import StreamWidget

Picture = Callable[[int], bytes | None]  # sample index -> PNG, or None without an image


class LiveView(widgets.VBox):
    """A view of snapshots made of charts; `show` may be called from any thread.

    Subclasses implement `_measure` and `_draw`. A change of the selection draws again.
    """

    def __init__(self, children: Sequence[widgets.Widget], selection: Selection | None = None) -> None:
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._selection = Selection() if selection is None else selection
        super().__init__(children)
        self._selection.observe(self._redraw, "samples")

    @property
    def lit(self) -> np.ndarray:
        """Mask (n,) of the samples that are not grayed out: the selected ones, or all without a selection."""
        lit = np.full(len(self._snapshot.y), not self._selection.samples)
        lit[[i for i in self._selection.samples if i < len(lit)]] = True
        return lit

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

    def _measure(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def _draw(self, snapshot: Snapshot) -> None:
        raise NotImplementedError


class SnapshotWidget(StreamWidget):
    """Base of the widgets that draw a snapshot themselves: class names, images, and the selected classes.

    Subclasses implement `_sync_selection`, which is called when one of SELECTION_TRAITS changes.
    """

    SELECTION_TRAITS: ClassVar[tuple[str, ...]] = ("classes",)
    chosen = traitlets.List().tag(sync=True)  # the selected classes
    titles = traitlets.List().tag(sync=True)  # class names

    def __init__(self, selection: Selection, names: Sequence[str] | None, picture: Picture | None) -> None:
        self._lock = threading.RLock()  # never held while the selection is set: other views observe it
        self._snapshot: Snapshot | None = None
        self._names, self._picture = names, picture
        self.selection = selection
        super().__init__()
        selection.observe(self._sync_selection, self.SELECTION_TRAITS)
        self._sync_selection()

    def close(self) -> None:
        """Remove the widget from the page. Closing twice is allowed."""
        self.selection.unobserve(self._sync_selection, self.SELECTION_TRAITS)
        super().close()

    def _class_name(self, j: int) -> str:
        return f"class {j}" if self._names is None else str(self._names[j])

    def _sync_selection(self, _: Any = None) -> None:
        raise NotImplementedError


def encode_png(image: np.ndarray) -> bytes:
    """An image uint8 (H, W) or (H, W, 3 or 4) as PNG."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG")
    return file.getvalue()


def grid(*views: widgets.Widget) -> widgets.Box:
    """Views in as many columns as fit the page."""
    box = widgets.Box(views)
    box.add_class("workbench-grid")
    return box


def close_children(box: widgets.Widget) -> None:
    """Close every widget in a box. ipywidgets keeps references to each widget that is not closed."""
    for child in getattr(box, "children", ()):
        close_children(child)
        child.close()
    for part in (getattr(box, "layout", None), getattr(box, "style", None)):
        if part is not None:
            part.close()


def stream_widgets(view: widgets.Widget) -> list[StreamWidget]:
    """The StreamWidgets in a view, itself included."""
    own = [view] if isinstance(view, StreamWidget) else []
    return own + [leaf for child in getattr(view, "children", ()) for leaf in stream_widgets(child)]
