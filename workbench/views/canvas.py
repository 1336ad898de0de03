"""A figure that is drawn on again and again, as a panel does while a slider moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

Trace = dict[str, Any]
SILENT = {"hoverinfo": "skip", "hovertemplate": ""}


class Canvas:
    """Only what differs from the last drawing is changed, in place; where the kinds of traces differ, all is new.

    Of a FigureWidget in a browser, one drawing is one message; comparing first is what keeps a slider fluent.
    kind: go.Figure or go.FigureWidget. traces, layout: what is drawn now. Traces of one type set the same properties,
    so that any may take the place of any other.
    """

    def __init__(self, kind: type[go.Figure], traces: Sequence[Trace], layout: dict[str, Any]) -> None:
        self.traces, self.layout = list(traces), layout
        self.figure = kind(self.traces, layout)

    def draw(self, traces: Sequence[Trace], layout: dict[str, Any]) -> None:
        """Make the figure show exactly these, whatever it showed before."""
        old = self.traces
        if any(a["type"] != b["type"] for a, b in zip(old, traces, strict=False)):
            old = []
        if len(old) > len(traces) or len(old) < len(self.traces):
            self.figure.data = self.figure.data[: min(len(old), len(traces))]
        with self.figure.batch_update():
            for trace, before, after in zip(self.figure.data, old, traces, strict=False):
                trace.update(changed(before, after))
            self.figure.update_layout(changed(self.layout, layout), overwrite=True)
        if len(traces) > len(old):
            self.figure.add_traces(list(traces[len(old) :]))
        self.traces, self.layout = list(traces), layout


def changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The entries of new that differ from old's."""
    return {k: v for k, v in new.items() if k not in old or (old[k] is not v and old[k] != v)}


def listed(values: Any, digits: int) -> list[float | None]:
    """Numbers as a short list with None for a gap.

    Of an array, a FigureWidget's browser sends all numbers back at every change, and its Python side (plotly 7.1) fails
    on them.
    """
    return [None if math.isnan(v) else round(v, digits) for v in np.asarray(values, dtype=np.float64).tolist()]
