"""What every panel of a loss shares: choice of a method and its preset, generated controls, `set`, `reset`, the page.

A panel adds what follows from a setting (`_settle`) and how it is drawn (`_drawing`). Every control has its call, so
that the same panel runs in a script; `panel.result` holds the numbers.
"""

import inspect
import threading
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import plotly.graph_objects as go

from workbench.core.errors import unknown
from workbench.core.parameters import Param
from workbench.margins.base import Margin
from workbench.methods import METHODS
from workbench.methods.method import Method, as_method
from workbench.panels.kit.controls import Control, Page, control
from workbench.panels.setting import Setting
from workbench.views import theme
from workbench.views.canvas import Canvas, Trace

FRAME = {"autosize": True}  # the figure's width is its column's


class MethodPanel(widgets.HBox):
    """The base of the panels. method, preset: where it starts (None: `margin`, or the class's START); scene: values of
    SCENE; margin: a margin of your own, to be drawn like the published ones; dark: None follows the page's theme.
    """

    START: ClassVar[str] = "arcface"
    SCENE: ClassVar[dict[str, Param]] = {}  # what may be set beside the method's own parameters and states
    IDLE: ClassVar[str] = "At the preset's values these change nothing here."
    WHERE: ClassVar[str] = ""  # where a sample is, in the letters of the formula

    def __init__(
        self, method: str | None, preset: str | None, scene: dict[str, Any], margin: Margin | None, dark: bool | None
    ) -> None:
        own = [as_method(margin)] if margin is not None else []
        self._methods = {m.key: m for m in own} | {key: m for key, m in METHODS.items() if m.has_logits}
        self._scene, self._dark = scene, dark
        self._lock = threading.RLock()  # callbacks may run on another thread than cells
        self._showing = False  # widgets are being written: their events are nobody's wish
        self._arranged: tuple[str, str] | None = None  # the method and preset that the controls are arranged for
        self._controls: dict[str, dict[str, Control]] = {}  # of each method, made when it is first chosen
        self._result = self._settled(method or (own[0].key if own else self.START), preset, **scene)
        self._build()
        self._show()

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._result.label}. {self._result.words()}"

    @property
    def result(self) -> Any:
        """The numbers of what is shown now."""
        return self._result

    def set(self, method: str | None = None, preset: str | None = None, **values: Any) -> Any:
        """Change the method, its preset, and parameters, states and what belongs to the scene: all of it, or nothing.

        A method or preset starts from the preset's values. Raises InputError for an unknown name and for a bad value.
        """
        with self._lock:
            self._accept(self._settled(method, preset, **values), by=None)
            return self._result

    def reset(self) -> Any:
        """Back to the values of the method's preset, the state before training and the first scene."""
        return self.set(preset=self._result.preset, **self._scene)

    def _values(self, method: Method, preset: str) -> dict[str, Any]:
        """The parameters that the panel may change, under a preset."""
        raise NotImplementedError

    def _states(self, method: Method) -> dict[str, Param]:
        """The states that may be set by hand, by the names `set` takes."""
        raise NotImplementedError

    def _declared(self, result: Any) -> dict[str, Param]:
        """What each parameter that the panel may change declares."""
        raise NotImplementedError

    def _settle(
        self, method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
    ) -> Setting:
        """What follows from these values. Raises InputError for one that is not allowed."""
        raise NotImplementedError

    def _moves(self, result: Any, name: str, p: Param) -> bool:
        """Whether another value of one parameter or state would change what is drawn."""
        raise NotImplementedError

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        """The traces and the layout that show the present setting."""
        raise NotImplementedError

    def _said(self) -> str:
        """What stands above the figure, as HTML."""
        return escape(self._result.words())

    def _top(self) -> list[widgets.Widget]:
        """The panel's own widgets below the choice of the method."""
        return []

    def _settled(self, method: str | None = None, preset: str | None = None, **values: Any) -> Setting:
        """The setting after these changes; nothing is changed yet."""
        if method is not None and method not in self._methods:
            raise unknown("method", method, self._methods)
        if method is None and preset is None:
            chosen, preset = self._result.method, self._result.preset
            parameters, given = dict(self._result.parameters), dict(self._result.given)
        else:
            chosen = self._methods[method] if method else self._result.method
            preset = preset or next(iter(chosen.presets))
            parameters, given = self._values(chosen, preset), {}
        states, scene = self._states(chosen), dict(self._result.scene) if hasattr(self, "_result") else {}
        for name, value in values.items():
            if name in parameters:
                parameters[name] = value
            elif name in states:
                given[name] = states[name].check(chosen.key, name, value)
            elif name in self.SCENE:
                scene[name] = self.SCENE[name].check(type(self).__name__, name, value)
            else:
                raise unknown(f"parameter of {chosen.key}", name, [*parameters, *states, *self.SCENE])
        return self._settle(chosen, preset, parameters, given, scene)

    def _accept(self, result: Any, by: str | None) -> None:
        """Show a new setting; `by` is the control that was moved, None for a call."""
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
        self._method = self._list("method", "Method", [(m.title, key) for key, m in self._methods.items()])
        self._preset = self._list("preset", "Preset")
        self._scenery = {
            name: control(name, p, self._result.scene[name], self._changed) for name, p in self.SCENE.items()
        }
        self._front, self._drawer = widgets.VBox(), widgets.VBox()
        drawer = widgets.Accordion([self._drawer], titles=["More settings"])
        self._page = Page()
        self._page.observe(lambda _: self._show(), "dark")
        self._sentence, self._formula, self._problem = widgets.HTML(), widgets.HTMLMath(), widgets.HTML()
        self._canvas = Canvas(go.FigureWidget, *self._drawing(dark=False))
        figure = self._canvas.figure.update_layout(FRAME)
        figure._config = figure._config | theme.CONFIG
        scene = [made.row for made in self._scenery.values()]
        top = [self._method, self._preset, *self._top(), self._problem]
        left = widgets.VBox([*top, self._front, *scene, drawer, self._page])
        right = widgets.VBox([self._sentence, figure, self._formula])
        super().__init__([left, right])
        for box, name in ((self, "panel"), (left, "controls"), (right, "view")):
            box.add_class(f"workbench-{name}")

    def _list(self, name: str, text: str, options: Any = ()) -> widgets.Dropdown:
        """A list to choose from, which changes what `set` calls by that name."""
        box = widgets.Dropdown(options=options, description=text)
        box.observe(lambda change: self._changed(name, change["new"]), "value")
        return box

    def _arrange(self) -> None:
        """For another method or preset: its controls, those that move what is drawn in front, and its formula."""
        result = self._result
        key = result.method.key
        params = self._declared(result) | self._states(result.method)
        if key not in self._controls:
            values = result.parameters | result.state
            self._controls[key] = {name: control(name, p, values[name], self._changed) for name, p in params.items()}
        front = [name for name, p in params.items() if self._moves(result, name, p)]
        rows = {name: c.row for name, c in self._controls[key].items()}
        self._front.children = [rows[name] for name in front]
        idle = widgets.HTML(f'<div class="workbench-meaning">{self.IDLE}</div>')
        self._drawer.children = [idle, *(row for name, row in rows.items() if name not in front)]
        self._method.value = key
        self._preset.options = list(result.method.presets)
        self._preset.value = result.preset
        self._formula.value = formula(result, self.WHERE)

    def _show(self, problem: str = "") -> None:
        """Write the present setting into every widget."""
        with self._lock:
            self._showing = True
            try:
                self._canvas.draw(*self._drawing(self._page.dark if self._dark is None else self._dark))
                self._fill()
                self._problem.value = f'<div class="workbench-problem" role="alert">{escape(problem)}</div>'
                self._sentence.value = f'<div class="workbench-sentence" role="status">{self._said()}</div>'
                remember(self._canvas)
            finally:
                self._showing = False

    def _fill(self) -> None:
        """Write the present values into the controls."""
        result = self._result
        if self._arranged != (result.method.key, result.preset):
            self._arrange()
            self._arranged = (result.method.key, result.preset)
        values = result.parameters | result.state
        for name, made in self._controls[result.method.key].items():
            made.show(values[name])
        for name, made in self._scenery.items():
            made.show(result.scene[name])


