"""What the live curves are drawn from: a loss as it stands while it trains, and all of it that the browser is told."""

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
from workbench.panels.kit.controls import step
from workbench.panels.setting import Curves

POINTS = 257  # of an exact curve
DRIFT = {"rtol": 0.02, "atol": 0.005}  # how far the state may move before a ladder is built anew


@dataclass(frozen=True)
class Asked:
    """What a call of `show` asks for; setting: what a person changes, live: what training moves."""

    method: Method
    margin: Margin
    values: dict[str, Any]
    theta: float
    state: dict[str, float]
    norm: float | None
    hardness: float | None

    @property
    def setting(self) -> tuple[Any, ...]:
        """What decides the curves, but for what training moves."""
        return type(self.margin), self.margin, self.theta

    @property
    def live(self) -> dict[str, float]:
        """What training moves, by name."""
        return self.state | ({} if self.norm is None else {"norm": self.norm})

    def beside(self, name: str) -> tuple[Any, ...]:
        """Everything that a ladder of one parameter depends on, but for what training moves."""
        others = {key: value for key, value in own_values(self.margin).items() if key != name}
        return type(self.margin), others, self.theta


@dataclass(frozen=True, eq=False)
class Built:
    """A ladder that was built: what it belongs to, and its rungs; none where the parameter moves neither curve."""

    beside: tuple[Any, ...]
    live: dict[str, float]
    version: int
    rungs: list[Rung]

    def holds(self, asked: Asked, name: str) -> bool:
        """Whether it is still right, to what the eye can tell."""
        same = self.live.keys() == asked.live.keys()
        return (
            same
            and self.beside == asked.beside(name)
            and all(np.isclose(value, self.live[key], **DRIFT) for key, value in asked.live.items())
        )

    def message(self) -> tuple[dict[str, Any], np.ndarray]:
        """What the browser needs: the values (K,) and the marks at each, as JSON; T and N (2, K, P)."""
        found = [[at.tolist() for at in (r.T_jumps, r.N_jumps, r.actual, r.ideal)] for r in self.rungs]
        head = {"version": self.version, "theta": self.beside[-1], "values": [r.value for r in self.rungs]}
        both = np.array([[r.T for r in self.rungs], [r.N for r in self.rungs]], dtype=np.float32)
        return head | {"marks": found}, both


def exact(asked: Asked) -> Curves:
    """The curves and boundaries, as `workbench.curves` finds them."""
    at = {"theta": asked.theta, "state": asked.state, "norm": asked.norm}
    lines = (
        curve(asked.margin, points=POINTS, **at),
        boundaries(asked.margin, **at),
        ideal_boundaries(asked.margin, **at),
    )
    first = next(iter(asked.method.presets))
    return Curves(asked.method, first, asked.margin, own_values(asked.margin), {}, {"theta": asked.theta}, *lines)


def curve_marks(result: Curves) -> list[list[float]]:
    """Where T jumps, where N jumps, the actual and the ideal boundaries, in rad."""
    return [at.tolist() for at in (result.curve.T_jumps, result.curve.N_jumps, result.actual, result.ideal)]


def spec(name: str, p: Param, front: bool) -> dict[str, Any]:
    """A parameter as the browser needs it; its range is left out where that is open or too wide for a slider."""
    said = {"name": name, "symbol": p.symbol, "meaning": p.meaning, "unit": p.unit, "front": front}
    if p.choices:
        return said | {"choices": list(p.choices)}
    if not has_range(p):
        return said
    return said | {"low": p.low, "high": p.high, "step": step(p.high - p.low), "factors": is_logarithmic(p)}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON takes them: choices as they are, numbers as floats."""
    return {name: v if isinstance(v, (str, bool)) else float(v) for name, v in values.items()}


def told_state(asked: Asked) -> str:
    """The margin's state in words: 't = 0.312'."""
    known = ((p.symbol, asked.state[name]) for name, p in asked.margin.states.items() if name in asked.state)
    return ", ".join(f"{symbol} = {value:.4g}" for symbol, value in known)


def told_live(asked: Asked) -> str:
    """All that training moves and the view shows, in words."""
    said = [told_state(asked)] if asked.state else []
    if asked.hardness is not None:
        said.append(f"mean hard cosine {asked.hardness:.3f}")
    if asked.norm is not None:
        said.append(f"mean length of an embedding {asked.norm:.4g}")
    return ", ".join(said)


def hard_mark(asked: Asked) -> list[float] | None:
    """Where on the arc the other center has the mean hard cosine: phi in rad and that cosine; None: nowhere."""
    if asked.hardness is None or not -1 <= asked.hardness <= 1:
        return None
    phi = asked.theta - math.acos(asked.hardness)
    return [phi, asked.hardness] if 0 <= phi <= asked.theta else None
