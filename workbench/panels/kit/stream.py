"""StreamWidget: shows the newest of a stream of frames and drops the others.

The browser acknowledges each frame it has drawn; at most IN_FLIGHT frames are unacknowledged, and only the newest of
the waiting frames is kept. Without a viewer (no browser, closed tab) nothing is sent and nothing accumulates.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

IN_FLIGHT = 2
JS = Path(__file__).parents[1] / "js"
TIMEOUT = 5.0  # seconds without an acknowledgment after which the browser counts as gone


def source(*names: str) -> str:
    """The JavaScript of a widget as one module: `stage.js`, which all widgets share, then the files named."""
    return "\n".join((JS / name).read_text(encoding="utf-8") for name in ("stage.js", *names))


class StreamWidget(anywidget.AnyWidget):
    """Base of the live widgets: `push` a frame from any thread; `stage.js` draws and acknowledges it.

    pushed, shown, dropped: number of frames pushed, drawn, and replaced by a newer one before they were sent; lag:
    seconds between sending the last drawn frame and its acknowledgment.
    """

    # Text, not a path: anywidget watches a path, and the watcher keeps references to all widgets.
    _css = (JS / "live.css").read_text(encoding="utf-8")

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.pushed = self.shown = self.dropped = 0
        self.lag = 0.0
        self._flow = threading.Lock()
        self._newest: tuple[dict[str, Any], list[bytes]] | None = None
        self._waiting = False  # whether the newest frame is not sent yet
        self._sent: dict[int, float] = {}  # unacknowledged frame -> time of sending
        self._watched = False  # whether a browser shows this widget
        self.on_msg(lambda _, content, __: self.receive(content))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.shown} frames shown"

    @property
    def watched(self) -> bool:
        """Whether a browser is known to show this widget."""
        return self._watched

    @property
    def newest(self) -> tuple[dict[str, Any], list[bytes]] | None:
        """The head and the arrays of the last frame pushed."""
        return self._newest

    def push(self, head: Mapping[str, Any], *arrays: np.ndarray) -> None:
        """Show a frame. head: JSON; arrays: sent as raw bytes, in this order."""
        with self._flow:
            self.pushed += 1
            self.dropped += self._waiting
            self._newest = (dict(head) | {"frame": self.pushed}, [np.ascontiguousarray(a).tobytes() for a in arrays])
            self._waiting = True
            self._flush()

    def _flush(self) -> None:
        """Send the newest frame unless too many are unacknowledged."""
        if self._sent and time.monotonic() - min(self._sent.values()) > TIMEOUT:
            self._watched, self._sent = False, {}
        if self._waiting and self._watched and len(self._sent) < IN_FLIGHT:
            head, buffers = self._newest
            self._waiting = False
            self._sent[head["frame"]] = time.monotonic()
            self.send(head, buffers)

    def receive(self, content: dict[str, Any]) -> None:
        """Handle a message from the browser: widget displayed, frame drawn, or one for `on_message`."""
        if "ready" in content:
            with self._flow:
                self._watched, self._sent, self._waiting = True, {}, self._newest is not None
                self._flush()
        elif "drawn" in content:
            with self._flow:
                sent = self._sent.get(content["drawn"])
                self._watched = True
                if sent is not None:  # None: acknowledged already, by another page
                    self.lag = time.monotonic() - sent
                    self._sent = {n: at for n, at in self._sent.items() if n > content["drawn"]}
                    self.shown += 1
                self._flush()
        else:
            self.on_message(content)

    def on_message(self, content: dict[str, Any]) -> None:
        """Handle the widget's own messages from the browser."""
