"""What a panel shows: a method under a preset, as changed since; and the curves that follow, for a MarginPanel."""

import dataclasses
import itertools
import math
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.core.angles import format_angle, format_angles
from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.curves import Curve, boundaries, curve, ideal_boundaries
from workbench.curves.slice import slice_logits
from workbench.margins.base import Margin
from workbench.methods.method import Method, own_values
from workbench.views.curves import SAME

THETA = Param("θ", "angle between the two centers", unit="rad", low=0.1, high=math.pi)


@dataclass(frozen=True, eq=False)
class Setting:
    """A method under a preset, and the value of everything that a person may have changed since, by name.

    given: the states set by hand; scene: what is not the method's, such as the angle between two centers.
    """

    method: Method
    preset: str
    margin: Margin
    parameters: dict[str, Any]
    given: dict[str, float]
    scene: dict[str, Any]

    @property
    def label(self) -> str:
        """The method, the preset, and what was changed since: 'ArcFace (paper, m = 0.4)'."""
        preset = self.method.settings(self.preset)
        changed = {k: v for k, v in self.parameters.items() if v != preset[k]} | self.given
        values = [f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in changed.items()]
        return f"{self.method.title} ({', '.join([self.preset, *values])})"


@dataclass(frozen=True, eq=False)
class Curves(Setting):
    """A margin on the arc between two centers. actual, ideal: every boundary in rad from the target center.

    curve.state is the whole state of the margin.
    """

    curve: Curve
    actual: np.ndarray
    ideal: np.ndarray

    @property
    def theta(self) -> float:
        """The angle between the two centers in rad."""
        return self.scene["theta"]

    @property
    def state(self) -> dict[str, float]:
        """The value of every state of the margin, by the name `MarginPanel.set` takes."""
        return {key: self.curve.state[name] for key, name in state_names(self.margin.states, self.parameters).items()}

    def summary(self) -> dict[str, float]:
        """theta and the last boundaries in rad (NaN: none), how many there are, the ends and jumps of the curves."""
        last = {"actual": self.actual, "ideal": self.ideal}
        ends = {name: float(at[-1]) if len(at) else math.nan for name, at in last.items()}
        return {"theta": self.theta} | ends | {"boundaries": float(len(self.actual))} | self.curve.summary()

    def words(self) -> str:
        """Where the boundary lies and how that compares with the ideal one, in a sentence."""
        if len(self.actual) == 0:
            winner = "target" if self.curve.T[0] > self.curve.N[0] else "other class"
            return f"There is no boundary: the {winner} wins all the way between the two centers."
        if len(self.actual) > 1:
            actual, ideal = format_angles(self.actual), format_angles(self.ideal)
            return f"T and N cross {len(self.actual)} times, at {actual}; ideal: {ideal}."
        at = float(self.actual[0])
        lies = f"The boundary lies at {format_angle(at)}"
        if len(self.ideal) != 1:
            return f"{lies}; the positive margin alone would draw {len(self.ideal) or 'none'}."
        ideal = float(self.ideal[0])
        if abs(at - self.theta / 2) < SAME:
            return f"{lies}, halfway between the two centers."
        if abs(at - ideal) < SAME:
            return f"{lies}, where the ideal one is."
        word = "wider" if at > ideal else "narrower"
        return f"{lies}, {math.degrees(abs(at - ideal)):.1f}° {word} than the ideal {math.degrees(ideal):.1f}°."


def settle(
    method: Method, preset: str, parameters: dict[str, Any], given: dict[str, float], scene: dict[str, Any]
) -> Curves:
    """The curves with these values. Raises InputError for a value that is not allowed."""
    names = state_names(method.margin.states, parameters)
    margin = method.margin(**parameters)
    at = {"theta": scene["theta"], "state": {names[key]: value for key, value in given.items()}}
    lines = curve(margin, **at), boundaries(margin, **at), ideal_boundaries(margin, **at)
    return Curves(method, preset, margin, own_values(margin), given, scene, *lines)


def preset_values(method: Method, preset: str) -> dict[str, Any]:
    """The margin's parameters under a preset; not the scale, which stretches both curves alike."""
    names = {f.name for f in dataclasses.fields(method.margin)}
    return {name: value for name, value in method.settings(preset).items() if name in names}


def state_names(states: Iterable[str], parameters: Container[str]) -> dict[str, str]:
    """States by the names they are set under: their own, or with `state_` before it where a parameter has that."""
    return {f"state_{name}" if name in parameters else name: name for name in states}


def moves_curves(setting: Curves, name: str, p: Param) -> bool:
    """Whether another value of one parameter or state would change T or N, with the state of now or a late one."""
    phi = torch.linspace(0, setting.theta, 65, dtype=torch.float64)
    margin, states = setting.margin, state_names(setting.margin.states, setting.parameters)
    late = {key: min(state.high, 1.0) for key, state in margin.states.items()}

    def values(margin: Margin, state: dict[str, Any]) -> torch.Tensor:
        return torch.stack(slice_logits(margin, setting.theta, state)[0](phi))

    for other, state in itertools.product(p.choices or (p.low, p.high), (setting.curve.state, late)):
        try:
            if name in states:
                after = values(margin, state | {states[name]: other})
            else:
                after = values(dataclasses.replace(margin, **{name: other}), state)
        except InputError:  # not together with the other values
            continue
        if not torch.allclose(values(margin, state), after, rtol=0, atol=1e-9):
            return True
    return False
