"""MarginPanel: choose a loss, drag its margin, and see N, T and the decision boundary answer beside the formula.

The panel draws what `workbench.curves` computes with the margin that training uses. Every control has its call, so the
same panel runs in a script: `panel.set(m=0.4)`, `panel.reset()`, `panel.pin()`; `panel.result` holds the numbers.
"""

import inspect
import math
import threading
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from workbench.curves import Curve
from workbench.errors import unknown
from workbench.margins.base import Margin
from workbench.methods import METHODS
from workbench.panels.controls import Control, Page, control, declared
from workbench.panels.setting import THETA, Setting, as_method, moves_curves, preset_values, settle, state_names
from workbench.views import theme
from workbench.views.curves import Canvas, Drawn

COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.ORANGE, theme.PURPLE, theme.SKY)
FRAME = {"height": 430, "autosize": True}  # of the figure; the width is its column's


class MarginPanel(widgets.HBox):
    """A loss to play with: `MarginPanel("arcface")` as the last line of a cell shows it.

    method, preset: where it starts; theta: the angle between the two centers in rad; margin: a margin of your own, to
    be drawn like the published ones; dark: None follows the page's theme. Raises InputError for unknown names and bad
    values.
    """

    def __init__(
        self,
        method: str | None = None,
        preset: str | None = None,
        theta: float = math.radians(80),
        margin: Margin | None = None,
        dark: bool | None = None,
    ) -> None:
        own = [as_method(margin)] if margin is not None else []
        self._methods = {m.key: m for m in own} | METHODS
        self._theta, self._dark = theta, dark
        self._lock = threading.RLock()  # callbacks may run on another thread than cells
        self._showing = False  # widgets are being written: their events are nobody's wish
        self._arranged: tuple[str, str] | None = None  # the method and preset that the controls are arranged for
        self._moving: str | None = None  # the control that is being moved
        self._ghost: Setting | None = None
        self._pins: tuple[Setting, ...] = ()
        self._controls: dict[str, dict[str, Control]] = {}  # of each method, made when it is first chosen
        self._result = self._settled(method or (own[0].key if own else "arcface"), preset, theta)
        self._build()
        self._show()

    def __repr__(self) -> str:
        return f"MarginPanel: {self._result.label}. {self._result.words()}"

    @property
    def result(self) -> Setting:
        """The numbers of what is shown now."""
        return self._result

    @property
    def ghost(self) -> Setting | None:
        """What was shown before, drawn in grey: before the last call of `set`, or before a control began to move."""
        return self._ghost

    @property
    def pins(self) -> tuple[Setting, ...]:
        """What was pinned, in order."""
        return self._pins

    def set(
        self, method: str | None = None, preset: str | None = None, theta: float | None = None, **values: Any
    ) -> Setting:
        """Change the method, its preset, theta (rad), and parameters and states by name: all of it, or nothing.

        A method or preset starts from the preset's values. Raises InputError for an unknown name and for a bad value.
        """
        with self._lock:
            self._accept(self._settled(method, preset, theta, **values), by=None)
            return self._result

    def reset(self) -> Setting:
        """Back to the values of the method's preset, the state before training and the first theta."""
        return self.set(preset=self._result.preset, theta=self._theta)

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

    def _settled(
        self, method: str | None = None, preset: str | None = None, theta: float | None = None, **values: Any
    ) -> Setting:
        """The setting after these changes; nothing is changed yet."""
        if method is not None and method not in self._methods:
            raise unknown("method", method, self._methods)
        if method is None and preset is None:
            chosen, preset = self._result.method, self._result.preset
            parameters, given = self._result.parameters, dict(self._result.given)
        else:
            chosen = self._methods[method] if method else self._result.method
            preset = preset or next(iter(chosen.presets))
            parameters, given = preset_values(chosen, preset), {}
        states = state_names(chosen.margin)
        for name, value in values.items():
            if name not in parameters and name not in states:
                raise unknown(f"parameter of {chosen.key}", name, [*parameters, *states])
            (parameters if name in parameters else given)[name] = value
        return settle(chosen, preset, parameters, given, self._result.theta if theta is None else theta)

    def _accept(self, result: Setting, by: str | None) -> None:
        """Show a new setting; the one before the moving control's first change is the ghost."""
        before = self._result
        if result.theta != before.theta:  # curves on another arc cannot be compared
            self._pins = tuple(settle(p.method, p.preset, p.parameters, p.given, result.theta) for p in self._pins)
            self._ghost = None
        elif by is None or by != self._moving:
            self._ghost = before
        self._moving = by
        self._result = result
        self._show()

    def _changed(self, name: str, value: Any) -> None:
        """A control was moved by hand. A value that cannot be is told and taken back."""
        with self._lock:
            if self._showing:
                return
            try:
                result = self._settled(**{name: value})
            except Exception as error:  # someone's own margin may fail in any way, and a callback has no caller to tell
                self._show(problem=f"Not possible: {error}")
            else:
                self._accept(result, by=name)

    def _build(self) -> None:
        """Make the widgets; `_show` fills them."""
        self._method = widgets.Dropdown(
            options=[(m.title, key) for key, m in self._methods.items()], description="Method"
        )
        self._preset = widgets.Dropdown(description="Preset")
        for name, box in (("method", self._method), ("preset", self._preset)):
            box.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        buttons = [
            button("Reset", "back to the values of the preset", self.reset),
            button("Pin", "keep these curves as an overlay, to compare others with them", self.pin),
            button("Clear pins", "remove the overlays", self.clear_pins),
        ]
        self._angle = control("theta", THETA, self._result.theta, self._changed)
        self._front, self._drawer = widgets.VBox(), widgets.VBox()
        drawer = widgets.Accordion([self._drawer], titles=["More settings"])
        self._page = Page()
        self._page.observe(lambda _: self._show(), "dark")
        self._sentence, self._formula, self._problem = widgets.HTML(), widgets.HTMLMath(), widgets.HTML()
        self._canvas = Canvas(go.FigureWidget, self._drawn(), self._result.theta)
        figure = self._canvas.figure.update_layout(FRAME)
        figure._config = figure._config | theme.CONFIG
        top = [self._method, self._preset, widgets.HBox(buttons), self._problem]
        left = widgets.VBox([*top, self._front, self._angle.row, drawer, self._page])
        right = widgets.VBox([self._sentence, figure, self._formula])
        super().__init__([left, right])
        for box, name in ((self, "panel"), (left, "controls"), (right, "view")):
            box.add_class(f"workbench-{name}")

    def _arrange(self) -> None:
        """For another method or preset: its controls, those that move its curves in front, and its formula."""
        result = self._result
        key, margin = result.method.key, result.margin
        params = declared(margin) | {shown: margin.states[name] for shown, name in state_names(type(margin)).items()}
        if key not in self._controls:
            values = result.parameters | result.state
            self._controls[key] = {name: control(name, p, values[name], self._changed) for name, p in params.items()}
        front = [name for name, p in params.items() if moves_curves(result, name, p)]
        rows = {name: c.row for name, c in self._controls[key].items()}
        self._front.children = [rows[name] for name in front]
        self._drawer.children = [caption(), *(row for name, row in rows.items() if name not in front)]
        self._method.value = key
        self._preset.options = list(result.method.presets)
        self._preset.value = result.preset
        self._formula.value = formula(result)

    def _show(self, problem: str = "") -> None:
        """Write the present setting into every widget."""
        with self._lock:
            self._showing = True
            try:
                result = self._result
                self._canvas.draw(self._drawn(), result.theta, self._page.dark if self._dark is None else self._dark)
                if self._arranged != (result.method.key, result.preset):
                    self._arrange()
                    self._arranged = (result.method.key, result.preset)
                values = result.parameters | result.state
                for name, made in self._controls[result.method.key].items():
                    made.show(values[name])
                self._angle.show(result.theta)
                self._problem.value = f'<div class="workbench-problem" role="alert">{escape(problem)}</div>'
                self._sentence.value = sentence(result, self._ghost)
                remember(self._canvas)
            finally:
                self._showing = False

    def _drawn(self) -> list[Drawn]:
        """The ghost, the pins and the present setting: each method in its colour, or in a free one if that is taken."""
        made: list[Drawn] = []
        for s in (self._result, *self._pins):
            own = theme.METHOD_COLOURS.get(s.method.key, theme.BLUE)
            taken = [d.colour for d in made]
            colour = next((c for c in (own, *COLOURS) if c not in taken), theme.GREY)
            made.append(Drawn(s.label, colour, s.curve, s.actual, s.ideal))
        none = np.empty(0)
        g = self._ghost or Drawn("", "", Curve(none, none, none, none, none, {}), none, none)
        made.append(Drawn("before", theme.GREY, g.curve, g.actual, g.ideal, ghost=True))
        return made[::-1]  # the present one on top


