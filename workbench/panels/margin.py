"""MarginPanel: T, N and the decision boundary of a loss, with its formula and controls for its parameters.

The curves are those of `workbench.curves`, for the margin that training uses. Every control has an equivalent call, so
that the panel also runs in a script: `panel.set(m=0.4)`, `panel.reset()`, `panel.pin()`; `panel.result` holds the
numbers.
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
from workbench.panels.kit.base import MethodPanel
from workbench.panels.kit.controls import button, margin_params
from workbench.panels.method_setting import THETA, Curves, curves_setting, moves_curves, preset_values
from workbench.views import theme
from workbench.views.canvas import Trace
from workbench.views.curves import MarginCurve, drawing

HEIGHT = 430  # of the figure, in pixels


class MarginPanel(MethodPanel):
    """Interactive curves of a loss; `MarginPanel("arcface")` as the last line of a cell displays them.

    method, preset: the initial ones; theta: angle between the two class centers in rad; margin: a user-defined margin;
    dark: whether the theme is dark (None: the theme of the page). Raises InputError for unknown names and invalid
    values.
    """

    SCENE: ClassVar[dict[str, Param]] = {"theta": THETA}
    IDLE: ClassVar[str] = "At the preset's values these parameters do not change T and N."
    WHERE: ClassVar[str] = r"On this slice $\theta_y = \varphi$ and $\theta_j = \theta - \varphi$."

    def __init__(
        self,
        method: str | None = None,
        preset: str | None = None,
        theta: float = math.radians(80),
        margin: Margin | None = None,
        dark: bool | None = None,
    ) -> None:
        self._moving: str | None = None  # the control that was moved last
        self._ghost: Curves | None = None
        self._pins: tuple[Curves, ...] = ()
        super().__init__(method, preset, {"theta": theta}, margin, dark)

    @property
    def ghost(self) -> Curves | None:
        """The previous setting, drawn in gray: before the last call of `set`, or before the present control moved."""
        return self._ghost

    @property
    def pins(self) -> tuple[Curves, ...]:
        """The pinned settings, in order."""
        return self._pins

    def pin(self) -> None:
        """Keep the present curves as an overlay."""
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

    def _all_states(self, method: Method) -> dict[str, Param]:
        return method.margin.states

    def _params(self, result: Curves) -> dict[str, Param]:
        return margin_params(result.margin)

    def _build_setting(self, *values: Any) -> Curves:
        return curves_setting(*values)

    def _moves(self, result: Curves, name: str, p: Param) -> bool:
        return moves_curves(result, name, p)

    def _set_result(self, result: Curves, by: str | None) -> None:
        """Show a new setting. The setting before the first change of the present control becomes the ghost."""
        before = self._result
        if result.theta != before.theta:  # curves of another arc are not comparable
            self._pins = tuple(
                curves_setting(p.method, p.preset, p.parameters, p.given, result.scene) for p in self._pins
            )
            self._ghost = None
        elif by is None or by != self._moving:
            self._ghost = before
        self._moving = by
        super()._set_result(result, by)

    def _top(self) -> list[widgets.Widget]:
        buttons = [
            button("Reset", "Restore the values of the preset.", self.reset),
            button("Pin", "Keep these curves as an overlay.", self.pin),
            button("Clear pins", "Remove the overlays.", self.clear_pins),
        ]
        return [widgets.HBox(buttons)]

    def _sentence_html(self) -> str:
        """The boundary of the present setting and of the ghost."""
        before = ""
        if self._ghost is not None:
            before = f"Before: {', '.join(f'{math.degrees(phi):.1f}°' for phi in self._ghost.actual) or 'no boundary'}."
        return f'{escape(self._result.words())} <span class="workbench-meaning">{before}</span>'

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        """The ghost, the pins and the present setting, each method in its color or, if that is used, another one."""
        layers: list[MarginCurve] = []
        for s in (self._result, *self._pins):
            own = theme.METHOD_COLORS.get(s.method.key, theme.BLUE)
            used = [layer.color for layer in layers]
            color = next((c for c in (own, *theme.COLORS) if c not in used), theme.GRAY)
            layers.append(MarginCurve(s.label, color, s.curve, s.actual, s.ideal))
        none = np.empty(0)
        g = self._ghost or MarginCurve("", "", Curve(none, none, none, none, none, {}), none, none)
        layers.append(MarginCurve("before", theme.GRAY, g.curve, g.actual, g.ideal, ghost=True))
        traces, layout = drawing(layers[::-1], self._result.theta, dark)  # the present setting on top
        return traces, layout | {"height": HEIGHT}
