"""Export: everything a session shows and did, as files: figures, tables, the record that replays, and the Python call.

export(lab, "found")    # found/lab.html, *.svg and *.png (extra `export`), *.csv (and .parquet), session.json, call.py
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from workbench.core.files import make_folder, refuse_existing, to_json, write, write_table, write_text
from workbench.core.record import Snapshot
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.probes.hardness import hardness, own_and_nearest
from workbench.probes.similarity import similarity
from workbench.reports.figures import Figures
from workbench.training.config import Config
from workbench.training.live.session import LiveSession
from workbench.views.curves import Drawn, curves_figure
from workbench.views.hardness import distances_figure
from workbench.views.similarity import ridges_figure
from workbench.views.sphere import map_figure, sphere_figure
from workbench.views.theme import look
from workbench.views.training import Track, loss_figure

SIZE = {"width": 900, "height": 560}  # of a picture, in pixels
TALL = 480  # of a figure on the page, in pixels


class ExportedFigure(NamedTuple):
    """A figure: the name of its files, its title, what its caption says, and how it is drawn, dark or light."""

    name: str
    title: str
    caption: str
    draw: Callable[[bool], go.Figure]


def export(
    session: LiveSession, snapshot: Snapshot, theta: float, state: dict[str, Any], folder: Path | str
) -> list[Path]:
    """Write a session and its snapshot `snapshot` into a new or empty folder; returns the files.

    theta: the angle between the two centers of the curves, in rad; state: the lab as JSON, as `Lab.state` has it.
    Pictures need kaleido (extra `export`) and Parquet needs pyarrow (extra `parquet`); without them there are none.
    """
    folder = refuse_existing(Path(folder))
    make_folder(folder)
    shown = list(build_figures(session, snapshot, theta))
    texts = {"lab.html": render_page(session, snapshot, shown), "call.py": python_call(session, theta) + "\n"}
    texts["session.json"] = to_json(state) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    endings = (".csv", ".parquet") if find_spec("pyarrow") else (".csv",)
    for name, columns in build_tables(session, snapshot).items():
        for ending in endings:
            write_table(folder / f"{name}{ending}", columns)
    if find_spec("kaleido"):
        for one in shown:
            for ending in (".svg", ".png"):
                figure = one.draw(False)
                write(folder / f"{one.name}{ending}", lambda path, figure=figure: figure.write_image(path, **SIZE))
    return sorted(folder.iterdir())


def build_figures(session: LiveSession, snapshot: Snapshot, theta: float) -> Iterator[ExportedFigure]:
    """The figures of a session at a snapshot, as they can be printed."""
    tuning, classes = session.tuning, len(session.images.names)
    images = f"{len(snapshot.y):,} of {len(session.images):,} training images"
    sampled = f"{images}, stratified by class, at step {snapshot.step:,}."
    own = look(tuning.method, tuning.composed.title)
    if tuning.composed.has_logits:
        margin, at = tuning.composed.margin_of(tuning.values), (theta, snapshot.state, snapshot.length)
        lines = curve(margin, theta=theta, state=snapshot.state, norm=snapshot.length)
        drawn = Drawn(own.label, own.colour, lines, boundaries(margin, *at), ideal_boundaries(margin, *at))
        said = f"T (solid) and N (dashed) of a sample between two centers {math.degrees(theta):.1f}° apart."
        yield ExportedFigure("curves", "Curves", said, lambda dark: curves_figure([drawn], theta, dark))
    if snapshot.x.shape[1] == 3 and classes <= 14:
        yield ExportedFigure(
            "sphere", "Sphere", sampled, lambda dark: sphere_figure({f"step {snapshot.step}": snapshot}, dark)
        )
    else:
        yield ExportedFigure(
            "sphere", "Embeddings", f"Principal axes. {sampled}", lambda dark: map_figure(snapshot, dark)
        )
    groups, found = similarity(snapshot.cos, snapshot.y), hardness(snapshot.cos, snapshot.y)
    said = f"Cosine to the own center. Overlap {groups.overlap:.3f}. {sampled}"
    yield ExportedFigure(
        "similarities",
        "Similarity distributions",
        said,
        lambda dark: ridges_figure([snapshot.step], [groups], dark=dark),
    )
    said = f"Misclassified samples; r = {found.r:.3f}. {sampled}"
    yield ExportedFigure("hardness", "Hardness", said, lambda dark: distances_figure(found, own, dark))
    if session.steps:
        steps, losses = (np.array([getattr(s, name) for s in session.steps]) for name in ("step", "loss"))
        taken = Track(own, np.arange(len(steps)), losses)
        said = f"{len(steps):,} steps taken, those before a restore included."
        yield ExportedFigure("training", "Training loss", said, lambda dark: loss_figure([taken], (), dark))


def build_tables(session: LiveSession, snapshot: Snapshot) -> dict[str, dict[str, list[Any]]]:
    """What is plotted, by the name of its file: samples, steps and events, each as columns."""
    own, nearest, other = own_and_nearest(snapshot.cos, snapshot.y)
    wrong = snapshot.cos.argmax(axis=1) != snapshot.y
    names = session.images.names
    samples = {
        "image": session.sample.tolist(),
        "class": [names[i] for i in snapshot.y],
        "own_cosine": own.tolist(),
        "nearest_other": [names[i] for i in other],
        "nearest_other_cosine": nearest.tolist(),
        "misclassified": wrong.tolist(),
    } | {f"x{d}": snapshot.x[:, d].tolist() for d in range(min(3, snapshot.x.shape[1]))}
    fields = ("step", "loss", "lr", "seconds", "length", "alignment")
    steps = {"at": list(range(len(session.steps)))} | {f: [getattr(s, f) for s in session.steps] for f in fields}
    told = [(e.at, event, e.note) for e in session.log for event in e.events]
    events = {
        "at": [at for at, _, _ in told],
        "step": [event.step for _, event, _ in told],
        "name": [event.name for _, event, _ in told],
        "old": ["" if event.old is None else str(event.old) for _, event, _ in told],
        "new": [str(event.new) for _, event, _ in told],
        "note": [note for _, _, note in told],
    }
    return {"samples": samples, "steps": steps, "events": events}


def render_page(session: LiveSession, snapshot: Snapshot, shown: list[ExportedFigure]) -> str:
    """All figures and the log on one page that needs no network."""
    figures = Figures()
    drawn = "".join(f"<section>{figures.add(s.draw, escape(s.caption), TALL, s.title)}</section>" for s in shown)
    own = files("workbench.reports") / "templates"
    rows = "".join(
        f"<tr><td>{e.step:,}</td><td>{escape(e.do)}</td><td>{escape(json.dumps(e.asked, default=str))}</td>"
        f"<td>{escape(e.note)}</td></tr>"
        for e in session.log
    )
    return Template((own / "lab.html").read_text(encoding="utf-8")).substitute(
        title=f"{escape(session.tuning.composed.title)} at step {snapshot.step:,}",
        intro=escape(f"A session of the live lab: {session.at:,} steps taken; its log is at the end."),
        drawn=drawn,
        rows=rows,
        call=escape(python_call(session, math.nan)),
        css=(own / "report.css").read_text(encoding="utf-8"),
        script=(own / "report.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        figures=figures.to_json(),
    )


def python_call(session: LiveSession, theta: float) -> str:
    """Python that makes the lab again as it started; `replay` of session.json makes it again as it is now."""
    plain = Config()
    given = {
        f.name: getattr(session.config, f.name)
        for f in dataclasses.fields(Config)
        if f.name == "method" or getattr(session.config, f.name) != getattr(plain, f.name)
    }
    angle = {} if math.isnan(theta) else {"theta": round(theta, 6)}
    margin = [f"margin={session.margin!r}"] if session.margin is not None else []
    return f"Lab({', '.join([*margin, *(f'{k}={v!r}' for k, v in (given | angle).items())])})"
