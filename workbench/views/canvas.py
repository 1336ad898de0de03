"""A figure that is updated in place, as in a panel while a slider moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

Trace = dict[str, Any]
NO_HOVER = {"hoverinfo": "skip", "hovertemplate": ""}


class Canvas:
    """A figure whose updates change only the properties that differ; traces of another type replace all traces.

    Each update of a FigureWidget is one message to the browser. kind: go.Figure or go.FigureWidget; traces, layout: the
    present contents. Traces of one type must set the same properties, so that any can replace any other.
    """

    def __init__(self, kind: type[go.Figure], traces: Sequence[Trace], layout: dict[str, Any]) -> None:
        self.traces, self.layout = list(traces), layout
        self.figure = kind(self.traces, layout)

    def draw(self, traces: Sequence[Trace], layout: dict[str, Any]) -> None:
        """Set the traces and the layout of the figure."""
        old = self.traces
        if any(a["type"] != b["type"] for a, b in zip(old, traces, strict=False)):
            old = []
        if len(old) > len(traces) or len(old) < len(self.traces):
            self.figure.data = self.figure.data[: min(len(old), len(traces))]
        with self.figure.batch_update():
            for trace, before, after in zip(self.figure.data, old, traces, strict=False):
                trace.update(changes(before, after))
            self.figure.update_layout(changes(self.layout, layout), overwrite=True)
        if len(traces) > len(old):
            self.figure.add_traces(list(traces[len(old) :]))
        self.traces, self.layout = list(traces), layout


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The entries of `new` that differ from `old`."""
    return {k: v for k, v in new.items() if k not in old or (old[k] is not v and old[k] != v)}


def as_list(values: Any, digits: int) -> list[float | None]:
    """Rounded numbers as a list, None for NaN.

    A FigureWidget returns arrays from the browser at every change, on which plotly 7.1 fails in Python.
    """
    return [None if math.isnan(v) else round(v, digits) for v in np.asarray(values, dtype=np.float64).tolist()]
