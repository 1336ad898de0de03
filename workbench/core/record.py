"""The record of a training: Step, Snapshot and Run, a folder (numpy only).

    run.json            settings, versions, scheduled events; status: running, finished, stopped, or failed with the
                        reason; owner: host, process id and start of the last training
    split.json          training and test identities, by name and by digest of their images; test pairs
    .lock               locked by the process that trains the run
    steps.csv           one line per training step, appended during the training
    events.jsonl        one line per change of a parameter
    snapshots/*.npz     embeddings, labels, centers and parameters at a step
    checkpoint.safetensors   network, objective and optimizer at the last snapshot
    results.json        measurements of the evaluation; their arrays are in curves.npz

All files except the two append-only ones are written atomically, so a killed run leaves complete files.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.files import make_folder, read_json, refuse_existing, sync, write, write_json
from workbench.core.formats import RESULTS, RUN, SPLIT, check_lengths
from workbench.core.locks import LOCK, is_local_disk, lock_state, this_owner
from workbench.core.logs import damaged_line, parse_event, parse_step, read_lines
from workbench.core.schema import check

NEW_RUN = {LOCK, "snapshots", "split.json", "steps.csv", "events.jsonl"}  # written before run.json


@dataclass(frozen=True)
class Step:
    """One training step: loss, learning rate, duration in seconds, and two statistics of the embeddings.

    length: mean length of the embeddings; alignment: length of their mean direction, 1 if all directions are equal.
    """

    step: int
    loss: float
    lr: float
    seconds: float
    length: float = float("nan")
    alignment: float = float("nan")


@dataclass(frozen=True)
class Snapshot:
    """State at a step: embeddings x (n, D) of a fixed sample, labels y (n,), centers W (C, D), parameters.

    With sub > 1, W is (C sub, D) with the sub-centers of a class in adjacent rows. With many classes a snapshot has a
    part of them: ids (C,) are their class indices in ascending order and y positions in ids; ids is None for all. The
    part includes the nearest of all classes to each embedding, and to each center of the sample's classes.
    """

    step: int
    x: np.ndarray
    y: np.ndarray
    W: np.ndarray
    parameters: dict[str, Any] = field(default_factory=dict)
    state: dict[str, float] = field(default_factory=dict)
    sub: int = 1
    ids: np.ndarray | None = None

    @property
    def cos(self) -> np.ndarray:
        """Cosines (n, C) of the embeddings to the class centers, or to the nearest sub-center of each class."""
        return self._all_cosines().reshape(len(self.x), -1, self.sub).max(axis=2)

    @property
    def complete(self) -> np.ndarray | None:
        """Positions of the classes whose nearest other class is in the snapshot, those of the sample; None: all."""
        return None if self.ids is None else np.unique(self.y)

    @property
    def length(self) -> float:
        """The mean length of the embeddings, which MagFace and AdaFace use."""
        return float(np.linalg.norm(self.x, axis=1).mean())

    @property
    def centers(self) -> np.ndarray:
        """One center (C, D) of each class: of sub-centers, the one that is nearest to most samples of the class."""
        if self.sub == 1:
            return self.W
        nearest = self._all_cosines().reshape(len(self.x), -1, self.sub)[np.arange(len(self.x)), self.y].argmax(axis=1)
        votes = np.zeros((len(self.W) // self.sub, self.sub), dtype=int)
        np.add.at(votes, (self.y, nearest), 1)
        return self.W.reshape(*votes.shape, -1)[np.arange(len(votes)), votes.argmax(axis=1)]

    def _all_cosines(self) -> np.ndarray:
        return unit(self.x) @ unit(self.W).T


@dataclass
class Run:
    """The folder of a run. `create` makes a new one, `open` opens an existing one; methods write and read it."""

    path: Path
    info: dict[str, Any]

    @classmethod
    def create(cls, path: Path, info: dict[str, Any], split: dict[str, Any]) -> "Run":
        """Create the folder of a run with its settings and split. Raises InputError if the folder is not empty.

        Files of an earlier call that was interrupted before the first step are overwritten.
        """
        path = refuse_used(path)
        make_folder(path / "snapshots")
        run = cls(path, info | {"status": "running", "owner": this_owner()})
        write_json(path / "split.json", split)
        (path / "steps.csv").write_text(",".join(f.name for f in fields(Step)) + "\n", encoding="utf-8")
        (path / "events.jsonl").touch()
        write_json(path / "run.json", run.info)
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run. Raises InputError with the file that is missing or damaged."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise InputError(f"{path} is not a run: it has no run.json")
        return cls(path, check(read_json(path / "run.json"), RUN, str(path / "run.json")))

    @property
    def status(self) -> str:
        """finished, stopped, "failed: reason", running (the lock is held) or interrupted (it is not).

        "interrupted on HOST or still running there" if the state of another host's lock is unknown.
        """
        if self.info["status"] != "running":
            return self.info["status"]
        state, host = lock_state(self.path), self.owner.get("host")
        if state == "held":
            return "running"
        if state == "unknown" or (host not in (None, this_owner()["host"]) and not is_local_disk(self.path)):
            return f"interrupted on {host} or still running there"
        return "interrupted"

    @property
    def owner(self) -> dict[str, Any]:
        """Host, process id and start (UTC) of the last training; empty if not recorded."""
        owner = self.info.get("owner")
        return owner if isinstance(owner, dict) else {}

    def finish(self, status: str = "finished") -> None:
        """Write the final status of the run."""
        self.info["status"] = status
        write_json(self.path / "run.json", self.info)

    def add_step(self, step: Step) -> None:
        """Append a line to steps.csv."""
        with (self.path / "steps.csv").open("a", encoding="utf-8") as file:
            file.write(
                f"{step.step},{step.loss:.7g},{step.lr:.6g},{step.seconds:.6f},{step.length:.5g},{step.alignment:.4f}\n"
            )

    def add_event(self, event: dict[str, Any]) -> None:
        """Append a line to events.jsonl."""
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def add_note(self, sentence: str) -> None:
        """Add a message about the training's health to run.json."""
        self.info["health"] = [*self.health, sentence]
        write_json(self.path / "run.json", self.info)

    def rewind(self, step: int) -> list[str]:
        """Remove all records after the first `step` steps, before they are repeated. Returns remarks.

        Raises InputError, before any change, for a damaged line among the first `step` steps.
        """
        lines, kept = read_lines(self.path / "steps.csv"), []
        columns = len(lines[0].split(",")) if lines else 0
        for number, line in enumerate(lines[1:], 2):
            if len(kept) == step:
                break
            if parse_step(self.path / "steps.csv", number, line, columns)[0] != len(kept):
                raise damaged_line(self.path / "steps.csv", number, f"step {len(kept)} was expected")
            kept.append(line)
        head = lines[0] if lines else ",".join(f.name for f in fields(Step))
        events = []
        for number, line in enumerate(read_lines(self.path / "events.jsonl"), 1):
            if parse_event(self.path / "events.jsonl", number, line)["step"] >= step:
                break
            events.append(line)
        for name, text in (("steps.csv", [head, *kept]), ("events.jsonl", events)):
            content = "".join(f"{line}\n" for line in text)
            write(self.path / name, lambda p, content=content: p.write_text(content, encoding="utf-8"))
        for later in self.snapshot_steps:
            if later > step:
                (self.path / "snapshots" / f"{later:07d}.npz").unlink()
        self.info |= {"status": "running", "owner": this_owner()}
        write_json(self.path / "run.json", self.info)
        return [f"steps.csv lacks the completed steps {len(kept)}..{step - 1}"] if len(kept) < step else []

    def sync(self) -> None:
        """Wait until added lines are on disk, before a checkpoint that depends on them is written."""
        for name in ("steps.csv", "events.jsonl"):
            sync(self.path / name)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Write a snapshot."""
        meta = json.dumps({"parameters": snapshot.parameters, "state": snapshot.state, "sub": snapshot.sub})
        arrays = {"x": snapshot.x.astype(np.float32), "y": snapshot.y, "W": snapshot.W.astype(np.float32)}
        arrays |= {} if snapshot.ids is None else {"ids": snapshot.ids}
        write(
            self.path / "snapshots" / f"{snapshot.step:07d}.npz",
            lambda p: np.savez(p, meta=np.array(meta), **arrays),
        )

    @property
    def health(self) -> list[str]:
        """Messages about the training: first loss normal or not, stuck loss, collapse of the embeddings."""
        return self.info.get("health", [])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved settings of the run."""
        return self.info["config"]

    @property
    def split(self) -> dict[str, Any]:
        """The content of split.json. Raises InputError if it is damaged."""
        path = self.path / "split.json"
        split = check(read_json(path), SPLIT, str(path))
        check_lengths(split["pairs"], str(path))
        return split

    @property
    def steps(self) -> dict[str, np.ndarray]:
        """The columns of steps.csv; an incomplete last line is dropped. Raises InputError for a damaged line."""
        path = self.path / "steps.csv"
        head, *lines = read_lines(path) or [""]
        names = head.split(",")
        if names != [f.name for f in fields(Step)][: len(names)] or len(names) < 4:
            raise damaged_line(path, 1, "unknown columns")
        rows = [parse_step(path, number, line, len(names)) for number, line in enumerate(lines, 2)]
        table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
        return dict(zip(names, table.T, strict=True))

    @property
    def events(self) -> list[dict[str, Any]]:
        """All changes of parameters, in order; an incomplete last line is dropped."""
        path = self.path / "events.jsonl"
        return [parse_event(path, number, line) for number, line in enumerate(read_lines(path), 1)]

    @property
    def snapshot_steps(self) -> list[int]:
        """The steps with a snapshot, ascending."""
        return sorted(int(p.stem) for p in (self.path / "snapshots").glob("[0-9]*.npz"))

    def snapshot(self, step: int) -> Snapshot:
        """The snapshot at a step. Raises InputError if it is missing or damaged."""
        path = self.path / "snapshots" / f"{step:07d}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as z:
                meta = json.loads(str(z["meta"]))
                ids, sub = z.get("ids"), meta.get("sub", 1)
                return Snapshot(step, z["x"], z["y"], z["W"], meta["parameters"], meta["state"], sub, ids)
        except FileNotFoundError:
            raise InputError(f"{self.path} has no snapshot of step {step}; it has {self.snapshot_steps}") from None
        except Exception as error:  # a damaged zip file raises errors of many types
            raise InputError(f"{path} is damaged: {error}") from None

    def save_results(self, results: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Write the results of an evaluation: numbers to results.json, arrays to curves.npz."""
        write(self.path / "curves.npz", lambda p: np.savez(p, **arrays))
        write_json(self.path / "results.json", results)

    @property
    def results(self) -> dict[str, Any]:
        """The results of the evaluation. Raises InputError before the first evaluation."""
        if not (self.path / "results.json").is_file():
            raise InputError(f"{self.path} has no results yet: run `workbench evaluate {self.path}`")
        return check(read_json(self.path / "results.json"), RESULTS, str(self.path / "results.json"))

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """The arrays of the evaluation: far, tar and thresholds of the ROC; cmc."""
        try:
            with (self.path / "curves.npz").open("rb") as file, np.load(file, allow_pickle=False) as z:
                return dict(z)
        except Exception as error:
            raise InputError(f"{self.path / 'curves.npz'} is missing or damaged: {error}") from None


def refuse_used(path: Path) -> Path:
    """`refuse_existing` for the folder of a new run, which may contain the files before a run's first step."""
    path = Path(path)
    return path if path.is_dir() and has_no_steps(path) else refuse_existing(path)


def has_no_steps(path: Path) -> bool:
    """Whether a folder contains nothing but files that `Run.create` writes before run.json."""
    inside = {entry.name for entry in path.iterdir()}
    if not inside <= NEW_RUN or (inside and LOCK not in inside):
        return False
    appended = [path / name for name in ("steps.csv", "events.jsonl") if name in inside]
    if any(not file.is_file() or file.read_bytes().count(b"\n") > 1 for file in appended):
        return False
    return "snapshots" not in inside or not any((path / "snapshots").iterdir())
