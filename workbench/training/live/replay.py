"""Replay: a session as one JSON file, and the same bits from it.

What is written is the configuration, the log of what a person did and when, and a fingerprint of the weights, so that a
replay can say whether it arrived where the session was.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.core.errors import InputError, quote
from workbench.core.files import read_json, write_json
from workbench.core.formats import SESSION
from workbench.core.progress import Progress, no_progress
from workbench.core.schema import MapOf, Table, Text, check
from workbench.data.digests import describe_images, select_recorded
from workbench.data.images import ImageSet, load
from workbench.margins.base import Margin
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Job
from workbench.training.live.session import Entry, LiveSession
from workbench.training.versions import versions

NAMED = Table({"name": Text()})
ASKED = {"set": MapOf(), "snapshot": NAMED, "restore": NAMED, "reset_weights": Table({})}  # arguments of each order
SCHEMA = 1  # of the file; older ones stay readable


def fingerprint(job: Job) -> str:
    """SHA-256 of the weights, the centers, the state and the momentum of a job."""
    found = hashlib.sha256()
    momenta = [state.get("momentum_buffer") for state in job.optimiser.state.values()]
    tensors = [*job.backbone.state_dict().values(), *job.objective.state_dict().values(), *momenta]
    for tensor in tensors:
        if tensor is not None:
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def pictured(images: ImageSet) -> str:
    """SHA-256 of the images and labels that a session trained on."""
    found = hashlib.sha256(np.ascontiguousarray(images.images).tobytes())
    found.update(np.ascontiguousarray(images.labels).tobytes())
    return found.hexdigest()


def record(session: LiveSession) -> dict[str, Any]:
    """A session as JSON: what `replay` needs, and what a reader wants to know. Between two steps of its training."""

    def taken() -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "config": dataclasses.asdict(session.config),
            "threads": session.threads,
            "margin": None
            if session.margin is None
            else {"name": type(session.margin).__name__} | vars(session.margin),
            "log": [entry_json(entry) for entry in session.log],
            "at": session.at,
            "step": session.job.step,
            "images": pictured(session.images),
            "identities": describe_images(session.images) | {"size": session.images.size},
            "fingerprint": fingerprint(session.job),
            "versions": versions(session.job.device),
        }

    return session.between(taken)


def save(session: LiveSession, path: Path | str) -> Path:
    """Write a session to a JSON file, whole or not at all; returns its path."""
    path = Path(path)
    write_json(path, record(session))
    return path


def entry_json(entry: Entry) -> dict[str, Any]:
    return dataclasses.asdict(entry) | {"events": [event.to_json() for event in entry.events]}


def replay(
    saved: Path | str | dict[str, Any],
    images: ImageSet | None = None,
    margin: Margin | None = None,
    name: str = "replay",
    where: str = "the record",
    progress: Progress = no_progress,
) -> LiveSession:
    """The session that was saved, trained again from its first step; paused where it was when it was saved.

    images: those it was trained on, where they were handed in; margin: one's own, where it had one; where: what a
    message calls the record. `agrees` of what is returned says whether the bits are the same. InputError for a file
    that is damaged, of a newer form, or whose images or margin are not to be had.
    """
    if not isinstance(saved, dict):
        saved, where = read_json(Path(saved)), str(saved)
    known = saved
    config, log, at = checked(known, where)
    if known["margin"] is not None and margin is None:
        raise InputError(f"{where}: trained a margin of one's own, {known['margin']['name']}; give it as margin=")
    images, remarks = same_images(known, config, images, where)
    session = LiveSession(config, images=images, margin=margin, name=name, threads=known["threads"])
    session.notes += remarks
    try:
        for entry in log:
            go_on(session, entry.at, at, progress)
            session.repeat(entry)
        go_on(session, at, at, progress)
    except BaseException:
        session.stop()
        raise
    session.agrees = session.between(lambda: fingerprint(session.job)) == known["fingerprint"]
    if not session.agrees:
        session.notes.append(differently(known["versions"], versions(session.job.device)))
    return session


def same_images(
    known: dict[str, Any], config: Config, images: ImageSet | None, where: str
) -> tuple[ImageSet, list[str]]:
    """The images that a session trained on, selected by name, and remarks on what has changed besides.

    InputError where identities are missing or have other images.
    """
    recorded = known.get("identities", {})
    if images is None:
        images = load(config.data, recorded.get("size", config.size))
    remarks: list[str] = []
    if recorded and pictured(images) != known["images"]:
        images, remarks = select_recorded(images, recorded, where)
    if pictured(images) != known["images"]:
        raise InputError(f"{where}: '{config.data}' holds other images now than when the session was trained")
    return images, remarks


def go_on(session: LiveSession, until: int, whole: int, progress: Progress) -> None:
    """Train until the session has taken so many steps."""
    while session.at < until:
        session.run(min(50, until - session.at), block=True)
        progress(session.at, whole, "replaying")


def checked(known: Any, where: str) -> tuple[Config, list[Entry], int]:
    """The configuration, log and length of a record; InputError where it is none."""
    if not isinstance(known, dict) or "schema" not in known:
        raise InputError(f"{where} is not a saved session: it has no 'schema'")
    if known["schema"] not in range(1, SCHEMA + 1):
        raise InputError(
            f"{where} is of schema {quote(repr(known['schema']))}; this workbench reads up to {SCHEMA}: update it"
        )
    check(known, SESSION, where)
    if known["margin"] is not None and not Text().accepts(known["margin"].get("name")):
        raise InputError(f"{where}: 'margin.name' is missing; expected text")
    log = [Entry(**e | {"events": tuple(Event(**event) for event in e.get("events", ()))}) for e in known["log"]]
    for i, entry in enumerate(log):
        check(entry.asked, ASKED.get(entry.do, MapOf()), f"{where}: log[{i}].asked")
        if entry.do not in ASKED or not (log[i - 1].at if i else 0) <= entry.at <= known["at"]:
            raise InputError(
                f"{where}: log[{i}] is '{quote(entry.do)}' at step {entry.at}; expected {', '.join(ASKED)}, in the"
                f" order of their steps, up to {known['at']}"
            )
    return Config(**known["config"]), log, known["at"]


def differently(then: dict[str, str], now: dict[str, str]) -> str:
    """Why a replay may not have arrived at the same bits, in a sentence."""
    other = [f"{name} {then[name]} then, {now.get(name)} now" for name in then if then[name] != now.get(name)]
    return (
        "This replay did not arrive at the same bits: "
        + ("; ".join(other) if other else "another number of threads or another processor")
        + "."
    )
