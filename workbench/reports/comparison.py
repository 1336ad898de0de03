"""write_report: a comparison -> one HTML file with ranking, differences and sweeps that needs no network."""

from pathlib import Path

from workbench.compare.figures import PAIR_ROW, differences_figure, rows_height, seeds_figure, sweep_figure
from workbench.compare.results import Comparison
from workbench.compare.statistics import LEVEL, MIN_SEEDS, RESAMPLES
from workbench.compare.tables import missing_lines, shown_metrics
from workbench.reports import comparison_words as words
from workbench.reports.figures import Figures, NumberedFigure
from workbench.reports.pages import write_page
from workbench.reports.sweeps import (
    axis_title,
    default_values,
    lines_against,
    omitted_count,
    parameter_meanings,
    parameter_symbols,
    swept_names,
)
from workbench.reports.tables import versions_table
from workbench.training.config import Config

TITLE = "Losses compared over seeds"
PERCENT = f"{100 * LEVEL:.0f} %"
CONTENTS = {
    "ranking": "Ranking",
    "seeds": "Seed by seed",
    "differences": "Differences",
    "sweeps": "Sweeps",
    "method": "Method",
    "numbers": "All results",
}


def write_report(comparison: Comparison, out: Path, title: str = TITLE) -> Path:
    """Write the report of a comparison to `out` and return its path. The page lists what is missing."""
    figures = Figures()
    drawn = {
        "seeds_figure": draw_seeds(comparison, figures),
        "differences_figure": draw_differences(comparison, figures),
        "sweeps": [one for name in swept_names(comparison) for one in draw_sweep(comparison, name, figures)],
    }
    contents = [entry for entry in CONTENTS.items() if entry[0] != "sweeps" or drawn["sweeps"]]
    statistics = {"level": PERCENT, "alpha": f"{1 - LEVEL:.2g}", "resamples": f"{RESAMPLES:,}", "min_seeds": MIN_SEEDS}
    values = drawn | statistics | {"comparison": comparison, "words": words, "intro": words.intro(comparison)}
    values["missing"] = missing_lines(comparison)
    values["versions"] = versions_table([run.info for run in words.sample_runs(comparison)])
    return write_page(out, "compare.html", figures, title=title, contents=contents, **values)


def draw_seeds(comparison: Comparison, figures: Figures) -> NumberedFigure | str:
    """The metric of every run."""
    if not comparison.ranking:
        return "No run is finished yet, so there is nothing to draw here."
    return figures.add(
        lambda dark: seeds_figure(comparison, dark),
        f"{comparison.metric.title} of every run, the best mean at the top. Points: one for each seed, joined between "
        f"rows. Tall line: the mean; bar: its {PERCENT} interval. Intervals of means may overlap even if the paired "
        f"differences below exclude zero. {words.sample(comparison)}",
        height=rows_height(len(comparison.ranking)),
    )


def draw_differences(comparison: Comparison, figures: Figures) -> NumberedFigure | str:
    """The paired differences; nothing for a single seed."""
    shown = comparison.shown_pairs
    if len(comparison.seeds) < 2 or not any(pair.interval.n for pair in shown):
        return ""
    pairs = len(comparison.pairs)
    selection = f"Each loss against the first one; pairs.csv has all {pairs} pairs. " if len(shown) < pairs else ""
    return figures.add(
        lambda dark: differences_figure(comparison, dark),
        f"{selection}Circles: the difference at each seed. Tall line: the mean; bar: its {PERCENT} interval for this "
        "pair alone. Dotted: zero. In the color of the better loss if a difference is seen, else gray.",
        height=rows_height(len(shown), PAIR_ROW),
    )


def draw_sweep(comparison: Comparison, name: str, figures: Figures) -> list[NumberedFigure]:
    """Each shown metric against one swept parameter."""
    base, omitted = Config.from_json(comparison.info["common"]), omitted_count(comparison, name)
    text = (
        f"against {parameter_symbols(comparison, name)} ({parameter_meanings(comparison, name)}). Small points: single "
        f"seeds. Values of the recipe: {default_values(comparison, name, base)}. {words.sample(comparison)}"
    )
    if omitted:
        text += f" {omitted} combinations with other swept values are not drawn; per_seed.csv has them."
    return [
        figures.add(
            lambda dark, metric=metric: sweep_figure(
                lines_against(comparison, name, metric.name),
                axis_title(comparison, name),
                f"{metric.title} (%), {metric.direction}",
                dark,
            ),
            f"{metric.title} {text}",
            height=420,
        )
        for metric in shown_metrics(comparison)
    ]
