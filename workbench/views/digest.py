"""Numbers, arrays and figures as short text for regression tests."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MAX_ENTRIES = 12  # larger arrays are summarized
ZERO = 1e-12  # smaller numbers are rounding errors


def digest(value: Any) -> str:
    """Numbers, arrays and mappings of them as text with 4 significant digits; magnitudes below 1e-12 are 0."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {digest(v)}" for key, v in value.items())
    if isinstance(value, bool | np.bool_ | int | str) or value is None:
        return str(value)
    array = np.asarray(value)
    if array.ndim == 0:
        number = float(array)
        return "0" if abs(number) < ZERO else f"{number:.4g}"
    if array.size <= MAX_ENTRIES:
        return f"[{', '.join(digest(v) for v in array.tolist())}]"
    shape = " x ".join(map(str, array.shape))
    return f"{shape}, {digest(array.min())} to {digest(array.max())}, mean {digest(array.mean(dtype=np.float64))}"


def figure_digest(figure: Any) -> str:
    """A plotly figure as text: a line per trace (type, name, extents) and per axis (title)."""
    traces = [" ".join([f"{trace.type} '{trace.name or ''}'", *extents(trace)]) for trace in figure.data]
    layout = figure.layout.to_plotly_json()
    axes = {name: axis for name, axis in sorted(layout.items()) if name[:5] in ("xaxis", "yaxis")}
    return "\n".join(traces + [f"{name} '{axis.get('title', {}).get('text', '')}'" for name, axis in axes.items()])


def extents(trace: Any) -> Iterator[str]:
    """For each coordinate of a trace: number of points without NaN, range and mean; or its categories."""
    for name in ("x", "y", "z"):
        values = getattr(trace, name, None)
        if values is None or len(values) == 0:
            continue
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            yield f"{name}: {', '.join(map(str, values))}"
            continue
        known = array[np.isfinite(array)].astype(np.float64)
        if known.size:
            yield f"{name}: {known.size} in {digest(known.min())} to {digest(known.max())}, mean {digest(known.mean())}"
