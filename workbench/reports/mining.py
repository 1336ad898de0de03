"""write_report: the findings of mining -> one HTML file, with thumbnails if there are images, that needs no network."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from workbench.mining.audit import ClassPairs, MiningResult
from workbench.mining.dataset import MiningData
from workbench.reports.pages import Cell, HtmlTable, write_page

MAX_ROWS = 30  # of each table; the CSV files have all rows
FACES = 3  # thumbnails of a class
SIDE = 96  # px of a thumbnail, at most
CONTENTS = (
    ("duplicates", "Likely duplicates"),
    ("errors", "Likely label errors"),
    ("pairs", "Hard pairs"),
)


def write_report(data: MiningData, findings: MiningResult, out: Path, source: str) -> Path:
    """Write the report of `findings` in `data` to `out` and return its path. source: the name of the mined file."""
    return write_page(
        out,
        "mine.html",
        title=f"Mined: {source}",
        intro=summary(data, findings),
        contents=CONTENTS,
        search=f"{findings.index}; recall {findings.recall:.3f}",
        threshold=findings.measured,
        duplicates=pair_table(data, findings.duplicates),
        duplicates_count=len(findings.duplicates.a),
        errors=error_table(data, findings),
        errors_count=0 if findings.errors is None else len(findings.errors.sample),
        single=findings.single,
        pairs=pair_table(data, findings.pairs),
        pairs_count=len(findings.pairs.a),
    )


def summary(data: MiningData, findings: MiningResult) -> str:
    """The numbers of findings."""
    n = "" if data.x is None else f" with {len(data.x):,} samples"
    errors = "" if findings.errors is None else f", likely label errors: {len(findings.errors.sample):,}"
    return (
        f"{len(data.names):,} classes{n}; likely duplicate pairs: {len(findings.duplicates.a):,}{errors}. "
        "These are likely, not certain: check the images before you change labels."
    )


def pair_table(data: MiningData, pairs: ClassPairs) -> HtmlTable:
    """The first MAX_ROWS pairs of classes."""
    rows = [
        [class_cell(data, int(a)), class_cell(data, int(b)), f"{cos:.3f}"]
        for a, b, cos in zip(pairs.a[:MAX_ROWS], pairs.b[:MAX_ROWS], pairs.cosine[:MAX_ROWS], strict=True)
    ]
    return HtmlTable(("Class", "Class", "Cosine of the centers"), rows, "numbers")


def error_table(data: MiningData, findings: MiningResult) -> HtmlTable | None:
    """The first MAX_ROWS likely label errors; None without labels."""
    e = findings.errors
    if e is None or data.y is None:
        return None
    columns = (a[:MAX_ROWS].tolist() for a in (e.sample, e.label, e.nearer, e.own_cosine, e.nearer_cosine))
    rows = [
        [Cell(str(i), images=faces(data, [i])), class_cell(data, y), class_cell(data, z), f"{own:.3f}", f"{other:.3f}"]
        for i, y, z, own, other in zip(*columns, strict=True)
    ]
    return HtmlTable(("Sample", "Label", "Nearer class", "Cosine, label", "Cosine, nearer class"), rows, "numbers")


def class_cell(data: MiningData, c: int) -> Cell:
    """A class's name, with its images that are nearest to the class center."""
    if data.y is None or data.x is None:
        return Cell(data.names[c], images=faces(data, [c]))
    members = (data.y == c).nonzero()[:, 0]
    best = (data.x[members] @ data.centers[c]).topk(min(FACES, len(members))).indices
    return Cell(data.names[c], images=faces(data, members[torch.sort(best).values].tolist()))


def faces(data: MiningData, indices: Sequence[int]) -> list[tuple[str, str]]:
    """Thumbnails as (alternative text, data URI); none without images."""
    return [] if data.images is None else [(f"image {i}", thumbnail(data.images[i])) for i in indices]


def thumbnail(pixels: np.ndarray) -> str:
    """A PNG of at most SIDE px as a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