def remember(canvas: Canvas) -> None:
    """Let a page that is opened or loaded again later start from what is drawn now.

    Plotly keeps this record only of a figure that is displayed alone. It is written past the traits, because the pages
    that are open have it already.
    """
    data = [
        {"type": "scatter", "uid": old.uid} | new for old, new in zip(canvas.figure.data, canvas.traces, strict=True)
    ]
    layout = FRAME | canvas.layout | {"template": canvas.layout["template"].to_plotly_json()}
    canvas.figure._trait_values |= {"_widget_data": data, "_widget_layout": layout}


def button(text: str, tooltip: str, action: Any) -> widgets.Button:
    """A button that calls action()."""
    made = widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: action())
    return made


def caption() -> widgets.HTML:
    """What the drawer holds."""
    return widgets.HTML('<div class="workbench-meaning">At the preset\'s values these leave T and N as they are.</div>')


def sentence(result: Setting, ghost: Setting | None) -> str:
    """Where the boundary lies, and where it was before, as HTML that screen readers announce."""
    before = ""
    if ghost is not None:
        before = f"Before: {', '.join(f'{math.degrees(phi):.1f}°' for phi in ghost.actual) or 'no boundary'}."
    return (
        f'<div class="workbench-sentence" role="status">{escape(result.words())} '
        f'<span class="workbench-meaning">{before}</span></div>'
    )


def formula(result: Setting) -> str:
    """What the margin does, its equations and where it was published, as HTML with LaTeX."""
    margin = type(result.margin)
    first = (inspect.getdoc(margin) or "").split("\n")[0]
    says = "" if first.startswith(f"{margin.__name__}(") else first  # the line that dataclass writes by itself
    written, *computed = (next(c for c in margin.__mro__ if name in vars(c)) for name in ("latex", "T", "N"))
    equations = margin.latex if all(issubclass(written, c) for c in computed) else ()  # else those of another T or N
    lines = "".join(f"<div>${escape(line)}$</div>" for line in equations)
    arc = r"On this slice $\theta_y = \varphi$ and $\theta_j = \theta - \varphi$."
    return (
        f'<div>{escape(says)}</div><div class="workbench-equations">{lines}</div>'
        f'<div class="workbench-meaning">{arc} {escape(result.method.citation)}</div>'
    )
