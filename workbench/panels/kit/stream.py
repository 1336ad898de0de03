"""A widget that shows the newest of a stream of frames and never falls behind.

The browser says when it has drawn a frame; until then at most IN_FLIGHT frames are on their way, and of those that come
meanwhile only the newest is kept. Where nobody looks (no browser, a closed tab) nothing is sent, and nothing piles up.
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
PATIENCE = 5.0  # seconds after which a browser that has not answered counts as gone


def source(*names: str) -> str:
    """The scripts of this folder as one module: what all widgets share first, then what is the widget's own."""
    return "\n".join((JS / name).read_text(encoding="utf-8") for name in ("stage.js", *names))


class Streamed(anywidget.AnyWidget):
    """The base of the live widgets: `push` a frame from any thread; `stage.js` draws it and says so.

    pushed, shown, dropped: how many frames came, were drawn, and gave way to a newer one before they were sent;
    lag: seconds between the sending of the last frame that was drawn and the answer.
    """

    # Text, not a path: anywidget watches a path, and whoever watches keeps every widget there ever was.
    _css = (JS / "live.css").read_text(encoding="utf-8")

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.pushed = self.shown = self.dropped = 0
        self.lag = 0.0
        self._flow = threading.Lock()
        self._newest: tuple[dict[str, Any], list[bytes]] | None = None
        self._waiting = False  # whether the newest frame is still to be sent
        self._sent: dict[int, float] = {}  # when each frame that is not answered yet was sent
        self._watched = False  # whether a browser said that it shows this widget
        self.on_msg(self._received)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.shown} frames shown"

    @property
    def watched(self) -> bool:
        """Whether a browser shows this widget, as far as is known."""
        return self._watched

    def push(self, head: Mapping[str, Any], *arrays: np.ndarray) -> None:
        """Show this next: head is JSON; the arrays arrive in the browser as their bytes, in this order."""
        with self._flow:
            self.pushed += 1
            self.dropped += self._waiting
            self._newest = (dict(head) | {"frame": self.pushed}, [np.ascontiguousarray(a).tobytes() for a in arrays])
            self._waiting = True
            self._flush()

    def _flush(self) -> None:
        """Send the newest frame if it may go."""
        if self._sent and time.monotonic() - min(self._sent.values()) > PATIENCE:
            self._watched, self._sent = False, {}
        if self._waiting and self._watched and len(self._sent) < IN_FLIGHT:
            head, buffers = self._newest
            self._waiting = False
            self._sent[head["frame"]] = time.monotonic()
            self.send(head, buffers)

    def _received(self, _: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """A message from the browser: it shows the widget now, it has drawn a frame, or what the widget's own says."""
        if "ready" in content:
            with self._flow:
                self._watched, self._sent, self._waiting = True, {}, self._newest is not None
                self._flush()
        elif "drawn" in content:
            with self._flow:
                sent = self._sent.get(content["drawn"])
                self._watched = True
                if sent is not None:  # a second page that shows the same widget answers late
                    self.lag = time.monotonic() - sent
                    self._sent = {n: at for n, at in self._sent.items() if n > content["drawn"]}
                    self.shown += 1
                self._flush()
        else:
            self.told(content)

    def told(self, content: dict[str, Any]) -> None:
        """What the browser says beside the flow of frames: the widget's own."""
