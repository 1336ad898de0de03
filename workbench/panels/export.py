"""Export: everything a session shows and did, as files: figures, tables, the record that replays, and the Python call.

export(lab, "found")    # found/lab.html, *.svg and *.png (extra `export`), *.csv (and .parquet), session.json, call.py
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

from workbench.core.files import make_folder, refuse_existing, to_json, write, write_table, write_text
from workbench.core.record import Snapshot
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

SIZE = {"width": 900, "height": 560}  # of a picture, in pixels
TALL = 480  # of a figure on the page, in pixels


class Shown(NamedTuple):
    """A figure: the name of its files, its title, what its caption says, and how it is drawn, dark or light."""

    name: str
    title: str
    caption: str
    draw: Callable[[bool], go.Figure]


def export(session: LiveSession, seen: Snapshot, theta: float, state: dict[str, Any], folder: Path | str) -> list[Path]:
    """Write a session and its snapshot `seen` into a new or empty folder; returns the files.

    theta: the angle between the two centers of the curves, in rad; state: the lab as JSON, as `Lab.state` has it.
    Pictures need kaleido (extra `export`) and Parquet needs pyarrow (extra `parquet`); without them there are none.
    """
    folder = refuse_existing(Path(folder))
    make_folder(folder)
    shown = list(figures_of(session, seen, theta))
    texts = {"lab.html": page(session, seen, shown), "call.py": call(session, theta) + "\n"}
    texts["session.json"] = to_json(state) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    endings = (".csv", ".parquet") if find_spec("pyarrow") else (".csv",)
    for name, columns in tables_of(session, seen).items():
        for ending in endings:
            write_table(folder / f"{name}{ending}", columns)
    if find_spec("kaleido"):
        for one in shown:
            for ending in (".svg", ".png"):
                figure = one.draw(False)
                write(folder / f"{one.name}{ending}", lambda path, figure=figure: figure.write_image(path, **SIZE))
    return sorted(folder.iterdir())


def figures_of(session: LiveSession, seen: Snapshot, theta: float) -> Iterator[Shown]:
    """The figures of a session at a snapshot, as they can be printed."""
    tuning, classes = session.tuning, len(session.images.names)
    sampled = f"{len(seen.y):,} of {len(session.images):,} training images, stratified by class, at step {seen.step:,}."
    own = method_style(tuning.method, tuning.composed.title)
    if tuning.composed.has_logits:
        margin, at = tuning.composed.margin_of(tuning.values), (theta, seen.state, seen.length)
        lines = curve(margin, theta=theta, state=seen.state, norm=seen.length)
        drawn = MarginCurve(own.label, own.color, lines, boundaries(margin, *at), ideal_boundaries(margin, *at))
        said = f"T (solid) and N (dashed) of a sample between two centers {math.degrees(theta):.1f}° apart."
        yield Shown("curves", "Curves", said, lambda dark: curves_figure([drawn], theta, dark))
    if seen.x.shape[1] == 3 and classes <= 14:
        yield Shown("sphere", "Sphere", sampled, lambda dark: sphere_figure({f"step {seen.step}": seen}, dark))
    else:
        yield Shown("sphere", "Embeddings", f"Principal axes. {sampled}", lambda dark: map_figure(seen, dark))
    groups, found = similarity(seen.cos, seen.y), hardness(seen.cos, seen.y)
    said = f"Cosine to the own center. Overlap {groups.overlap:.3f}. {sampled}"
    yield Shown(
        "similarities", "Similarity distributions", said, lambda dark: ridges_figure([seen.step], [groups], dark=dark)
    )
    said = f"Misclassified samples; r = {found.r:.3f}. {sampled}"
    yield Shown("hardness", "Hardness", said, lambda dark: distances_figure(found, own, dark))
    if session.steps:
        steps, losses = (np.array([getattr(s, name) for s in session.steps]) for name in ("step", "loss"))
        taken = Track(own, np.arange(len(steps)), losses)
        said = f"{len(steps):,} steps taken, those before a restore included."
        yield Shown("training", "Training loss", said, lambda dark: loss_figure([taken], (), dark))


def tables_of(session: LiveSession, seen: Snapshot) -> dict[str, dict[str, list[Any]]]:
    """What is plotted, by the name of its file: samples, steps and events, each as columns."""
    own, nearest, other = own_and_nearest(seen.cos, seen.y)
    wrong = seen.cos.argmax(axis=1) != seen.y
    names = session.images.names
    samples = {
        "image": session.sample.tolist(),
        "class": [names[i] for i in seen.y],
        "own_cosine": own.tolist(),
        "nearest_other": [names[i] for i in other],
        "nearest_other_cosine": nearest.tolist(),
        "misclassified": wrong.tolist(),
    } | {f"x{d}": seen.x[:, d].tolist() for d in range(min(3, seen.x.shape[1]))}
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


def page(session: LiveSession, seen: Snapshot, shown: list[Shown]) -> str:
    """All figures and the log on one page that needs no network."""
    figures = Figures()
    rows = [[f"{e.step:,}", e.do, json.dumps(e.asked, default=str), e.note] for e in session.log]
    return render(
        "lab.html",
        figures,
        title=f"{session.tuning.composed.title} at step {seen.step:,}",
        intro=f"A session of the live lab: {session.at:,} steps; its log is at the end.",
        contents=[("log", "Log of the session"), ("repeat", "Repeat")],
        drawn=[figures.add(s.draw, s.caption, TALL, s.title) for s in shown],
        log=HtmlTable(("Step", "Order", "Arguments", "Note"), rows),
        call=call(session, math.nan),
    )


def call(session: LiveSession, theta: float) -> str:
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
