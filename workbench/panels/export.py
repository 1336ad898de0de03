"""Export of a session as files: figures, tables, the replayable record and the Python call.

lab.export("result")    # lab.html, *.svg and *.png (extra `export`), *.csv (and .parquet), session.json, call.py
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from workbench.core.files import make_folder, refuse_existing, to_json, write, write_text
from workbench.core.record import Snapshot
from workbench.core.tables import write_table
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.probes.hardness import hardness, own_and_nearest
from workbench.probes.similarity import similarity
from workbench.reports.figures import Figures
from workbench.reports.pages import HtmlTable, render
from workbench.training.config import Config
from workbench.training.live.session import LiveSession
from workbench.views.curves import MarginCurve, curves_figure
from workbench.views.hardness import distances_figure
from workbench.views.similarity import ridges_figure
from workbench.views.sphere import map_figure, sphere_figure
from workbench.views.theme import method_style
from workbench.views.training import Track, loss_figure

SIZE = {"width": 900, "height": 560}  # of an image file, in pixels
HEIGHT = 480  # of a figure on the HTML page, in pixels


class ExportedFigure(NamedTuple):
    """A figure. name: file name without suffix; draw(dark): builds the figure."""

    name: str
    title: str
    caption: str
    draw: Callable[[bool], go.Figure]


def export(
    session: LiveSession, snapshot: Snapshot, theta: float, state: dict[str, Any], folder: Path | str
) -> list[Path]:
    """Write a session and its snapshot into a new or empty folder; returns the files.

    theta: angle between the two class centers of the curves, in rad; state: see `Lab.state`. Image files need kaleido
    (extra `export`), Parquet files need pyarrow (extra `parquet`); they are omitted without these packages.
    """
    folder = refuse_existing(Path(folder))
    make_folder(folder)
    figures = list(build_figures(session, snapshot, theta))
    texts = {"lab.html": render_page(session, snapshot, figures), "call.py": python_call(session, theta) + "\n"}
    texts["session.json"] = to_json(state) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    suffixes = (".csv", ".parquet") if find_spec("pyarrow") else (".csv",)
    for name, columns in build_tables(session, snapshot).items():
        for suffix in suffixes:
            write_table(folder / f"{name}{suffix}", columns)
    if find_spec("kaleido"):
        for one in figures:
            for suffix in (".svg", ".png"):
                figure = one.draw(False)
                write(folder / f"{one.name}{suffix}", lambda path, figure=figure: figure.write_image(path, **SIZE))
    return sorted(folder.iterdir())


def build_figures(session: LiveSession, snapshot: Snapshot, theta: float) -> Iterator[ExportedFigure]:
    """The figures of a session at a snapshot."""
    tuning, method = session.tuning, session.tuning.composed
    images = f"{len(snapshot.y):,} of {len(session.images):,} training images"
    sample = f"{images}, stratified by class, at step {snapshot.step:,}."
    style = method_style(tuning.method, method.title)
    if method.has_logits:
        margin, at = method.margin_of(tuning.values), (theta, snapshot.state, snapshot.length)
        lines = curve(margin, theta=theta, state=snapshot.state, norm=snapshot.length)
        curves = MarginCurve(style.label, style.color, lines, boundaries(margin, *at), ideal_boundaries(margin, *at))
        caption = f"T (solid) and N (dashed) of a sample between two class centers {math.degrees(theta):.1f}° apart."
        yield ExportedFigure("curves", "Curves", caption, lambda dark: curves_figure([curves], theta, dark))
    if snapshot.x.shape[1] == 3 and len(session.images.names) <= 14:
        name = f"step {snapshot.step}"
        yield ExportedFigure("sphere", "Sphere", sample, lambda dark: sphere_figure({name: snapshot}, dark))
    else:
        caption = f"Principal axes. {sample}"
        yield ExportedFigure("sphere", "Embeddings", caption, lambda dark: map_figure(snapshot, dark))
    groups, hard = similarity(snapshot.cos, snapshot.y), hardness(snapshot.cos, snapshot.y)
    caption = f"Cosine to the own class center. Overlap {groups.overlap:.3f}. {sample}"
    title = "Similarity distributions"
    yield ExportedFigure(
        "similarities", title, caption, lambda dark: ridges_figure([snapshot.step], [groups], dark=dark)
    )
    caption = f"Misclassified samples; r = {hard.r:.3f}. {sample}"
    yield ExportedFigure("hardness", "Hardness", caption, lambda dark: distances_figure(hard, style, dark))
    if session.steps:
        track = Track(style, np.arange(len(session.steps)), np.array([step.loss for step in session.steps]))
        caption = f"{len(session.steps):,} training steps, including those before a restore."
        yield ExportedFigure("training", "Training loss", caption, lambda dark: loss_figure([track], (), dark))


def build_tables(session: LiveSession, snapshot: Snapshot) -> dict[str, dict[str, list[Any]]]:
    """The plotted values by file name: samples, steps and events, each as columns."""
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
    rows = [
        (e.at, event.step, event.name, "" if event.old is None else str(event.old), str(event.new), e.note)
        for e in session.log
        for event in e.events
    ]
    columns = ("at", "step", "name", "old", "new", "note")
    events = {name: [row[k] for row in rows] for k, name in enumerate(columns)}
    return {"samples": samples, "steps": steps, "events": events}


def render_page(session: LiveSession, snapshot: Snapshot, exported: list[ExportedFigure]) -> str:
    """The HTML page with all figures and the log; it needs no network."""
    figures = Figures()
    rows = [[f"{e.step:,}", e.do, json.dumps(e.asked, default=str), e.note] for e in session.log]
    return render(
        "lab.html",
        figures,
        title=f"{session.tuning.composed.title} at step {snapshot.step:,}",
        intro=f"A session of the live lab after {session.at:,} training steps. Its log is at the end.",
        contents=[("log", "Log of the session"), ("repeat", "Repeat")],
        drawn=[figures.add(f.draw, f.caption, HEIGHT, f.title) for f in exported],
        log=HtmlTable(("Step", "Action", "Arguments", "Note"), rows),
        call=python_call(session, math.nan),
    )


def python_call(session: LiveSession, theta: float) -> str:
    """The Python call that creates the lab in its initial state. theta: rad; NaN: omitted."""
    config, default = session.config, Config()
    arguments = {} if session.margin is None else {"margin": session.margin}
    for name in (f.name for f in dataclasses.fields(Config)):
        if name == "method" or getattr(config, name) != getattr(default, name):
            arguments[name] = getattr(config, name)
    if not math.isnan(theta):
        arguments["theta"] = round(theta, 6)
    return f"Lab({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
