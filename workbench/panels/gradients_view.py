"""GradientsView: how hard the loss of now pulls a sample to its own center and pushes it off the hardest other one.

The gradient is that of the training loss itself (`workbench.curves.gradients`), at the parameters and the state of
now, over
the plane of both angles, with the samples on top.
"""

import math
import threading
import time
import warnings
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch

from workbench.centers.full import FullCenters
from workbench.core.angles import format_angle
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.core.threads import spawn
from workbench.curves.gradients import GRID, GradientMap, cosines_at, gradient_map, gradients, set_state, similarities
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS
from workbench.methods.method import Method
from workbench.panels.kit.chart import (
    BLUE,
    VERMILION,
    Axis,
    Chart,
    Group,
    Layer,
    end_above,
    heat_map,
    line,
    mark,
    points,
)
from workbench.panels.kit.view import LiveView
from workbench.probes.hardness import own_and_nearest

PAUSE = 0.5  # seconds between two computations: training shares the processor with them
REST = 64  # further centers at most: those of more classes stand for all of them
SHARE = 0.9  # of the plane whose gradients the colours tell apart; the few larger ones have the last colour
UNIT = "nats per unit of cosine"
PULLS = "pulls closer", "pushes off"
COSINES = [("Pull to the own center: dL/dcos θ_y", "target"), ("Push off the hardest other: dL/dcos θ_j", "negative")]
GROUPS = (Group("well classified", "ink", "circle"), Group("misclassified", "ink", "cross"))
ANGLES = (0.0, math.pi)


@dataclass(frozen=True, eq=False)
class Found:
    """Gradients at one setting: over the plane, and over theta_y with the hardest other center at theta_j (both rad).

    own, other (P,): dL/dcos of the own and of that center at each theta_y of the map; rest, theta_rest: how many
    further centers there are, and at what angle.
    """

    map: GradientMap
    theta_j: float
    own: np.ndarray
    other: np.ndarray
    rest: int
    theta_rest: float


@dataclass(frozen=True, eq=False)
class Setting:
    """What the gradients depend on. key: equal where nothing moved so far that it would show."""

    key: tuple[Any, ...]
    method: Method
    snapshot: Snapshot
    cos: np.ndarray
    theta_j: float


