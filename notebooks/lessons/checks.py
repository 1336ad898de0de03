"""Checks for the lessons: answers of exercises, with explanations of common errors, and tables of expected values.

`check(name, answer)` checks an answer, `expect(*rows)` compares results with expected values, `style_figures()` adapts
static figures to the notebook page.
"""

from typing import Any

from lessons.answers import Verdict
from lessons.exercises import EXERCISES
from workbench.core.errors import unknown
from workbench.views.digest import digest
from workbench.views.theme import CONFIG, GRID, INK


def check(name: str, answer: Any) -> Verdict:
    """Check an answer; for None, return the hint. A wrong answer does not raise. InputError: unknown exercise."""
    if name not in EXERCISES:
        raise unknown("exercise", name, EXERCISES)
    exercise = EXERCISES[name]
    return Verdict(None, f"Hint: {exercise.hint}") if answer is None else exercise.judge(answer)


class Expected:
    """A table of expected and measured values."""

    def __init__(self, rows: list[tuple[str, float, float]]) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        return "\n".join(f"{what}: expected {digest(a)}, measured {digest(b)}" for what, a, b in self.rows)

    def _repr_markdown_(self) -> str:
        lines = [f"| {what} | {digest(a)} | {digest(b)} |" for what, a, b in self.rows]
        return "\n".join(["| quantity | expected | measured |", "|---|---|---|", *lines])


def expect(*rows: tuple[str, float, float, float]) -> Expected:
    """A table of (quantity, expected, measured, tolerance). AssertionError names the first row out of tolerance."""
    for what, expected, measured, tolerance in rows:
        if not abs(measured - expected) <= tolerance:
            raise AssertionError(
                f"{what}: expected {digest(expected)} within {digest(tolerance)}, measured {digest(measured)}"
            )
    return Expected([row[:3] for row in rows])


# A static figure has dark text whatever the theme of the page is. Hover labels have their own background.
DARK = "body[data-jp-theme-light=false] .js-plotly-plot"
STYLE = f"""<style>
{DARK} text:not(.hoverlayer text) {{ fill: {INK[True]} !important; }}
{DARK} path:is(.xlines-above, .ylines-above, .xtick, .ytick) {{ stroke: {INK[True]} !important; }}
{DARK} :is(.gridlayer, .zerolinelayer) path {{ stroke: {GRID[True]} !important; }}
</style>"""


def style_figures() -> Any:
    """Adapt static figures to the notebook page: text colors for the dark theme, no button that uploads the figure."""
    import plotly.io
    from IPython.display import HTML

    # A responsive figure has height 0 in JupyterLab.
    plotly.io.renderers["plotly_mimetype"].config = CONFIG | {"responsive": False}
    return HTML(STYLE)
