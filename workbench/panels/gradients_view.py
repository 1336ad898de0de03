"""GradientsView: the gradient of the loss on the cosines to the own and to the hardest other class center.

It is the gradient of the training loss (`workbench.curves.gradients`) at its present parameters and state, over the
plane of both angles; the samples are drawn on top.
"""

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch

from workbench.core.angles import format_angle
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.core.threads import spawn
from workbench.curves.gradients import GRID, GradientMap, cosines_at, gradient_map, gradients, similarities
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS
from workbench.methods.method import Method
from workbench.panels.kit.chart import (
    BLUE,
    VERMILION,
    Chart,
    ChartAxis,
    Group,
    Layer,
    heat_map,
    line,
    mark,
    points,
    round_up,
)
from workbench.panels.kit.view import LiveView
from workbench.panels.method_setting import build_objective
from workbench.probes.hardness import own_and_nearest

PAUSE = 0.5  # seconds between two computations, which compete with training for the processor
MAX_FURTHER = 64  # further centers in the computation; a larger number of classes is represented by these
QUANTILE = 0.9  # of the absolute gradients: the end of the color scale
UNIT = "nats per unit of cosine"
PULLS = "attracts", "repels"
COSINES = [("Own center: dL/dcos θ_y", "target"), ("Hardest other center: dL/dcos θ_j", "negative")]
GROUPS = (Group("well-classified", "ink", "circle"), Group("misclassified", "ink", "cross"))
ANGLES = (0.0, math.pi)


@dataclass(frozen=True, eq=False)
class GradientsResult:
    """Gradients over the plane of both angles, and over theta_y with the hardest other center at theta_j (rad).

    own, other (P,): dL/dcos of the own and of the hardest other center at each theta_y of the map. rest, theta_rest:
    number of further centers and their angle in rad.
    """

    map: GradientMap
    theta_j: float
    own: np.ndarray
    other: np.ndarray
    rest: int
    theta_rest: float


@dataclass(frozen=True, eq=False)
class GradientsRequest:
    """The inputs of the gradients. key: equal for inputs whose difference is not visible."""

    key: tuple[Any, ...]
    method: Method
    snapshot: Snapshot
    cos: np.ndarray
    theta_j: float