class GradientsView(LiveView):
    """The gradients of `method`, a key of METHODS or a Method, at the parameters and the state of each snapshot.

    They are found again, in a thread of their own, when something moved so far that it would show; until then, and
    meanwhile, only the samples move. What is learned for each class (AdaptiveFace's margins) is as before training.
    """

    def __init__(self, method: str | Method) -> None:
        self._shown = widgets.ToggleButtons(options=COSINES, style={"button_width": "auto"})
        self._plane = Chart("Gradient over both angles", 380)
        self._curves = Chart("Gradients over the angle from the own center", 220, fitted=self._again)
        self._wanted: Setting | None = None
        self._done: tuple[Any, ...] | None = None  # the key of what was found last
        self._found: Found | None = None
        self._problem = ""
        self._worker: threading.Thread | None = None
        super().__init__([self._shown, self._plane, self._curves])
        self.method = method
        self._shown.observe(self._again, "value")

    @property
    def method(self) -> Method:
        """Whose gradients are shown; set it when the training changes its method."""
        return self._method

    @method.setter
    def method(self, method: str | Method) -> None:
        with self._lock:
            self._method = METHODS[method] if isinstance(method, str) else method
            self._snapshot = None
            self._curves.fit()

    @property
    def result(self) -> Found | None:
        """The gradients that are shown, or None before the first ones are found."""
        return self._found

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the gradients of the last snapshot are found and drawn."""
        if (worker := self._worker) is not None:
            worker.join(seconds)

    def _measure(self, snapshot: Snapshot) -> None:
        cos = snapshot.cos
        own, nearest, _ = own_and_nearest(cos, snapshot.y)
        self._theta_y, self._theta_j = np.arccos(own), np.arccos(nearest)
        self._misclassified = cos.argmax(axis=1) != snapshot.y
        theta_j = float(np.median(self._theta_j))
        moving = [theta_j, float(cos.std()), math.log(snapshot.length), *map(math.asinh, snapshot.state.values())]
        parameters = sorted((name, value) for name, value in snapshot.parameters.items() if name != "lr")
        key = (self._method, parameters, sorted(snapshot.state), [round(v, 2) for v in moving])
        self._wanted = Setting(key, self._method, snapshot, cos, theta_j)
        if self._worker is None and key != self._done:
            self._worker = spawn(self._work, "gradients")

    def _work(self) -> None:
        """Find the gradients that are wanted, as long as others are wanted than were found, now and then."""
        while True:
            with self._lock:
                wanted = self._wanted
                if wanted.key == self._done:
                    self._worker = None
                    return
            try:
                found, problem = find(wanted), ""
            except InputError as error:
                found, problem = None, str(error)
            with self._lock:
                self._found, self._problem, self._done = found, problem, wanted.key
                self._again()
            time.sleep(PAUSE)

    def _draw(self, snapshot: Snapshot) -> None:
        found, n = self._found, len(snapshot.y)
        kind = self._shown.value
        samples = points(self._theta_y, self._theta_j, self._misclassified, np.ones(n), GROUPS)
        x = Axis("θ_y: angle from the own center (degrees, radians)", "θ_y", ANGLES, degrees=True)
        y = Axis("θ_j: from the nearest other", "θ_j", ANGLES, degrees=True)
        if found is None:
            self._plane.draw(x, y, [samples], note=self._problem or "The gradients are being computed.")
            return
        layers = [mapped(getattr(found.map, kind)), line("T = N", *found.map.boundary.T, "ink"), samples]
        self._plane.draw(x, y, layers, note=f"Colours: gradient in {UNIT}. All {n:,} samples. {said(found)}")
        reached = np.concatenate([found.own, found.other])
        span = self._curves.reach("y", float(reached.min()), float(reached.max()))
        curves = [
            line("on cos θ_y, own center", found.map.theta_y, found.own, BLUE),
            line("on cos θ_j, hardest other", found.map.theta_y, found.other, VERMILION, dashed=True),
        ]
        y = Axis("Gradient (nats per cosine)", "gradient", span)
        note = f"θ_j = {format_angle(found.theta_j, 0)}, the samples' median."
        self._curves.draw(x, y, curves, [mark(0.0, across=True)], note)


def find(wanted: Setting) -> Found:
    """The gradients of a method at the parameters, the state and the lengths of a snapshot.

    Raises InputError for a loss without T and N, and for parameters that it does not take.
    """
    if not wanted.method.has_logits:
        raise InputError(f"{wanted.method.title} has no T and N, so no gradient over two angles.")
    snapshot, norm = wanted.snapshot, wanted.snapshot.length
    objective = composed(wanted.method, snapshot, wanted.cos.shape[1])
    rest, theta_rest = the_rest(wanted.cos, snapshot.y, logits_per_cosine(objective, norm))
    own = torch.as_tensor(GRID)
    curve, _ = gradients(objective, cosines_at(own, torch.full_like(own, wanted.theta_j), rest, theta_rest), norm)
    plane = gradient_map(objective, rest=rest, theta_rest=theta_rest, norm=norm)
    return Found(plane, wanted.theta_j, *curve[:, :2].T.numpy(), rest, theta_rest)


def composed(method: Method, snapshot: Snapshot, classes: int) -> MarginSoftmax:
    """The loss with the parameters and the scalar states of a snapshot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training has said it
        objective = method.objective(
            snapshot.parameters, FullCenters(classes, 2, 0, method.similarity_of(snapshot.parameters))
        )
    set_state(objective, snapshot.state)
    return objective


def logits_per_cosine(objective: MarginSoftmax, norm: float) -> float:
    """By how much a logit grows with the cosine, the margin aside: the scale, times the length where that counts."""
    length = torch.tensor([[norm]], dtype=torch.float64)
    return float(objective.scale.value(length, objective.state) * similarities(objective, torch.ones(1, 1), norm))


def the_rest(cos: np.ndarray, y: np.ndarray, s: float) -> tuple[int, float]:
    """How many centers stand for all but the own and the nearest other one, and at what angle in rad.

    Together they weigh, sum of exp(s cos), what those of a sample do: the median over the samples. cos (n, C).
    """
    others = np.sort(np.where(np.arange(cos.shape[1]) == y[:, None], -np.inf, s * cos), axis=1)[:, 1:-1]
    if not others.shape[1]:
        return 0, math.pi / 2
    rest = min(others.shape[1], REST)
    top = others[:, -1:]
    weight = top[:, 0] + np.log(np.exp(others - top).sum(axis=1)) - math.log(rest)
    return rest, float(np.arccos(np.clip(np.median(weight) / s, -1, 1)))


def mapped(values: np.ndarray) -> Layer:
    """A gradient over the plane, the colours ending at a round number."""
    largest = float(np.quantile(np.abs(values), SHARE))
    return heat_map(values, ANGLES, ANGLES, "gradient", end_above(max(largest, 1e-12)), PULLS, UNIT)


def said(found: Found) -> str:
    """What the plane leaves out, in a sentence."""
    if not found.rest:
        return "There are no further centers."
    at = format_angle(found.theta_rest, 0)
    return f"All further centers weigh as much as {found.rest} at {at}, the samples' median."
