"""The setting of a panel: method, preset and changed values; the curves and the loss with these values."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.centers.full import FullCenters
from workbench.core.angles import format_angle, format_angles
from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.curves import Curve, boundaries, curve, ideal_boundaries
from workbench.curves.gradients import set_state
from workbench.curves.slice import slice_logits
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins.base import Margin
from workbench.methods.method import Method, own_values
from workbench.views.curves import SAME

THETA = Param("θ", "angle between the two centers", unit="rad", low=0.1, high=math.pi)


@dataclass(frozen=True, eq=False)
class MethodSetting:
    """A method, its preset, and the present values of its parameters.

    given: states that were set explicitly; scene: values that do not belong to the method, such as the angle between
    two class centers.
    """

    method: Method
    preset: str
    margin: Margin
    parameters: dict[str, Any]
    given: dict[str, float]
    scene: dict[str, Any]

    @property
    def label(self) -> str:
        """The method, the preset and the changed values: 'ArcFace (paper, m = 0.4)'."""
        preset = self.method.settings(self.preset)
        changed = {k: v for k, v in self.parameters.items() if v != preset[k]} | self.given
        values = [f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in changed.items()]
        return f"{self.method.title} ({', '.join([self.preset, *values])})"


@dataclass(frozen=True, eq=False)
class Curves(MethodSetting):
    """A margin on the arc between two class centers. actual, ideal: boundaries in rad from the target center.

    curve.state holds all states of the margin.
    """

    curve: Curve
    actual: np.ndarray
    ideal: np.ndarray

    @property
    def theta(self) -> float:
        """Angle between the two class centers in rad."""
        return self.scene["theta"]

    @property
    def state(self) -> dict[str, float]:
        """The states of the margin, by their names in `MarginPanel.set`."""
        return {key: self.curve.state[name] for key, name in state_names(self.margin.states, self.parameters).items()}

    def summary(self) -> dict[str, float]:
        """theta and the last boundaries in rad (NaN: none), the number of boundaries, ends and jumps of the curves."""
        last = {"actual": self.actual, "ideal": self.ideal}
        ends = {name: float(at[-1]) if len(at) else math.nan for name, at in last.items()}
        return {"theta": self.theta} | ends | {"boundaries": float(len(self.actual))} | self.curve.summary()

    def words(self) -> str:
        """A sentence on the actual boundary, compared with the ideal one."""
        if len(self.actual) == 0:
            winner = "target" if self.curve.T[0] > self.curve.N[0] else "other class"
            return f"There is no boundary: the {winner} wins everywhere between the two centers."
        if len(self.actual) > 1:
            actual, ideal = format_angles(self.actual), format_angles(self.ideal)
            return f"T and N cross {len(self.actual)} times, at {actual}; ideal: {ideal}."
        at = float(self.actual[0])
        lies = f"The boundary lies at {format_angle(at)}"
        if len(self.ideal) != 1:
            return f"{lies}; the positive margin alone has {len(self.ideal) or 'none'}."
        ideal = float(self.ideal[0])
        if abs(at - self.theta / 2) < SAME:
            return f"{lies}, halfway between the two centers."
        if abs(at - ideal) < SAME:
            return f"{lies}, same as the ideal one."
        word = "wider" if at > ideal else "narrower"
        return f"{lies}, {math.degrees(abs(at - ideal)):.1f}° {word} than the ideal {math.degrees(ideal):.1f}°."


def curves_setting(
    method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
) -> Curves:
    """The curves of these values. Raises InputError for an invalid value."""
    names = state_names(method.margin.states, parameters)
    margin = method.margin(**parameters)
    at = {"theta": scene["theta"], "state": {names[key]: value for key, value in given.items()}}
    lines = curve(margin, **at), boundaries(margin, **at), ideal_boundaries(margin, **at)
    return Curves(method, preset, margin, own_values(margin), given, scene, *lines)


def build_objective(
    method: Method, parameters: Mapping[str, Any], state: Mapping[str, float], classes: int
) -> MarginSoftmax:
    """The loss of a method with these parameters and scalar states, over full class centers. Warnings are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objective = method.build_objective(parameters, FullCenters(classes, 2, 0, method.similarity_of(parameters)))
    set_state(objective, state)
    return objective


def preset_values(method: Method, preset: str) -> dict[str, Any]:
    """The parameters of the margin under a preset, without the scale, which multiplies both curves."""
    names = {f.name for f in dataclasses.fields(method.margin)}
    return {name: value for name, value in method.settings(preset).items() if name in names}


def state_names(states: Iterable[str], parameters: Container[str]) -> dict[str, str]:
    """States by their names in `set`: prefixed with `state_` if a parameter has the same name."""
    return {f"state_{name}" if name in parameters else name: name for name in states}


def moves_curves(setting: Curves, name: str, p: Param) -> bool:
    """Whether another value of a parameter or state changes T or N, at the present state or late in training."""
    phi = torch.linspace(0, setting.theta, 65, dtype=torch.float64)
    names = state_names(setting.margin.states, setting.parameters)
    late = {key: min(setting.margin.states[state].high, 1.0) for key, state in names.items()}

    def values(parameters: dict[str, Any], given: dict[str, Any]) -> torch.Tensor:
        margin = dataclasses.replace(setting.margin, **parameters)
        state = {names[key]: value for key, value in given.items()}
        return torch.stack(slice_logits(margin, setting.theta, state)[0](phi))

    return changes_values(values, setting.parameters, (setting.state, late), name, p)


def changes_values(
    values: Callable[[dict[str, Any], dict[str, Any]], torch.Tensor],
    parameters: dict[str, Any],
    states: Iterable[dict[str, Any]],
    name: str,
    p: Param,
    rtol: float = 0.0,
) -> bool:
    """Whether values(parameters, state) changes with one parameter or state, at any of the states."""
    for state in states:
        now = values(parameters, state)
        for other in p.choices or (p.low, p.high):
            try:
                if name in state:
                    after = values(parameters, state | {name: other})
                else:
                    after = values(parameters | {name: other}, state)
            except InputError:  # invalid in combination with the other values
                continue
            if not torch.allclose(now, after, rtol=rtol, atol=1e-9):
                return True
    return False