class GradientsView(LiveView):
    """The gradients of a method (a key of METHODS or a Method) at the parameters and the state of each snapshot.

    They are computed in a background thread, and only when a visible change is due; until then only the samples are
    updated. Parameters learned per class (AdaptiveFace's margins) have their initial values.
    """

    def __init__(self, method: str | Method) -> None:
        self._shown = widgets.ToggleButtons(options=COSINES, style={"button_width": "auto"})
        self._plane = Chart("Gradient over both angles", 380)
        self._curves = Chart("Gradients over the angle to the own center", 220, on_fit=self._redraw)
        self._request: GradientsRequest | None = None
        self._done: tuple[Any, ...] | None = None  # key of the last result
        self._result: GradientsResult | None = None
        self._problem = ""
        self._worker: threading.Thread | None = None
        super().__init__([self._shown, self._plane, self._curves])
        self.method = method
        self._shown.observe(self._redraw, "value")

    @property
    def method(self) -> Method:
        """The method whose gradients are shown. Set it when the training changes its method."""
        return self._method

    @method.setter
    def method(self, method: str | Method) -> None:
        with self._lock:
            self._method = METHODS[method] if isinstance(method, str) else method
            self._snapshot = None
            self._curves.fit()

    @property
    def result(self) -> GradientsResult | None:
        """The gradients shown; None before the first result."""
        return self._result

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the gradients of the last snapshot are computed and drawn."""
        if (worker := self._worker) is not None:
            worker.join(seconds)

    def _measure(self, snapshot: Snapshot) -> None:
        cos = snapshot.cos
        own, nearest, _ = own_and_nearest(cos, snapshot.y)
        self._theta_y, self._theta_j = np.arccos(own), np.arccos(nearest)
        self._misclassified = cos.argmax(axis=1) != snapshot.y
        theta_j = float(np.median(self._theta_j))
        live = [theta_j, float(cos.std()), math.log(snapshot.length), *map(math.asinh, snapshot.state.values())]
        parameters = sorted((name, value) for name, value in snapshot.parameters.items() if name != "lr")
        key = (self._method, parameters, sorted(snapshot.state), [round(v, 2) for v in live])
        self._request = GradientsRequest(key, self._method, snapshot, cos, theta_j)
        if self._worker is None and key != self._done:
            self._worker = spawn(self._work, "gradients")

    def _work(self) -> None:
        """Thread: compute the requested gradients until the last result is the one requested."""
        while True:
            with self._lock:
                request = self._request
                if request.key == self._done:
                    self._worker = None
                    return
            try:
                result, problem = compute_gradients(request), ""
            except InputError as error:
                result, problem = None, str(error)
            with self._lock:
                self._result, self._problem, self._done = result, problem, request.key
                self._redraw()
            time.sleep(PAUSE)

    def _draw(self, snapshot: Snapshot) -> None:
        result, n = self._result, len(snapshot.y)
        kind = self._shown.value
        samples = points(self._theta_y, self._theta_j, self._misclassified, np.ones(n), GROUPS)
        x = ChartAxis("θ_y: angle to the own class center (degrees, radians)", "θ_y", ANGLES, degrees=True)
        y = ChartAxis("θ_j: angle to the nearest other", "θ_j", ANGLES, degrees=True)
        if result is None:
            self._plane.draw(x, y, [samples], note=self._problem or "Computing the gradients.")
            return
        layers = [gradient_layer(getattr(result.map, kind)), line("T = N", *result.map.boundary.T, "ink"), samples]
        self._plane.draw(x, y, layers, note=f"Color: gradient in {UNIT}. {n:,} samples. {describe_further(result)}")
        reached = np.concatenate([result.own, result.other])
        span = self._curves.reach("y", float(reached.min()), float(reached.max()))
        curves = [
            line("dL/dcos θ_y, own center", result.map.theta_y, result.own, BLUE),
            line("dL/dcos θ_j, hardest other", result.map.theta_y, result.other, VERMILION, dashed=True),
        ]
        y = ChartAxis("Gradient (nats per cosine)", "gradient", span)
        note = f"θ_j = {format_angle(result.theta_j)}, the median of the samples."
        self._curves.draw(x, y, curves, [mark(0.0, across=True)], note)


def compute_gradients(request: GradientsRequest) -> GradientsResult:
    """The gradients of a method at the parameters, the state and the embedding lengths of a snapshot.

    Raises InputError for a loss without T and N, and for unknown parameters.
    """
    if not request.method.has_logits:
        raise InputError(f"{request.method.title} has no T and N, so this view does not apply.")
    snapshot, norm = request.snapshot, request.snapshot.length
    objective = build_objective(request.method, snapshot.parameters, snapshot.state, request.cos.shape[1])
    rest, theta_rest = further_centers(request.cos, snapshot.y, logits_per_cosine(objective, norm))
    own = torch.as_tensor(GRID)
    curve, _ = gradients(objective, cosines_at(own, torch.full_like(own, request.theta_j), rest, theta_rest), norm)
    plane = gradient_map(objective, rest=rest, theta_rest=theta_rest, norm=norm)
    return GradientsResult(plane, request.theta_j, *curve[:, :2].T.numpy(), rest, theta_rest)


def logits_per_cosine(objective: MarginSoftmax, norm: float) -> float:
    """Derivative of a logit by its cosine without margin: the scale, times the embedding length if the loss uses it."""
    length = torch.tensor([[norm]], dtype=torch.float64)
    return float(objective.scale.value(length, objective.state) * similarities(objective, torch.ones(1, 1), norm))


def further_centers(cos: np.ndarray, y: np.ndarray, s: float) -> tuple[int, float]:
    """Number and angle (rad) of the centers that represent all but the own and the nearest other one. cos (n, C).

    Their sum of exp(s cos) equals the median over the samples of the same sum over all further centers.
    """
    others = np.sort(np.where(np.arange(cos.shape[1]) == y[:, None], -np.inf, s * cos), axis=1)[:, 1:-1]
    if not others.shape[1]:
        return 0, math.pi / 2
    rest = min(others.shape[1], MAX_FURTHER)
    top = others[:, -1:]
    weight = top[:, 0] + np.log(np.exp(others - top).sum(axis=1)) - math.log(rest)
    return rest, float(np.arccos(np.clip(np.median(weight) / s, -1, 1)))


def gradient_layer(values: np.ndarray) -> Layer:
    """The heat map of a gradient over the plane, with a rounded end of the color scale."""
    largest = float(np.quantile(np.abs(values), QUANTILE))
    return heat_map(values, ANGLES, ANGLES, "gradient", round_up(max(largest, 1e-12)), PULLS, UNIT)


def describe_further(result: GradientsResult) -> str:
    """A sentence on the centers that are neither the own nor the hardest other one."""
    if not result.rest:
        return "No further centers."
    return (
        f"Further centers: {result.rest} at {format_angle(result.theta_rest)}, which have the samples' median weight."
    )
