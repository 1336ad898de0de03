"""MarginPanel: choose a loss, drag its margin, and see N, T and the decision boundary answer beside the formula.

The panel draws what `workbench.curves` computes with the margin that training uses. Every control has its call, so the
same panel runs in a script: `panel.set(m=0.4)`, `panel.reset()`, `panel.pin()`; `panel.result` holds the numbers.
"""

import math
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np

from workbench.core.parameters import Param
from workbench.curves import Curve
from workbench.margins.base import Margin
from workbench.methods.method import Method
from workbench.panels.kit.base import MethodPanel, button
from workbench.panels.kit.controls import declared
from workbench.panels.setting import THETA, Curves, moves_curves, preset_values, settle, state_names
from workbench.views import theme
from workbench.views.canvas import Trace
from workbench.views.curves import MarginCurve, drawing

HEIGHT = 430  # of the figure, in pixels


class MarginPanel(MethodPanel):
    """A loss to play with: `MarginPanel("arcface")` as the last line of a cell shows it.

    method, preset: where it starts; theta: the angle between the two centers in rad; margin: a margin of your own, to
    be drawn like the published ones; dark: None follows the page's theme. Raises InputError for unknown names and bad
    values.
    """

    SCENE: ClassVar[dict[str, Param]] = {"theta": THETA}
    IDLE: ClassVar[str] = "At the preset's values these leave T and N as they are."
    WHERE: ClassVar[str] = r"On this slice $\theta_y = \varphi$ and $\theta_j = \theta - \varphi$."

    def __init__(
        self,
        method: str | None = None,
        preset: str | None = None,
        theta: float = math.radians(80),
        margin: Margin | None = None,
        dark: bool | None = None,
    ) -> None:
        self._moving: str | None = None  # the control that is being moved
        self._ghost: Curves | None = None
        self._pins: tuple[Curves, ...] = ()
        super().__init__(method, preset, {"theta": theta}, margin, dark)

    @property
    def ghost(self) -> Curves | None:
        """What was shown before, drawn in grey: before the last call of `set`, or before a control began to move."""
        return self._ghost

    @property
    def pins(self) -> tuple[Curves, ...]:
        """What was pinned, in order."""
        return self._pins

    def pin(self) -> None:
        """Keep the present curves as an overlay, to compare others with them."""
        with self._lock:
            self._pins = (*self._pins, self._result)
            self._show()

    def clear_pins(self) -> None:
        """Remove the overlays."""
        with self._lock:
            self._pins = ()
            self._show()

    def _values(self, method: Method, preset: str) -> dict[str, Any]:
        return preset_values(method, preset)

    def _states(self, method: Method) -> dict[str, Param]:
        taken = preset_values(method, next(iter(method.presets)))
        return {key: method.margin.states[name] for key, name in state_names(method.margin.states, taken).items()}

    def _declared(self, result: Curves) -> dict[str, Param]:
        return declared(result.margin)

    def _settle(self, *values: Any) -> Curves:
        return settle(*values)

    def _moves(self, result: Curves, name: str, p: Param) -> bool:
        return moves_curves(result, name, p)

    def _accept(self, result: Curves, by: str | None) -> None:
        """Show a new setting; the one before the moving control's first change is the ghost."""
        before = self._result
        if result.theta != before.theta:  # curves on another arc cannot be compared
            self._pins = tuple(settle(p.method, p.preset, p.parameters, p.given, result.scene) for p in self._pins)
            self._ghost = None
        elif by is None or by != self._moving:
            self._ghost = before
        self._moving = by
        super()._accept(result, by)

    def _top(self) -> list[widgets.Widget]:
        buttons = [
            button("Reset", "back to the values of the preset", self.reset),
            button("Pin", "keep these curves as an overlay, to compare others with them", self.pin),
            button("Clear pins", "remove the overlays", self.clear_pins),
        ]
        return [widgets.HBox(buttons)]

    def _said(self) -> str:
        """Where the boundary lies, and where it was before."""
        before = ""
        if self._ghost is not None:
            before = f"Before: {', '.join(f'{math.degrees(phi):.1f}°' for phi in self._ghost.actual) or 'no boundary'}."
        return f'{escape(self._result.words())} <span class="workbench-meaning">{before}</span>'

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        """The ghost, the pins and the present setting: each method in its colour, or in a free one if that is taken."""
        made: list[MarginCurve] = []
        for s in (self._result, *self._pins):
            own = theme.METHOD_COLORS.get(s.method.key, theme.BLUE)
            taken = [d.color for d in made]
            colour = next((c for c in (own, *theme.COLORS) if c not in taken), theme.GREY)
            made.append(MarginCurve(s.label, colour, s.curve, s.actual, s.ideal))
        none = np.empty(0)
        g = self._ghost or MarginCurve("", "", Curve(none, none, none, none, none, {}), none, none)
        made.append(MarginCurve("before", theme.GREY, g.curve, g.actual, g.ideal, ghost=True))
        traces, layout = drawing(made[::-1], self._result.theta, dark)  # the present one on top
        return traces, layout | {"height": HEIGHT}
