"""write_report: runs -> one HTML file that explains and shows them, without any network."""

import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from workbench.core.errors import InputError
from workbench.core.files import write_text
from workbench.core.record import Run
from workbench.reports import drawings, tables, words
from workbench.reports.equations import SOFTMAX, equations
from workbench.reports.evidence import Evidence, gather
from workbench.reports.figures import Figures
from workbench.training.evaluate import THETA
from workbench.views.training import FEW


def write_report(
    runs: Sequence[Run], out: Path, title: str = "Margin losses on the hypersphere", intro: str = ""
) -> Path:
    """Write the page about `runs` to `out` and return its path. title and intro are plain text.

    A run that was interrupted or not evaluated is drawn with what it has, and the page says what is missing. Raises
    InputError where there is no run, for a run of an unknown method, and for a folder that does not exist.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")
    found = gather(runs)
    figures = Figures()
    parts = drawn(found, figures) | written(found)
    assets = {
        name: (files(__package__) / "templates" / name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    }
    page = Template((files(__package__) / "templates" / "run.html").read_text(encoding="utf-8")).substitute(
        parts,
        title=escape(title),
        intro=escape(intro or words.summary(found)),
        css=assets["report.css"],
        script=assets["report.js"],
        plotly=get_plotlyjs(),
        figures=figures.to_json(),
    )
    write_text(out, page)
    return out


def drawn(found: Sequence[Evidence], figures: Figures) -> dict[str, str]:
    """The template's figures, made in the order in which they stand there, for their numbers."""
    return {
        "cards": "".join(drawings.card(one, figures) for one in found),
        "boundary_figure": drawings.boundaries(found, figures),
        "loss_figure": drawings.loss(found, figures),
        "misclassified_figure": drawings.misclassified(found, figures),
        "stacks": drawings.stacks(found, figures),
        "overlap_figure": drawings.overlap(found, figures),
        "correlation_figure": drawings.correlation(found, figures),
        "distances_figure": drawings.distances(found, figures),
        "roc_figure": drawings.roc(found, figures),
    }


def written(found: Sequence[Evidence]) -> dict[str, str]:
    """The template's tables and sentences."""
    return {
        "facts": words.facts(found),
        "notices": words.notices(found),
        "tested_on": words.tested_on(found),
        "caution": words.caution(found),
        "correlation_here": words.correlation_here(found),
        "recipes": words.recipes(found),
        "data": words.data(found),
        "results_table": tables.results_table(found),
        "boundary_table": tables.boundary_table(found),
        "settings_table": tables.settings_table(found),
        "versions_table": tables.versions_table(found),
        "commands": escape(tables.commands(found)),
        "softmax": equations((SOFTMAX,)),
        "few": str(FEW),
        "theta": f"{math.degrees(THETA):.0f}°",
        "half": f"{math.degrees(THETA) / 2:.0f}°",
    }
