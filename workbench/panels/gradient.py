"""GradientPanel: see where a loss pulls a sample and where it pushes it, beside another loss or as a difference.

The panel draws what `workbench.curves.gradients` finds by autograd on the loss that training uses. Every control has
its call:
`panel.set(m=0.4, s=32)`, `panel.set(against="npcface")`, `panel.swap()`, `panel.reset()`; `panel.result` holds the
numbers, `panel.result.against` those of the second loss.
"""

import math
import warnings
from dataclasses import dataclass, replace
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np
import torch

from workbench.centers.full import FullCenters
from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Param
from workbench.curves.gradients import GradientMap, cosines_at, gradient_map, gradients, set_state
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins.base import Margin
from workbench.methods.method import Method, own_values
from workbench.panels.kit.base import MethodPanel, button
from workbench.panels.kit.controls import declared
from workbench.panels.setting import Setting, state_names
from workbench.views.canvas import Trace
from workbench.views.gradients import LabeledMap, drawing

CLASSES = 1000  # for which an objective is made: AdaCos's scale and UniFace's threshold start from it
NOTHING = ""  # to compare with
SAMPLE = math.radians(60), math.radians(69)  # theta_y, theta_j of the sample whose gradients are told in words
COARSE = torch.meshgrid(*[torch.linspace(0.05, 3.1, 13, dtype=torch.float64)] * 2, indexing="ij")


@dataclass(frozen=True, eq=False)
class Gradients(Setting):
    """The gradient of one loss over the plane, and of the second one if there is one; state: its values by name."""

    map: GradientMap
    state: dict[str, float]
    caution: str | None
    against: "Gradients | None" = None

    def summary(self) -> dict[str, float]:
        """The strongest pull and push, and the shares of the plane where training moves a cosine the wrong way."""
        return self.map.summary()

    def words(self) -> str:
        """What training does to one sample, and where it does the opposite of what it should."""
        m = self.map
        column, row = np.abs(m.theta_y - SAMPLE[0]).argmin(), np.abs(m.theta_j - SAMPLE[1]).argmin()
        at = f"θ_y = {math.degrees(m.theta_y[column]):.0f}°, θ_j = {math.degrees(m.theta_j[row]):.0f}°"
        pull, push = -m.target[row, column], m.negative[row, column]
        told = f"A sample at {at} is pulled to its own center with {pull:.3g}, pushed off the other with {push:.3g}."
        wrong = [
            f"{way} on {where.mean():.1%} of the plane ({name} {span(angles[where.any(axis=axis)])})"
            for way, where, name, angles, axis in (
                ("away from its own center", m.wrong_target, "θ_y", m.theta_y, 0),
                ("towards the other one", m.wrong_negative, "θ_j", m.theta_j, 1),
            )
            if where.any()
        ]
        return f"{told} Samples are moved the wrong way: {', '.join(wrong)}." if wrong else told


def span(angles: np.ndarray) -> str:
    """The range of some angles in rad, in degrees."""
    return f"{math.degrees(angles.min()):.0f}–{math.degrees(angles.max()):.0f}°"


