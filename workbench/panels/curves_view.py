"""CurvesView: T and N of the loss during training, with controls of its parameters.

The browser receives the exact curves of every setting and, for every slider, a ladder (`workbench.curves.ladder`) to
interpolate in while the slider is dragged. Both are computed in a background thread, so that `show` returns at once.
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
from workbench.margins.source import formula_error
from workbench.methods.method import Method, own_values
from workbench.panels.curves_request import (
    BuiltLadder,
    CurvesRequest,
    compute_curves,
    control_spec,
    curve_marks,
    describe_live,
    describe_state,
    hard_mark,
    json_values,
)
from workbench.panels.kit.controls import margin_params
from workbench.panels.kit.stream import StreamWidget, source
from workbench.panels.method_setting import Curves, moves_curves
from workbench.views import theme

QUIET = 0.3  # seconds without a change before the ladders of the other sliders are built
REST = 20  # minimum pause before a drawing for a changed state only, in durations of a drawing
REST_RUNG = 4  # pause between the rungs of a ladder that is not in use, in durations of a rung
Change = dict[str, float | str]


class CurvesView(StreamWidget):
    """The curves of a method and the controls of all its parameters.

    on_change: called with {name: value} when a control is moved, in the thread of the message; an exception is shown in
    one line and the control is reverted. extras: further parameters, such as the learning rate.
    """

    _esm = source("ladder.js", "curves_drawing.js", "curves_controls.js", "curves.js")

    def __init__(self, on_change: Callable[[Change], None], extras: Mapping[str, Param] | None = None) -> None:
        self._on_change, self._extras = on_change, dict(extras or {})
        self._condition = threading.Condition()  # guards the fields below
        self._request: CurvesRequest | None = None
        self._drawn: CurvesRequest | None = None
        self._result: Curves | None = None
        self._ghost: Curves | None = None
        self._front: dict[str, bool] = {}  # parameter of the margin -> whether it moves a curve
        self._built: dict[str, BuiltLadder] = {}
        self._version = 0
        self._grabbed = ""  # the control used last
        self._moving: set[str] | None = None  # parameters of the last change
        self._working = False
        self._changed_at = -math.inf  # time of the last change of the setting
        self._rested_at = -math.inf  # time after which a changed state is drawn
        super().__init__()

    def __repr__(self) -> str:
        return "CurvesView: no curves yet" if self._result is None else f"CurvesView: {self._result.words()}"

    @property
    def result(self) -> Curves | None:
        """The exact curves drawn last."""
        return self._result

    @property
    def ghost(self) -> Curves | None:
        """The setting before the present control moved, drawn in gray."""
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
        """Request a drawing and return at once; only the newest request is drawn.

        values: parameters of the method and extras, by name; state: of the objective, numbers or scalar tensors; norm:
        mean embedding length; theta: angle between the two class centers in rad; hardness: mean cosine of the hard
        negatives. Raises InputError for values that the margin does not allow.
        """
        margin = method.margin_of(values)
        own = {name: float(state[name]) for name in margin.states if name in state}
        request = CurvesRequest(method, margin, dict(values), float(theta), own, norm, hardness)
        with self._condition:
            if request == self._request:
                return
            if self._request is None or request.setting != self._request.setting:
                self._changed_at = time.monotonic()
            self._request = request
            self._wake()

    def wait(self, timeout: float = 10) -> bool:
        """Wait until the request is drawn and, if a browser is watching, its ladders are built; False on timeout."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._working, timeout)

    def on_message(self, content: dict[str, Any]) -> None:
        """Handle a moved control, a grabbed control, or a request of ladders."""
        if "set" in content:
            self.send({"answered": content["id"]} | self._apply_change(content["set"]))
        elif "grab" in content:
            with self._condition:
                self._grabbed, self._moving = content["grab"], None
                self._wake()
        elif "ladders" in content:
            for name in content["ladders"]:
                self._send_ladder(name)
            with self._condition:  # a new page requests an empty list: build the ladders
                self._wake()

    def _apply_change(self, change: Change) -> dict[str, str]:
        """Call the callback with a change; its error, if any."""
        try:
            self._on_change(change)
        except Exception as error:  # a user-defined margin may raise anything, and a message has no caller
            return {"problem": f"Not possible: {error}"}
        return {}

    def _send_ladder(self, name: str) -> None:
        built = self._built.get(name)
        if built is not None and built.rungs:
            head, rungs = built.message()
            self.send(head | {"ladder": name}, [rungs.tobytes()])

    # The worker thread. It exists while there is work.

    def _wake(self) -> None:
        """Start a worker thread if there is none. The caller holds the condition."""
        self._condition.notify_all()
        if self._request is not None and not self._working:
            self._working = True
            spawn(self._work, "curves")

    def _work(self) -> None:
        """Thread: draw the newest setting, then build the ladders one by one."""
        try:
            while not self._wait_for_work():
                self._draw_due()
                name = self._next_ladder()
                if name:
                    self._build(name)
        except BaseException:  # an internal error: the next call of `show` starts a new worker
            with self._condition:
                self._working = False
            raise

    def _wait_for_work(self) -> bool:
        """Wait for the next work; True ends the worker."""
        with self._condition:
            seconds = None if ENDING.is_set() else self._seconds_to_work()
            if seconds is None:
                self._working = False
                self._condition.notify_all()
                return True
            self._condition.wait(min(seconds, QUIET))
        return False

    def _seconds_to_work(self) -> float | None:
        """Seconds until the next work; None: no work is left."""
        now = time.monotonic()
        if self._drawn is None or self._request.setting != self._drawn.setting:
            return 0.0
        if self._watched and any(not self._ladder_is_current(name) for name in self._ladder_names()):
            return 0.0 if self._next_ladder() else max(0.0, self._changed_at + QUIET - now)
        return None if self._drawn is self._request else max(0.0, self._rested_at - now)

    def _draw_due(self) -> None:
        """Compute and push the exact curves, if the setting has changed, or the state has and the pause is over."""
        request, before = self._request, self._drawn
        if request is before:
            return
        fresh = before is None or request.setting != before.setting
        now = time.monotonic()
        if not fresh and now < self._rested_at:
            return
        try:
            result = compute_curves(request) if fresh or request.live != before.live else self._result
        except Exception as error:  # a user-defined margin: keep the last valid curves
            self._drawn = request
            self._push(str(formula_error(request.margin, error)))
            return
        if before is not None:
            self._update_ghost(before, request)
        self._drawn, self._result = request, result
        if fresh:
            self._arrange(before)
        self._push()
        self._rested_at = now + REST * (time.monotonic() - now)

    def _update_ghost(self, before: CurvesRequest, request: CurvesRequest) -> None:
        """Make the present curves the ghost, unless the same control is still moving."""
        if request.theta != before.theta:  # curves of another arc are not comparable
            self._ghost = self._moving = None
            return
        keys = request.values.keys() | before.values.keys()
        moved = {key for key in keys if request.values.get(key) != before.values.get(key)}
        if moved and (moved != self._moving or request.method != before.method):
            self._ghost, self._moving = self._result, moved

    def _arrange(self, before: CurvesRequest | None) -> None:
        """Find the parameters that move a curve, again for another margin and for another value of a choice."""
        params = margin_params(self._drawn.margin)
        choices = [name for name, p in params.items() if p.choices]
        old, new = before and own_values(before.margin), own_values(self._drawn.margin)
        if before is None or type(before.margin) is not type(self._drawn.margin):
            self._built.clear()
        elif self._front.keys() == params.keys() and all(old[name] == new[name] for name in choices):
            return
        self._front = {name: moves_curves(self._result, name, p) for name, p in params.items()}

    def _ladder_names(self) -> list[str]:
        """The parameters that have a ladder, the grabbed one first."""
        names = [name for name, p in margin_params(self._drawn.margin).items() if has_range(p)]
        return sorted(names, key=lambda name: name != self._grabbed)

    def _ladder_is_current(self, name: str) -> bool:
        return name in self._built and self._built[name].is_current(self._drawn, name)

    def _next_ladder(self) -> str | None:
        """The ladder to build next: that of the grabbed control at once, the others QUIET seconds after a change."""
        if not self._watched or self._drawn is None:
            return None
        quiet = time.monotonic() - self._changed_at >= QUIET
        missing = (name for name in self._ladder_names() if not self._ladder_is_current(name))
        return next((name for name in missing if quiet or name == self._grabbed), None)

    def _build(self, name: str) -> None:
        """Build a ladder. Stop when a change makes it invalid or another control is grabbed."""
        request, grabbed = self._drawn, self._grabbed
        p, at = margin_params(request.margin)[name], (request.theta, request.state, request.norm)
        rungs: list[Rung] = []
        try:
            if any(moves(list(ladder(request.margin, name, p, *at, rungs=3)))):
                start = time.monotonic()
                for rung in ladder(request.margin, name, p, *at):
                    rungs.append(rung)
                    if name != self._grabbed:
                        with self._condition:  # a new request ends the pause
                            self._condition.wait(REST_RUNG * (time.monotonic() - start))
                    self._draw_due()
                    invalid = self._drawn.key_without(name) != request.key_without(name)
                    if invalid or self._grabbed not in (name, grabbed) or ENDING.is_set():
                        return
                    start = time.monotonic()
        except InputError:  # a margin that fails at a value of the range: this slider has no ladder
            rungs = []
        self._version += 1
        self._built[name] = BuiltLadder(request.key_without(name), request.live, self._version, rungs)
        self._push()

    def _push(self, problem: str = "") -> None:
        """Push the curves: T, N, both plain cosines, T and N of the ghost (4 or 6, P); with controls and summary."""
        request, r = self._drawn, self._result
        head = {
            "title": request.method.title,
            "color": theme.METHOD_COLORS.get(request.method.key, theme.BLUE),
            "theta": request.theta,
            "values": json_values(request.values),
            "controls": self._controls(),
            "handle": self._handle(),
            "ladders": {k: self._built[k].version for k in self._ladder_names() if self._ladder_is_current(k)},
            "state": describe_state(request),
            "live": describe_live(request),
            "hard": hard_mark(request),
            "problem": problem,
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
        """The controls, those that move a curve first."""
        request = self._drawn
        params = margin_params(request.margin) | request.method.parameters() | self._extras
        specs = [
            control_spec(name, p, self._front.get(name, False) or self._has_ladder(name))
            for name, p in params.items()
            if name in request.values
        ]
        return sorted(specs, key=lambda spec: not spec["front"])

    def _has_ladder(self, name: str) -> bool:
        return name in self._built and bool(self._built[name].rungs)

    def _handle(self) -> str:
        """The parameter that dragging the curve changes: the first one that moves T."""
        names = (name for name in margin_params(self._drawn.margin) if self._has_ladder(name))
        return next((name for name in names if moves(self._built[name].rungs)[0]), "")
