"""For the notebooks: exercise checks that say why an answer is wrong, tables of what was seen, and text digests.

`check(name, answer)` judges an exercise, `seen(rows)` verifies the numbers a lesson ends with, `digest` and
`figure_digest` turn numbers and figures into short text that a regression test can compare. `page()` fits static
figures into the page.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lessons.answers import Verdict
from lessons.exercises import EXERCISES
from workbench.core.errors import unknown
from workbench.views.theme import CONFIG, GRID, INK

SHOWN = 12  # entries of an array that a digest writes out
ZERO = 1e-12  # smaller numbers are rounding errors


def check(name: str, answer: Any) -> Verdict:
    """Judge an answer; None gets the hint. A wrong answer never raises, an unknown exercise raises InputError."""
    if name not in EXERCISES:
        raise unknown("exercise", name, EXERCISES)
    exercise = EXERCISES[name]
    return Verdict(None, f"Hint: {exercise.hint}") if answer is None else exercise.judge(answer)


class Seen:
    """What was expected and what was measured, as a table."""

    def __init__(self, rows: list[tuple[str, float, float]]) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        return "\n".join(f"{what}: expected {digest(a)}, measured {digest(b)}" for what, a, b in self.rows)

    def _repr_markdown_(self) -> str:
        lines = [f"| {what} | {digest(a)} | {digest(b)} |" for what, a, b in self.rows]
        return "\n".join(["| what | you should have seen | measured here |", "|---|---|---|", *lines])


def seen(*rows: tuple[str, float, float, float]) -> Seen:
    """A table of (what, expected, measured, tolerance). AssertionError names the first row that is not as expected."""
    for what, expected, measured, tolerance in rows:
        if not abs(measured - expected) <= tolerance:
            raise AssertionError(
                f"{what}: expected {digest(expected)} within {digest(tolerance)}, measured {digest(measured)}"
            )
    return Seen([row[:3] for row in rows])


# A static figure cannot know the page's theme; its ink is dark. Hover labels have a ground of their own.
DARK = "body[data-jp-theme-light=false] .js-plotly-plot"
STYLE = f"""<style>
{DARK} text:not(.hoverlayer text) {{ fill: {INK[True]} !important; }}
{DARK} path:is(.xlines-above, .ylines-above, .xtick, .ytick) {{ stroke: {INK[True]} !important; }}
{DARK} :is(.gridlayer, .zerolinelayer) path {{ stroke: {GRID[True]} !important; }}
</style>"""


def page() -> Any:
    """Fit static figures into a notebook's page: JupyterLab's dark theme, no button that sends them to a server."""
    import plotly.io
    from IPython.display import HTML

    # JupyterLab gives a responsive figure no height at all.
    plotly.io.renderers["plotly_mimetype"].config = CONFIG | {"responsive": False}
    return HTML(STYLE)


def digest(value: Any) -> str:
    """Short text for numbers, arrays and mappings of them, to 4 significant digits; anything below 1e-12 is 0."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {digest(v)}" for key, v in value.items())
    if isinstance(value, bool | np.bool_ | int | str) or value is None:
        return str(value)
    array = np.asarray(value)
    if array.ndim == 0:
        number = float(array)
        return "0" if abs(number) < ZERO else f"{number:.4g}"
    if array.size <= SHOWN:
        return f"[{', '.join(digest(v) for v in array.tolist())}]"
    shape = " x ".join(map(str, array.shape))
    return f"{shape}, {digest(array.min())} to {digest(array.max())}, mean {digest(array.mean(dtype=np.float64))}"


def figure_digest(figure: Any) -> str:
    """A plotly figure as text: a line for each trace (type, name, where its points lie) and for each axis (title)."""
    traces = [" ".join([f"{trace.type} '{trace.name or ''}'", *extents(trace)]) for trace in figure.data]
    layout = figure.layout.to_plotly_json()
    axes = {name: axis for name, axis in sorted(layout.items()) if name[:5] in ("xaxis", "yaxis")}
    return "\n".join(traces + [f"{name} '{axis.get('title', {}).get('text', '')}'" for name, axis in axes.items()])


def extents(trace: Any) -> Iterator[str]:
    """For each coordinate of a trace: how many points, their range and mean, gaps (NaN) aside; or its categories."""
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
