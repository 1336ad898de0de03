"""Chart: one small plot that is drawn many times a second; the live views are made of these.

A frame is two axes, layers (bars, lines, points, a heat map, readings at the cursor) and marks. `chart.js` draws it,
lets a person point, brush and change to a logarithm, and tells what was brushed and which sample is pointed at.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import traitlets

from workbench.panels.kit.stream import Streamed, source

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY = range(7)  # places in the PALETTE of stage.js
TINY = 1e-6  # the end of an axis that has shown nothing yet
ENDS = (1, 1.5, 2, 3, 5, 7, 10)  # where an axis may end, times a power of ten: few, so that it seldom moves

Span = tuple[float, float]
About = Callable[[int], tuple[str, bytes | None]]


@dataclass(frozen=True)
class Axis:
    """One axis and the range it shows. short: what its value is called at the cursor; degrees: of angles in rad.

    least: the lowest value to show on a logarithm, which a person may then choose; None: no logarithm.
    """

    label: str
    short: str
    span: Span
    degrees: bool = False
    least: float | None = None


@dataclass(frozen=True)
class Group:
    """How the points of one group look: a colour of the palette, "ink" for the text's, and a shape of chart.js."""

    name: str
    colour: int | str
    shape: str


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a chart: how it looks, and its arrays as the browser gets them."""

    head: dict[str, Any]
    arrays: tuple[np.ndarray, ...]


def floats(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(a, dtype=np.float32) for a in arrays)


def bars(name: str, edges: np.ndarray, heights: np.ndarray, colour: int, hatched: bool = False) -> Layer:
    """A histogram: edges (k + 1,), heights (k,); hatched: stripes too. Without a name: not in the legend."""
    return Layer({"kind": "bars", "name": name, "colour": colour, "hatched": hatched}, floats(edges, heights))


def line(name: str, x: np.ndarray, y: np.ndarray, colour: int | str, dashed: bool = False) -> Layer:
    """A line through (k,) points, cut at NaN. Without a name: neither in the legend nor read at the cursor."""
    return Layer({"kind": "line", "name": name, "colour": colour, "dashed": dashed}, floats(x, y))


def points(x: np.ndarray, y: np.ndarray, group: np.ndarray, lit: np.ndarray, groups: Sequence[Group]) -> Layer:
    """Samples at (n,) places, each of one of the groups; those not lit are greyed."""
    small = (np.asarray(a, dtype=np.uint8) for a in (group, lit))
    return Layer({"kind": "points", "groups": [asdict(g) for g in groups]}, (*floats(x, y), *small))


def heat_map(
    values: np.ndarray, x: Span, y: Span, short: str, end: float, texts: tuple[str, str], unit: str = ""
) -> Layer:
    """values (rows, columns), rows upwards, at evenly spaced places from one end of x and y to the other.

    The colours diverge from 0 and reach their last at -end and end, which the two texts explain.
    """
    head = {"kind": "map", "shape": values.shape, "x": x, "y": y, "short": short, "end": end, "texts": texts}
    return Layer(head | {"unit": unit}, floats(values))


def readings(at: np.ndarray, columns: dict[str, np.ndarray], start: float) -> Layer:
    """What is read at the cursor, which moves along the places (k,) and begins at `start`; nothing is drawn."""
    return Layer({"kind": "readings", "names": list(columns), "start": start}, floats(at, *columns.values()))


def mark(at: float, label: str = "", text: str = "", across: bool = False, past: bool = False) -> dict[str, Any]:
    """A line at x = at with a short label and a text for who points at it; across: at y = at; past: greyed."""
    return {"at": at, "label": label, "text": text or label, "across": across, "past": past}


def end_above(value: float) -> float:
    """The smallest end of an axis, of a positive value, that is not below it."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{k * power:.6g}") for k in (*ENDS, 15) if k * power >= value * (1 - 1e-9))


def reaching(span: Span, low: float, high: float) -> Span:
    """The span, or where values lie beyond it a longer one that ends at a round number."""
    if low < span[0]:
        span = (-end_above(-low) if low < 0 else 0.0, span[1])
    return span if high <= span[1] else (span[0], end_above(high))


class Chart(Streamed):
    """One plot. label: what a screen reader says; height: in CSS pixels.

    about: sample number -> what is told of it, and its PNG or None.
    brushed: called with the x and y ranges that a person dragged over or chose by keyboard, or with None to clear them;
    fitted: called when a person asks for axes that fit what is shown now, to draw it again.
    """

    _esm = source("plot.js", "chart.js")
    height = traitlets.Int(260).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        label: str,
        height: int = 260,
        about: About | None = None,
        brushed: Callable[[tuple[Span, Span] | None], None] | None = None,
        fitted: Callable[[], None] | None = None,
    ) -> None:
        self._about, self._brushed, self._fitted = about, brushed, fitted
        self._spans: dict[str, Span] = {}
        super().__init__(label=label, height=height)

    def reach(self, axis: str, low: float, high: float) -> Span:
        """The range of an axis on which values from low to high are to be seen: it grows in steps, and never shrinks
        until a person asks for it.
        """
        self._spans[axis] = reaching(self._spans.get(axis, (0.0, TINY)), low, high)
        return self._spans[axis]

    def fit(self) -> None:
        """Forget how far the axes reached."""
        self._spans.clear()

    def draw(
        self,
        x: Axis,
        y: Axis,
        layers: Sequence[Layer],
        marks: Sequence[dict[str, Any]] = (),
        note: str = "",
        brush: str = "",
    ) -> None:
        """Show these layers, the first one lowest. note: a sentence below the plot, such as what was sampled.

        brush: what a person may choose, "x" an interval, "box", or "" nothing.
        """
        head = {"x": asdict(x), "y": asdict(y), "layers": [layer.head for layer in layers], "marks": list(marks)}
        arrays = (a for layer in layers for a in layer.arrays)
        asks = {"hover": self._about is not None, "fits": self._fitted is not None}
        self.push(head | asks | {"note": note, "brush": brush}, *arrays)

    def told(self, content: dict[str, Any]) -> None:
        """The browser says that a person brushed, cleared the brush, points at a sample, or asks for axes that fit."""
        if "brush" in content and self._brushed is not None:
            box = content["brush"]
            self._brushed(None if box is None else (tuple(box["x"]), tuple(box["y"])))
        elif "hover" in content and self._about is not None:
            i = int(content["hover"])
            text, image = self._about(i)
            self.send({"about": i, "text": text}, [image] if image else [])
        elif "fit" in content and self._fitted is not None:
            self.fit()
            self._fitted()
