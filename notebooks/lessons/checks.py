"""Checks for the lessons: exercise answers with an explanation of common errors, and tables of expected values.

`check(name, answer)` grades an exercise, `seen(rows)` verifies the numbers at the end of a lesson, `page()` fits
static figures into the notebook page.
"""

from typing import Any

from lessons.answers import Verdict
from lessons.exercises import EXERCISES
from workbench.core.errors import unknown
from workbench.views.digest import digest
from workbench.views.theme import CONFIG, GRID, INK


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