def remember(canvas: Canvas) -> None:
    """Let a page that is opened or loaded again later start from what is drawn now.

    Plotly keeps this record only of a figure that is displayed alone. It is written past the traits, because the pages
    that are open have it already.
    """
    data = [{"uid": old.uid} | new for old, new in zip(canvas.figure.data, canvas.traces, strict=True)]
    layout = FRAME | canvas.layout | {"template": canvas.layout["template"].to_plotly_json()}
    canvas.figure._trait_values |= {"_widget_data": data, "_widget_layout": layout}


def button(text: str, tooltip: str, action: Any) -> widgets.Button:
    """A button that calls action()."""
    made = widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: action())
    return made


def formula(result: Setting, where: str) -> str:
    """What the margin does, its equations and where it was published, as HTML with LaTeX."""
    margin = type(result.margin)
    first = (inspect.getdoc(margin) or "").split("\n")[0]
    says = "" if first.startswith(f"{margin.__name__}(") else first  # the line that dataclass writes by itself
    written, *computed = (next(c for c in margin.__mro__ if name in vars(c)) for name in ("latex", "T", "N"))
    equations = margin.latex if all(issubclass(written, c) for c in computed) else ()  # else those of another T or N
    lines = "".join(f"<div>${escape(line)}$</div>" for line in equations)
    return (
        f'<div>{escape(says)}</div><div class="workbench-equations">{lines}</div>'
        f'<div class="workbench-meaning">{where} {escape(result.method.citation)}</div>'
    )
