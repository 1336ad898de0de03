"""write_report: runs -> one HTML file with figures, tables and explanations that needs no network."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError
from workbench.core.record import Run
from workbench.reports import drawings, tables, words
from workbench.reports.equations import SOFTMAX, equation
from workbench.reports.evidence import Evidence, gather
from workbench.reports.figures import Figures
from workbench.reports.pages import write_page
from workbench.training.evaluate import THETA
from workbench.views.training import FEW

CONTENTS = (
    ("results", "Results"),
    ("guide", "How to read this"),
    ("losses", "The losses"),
    ("boundaries", "Decision boundaries"),
    ("training", "Training"),
    ("similarity", "Well and misclassified"),
    ("hardness", "Hard positives, hard negatives"),
    ("roc", "Verification"),
    ("recipe", "Recipe and reproduction"),
)


def write_report(
    runs: Sequence[Run], out: Path, title: str = "Margin losses on the hypersphere", intro: str = ""
) -> Path:
    """Write the report of `runs` to `out` and return its path. title and intro: plain text.

    Of a run that was interrupted or not evaluated, the page shows what there is and lists what is missing. Raises
    InputError if there is no run, for an unknown method, and for a folder that does not exist.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")
    evidence, figures = gather(runs), Figures()
    values = draw_figures(evidence, figures) | {
        "softmax": equation(SOFTMAX),
        "few": FEW,
        "theta": round(math.degrees(THETA)),
    }
    values |= {"runs": evidence, "words": words, "tables": tables, "intro": intro or words.summary(evidence)}
    return write_page(out, "run.html", figures, title=title, contents=CONTENTS, **values)


def draw_figures(runs: Sequence[Evidence], figures: Figures) -> dict[str, Any]:
    """The figures of the template, in the order of the page."""
    return {
        "cards": [drawings.card(one, figures) for one in runs],
        "boundary_figure": drawings.boundaries(runs, figures),
        "loss_figure": drawings.loss(runs, figures),
        "misclassified_figure": drawings.misclassified_samples(runs, figures),
        "distributions": drawings.distributions(runs, figures),
        "overlap_figure": drawings.overlap(runs, figures),
        "correlation_figure": drawings.correlation(runs, figures),
        "distances_figure": drawings.distances(runs, figures),
        "roc_figure": drawings.roc(runs, figures),
    }
