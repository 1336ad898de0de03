"""The input of CurvesView (a loss at a training state), and the values that it sends to the browser."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.parameters import Param
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.curves.ladder import Rung, has_range, is_logarithmic
from workbench.margins.base import Margin
from workbench.methods.method import Method, own_values
from workbench.panels.kit.controls import slider_step
from workbench.panels.method_setting import Curves

POINTS = 257  # of a curve
DRIFT = {"rtol": 0.02, "atol": 0.005}  # change of the state after which a ladder is built again


@dataclass(frozen=True)
class CurvesRequest:
    """The arguments of a call of `CurvesView.show`."""

    method: Method
    margin: Margin
    values: dict[str, Any]
    theta: float
    state: dict[str, float]
    norm: float | None
    hardness: float | None

    @property
    def setting(self) -> tuple[Any, ...]:
        """The values that determine the curves and that only the user changes."""
        return type(self.margin), self.margin, self.theta

    @property
    def live(self) -> dict[str, float]:
        """The values that training changes, by name."""
        return self.state | ({} if self.norm is None else {"norm": self.norm})

    def key_without(self, name: str) -> tuple[Any, ...]:
        """The setting without one parameter: what the ladder of that parameter depends on."""
        others = {key: value for key, value in own_values(self.margin).items() if key != name}
        return type(self.margin), others, self.theta


@dataclass(frozen=True, eq=False)
class BuiltLadder:
    """A ladder of one parameter, the key and the live values it was built for. No rungs: it does not move a curve."""

    key: tuple[Any, ...]
    live: dict[str, float]
    version: int
    rungs: list[Rung]

    def is_current(self, request: CurvesRequest, name: str) -> bool:
        """Whether the ladder is valid for a request, up to a drift of the live values that is not visible."""
        if self.key != request.key_without(name) or self.live.keys() != request.live.keys():
            return False
        return all(np.isclose(value, self.live[key], **DRIFT) for key, value in request.live.items())

    def message(self) -> tuple[dict[str, Any], np.ndarray]:
        """The ladder for the browser: values (K,) and the marks of each as JSON; T and N (2, K, P)."""
        marks = [[at.tolist() for at in (r.T_jumps, r.N_jumps, r.actual, r.ideal)] for r in self.rungs]
        head = {"version": self.version, "theta": self.key[-1], "values": [r.value for r in self.rungs], "marks": marks}
        return head, np.array([[r.T for r in self.rungs], [r.N for r in self.rungs]], dtype=np.float32)


def compute_curves(request: CurvesRequest) -> Curves:
    """The curves and boundaries of a request."""
    method, margin = request.method, request.margin
    at = {"theta": request.theta, "state": request.state, "norm": request.norm}
    lines = curve(margin, points=POINTS, **at), boundaries(margin, **at), ideal_boundaries(margin, **at)
    preset = next(iter(method.presets))
    return Curves(method, preset, margin, own_values(margin), {}, {"theta": request.theta}, *lines)


def curve_marks(result: Curves) -> list[list[float]]:
    """The jumps of T, the jumps of N, the actual and the ideal boundaries, in rad."""
    return [at.tolist() for at in (result.curve.T_jumps, result.curve.N_jumps, result.actual, result.ideal)]


def control_spec(name: str, p: Param, front: bool) -> dict[str, Any]:
    """The control of a parameter, as JSON. An open range, and one too wide for a slider, is omitted."""
    spec = {"name": name, "symbol": p.symbol, "meaning": p.meaning, "unit": p.unit, "front": front}
    if p.choices:
        return spec | {"choices": list(p.choices)}
    if not has_range(p):
        return spec
    return spec | {"low": p.low, "high": p.high, "step": slider_step(p.high - p.low), "factors": is_logarithmic(p)}


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter values for JSON: numbers as float, other values unchanged."""
    return {name: v if isinstance(v, (str, bool)) else float(v) for name, v in values.items()}


def describe_state(request: CurvesRequest) -> str:
    """The margin's state as text: 't = 0.312'."""
    known = ((p.symbol, request.state[name]) for name, p in request.margin.states.items() if name in request.state)
    return ", ".join(f"{symbol} = {value:.4g}" for symbol, value in known)


def describe_live(request: CurvesRequest) -> str:
    """The values that training changes, as text."""
    parts = [describe_state(request)] if request.state else []
    if request.hardness is not None:
        parts.append(f"mean hard cosine {request.hardness:.3f}")
    if request.norm is not None:
        parts.append(f"mean embedding length {request.norm:.4g}")
    return ", ".join(parts)


def hard_mark(request: CurvesRequest) -> list[float] | None:
    """The point of the arc where the other center has the mean hard cosine: [phi in rad, cosine]; None if outside."""
    if request.hardness is None or not -1 <= request.hardness <= 1:
        return None
    phi = request.theta - math.acos(request.hardness)
    return [phi, request.hardness] if 0 <= phi <= request.theta else None
