"""GradientPanel: the gradient of a loss on the cosines, beside that of another loss or as a difference.

The gradients are those of the training loss, by autograd (`workbench.curves.gradients`). Every control has an
equivalent call: `panel.set(m=0.4, s=32)`, `panel.set(against="npcface")`, `panel.swap()`, `panel.reset()`.
`panel.result` holds the numbers, `panel.result.against` those of the second loss.
"""

import math
from dataclasses import dataclass, replace
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np
import torch

from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Param
from workbench.curves.gradients import GradientMap, cosines_at, gradient_map, gradients
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins.base import Margin
from workbench.methods.method import Method, own_values
from workbench.panels.kit.base import MethodPanel
from workbench.panels.kit.controls import button, margin_params
from workbench.panels.method_setting import MethodSetting, build_objective, changes_values, state_names
from workbench.views.canvas import Trace
from workbench.views.gradients import LabeledMap, drawing

CLASSES = 1000  # number of classes: the initial scale of AdaCos and the threshold of UniFace depend on it
NOTHING = ""  # value of `against`: no second loss
SAMPLE = math.radians(60), math.radians(69)  # theta_y, theta_j of the sample in the summary sentence
COARSE = torch.meshgrid(*[torch.linspace(0.05, 3.1, 13, dtype=torch.float64)] * 2, indexing="ij")


@dataclass(frozen=True, eq=False)
class Gradients(MethodSetting):
    """The gradient of a loss over the plane of both angles. state: states by name; against: the second loss, if any."""

    map: GradientMap
    state: dict[str, float]
    caution: str | None
    against: "Gradients | None" = None

    def summary(self) -> dict[str, float]:
        """The largest gradients, and the fractions of the plane where a gradient step moves a cosine the wrong way."""
        return self.map.summary()

    def words(self) -> str:
        """Sentences on the gradients of one sample, and on the regions with gradients of the wrong sign."""
        m = self.map
        column, row = np.abs(m.theta_y - SAMPLE[0]).argmin(), np.abs(m.theta_j - SAMPLE[1]).argmin()
        at = f"θ_y = {math.degrees(m.theta_y[column]):.0f}°, θ_j = {math.degrees(m.theta_j[row]):.0f}°"
        pull, push = -m.target[row, column], m.negative[row, column]
        unit = "(nats per unit of cosine)"
        text = f"Gradients at {at} {unit}: {pull:.3g} toward the own center, {push:.3g} away from the other."
        wrong = [
            f"{way} on {where.mean():.1%} of the plane ({name} {span(angles[where.any(axis=axis)])})"
            for way, where, name, angles, axis in (
                ("away from the own center", m.wrong_target, "θ_y", m.theta_y, 0),
                ("toward the other center", m.wrong_negative, "θ_j", m.theta_j, 1),
            )
            if where.any()
        ]
        return f"{text} Wrong sign: {', '.join(wrong)}." if wrong else text


def span(angles: np.ndarray) -> str:
    """The range of angles in rad, as text in degrees."""
    return f"{math.degrees(angles.min()):.0f}–{math.degrees(angles.max()):.0f}°"


