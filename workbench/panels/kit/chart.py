"""Chart: one small plot that is drawn many times a second; the live views consist of these.

A frame consists of two axes, layers (bars, lines, points, a heat map, readings at the cursor) and marks. `chart.js`
draws it, handles pointer, brush and the logarithmic scale, and reports the brushed range and the sample under the
pointer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import traitlets

from workbench.panels.kit.stream import StreamWidget, source

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GRAY = range(7)  # indices into PALETTE of stage.js
TINY = 1e-6  # initial upper limit of an axis
ENDS = (1, 1.5, 2, 3, 5, 7, 10)  # axis limits, times a power of ten; few, so that an axis seldom changes

Span = tuple[float, float]
Describe = Callable[[int], tuple[str, bytes | None]]  # sample index -> tooltip text, and PNG or None


@dataclass(frozen=True)
class ChartAxis:
    """One axis. span: the range shown; short: name of the value in the tooltip; degrees: angles in rad, labeled in
    degrees.

    least: lowest value on a logarithmic scale, which is then offered; None: no logarithmic scale.
    """

    label: str
    short: str
    span: Span
    degrees: bool = False
    least: float | None = None


@dataclass(frozen=True)
class Group:
    """Style of one group of points: a palette index or "ink" (text color), and a shape of chart.js."""

    name: str
    color: int | str
    shape: str


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a chart: its JSON description and its arrays."""

    head: dict[str, Any]
    arrays: tuple[np.ndarray, ...]


def floats(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays as float32."""
    return tuple(np.asarray(a, dtype=np.float32) for a in arrays)


def bars(name: str, edges: np.ndarray, heights: np.ndarray, color: int, hatched: bool = False) -> Layer:
    """A histogram: edges (k + 1,), heights (k,); hatched: with stripes. Without a name it is not in the legend."""
    return Layer({"kind": "bars", "name": name, "color": color, "hatched": hatched}, floats(edges, heights))


def line(name: str, x: np.ndarray, y: np.ndarray, color: int | str, dashed: bool = False) -> Layer:
    """A line through (k,) points, interrupted at NaN. Without a name it is neither in the legend nor in the tooltip."""
    return Layer({"kind": "line", "name": name, "color": color, "dashed": dashed}, floats(x, y))


def points(x: np.ndarray, y: np.ndarray, group: np.ndarray, lit: np.ndarray, groups: Sequence[Group]) -> Layer:
    """Samples at (n,) positions, each of one of the groups; samples that are not lit are grayed out."""
    small = (np.asarray(a, dtype=np.uint8) for a in (group, lit))
    return Layer({"kind": "points", "groups": [asdict(g) for g in groups]}, (*floats(x, y), *small))


def heat_map(
    values: np.ndarray, x: Span, y: Span, short: str, end: float, texts: tuple[str, str], unit: str = ""
) -> Layer:
    """values (rows, columns), first row lowest, on a regular grid over x and y, ends included.

    Diverging color scale around 0 that saturates at -end and end; texts: legend of either end.
    """
    head = {"kind": "map", "shape": values.shape, "x": x, "y": y, "short": short, "end": end, "texts": texts}
    return Layer(head | {"unit": unit}, floats(values))


def readings(at: np.ndarray, columns: dict[str, np.ndarray], start: float) -> Layer:
    """Columns of values read at the cursor, which moves along the positions (k,), initially `start`. Draws nothing."""
    return Layer({"kind": "readings", "names": list(columns), "start": start}, floats(at, *columns.values()))


def mark(at: float, label: str = "", text: str = "", across: bool = False, past: bool = False) -> dict[str, Any]:
    """A line at x = at (across: y = at) with a short label; text: tooltip; past: grayed out."""
    return {"at": at, "label": label, "text": text or label, "across": across, "past": past}


def round_up(value: float) -> float:
    """The smallest round axis limit that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{k * power:.6g}") for k in (*ENDS, 15) if k * power >= value * (1 - 1e-9))


def extend_span(span: Span, low: float, high: float) -> Span:
    """The span, extended to a round number where values lie outside."""
    if low < span[0]:
        span = (-round_up(-low) if low < 0 else 0.0, span[1])
    return span if high <= span[1] else (span[0], round_up(high))


class Chart(StreamWidget):
    """One plot. label: accessible name; height: in CSS pixels.

    describe: returns the tooltip of a sample; on_brush: called with the brushed x and y ranges, or with None when the
    brush is cleared; on_fit: called to draw again after the axes are fitted.
    """

    _esm = source("plot.js", "chart.js")
    height = traitlets.Int(260).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        label: str,
        height: int = 260,
        describe: Describe | None = None,
        on_brush: Callable[[tuple[Span, Span] | None], None] | None = None,
        on_fit: Callable[[], None] | None = None,
    ) -> None:
        self._describe, self._on_brush, self._on_fit = describe, on_brush, on_fit
        self._spans: dict[str, Span] = {}
        super().__init__(label=label, height=height)

    def reach(self, axis: str, low: float, high: float) -> Span:
        """The range of an axis that contains [low, high]. It grows in steps and shrinks only after `fit`."""
        self._spans[axis] = extend_span(self._spans.get(axis, (0.0, TINY)), low, high)
        return self._spans[axis]

    def fit(self) -> None:
        """Forget the ranges of the axes, so that they fit the next values."""
        self._spans.clear()

    def draw(
        self,
        x: ChartAxis,
        y: ChartAxis,
        layers: Sequence[Layer],
        marks: Sequence[dict[str, Any]] = (),
        note: str = "",
        brush: str = "",
    ) -> None:
        """Draw these layers, the first one lowest. note: sentence below the plot.

        brush: what can be selected: "x" an interval, "box", or "" nothing.
        """
        head = {"x": asdict(x), "y": asdict(y), "layers": [layer.head for layer in layers], "marks": list(marks)}
        arrays = (a for layer in layers for a in layer.arrays)
        asks = {"hover": self._describe is not None, "fits": self._on_fit is not None}
        self.push(head | asks | {"note": note, "brush": brush}, *arrays)

    def on_message(self, content: dict[str, Any]) -> None:
        """Handle a brush, a cleared brush, a sample under the pointer, or the button that fits the axes."""
        if "brush" in content and self._on_brush is not None:
            box = content["brush"]
            self._on_brush(None if box is None else (tuple(box["x"]), tuple(box["y"])))
        elif "hover" in content and self._describe is not None:
            i = int(content["hover"])
            text, image = self._describe(i)
            self.send({"about": i, "text": text}, [image] if image else [])
        elif "fit" in content and self._on_fit is not None:
            self.fit()
            self._on_fit()
