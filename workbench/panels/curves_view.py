"""CurvesView: N against T of the loss that is training, with its controls; dragging one redraws without the kernel.

The browser gets the exact curves of every setting, and for every slider a ladder (`workbench.curves.ladder`) to
interpolate
in while it is dragged. Both are computed in a thread of the widget's own: a call of `show` costs nothing.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.core.threads import ENDING, spawn
from workbench.curves.ladder import Rung, has_range, ladder, moves
from workbench.margins.source import explained
from workbench.methods.method import Method, own_values
from workbench.panels.curves_setting import (
    Asked,
    Built,
    curve_marks,
    exact,
    hard_mark,
    plain,
    spec,
    told_live,
    told_state,
)
from workbench.panels.kit.controls import declared
from workbench.panels.kit.stream import Streamed, source
from workbench.panels.setting import Curves, moves_curves
from workbench.views import theme

SETTLED = 0.3  # seconds without a change, after which the ladders of the other sliders are built
REST = 20  # times what a drawing cost, until the next one that only a moving state asks for
REST_RUNG = 4  # times what a rung cost, until the next one of a ladder that nobody has in hand
Change = dict[str, float | str]


class CurvesView(Streamed):
    """The curves of a method and the controls of all its parameters.

    changed: called with {name: value} when a person moves a control, on the thread that the message arrives on; what it
    raises is shown in one line and the control goes back. extras: what else may be set, such as the learning rate.
    """

    _esm = source("ladder.js", "curves_drawing.js", "curves_controls.js", "curves.js")

    def __init__(self, changed: Callable[[Change], None], extras: Mapping[str, Param] | None = None) -> None:
        self._changed, self._extras = changed, dict(extras or {})
        self._turn = threading.Condition()  # of `show`, the worker and messages
        self._asked: Asked | None = None
        self._drawn: Asked | None = None
        self._result: Curves | None = None
        self._ghost: Curves | None = None
        self._front: dict[str, bool] = {}  # the margin's parameters: whether they move a curve
        self._built: dict[str, Built] = {}
        self._version = 0
        self._grabbed = ""  # the control that a person holds or held last
        self._moving: set[str] | None = None  # what the last change changed
        self._working = False
        self._changed_at = self._rested_at = -math.inf  # when the setting changed; when a drift may be drawn again
        super().__init__()

    def __repr__(self) -> str:
        return "CurvesView: nothing to show yet" if self._result is None else f"CurvesView: {self._result.words()}"

    @property
    def result(self) -> Curves | None:
        """The exact curves that were drawn last."""
        return self._result

    @property
    def ghost(self) -> Curves | None:
        """The setting before the control that is held began to move, drawn in grey."""
        return self._ghost

    def show(
        self,
        method: Method,
        values: Mapping[str, Any],
        state: Mapping[str, Any],
        norm: float | None,
        theta: float,
        hardness: float | None,
    ) -> None:
        """Draw this soon, the newest call first; returns at once.

        values: every parameter of the method, and of the extras, by name; state: the objective's, numbers or scalar
        tensors; norm: the mean length of an embedding; theta: the angle between two centers in rad; hardness: the mean
        cosine of the hard negatives. Raises InputError for values that the margin does not allow.
        """
        margin = method.margin_of(values)
        own = {name: float(state[name]) for name in margin.states if name in state}
        asked = Asked(method, margin, dict(values), float(theta), own, norm, hardness)
        with self._turn:
            if asked == self._asked:
                return
            if self._asked is None or asked.setting != self._asked.setting:
                self._changed_at = time.monotonic()
            self._asked = asked
            self._wake()

    def wait(self, timeout: float = 10) -> bool:
        """Until what was asked for is drawn and, where somebody looks, its ladders are built; False if it was not."""
        with self._turn:
            return self._turn.wait_for(lambda: not self._working, timeout)

    def told(self, content: dict[str, Any]) -> None:
        """A control was moved or grabbed, or the browser wants ladders."""
        if "set" in content:
            self.send({"answered": content["id"]} | self._tried(content["set"]))
        elif "grab" in content:
            with self._turn:
                self._grabbed, self._moving = content["grab"], None
                self._wake()
        elif "ladders" in content:
            for name in content["ladders"]:
                self._send_ladder(name)
            with self._turn:  # a page that shows itself asks for none, and has them built
                self._wake()

    def _tried(self, change: Change) -> dict[str, str]:
        """Hand a change on; what is wrong with it, if anything."""
        try:
            self._changed(change)
        except Exception as error:  # someone's own margin may fail in any way, and a message has no caller to tell
            return {"problem": f"Not possible: {error}"}
        return {}

    def _send_ladder(self, name: str) -> None:
        built = self._built.get(name)
        if built is not None and built.rungs:
            head, rungs = built.message()
            self.send(head | {"ladder": name}, [rungs.tobytes()])

    # The worker: a thread that lives while there is something to do.

    def _wake(self) -> None:
        """Have a worker, if there is anything to draw; the caller holds the turn."""
        self._turn.notify_all()
        if self._asked is not None and not self._working:
            self._working = True
            spawn(self._work, "curves")

    def _work(self) -> None:
        """Draw the newest setting first, then the ladders one by one, until nothing is left."""
        try:
            while not self._finished():
                self._draw_due()
                name = self._next_ladder()
                if name:
                    self._build(name)
        except BaseException:  # a fault of ours: the next call of `show` has a new worker
            with self._turn:
                self._working = False
            raise

    def _finished(self) -> bool:
        """Whether nothing is left to do, and then the worker is gone; waits where there is nothing to do yet."""
        with self._turn:
            later = None if ENDING.is_set() else self._later()
            if later is None:
                self._working = False
                self._turn.notify_all()
                return True
            self._turn.wait(min(later, SETTLED))
        return False

    def _later(self) -> float | None:
        """Seconds until there may be something to do again; None: nothing is left."""
        now = time.monotonic()
        if self._drawn is None or self._asked.setting != self._drawn.setting:
            return 0.0
        if self._watched and any(not self._holds(name) for name in self._climbable()):
            return 0.0 if self._next_ladder() else max(0.0, self._changed_at + SETTLED - now)
        return None if self._drawn is self._asked else max(0.0, self._rested_at - now)

    def _draw_due(self) -> None:
        """Compute and push the exact curves, if the setting is another, or the state is and the last drawing is old."""
        asked, before = self._asked, self._drawn
        if asked is before:
            return
        fresh = before is None or asked.setting != before.setting
        now = time.monotonic()
        if not fresh and now < self._rested_at:
            return
        try:
            result = exact(asked) if fresh or asked.live != before.live else self._result
        except Exception as error:  # a formula of someone's own: the last good curves stay
            self._drawn = asked
            self._push(str(explained(asked.margin, error)))
            return
        if before is not None:
            self._remember(before, asked)
        self._drawn, self._result = asked, result
        if fresh:
            self._arrange(before)
        self._push()
        self._rested_at = now + REST * (time.monotonic() - now)

    def _remember(self, before: Asked, asked: Asked) -> None:
        """Keep what is shown now as the ghost, unless the control that moves moved already."""
        if asked.theta != before.theta:  # curves on another arc cannot be compared
            self._ghost = self._moving = None
            return
        keys = asked.values.keys() | before.values.keys()
        moved = {key for key in keys if asked.values.get(key) != before.values.get(key)}
        if moved and (moved != self._moving or asked.method != before.method):
            self._ghost, self._moving = self._result, moved

    def _arrange(self, before: Asked | None) -> None:
        """Which parameters move a curve; asked anew for another margin or choice, and never taken back in between."""
        params = declared(self._drawn.margin)
        choices = [name for name, p in params.items() if p.choices]
        old, new = before and own_values(before.margin), own_values(self._drawn.margin)
        if before is None or type(before.margin) is not type(self._drawn.margin):
            self._built.clear()
        elif self._front.keys() == params.keys() and all(old[name] == new[name] for name in choices):
            return
        self._front = {name: moves_curves(self._result, name, p) for name, p in params.items()}

    def _climbable(self) -> list[str]:
        """The parameters that have a ladder, the grabbed one first."""
        names = [name for name, p in declared(self._drawn.margin).items() if has_range(p)]
        return sorted(names, key=lambda name: name != self._grabbed)

    def _holds(self, name: str) -> bool:
        return name in self._built and self._built[name].holds(self._drawn, name)

    def _next_ladder(self) -> str | None:
        """The ladder to build now: the grabbed one at once, the others when the setting has settled."""
        if not self._watched or self._drawn is None:
            return None
        settled = time.monotonic() - self._changed_at >= SETTLED
        missing = (name for name in self._climbable() if not self._holds(name))
        return next((name for name in missing if settled or name == self._grabbed), None)

    def _build(self, name: str) -> None:
        """Build a ladder; given up where a change makes it void or another is grabbed."""
        asked, grabbed = self._drawn, self._grabbed
        p, at = declared(asked.margin)[name], (asked.theta, asked.state, asked.norm)
        rungs: list[Rung] = []
        try:
            if any(moves(list(ladder(asked.margin, name, p, *at, rungs=3)))):
                started = time.monotonic()
                for rung in ladder(asked.margin, name, p, *at):
                    rungs.append(rung)
                    if name != self._grabbed:
                        with self._turn:  # whoever asks for something else need not wait for the rest
                            self._turn.wait(REST_RUNG * (time.monotonic() - started))
                    self._draw_due()
                    void = self._drawn.beside(name) != asked.beside(name) or self._grabbed not in (name, grabbed)
                    if void or ENDING.is_set():
                        return
                    started = time.monotonic()
        except InputError:  # a formula that fails at a value of its range: that slider waits for the kernel
            rungs = []
        self._version += 1
        self._built[name] = Built(asked.beside(name), asked.live, self._version, rungs)
        self._push()

    # What the browser gets.

    def _push(self, problem: str = "") -> None:
        """The exact curves: T, N, the plain cosines, the ghost's T and N, (4 or 6, P); the controls and the words."""
        asked, r = self._drawn, self._result
        head = {"values": plain(asked.values), "theta": asked.theta, "problem": problem, "controls": self._controls()}
        head |= {"title": asked.method.title, "colour": theme.METHOD_COLORS.get(asked.method.key, theme.BLUE)}
        head |= {"ladders": {k: self._built[k].version for k in self._climbable() if self._holds(k)}}
        head |= {
            "handle": self._handle(),
            "state": told_state(asked),
            "live": told_live(asked),
            "hard": hard_mark(asked),
        }
        if r is None:
            self.push(head)
            return
        rows = [r.curve.T, r.curve.N, np.cos(r.curve.phi), np.cos(r.theta - r.curve.phi)]
        if self._ghost is not None:
            rows += [self._ghost.curve.T, self._ghost.curve.N]
            head["before"] = curve_marks(self._ghost)
        self.push(head | {"marks": curve_marks(r), "words": r.words()}, np.array(rows, dtype=np.float32))

    def _controls(self) -> list[dict[str, Any]]:
        """What the browser makes the controls of, those that move a curve first."""
        asked = self._drawn
        params = declared(asked.margin) | asked.method.parameters() | self._extras
        made = [
            spec(name, p, self._front.get(name, False) or self._climbed(name))
            for name, p in params.items()
            if name in asked.values
        ]
        return sorted(made, key=lambda c: not c["front"])

    def _climbed(self, name: str) -> bool:
        return name in self._built and bool(self._built[name].rungs)

    def _handle(self) -> str:
        """The first parameter that moves T: the one that follows when the curve itself is dragged."""
        names = (name for name in declared(self._drawn.margin) if self._climbed(name))
        return next((name for name in names if moves(self._built[name].rungs)[0]), "")
