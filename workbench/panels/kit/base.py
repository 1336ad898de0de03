"""Base class of the panels of one loss: method and preset lists, generated controls, `set`, `reset`, figure.

A panel computes its result from a setting (`_build_setting`) and draws it (`_drawing`). Every control has an equivalent
call, so the same panel runs in a script; `panel.result` holds the numbers.
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
from workbench.panels.kit.controls import Control, Page, control, problem_html
from workbench.panels.method_setting import MethodSetting, state_names
from workbench.views import theme
from workbench.views.canvas import Canvas, Trace

FRAME = {"autosize": True}  # the figure is as wide as its column


class MethodPanel(widgets.HBox):
    """Base of the panels of one loss.

    method, preset: the initial ones (None: `margin`, or the class's START); scene: initial values of SCENE; margin: a
    user-defined margin, drawn like the published ones; dark: whether the theme is dark (None: the theme of the page).
    Widgets: method_list, preset_list, controls (by method and parameter) in front and drawer, scene_controls,
    sentence, formula, message, page.
    """

    START: ClassVar[str] = "arcface"
    SCENE: ClassVar[dict[str, Param]] = {}  # settings beside the method's parameters and states
    IDLE: ClassVar[str] = "At the preset's values these parameters have no effect here."
    WHERE: ClassVar[str] = ""  # the geometry of the drawing, in the symbols of the formula

    def __init__(
        self, method: str | None, preset: str | None, scene: dict[str, Any], margin: Margin | None, dark: bool | None
    ) -> None:
        given = [as_method(margin)] if margin is not None else []
        self._methods = {m.key: m for m in given} | {key: m for key, m in METHODS.items() if m.has_logits}
        self._scene, self._dark = scene, dark
        self._lock = threading.RLock()  # callbacks and cells may run in different threads
        self._showing = False  # widgets are being filled: ignore their events
        self._arranged: tuple[str, str] | None = None  # method and preset of the present controls
        self.controls: dict[str, dict[str, Control]] = {}  # by method, created on first use
        self._result = self._change(method or (given[0].key if given else self.START), preset, **scene)
        self._build()
        self._show()

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._result.label}. {self._result.words()}"

    @property
    def result(self) -> Any:
        """The numbers of the present setting."""
        return self._result

    def set(self, method: str | None = None, preset: str | None = None, **values: Any) -> Any:
        """Change the method, its preset, parameters, states and SCENE values; on an error nothing changes.

        A new method or preset starts from the preset's values. Raises InputError for an unknown name or an invalid
        value.
        """
        with self._lock:
            self._set_result(self._change(method, preset, **values), by=None)
            return self._result

    def reset(self) -> Any:
        """Restore the preset's values, the state before training and the initial SCENE values."""
        return self.set(preset=self._result.preset, **self._scene)

    def _values(self, method: Method, preset: str) -> dict[str, Any]:
        """The adjustable parameters and their values under a preset."""
        raise NotImplementedError

    def _all_states(self, method: Method) -> dict[str, Param]:
        """The states that can be set, by their own names."""
        raise NotImplementedError

    def _states(self, method: Method) -> dict[str, Param]:
        """The states that can be set, by their names in `set`."""
        states, parameters = self._all_states(method), self._values(method, next(iter(method.presets)))
        return {key: states[name] for key, name in state_names(states, parameters).items()}

    def _params(self, result: Any) -> dict[str, Param]:
        """The declaration (Param) of each adjustable parameter."""
        raise NotImplementedError

    def _build_setting(
        self, method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
    ) -> MethodSetting:
        """Compute the result for these values. Raises InputError for an invalid value."""
        raise NotImplementedError

    def _moves(self, result: Any, name: str, p: Param) -> bool:
        """Whether another value of one parameter or state would change the drawing."""
        raise NotImplementedError

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        """The traces and the layout of the present setting."""
        raise NotImplementedError

    def _sentence_html(self) -> str:
        """The sentence above the figure, as HTML."""
        return escape(self._result.words())

    def _top(self) -> list[widgets.Widget]:
        """Additional widgets below the method and preset lists."""
        return []

    def _change(self, method: str | None = None, preset: str | None = None, **values: Any) -> MethodSetting:
        """The setting after these changes; the panel itself does not change."""
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
        return self._build_setting(chosen, preset, parameters, given, scene)

    def _set_result(self, result: Any, by: str | None) -> None:
        """Show a new setting. by: the control that was moved; None for a call of `set`."""
        self._result = result
        self._show()

    def _on_change(self, name: str, value: Any) -> None:
        """Callback of a control. An invalid value is reported and reverted."""
        with self._lock:
            if self._showing:
                return
            try:
                result = self._change(**{name: value})
            except Exception as error:  # a user-defined margin may raise anything, and a callback has no caller
                self._show(problem=f"Not possible: {error}")
            else:
                self._set_result(result, by=name)

    def _build(self) -> None:
        """Create the widgets; `_show` fills them."""
        self.method_list = self._list("method", "Method", [(m.title, key) for key, m in self._methods.items()])
        self.preset_list = self._list("preset", "Preset")
        self.scene_controls = {
            name: control(name, p, self._result.scene[name], self._on_change) for name, p in self.SCENE.items()
        }
        self.front, self.drawer = widgets.VBox(), widgets.VBox()
        drawer = widgets.Accordion([self.drawer], titles=["More settings"])
        self.page = Page()
        self.page.observe(lambda _: self._show(), "dark")
        self.sentence, self.formula, self.message = widgets.HTML(), widgets.HTMLMath(), widgets.HTML()
        self._canvas = Canvas(go.FigureWidget, *self._drawing(dark=False))
        figure = self._canvas.figure.update_layout(FRAME)
        figure._config = figure._config | theme.CONFIG
        scene = [c.row for c in self.scene_controls.values()]
        top = [self.method_list, self.preset_list, *self._top(), self.message]
        left = widgets.VBox([*top, self.front, *scene, drawer, self.page])
        right = widgets.VBox([self.sentence, figure, self.formula])
        super().__init__([left, right])
        for box, name in ((self, "panel"), (left, "controls"), (right, "view")):
            box.add_class(f"workbench-{name}")

    def _list(self, name: str, text: str, options: Any = ()) -> widgets.Dropdown:
        """A dropdown that sets the argument `name` of `set`."""
        box = widgets.Dropdown(options=options, description=text)
        box.observe(lambda change: self._on_change(name, change["new"]), "value")
        return box

    def _arrange(self) -> None:
        """Lay out the controls of a new method or preset, those that change the drawing first, and its formula."""
        result = self._result
        key = result.method.key
        params = self._params(result) | self._states(result.method)
        if key not in self.controls:
            values = result.parameters | result.state
            self.controls[key] = {name: control(name, p, values[name], self._on_change) for name, p in params.items()}
        front = [name for name, p in params.items() if self._moves(result, name, p)]
        rows = {name: c.row for name, c in self.controls[key].items()}
        self.front.children = [rows[name] for name in front]
        idle = widgets.HTML(f'<div class="workbench-meaning">{self.IDLE}</div>')
        self.drawer.children = [idle, *(row for name, row in rows.items() if name not in front)]
        self.method_list.value = key
        self.preset_list.options = list(result.method.presets)
        self.preset_list.value = result.preset
        self.formula.value = formula_html(result, self.WHERE)

    def _show(self, problem: str = "") -> None:
        """Write the present setting to every widget."""
        with self._lock:
            self._showing = True
            try:
                self._canvas.draw(*self._drawing(self.page.dark if self._dark is None else self._dark))
                self._fill()
                self.message.value = problem_html(problem)
                self.sentence.value = f'<div class="workbench-sentence" role="status">{self._sentence_html()}</div>'
                store_figure_state(self._canvas)
            finally:
                self._showing = False

    def _fill(self) -> None:
        """Write the present values to the controls."""
        result = self._result
        if self._arranged != (result.method.key, result.preset):
            self._arrange()
            self._arranged = (result.method.key, result.preset)
        values = result.parameters | result.state
        for name, c in self.controls[result.method.key].items():
            c.show(values[name])
        for name, c in self.scene_controls.items():
            c.show(result.scene[name])


def store_figure_state(canvas: Canvas) -> None:
    """Store the present drawing as the initial state of a page that is opened or reloaded later.

    Plotly keeps this state only for a figure that is displayed alone. The traits are bypassed, because open pages are
    already up to date.
    """
    data = [{"uid": old.uid} | new for old, new in zip(canvas.figure.data, canvas.traces, strict=True)]
    layout = FRAME | canvas.layout | {"template": canvas.layout["template"].to_plotly_json()}
    canvas.figure._trait_values |= {"_widget_data": data, "_widget_layout": layout}


def formula_html(result: MethodSetting, where: str) -> str:
    """The summary, equations and citation of a margin, as HTML with LaTeX."""
    margin = type(result.margin)
    first = (inspect.getdoc(margin) or "").split("\n")[0]
    summary = "" if first.startswith(f"{margin.__name__}(") else first  # the signature that dataclass generates
    latex_class, *margin_classes = (next(c for c in margin.__mro__ if name in vars(c)) for name in ("latex", "T", "N"))
    equations = margin.latex if all(issubclass(latex_class, c) for c in margin_classes) else ()  # T or N is overridden
    lines = "".join(f"<div>${escape(line)}$</div>" for line in equations)
    return (
        f'<div>{escape(summary)}</div><div class="workbench-equations">{lines}</div>'
        f'<div class="workbench-meaning">{where} {escape(result.method.citation)}</div>'
    )