class GradientPanel(MethodPanel):
    """Interactive gradients of a loss; `GradientPanel("arcface", against="npcface")` in a cell displays them.

    method, preset: the initial ones; against, against_preset: the second loss, if any; margin: a user-defined margin,
    with scale s; dark: whether the theme is dark (None: the theme of the page). Raises InputError for unknown names
    and invalid values.
    """

    SCENE: ClassVar[dict[str, Param]] = {
        "show": Param("show", "cosine whose gradient is shown", choices=("both", "target", "negative")),
        "compare": Param("two losses", "side by side, or first minus second", choices=("beside", "difference")),
        "rest": Param("others", "number of further centers, all at θ_rest", low=0, high=200),
        "theta_rest": Param("θ_rest", "angle to the further centers", unit="rad", low=0.0, high=math.pi),
        "norm": Param("‖x‖", "embedding length, if the loss uses it", low=1.0, high=110.0),
    }
    IDLE: ClassVar[str] = "At the preset's values these parameters do not change the gradients."

    def __init__(
        self,
        method: str | None = None,
        preset: str | None = None,
        against: str = NOTHING,
        against_preset: str | None = None,
        margin: Margin | None = None,
        dark: bool | None = None,
    ) -> None:
        scene = {"show": "both", "compare": "beside", "rest": 0, "theta_rest": math.pi / 2, "norm": 20}
        super().__init__(method, preset, scene, margin, dark)
        if against:
            self.set(against=against, against_preset=against_preset)

    def set(
        self,
        method: str | None = None,
        preset: str | None = None,
        against: str | None = None,
        against_preset: str | None = None,
        **values: Any,
    ) -> Gradients:
        """Change both methods and presets, and parameters, states and SCENE values of the first one.

        A new method or preset starts from the preset's values; against = "" removes the second loss. On an error
        nothing changes. Raises InputError for an unknown name or an invalid value.
        """
        return super().set(method, preset, against=against, against_preset=against_preset, **values)

    def swap(self) -> None:
        """Exchange the two losses. The controls then set the parameters of the other one."""
        with self._lock:
            first, second = self._result, self._result.against
            if second is not None:
                self._set_result(replace(second, against=replace(first, against=None)), by=None)

    def _change(
        self,
        method: str | None = None,
        preset: str | None = None,
        against: str | None = None,
        against_preset: str | None = None,
        **values: Any,
    ) -> Gradients:
        first = super()._change(method, preset, **values)
        other = self._result.against if hasattr(self, "_result") else None
        if against == NOTHING:
            return first
        if against is None and against_preset is None:
            if other is None or other.scene == first.scene:
                return replace(first, against=other)
            other = self._build_setting(other.method, other.preset, other.parameters, other.given, first.scene)
            return replace(first, against=other)
        if against is None and other is None:
            raise InputError(f"against_preset = {against_preset!r} needs `against`, the second method")
        key = against or other.method.key
        if key not in self._methods:
            raise unknown("method", key, self._methods)
        method = self._methods[key]
        preset = against_preset or next(iter(method.presets))
        other = self._build_setting(method, preset, self._values(method, preset), {}, first.scene)
        return replace(first, against=other)

    def _values(self, method: Method, preset: str) -> dict[str, Any]:
        return method.settings(preset)

    def _all_states(self, method: Method) -> dict[str, Param]:
        return method.margin.states | method.scale.states

    def _params(self, result: Gradients) -> dict[str, Param]:
        return result.method.parameters() | margin_params(result.margin)

    def _build_setting(
        self, method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
    ) -> Gradients:
        objective, state = objective_and_state(method, parameters, given)
        scene = scene | {"rest": float(round(scene["rest"]))}
        result = gradient_map(objective, rest=int(scene["rest"]), theta_rest=scene["theta_rest"], norm=scene["norm"])
        now = objective.parameters_now() | own_values(objective.margin)
        caution = objective.margin.caution(objective.s)
        return Gradients(method, preset, objective.margin, now, given, scene, result, state, caution)

    def _moves(self, result: Gradients, name: str, p: Param) -> bool:
        return moves_gradients(result, self._states(result.method), name, p)

    def _top(self) -> list[widgets.Widget]:
        methods = [(m.title, key) for key, m in self._methods.items()]
        self.against_list = self._list("against", "Against", [("nothing", NOTHING), *methods])
        self.against_preset_list = self._list("against_preset", "preset")
        reset = button("Reset", "Restore the values of the preset.", self.reset)
        self.swap_button = button("Swap", "Exchange the two losses. The controls then set the other one.", self.swap)
        return [self.against_list, self.against_preset_list, widgets.HBox([reset, self.swap_button])]

    def _fill(self) -> None:
        super()._fill()
        other = self._result.against
        self.against_list.value = other.method.key if other else NOTHING
        self.against_preset_list.disabled = self.swap_button.disabled = other is None
        self.against_preset_list.options = list(other.method.presets) if other else []
        self.against_preset_list.value = other.preset if other else None

    def _sentence_html(self) -> str:
        shown = [s for s in (self._result, self._result.against) if s]
        cautions = [f'<div class="workbench-problem">{escape(s.caution)}</div>' for s in shown if s.caution]
        words = [f"<div><b>{escape(s.method.title)}.</b> {subscripts(s.words())}</div>" for s in shown]
        return "".join([*words, *cautions])

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        shown = [LabeledMap(s.label, s.map) for s in (self._result, self._result.against) if s]
        return drawing(shown, self._result.scene["show"], self._result.scene["compare"], dark)


def subscripts(words: str) -> str:
    """A text as HTML, with subscripts for the indices of the angles."""
    return escape(words).replace("θ_y", "θ<sub>y</sub>").replace("θ_j", "θ<sub>j</sub>")


def objective_and_state(
    method: Method, parameters: dict[str, Any], given: dict[str, float]
) -> tuple[MarginSoftmax, dict[str, float]]:
    """The loss with these parameters and states, and the values of all states by their names in `set`."""
    names = state_names(method.margin.states | method.scale.states, parameters)
    objective = build_objective(method, parameters, {names[key]: value for key, value in given.items()}, CLASSES)
    return objective, {key: float(objective.state[name]) for key, name in names.items()}


def moves_gradients(result: Gradients, states: dict[str, Param], name: str, p: Param) -> bool:
    """Whether another value of a parameter or state changes the map, at the present state or late in training."""
    late = {key: min(state.high, 1.0) for key, state in states.items()}
    cos = cosines_at(COARSE[0].flatten(), COARSE[1].flatten(), int(result.scene["rest"]), result.scene["theta_rest"])

    def values(parameters: dict[str, Any], given: dict[str, float]) -> torch.Tensor:
        return gradients(objective_and_state(result.method, parameters, given)[0], cos, result.scene["norm"])[0]

    present = (result.state, late) if states else (result.state,)
    return changes_values(values, result.parameters, present, name, p, rtol=1e-6)
