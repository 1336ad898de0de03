"""Replay: save a live session as a JSON file, and reproduce it bitwise.

The file holds the configuration, the log of the user's actions, and a fingerprint of the weights, which shows whether a
replay is bitwise equal.
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
from workbench.training.live.history import Entry
from workbench.training.live.session import LiveSession
from workbench.training.state import JobState
from workbench.training.versions import versions

NAMED = Table({"name": Text()})
ASKED = {"set": MapOf(), "snapshot": NAMED, "restore": NAMED, "reset_weights": Table({})}  # arguments of each action
SCHEMA = 1  # version of the file format; older ones stay readable


def fingerprint(job: Job) -> str:
    """SHA-256 of a job's weights, centers, state and momentum."""
    digest = hashlib.sha256()
    for tensor in JobState.of(job).tensors.values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_images(images: ImageSet) -> str:
    """SHA-256 of images and labels."""
    digest = hashlib.sha256(np.ascontiguousarray(images.images).tobytes())
    digest.update(np.ascontiguousarray(images.labels).tobytes())
    return digest.hexdigest()


def record(session: LiveSession) -> dict[str, Any]:
    """A session as JSON, read between two steps of its training."""

    def collect() -> dict[str, Any]:
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
            "images": hash_images(session.images),
            "identities": describe_images(session.images) | {"size": session.images.size},
            "fingerprint": fingerprint(session.job),
            "versions": versions(session.job.device),
        }

    return session.between(collect)


def save(session: LiveSession, path: Path | str) -> Path:
    """Write a session to a JSON file atomically; returns its path."""
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
    """Train a saved session again from its first step. It is paused at the step at which it was saved.

    images, margin: those of the session, where it had its own; where: name of the record in messages. `agrees` of the
    returned session says whether it is bitwise equal. InputError for a file that is damaged or of a newer version, and
    where the images or the margin are missing or have changed.
    """
    if not isinstance(saved, dict):
        saved, where = read_json(Path(saved)), str(saved)
    config, log, at = parse_record(saved, where)
    if saved["margin"] is not None and margin is None:
        raise InputError(f"{where}: trained a margin of one's own, {saved['margin']['name']}; give it as margin=")
    images, remarks = load_recorded_images(saved, config, images, where)
    session = LiveSession(config, images=images, margin=margin, name=name, threads=saved["threads"])
    session.notes.extend(remarks)
    try:
        for entry in log:
            train_until(session, entry.at, at, progress)
            session.repeat(entry)
        train_until(session, at, at, progress)
    except BaseException:
        session.stop()
        raise
    session.agrees = session.between(lambda: fingerprint(session.job)) == saved["fingerprint"]
    if not session.agrees:
        session.notes.append(explain_difference(saved["versions"], versions(session.job.device)))
    return session


def load_recorded_images(
    record: dict[str, Any], config: Config, images: ImageSet | None, where: str
) -> tuple[ImageSet, list[str]]:
    """The images that a session trained on, matched by name, and remarks on harmless changes.

    InputError where identities are missing or have other images.
    """
    identities = record.get("identities", {})
    if images is None:
        images = load(config.data, identities.get("size", config.size))
    remarks: list[str] = []
    if identities and hash_images(images) != record["images"]:
        images, remarks = select_recorded(images, identities, where)
    if hash_images(images) != record["images"]:
        raise InputError(f"{where}: '{config.data}' holds other images now than when the session was trained")
    return images, remarks


def train_until(session: LiveSession, at: int, total: int, progress: Progress) -> None:
    """Train until the session has taken `at` of `total` steps."""
    while session.at < at:
        session.run(min(50, at - session.at), block=True)
        progress(session.at, total, "replaying")


def parse_record(record: Any, where: str) -> tuple[Config, list[Entry], int]:
    """The configuration, the log and the number of steps of a record; InputError where it is invalid."""
    if not isinstance(record, dict) or "schema" not in record:
        raise InputError(f"{where} is not a saved session: it has no 'schema'")
    if record["schema"] not in range(1, SCHEMA + 1):
        raise InputError(
            f"{where} is of schema {quote(repr(record['schema']))}; this workbench reads up to {SCHEMA}: update it"
        )
    check(record, SESSION, where)
    if record["margin"] is not None and not Text().accepts(record["margin"].get("name")):
        raise InputError(f"{where}: 'margin.name' is missing; expected text")
    log = [Entry(**e | {"events": tuple(Event(**event) for event in e.get("events", ()))}) for e in record["log"]]
    for i, entry in enumerate(log):
        check(entry.asked, ASKED.get(entry.do, MapOf()), f"{where}: log[{i}].asked")
        if entry.do not in ASKED or not (log[i - 1].at if i else 0) <= entry.at <= record["at"]:
            raise InputError(
                f"{where}: log[{i}] is '{quote(entry.do)}' at step {entry.at}; expected {', '.join(ASKED)}, in the"
                f" order of their steps, up to {record['at']}"
            )
    return Config(**record["config"]), log, record["at"]


def explain_difference(then: dict[str, str], now: dict[str, str]) -> str:
    """A sentence: why a replay may not be bitwise equal."""
    other = [f"{name} {then[name]} then, {now.get(name)} now" for name in then if then[name] != now.get(name)]
    return (
        "This replay did not arrive at the same bits: "
        + ("; ".join(other) if other else "another number of threads or another processor")
        + "."
    )
