"""write_report: a comparison -> one HTML file that ranks, shows and explains it, without any network."""

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from workbench import reports
from workbench.compare.figures import PAIR_ROW, differences_figure, rows_height, seeds_figure, sweep_figure
from workbench.compare.results import Comparison
from workbench.compare.statistics import LEVEL, RESAMPLES
from workbench.compare.tables import shown_metrics
from workbench.core.files import write_text
from workbench.reports import comparison_words as words
from workbench.reports.figures import Figures
from workbench.reports.sweeps import axis_title, left_out, lines_against, meanings, own_values, swept_names, symbols
from workbench.training.config import Config

TITLE = "Losses compared over seeds"
LEVEL_TEXT = f"{100 * LEVEL:.0f} %"


def write_report(found: Comparison, out: Path, title: str = TITLE) -> Path:
    """Write the page about a comparison to `out` and return its path. What is missing is said on it."""
    figures = Figures()
    parts = drawn(found, figures) | words.written(found)
    asset = {
        name: (files(reports) / "templates" / name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js", "compare.html")
    }
    page = Template(asset["compare.html"]).substitute(
        parts,
        title=escape(title),
        css=asset["report.css"],
        script=asset["report.js"],
        plotly=get_plotlyjs(),
        figures=figures.to_json(),
        resamples=f"{RESAMPLES:,}",
        level=LEVEL_TEXT,
    )
    write_text(Path(out), page)
    return Path(out)


def drawn(found: Comparison, figures: Figures) -> dict[str, str]:
    """The template's figures, made in the order in which they stand there, for their numbers."""
    return {
        "seeds_figure": by_seed(found, figures),
        "differences_figure": by_pair(found, figures),
        "sweeps": swept(found, figures),
    }


def by_seed(found: Comparison, figures: Figures) -> str:
    if not found.ranking:
        return "<p class='notice'>No run is finished yet, so there is nothing to draw here.</p>"
    return figures.add(
        lambda dark: seeds_figure(found, dark),
        f"{found.metric.title} of every run, the best mean on top. Points: one a seed, joined from row to row. "
        f"Tall line: the mean; bar: its {LEVEL_TEXT} interval. Intervals of means may overlap where the "
        f"paired differences below leave zero out. {words.sampled(found)}",
        height=rows_height(len(found.ranking)),
    )


def by_pair(found: Comparison, figures: Figures) -> str:
    if len(found.seeds) < 2 or not any(pair.interval.n for pair in found.shown_pairs):
        return ""
    fewer = len(found.shown_pairs) < len(found.pairs)
    which = f"Each loss against the first one listed; pairs.csv has all {len(found.pairs)} pairs. " if fewer else ""
    return figures.add(
        lambda dark: differences_figure(found, dark),
        f"{which}Circles: the difference at each seed. Tall line: the mean; bar: its {LEVEL_TEXT} interval, in the "
        "better one’s colour where it leaves zero (dotted) out, grey where no difference is seen.",
        height=rows_height(len(found.shown_pairs), PAIR_ROW),
    )


def swept(found: Comparison, figures: Figures) -> str:
    """A section with a figure for each swept parameter and each metric that is shown; nothing where none was swept."""
    names = swept_names(found)
    if not names:
        return ""
    drawn = "".join(against(found, name, figures) for name in names)
    return (
        '<section id="sweeps"><h2>Sweeps</h2><p>Line: the mean over the seeds. Band: one standard deviation to either '
        "side, which includes what differs from seed to seed for every value alike; the differences above do not. The "
        "best of many values is partly the luckiest: its lead shrinks when it is trained again.</p>"
        f"{drawn}</section>"
    )


def against(found: Comparison, name: str, figures: Figures) -> str:
    """The figures of one swept parameter, one for each metric that is shown."""
    base = Config.from_json(found.info["common"])
    rest = left_out(found, name)
    said = escape(
        f"against {symbols(found, name)} ({meanings(found, name)}). Small points: single seeds. Without a sweep "
        f"the recipe would take: {own_values(found, name, base)}. {words.sampled(found)}"
        + (f" {rest} combinations with other swept values are not drawn; per_seed.csv has them." if rest else "")
    )
    return "".join(
        figures.add(
            lambda dark, metric=metric: sweep_figure(
                lines_against(found, name, metric.name),
                axis_title(found, name),
                f"{metric.title} (%), {'larger' if metric.larger else 'smaller'} is better",
                dark,
            ),
            f"{metric.title} {said}",
            height=420,
        )
        for metric in shown_metrics(found)
    )