class GradientPanel(MethodPanel):
    """The gradients of a loss to play with: `GradientPanel("arcface", against="npcface")` in a cell shows them.

    method, preset, against, against_preset: the loss, and the one beside it, if any; margin: a margin of your own, at
    scale s; dark: None follows the page's theme. Raises InputError for unknown names and bad values.
    """

    SCENE: ClassVar[dict[str, Param]] = {
        "show": Param("show", "gradient on which cosine", choices=("both", "target", "negative")),
        "compare": Param("two losses", "beside each other, or first minus second", choices=("beside", "difference")),
        "rest": Param("others", "further centers, all at θ_rest", low=0, high=200),
        "theta_rest": Param("θ_rest", "angle to those", unit="rad", low=0.0, high=math.pi),
        "norm": Param("‖x‖", "length of the embedding, where the loss uses it", low=1.0, high=110.0),
    }
    IDLE: ClassVar[str] = "At the preset's values these leave the gradients as they are."

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
        """Change both methods, their presets, and of the first what else has a name: all of it, or nothing.

        A method or preset starts from the preset's values; against = "" compares with nothing. Raises InputError for an
        unknown name and for a bad value.
        """
        return super().set(method, preset, against=against, against_preset=against_preset, **values)

    def swap(self) -> None:
        """Exchange the two losses, so that the controls move the other one."""
        with self._lock:
            first, second = self._result, self._result.against
            if second is not None:
                self._accept(replace(second, against=replace(first, against=None)), by=None)

    def _settled(
        self,
        method: str | None = None,
        preset: str | None = None,
        against: str | None = None,
        against_preset: str | None = None,
        **values: Any,
    ) -> Gradients:
        first = super()._settled(method, preset, **values)
        other = self._result.against if hasattr(self, "_result") else None
        if against == NOTHING:
            return first
        if against is None and against_preset is None:
            if other is None or other.scene == first.scene:
                return replace(first, against=other)
            again = self._settle(other.method, other.preset, other.parameters, other.given, first.scene)
            return replace(first, against=again)
        if against is None and other is None:
            raise InputError(f"against_preset = {against_preset!r}: of which method? Give `against` as well")
        key = against or other.method.key
        if key not in self._methods:
            raise unknown("method", key, self._methods)
        chosen = self._methods[key]
        preset = against_preset or next(iter(chosen.presets))
        return replace(first, against=self._settle(chosen, preset, self._values(chosen, preset), {}, first.scene))

    def _values(self, method: Method, preset: str) -> dict[str, Any]:
        return method.settings(preset)

    def _states(self, method: Method) -> dict[str, Param]:
        states = method.margin.states | method.scale.states
        taken = method.settings(next(iter(method.presets)))
        return {key: states[name] for key, name in state_names(states, taken).items()}

    def _declared(self, result: Gradients) -> dict[str, Param]:
        return result.method.parameters() | declared(result.margin)

    def _settle(
        self, method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
    ) -> Gradients:
        objective, state = composed(method, parameters, given)
        scene = scene | {"rest": float(round(scene["rest"]))}
        found = gradient_map(objective, rest=int(scene["rest"]), theta_rest=scene["theta_rest"], norm=scene["norm"])
        now = objective.parameters_now() | own_values(objective.margin)
        caution = objective.margin.caution(objective.s)
        return Gradients(method, preset, objective.margin, now, given, scene, found, state, caution)

    def _moves(self, result: Gradients, name: str, p: Param) -> bool:
        return moves_gradients(result, self._states(result.method), name, p)

    def _top(self) -> list[widgets.Widget]:
        methods = [(m.title, key) for key, m in self._methods.items()]
        self._against = self._list("against", "Against", [("nothing", NOTHING), *methods])
        self._against_preset = self._list("against_preset", "preset")
        reset = button("Reset", "back to the values of the preset", self.reset)
        self._swap = button("Swap", "exchange the two losses, so that the controls move the other one", self.swap)
        return [self._against, self._against_preset, widgets.HBox([reset, self._swap])]

    def _fill(self) -> None:
        super()._fill()
        other = self._result.against
        self._against.value = other.method.key if other else NOTHING
        self._against_preset.disabled = self._swap.disabled = other is None
        self._against_preset.options = list(other.method.presets) if other else []
        self._against_preset.value = other.preset if other else None

    def _said(self) -> str:
        shown = [s for s in (self._result, self._result.against) if s]
        cautions = [f'<div class="workbench-problem">{escape(s.caution)}</div>' for s in shown if s.caution]
        told = [f"<div><b>{escape(s.method.title)}.</b> {subscripts(s.words())}</div>" for s in shown]
        return "".join([*told, *cautions])

    def _drawing(self, dark: bool) -> tuple[list[Trace], dict[str, Any]]:
        shown = [LabeledMap(s.label, s.map) for s in (self._result, self._result.against) if s]
        return drawing(shown, self._result.scene["show"], self._result.scene["compare"], dark)


def subscripts(words: str) -> str:
    """The words as HTML, with the indices of the angles below the line."""
    return escape(words).replace("θ_y", "θ<sub>y</sub>").replace("θ_j", "θ<sub>j</sub>")


def composed(
    method: Method, parameters: dict[str, Any], given: dict[str, float]
) -> tuple[MarginSoftmax, dict[str, float]]:
    """The objective with these parameters and states, and the value of every state by the name `set` takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a margin cautions about stands in the panel
        objective = method.objective(parameters, FullCenters(CLASSES, 2, 0, method.similarity_of(parameters)))
    names = state_names(method.margin.states | method.scale.states, parameters)
    set_state(objective, {names[key]: value for key, value in given.items()})
    return objective, {key: float(objective.state[name]) for key, name in names.items()}


def moves_gradients(result: Gradients, states: dict[str, Param], name: str, p: Param) -> bool:
    """Whether another value of one parameter or state would change the map, with the state of now or a late one."""
    late = {key: min(state.high, 1.0) for key, state in states.items()}
    cos = cosines_at(COARSE[0].flatten(), COARSE[1].flatten(), int(result.scene["rest"]), result.scene["theta_rest"])

    def values(parameters: dict[str, Any], given: dict[str, float]) -> torch.Tensor:
        return gradients(composed(result.method, parameters, given)[0], cos, result.scene["norm"])[0]

    for given in (result.state, late)[: 2 if states else 1]:
        now = values(result.parameters, given)
        for other in p.choices or (p.low, p.high):
            try:
                if name in states:
                    after = values(result.parameters, given | {name: other})
                else:
                    after = values(result.parameters | {name: other}, given)
            except InputError:  # not together with the other values
                continue
            if not torch.allclose(now, after, rtol=1e-6, atol=1e-9):
                return True
    return False
