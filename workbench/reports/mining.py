"""write_page: what mining found -> one HTML file with thumbnails where there are images, without any network."""

import base64
import io
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import torch
from PIL import Image

from workbench.core.files import write_text
from workbench.mining.audit import ClassPairs, MiningResult
from workbench.mining.dataset import MiningData

SHOWN = 30  # rows of each table; the CSV files have the rest
FACES = 3  # thumbnails of a class
SIDE = 96  # px of a thumbnail, at most


def write_page(data: MiningData, found: MiningResult, out: Path, source: str) -> Path:
    """Write the page about `found` in `data` to `out` and return its path. source: the name of the file mined."""
    report = files("workbench.reports") / "templates"
    page = Template((report / "mine.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"Mined: {source}"),
        css=(report / "report.css").read_text(encoding="utf-8"),
        lede=escape(lede(data, found)),
        search=escape(f"{found.index}; recall {found.recall:.3f}"),
        measured=escape(found.measured),
        duplicates=pair_table(data, found.duplicates, "duplicates.csv"),
        errors=error_table(data, found),
        pairs=pair_table(data, found.pairs, "pairs.csv"),
    )
    write_text(out, page)
    return out


def lede(data: MiningData, found: MiningResult) -> str:
    """The findings in two sentences."""
    n = "" if data.x is None else f" with {len(data.x):,} samples"
    errors = "" if found.errors is None else f", likely label errors: {len(found.errors.sample):,}"
    return (
        f"{len(data.names):,} classes{n}; likely duplicate pairs: {len(found.duplicates.a):,}{errors}. "
        "Likely means: look before you change anything."
    )


def pair_table(data: MiningData, pairs: ClassPairs, csv: str) -> str:
    rows = [
        f"<td>{class_cell(data, int(a))}</td><td>{class_cell(data, int(b))}</td><td>{cos:.3f}</td>"
        for a, b, cos in zip(pairs.a[:SHOWN], pairs.b[:SHOWN], pairs.cosine[:SHOWN], strict=True)
    ]
    return table(("class", "class", "cosine of the centers"), rows, len(pairs.a), csv)


def error_table(data: MiningData, found: MiningResult) -> str:
    if found.errors is None or data.y is None:
        return "<p class='notice'>Centers alone say nothing about labels; embeddings with labels do.</p>"
    e = found.errors
    columns = (a[:SHOWN].tolist() for a in (e.sample, e.label, e.nearer, e.own_cosine, e.nearer_cosine))
    rows = [
        f"<td>{faces(data, [i])}{i}</td><td>{class_cell(data, y)}</td><td>{class_cell(data, z)}</td>"
        f"<td>{own:.3f}</td><td>{other:.3f}</td>"
        for i, y, z, own, other in zip(*columns, strict=True)
    ]
    heads = ("sample", "its label", "nearer to", "cosine, own", "cosine, nearer")
    alone = (
        f"<p class='note'>Alone in their class, so not judged: {found.single:,} samples.</p>" if found.single else ""
    )
    return table(heads, rows, len(e.sample), "label_errors.csv") + alone


def table(heads: tuple[str, ...], rows: list[str], total: int, csv: str) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th scope='col'>{h}</th>" for h in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<div class='scroll' tabindex='0'><table class='numbers'><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        f"</table></div><p class='note'>{len(rows):,} of {total:,}; all in <code>{csv}</code>.</p>"
    )


def class_cell(data: MiningData, c: int) -> str:
    """A class's name, after the images of it that are nearest its center."""
    if data.y is None or data.x is None:
        return faces(data, [c]) + escape(data.names[c])
    members = (data.y == c).nonzero()[:, 0]
    best = (data.x[members] @ data.centers[c]).topk(min(FACES, len(members))).indices
    return faces(data, members[torch.sort(best).values].tolist()) + escape(data.names[c])


def faces(data: MiningData, indices: list[int]) -> str:
    """Thumbnails of images, as data in the page; nothing without images."""
    if data.images is None:
        return ""
    pictures = "".join(f"<img alt='image {i}' src='{thumbnail(data.images[i])}'>" for i in indices)
    return f"<span class='faces'>{pictures}</span>"


def thumbnail(pixels: np.ndarray) -> str:
    """A PNG of at most SIDE px as a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
