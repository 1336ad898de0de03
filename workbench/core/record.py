"""What a training leaves behind: Step, Snapshot and Run, numpy only. A run is a folder that anything may read back.

    run.json            settings, versions, the events that were scheduled; status: running, finished or why it failed
    split.json          which identities were trained on and which were kept for the test; the test pairs
    steps.csv           one line a step, written as it happens
    events.jsonl        one line for every change of a parameter
    snapshots/*.npz     embeddings, labels, centers and parameters at a step
    checkpoint.safetensors   the network, the objective and the optimiser at the last snapshot
    results.json        what the evaluation measured; curves.npz its arrays

Every file but the two that only grow is written beside itself and renamed, so a killed run leaves whole files and a
status that says so.
"""

import csv
import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.files import make_folder, read_json, refuse_existing, write, write_json
from workbench.core.formats import RESULTS, RUN, SPLIT, check_lengths
from workbench.core.schema import check


@dataclass(frozen=True)
class Step:
    """One batch: the loss it had, the learning rate it was taken with, how long it took, how its embeddings lay.

    length: the mean length of the embeddings; alignment: that of the mean of their directions, 1 if all point one way.
    """

    step: int
    loss: float
    lr: float
    seconds: float
    length: float = float("nan")
    alignment: float = float("nan")


@dataclass(frozen=True)
class Snapshot:
    """The sphere at a step: embeddings x (n, D) of a fixed sample, labels y (n,), centers W (C, D), parameters.

    With sub > 1, W is (C sub, D): the sub-centers of a class in neighbouring rows. Of very many classes a snapshot has
    C: ids (C,) says which, in rising order, and y counts among those; None: all of them.
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
        """Cosines (n, C) of the sample to every class: to its center, or to the nearest of its sub-centers."""
        return self._all_cosines().reshape(len(self.x), -1, self.sub).max(axis=2)

    @property
    def length(self) -> float:
        """The mean length of the embeddings, which MagFace and AdaFace look at."""
        return float(np.linalg.norm(self.x, axis=1).mean())

    @property
    def centers(self) -> np.ndarray:
        """One center (C, D) of each class: of several, the one nearest to most of the class's own sample."""
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
    """A run's folder. `create` starts one, `open` reads one back; the methods add to it and read from it."""

    path: Path
    info: dict[str, Any]

    @classmethod
    def create(cls, path: Path, info: dict[str, Any], split: dict[str, Any]) -> "Run":
        """A new folder for a run with its settings and split. InputError if the folder holds anything already."""
        path = refuse_existing(path)
        make_folder(path / "snapshots")
        run = cls(path, info | {"status": "running", "process": os.getpid()})
        write_json(path / "split.json", split)
        (path / "steps.csv").write_text(",".join(f.name for f in fields(Step)) + "\n", encoding="utf-8")
        (path / "events.jsonl").touch()
        write_json(path / "run.json", run.info)
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """A run that exists. InputError names the file that is missing or damaged."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise InputError(f"{path} is not a run: it has no run.json")
        return cls(path, check(read_json(path / "run.json"), RUN, str(path / "run.json")))

    @property
    def status(self) -> str:
        """finished, running, interrupted (its process is gone), or failed: and why."""
        if self.info["status"] != "running":
            return self.info["status"]
        return "running" if alive(self.info.get("process")) else "interrupted"

    def finish(self, status: str = "finished") -> None:
        """Write the status that the run ends with."""
        self.info["status"] = status
        write_json(self.path / "run.json", self.info)

    def add_step(self, step: Step) -> None:
        with (self.path / "steps.csv").open("a", encoding="utf-8") as file:
            file.write(
                f"{step.step},{step.loss:.7g},{step.lr:.6g},{step.seconds:.6f},{step.length:.5g},{step.alignment:.4f}\n"
            )

    def add_event(self, event: dict[str, Any]) -> None:
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def add_note(self, sentence: str) -> None:
        """Keep a sentence about the training's health in run.json."""
        self.info["health"] = [*self.health, sentence]
        write_json(self.path / "run.json", self.info)

    def rewind(self, step: int) -> None:
        """Forget what was recorded after the first `step` steps: they will be taken again."""
        for path, number in (("steps.csv", lambda line: int(line.split(",")[0])), ("events.jsonl", event_step)):
            lines = (self.path / path).read_text(encoding="utf-8").splitlines(keepends=True)
            head = 1 if path == "steps.csv" else 0
            kept = lines[:head] + [x for x in lines[head:] if x.endswith("\n") and number(x) < step]
            write(self.path / path, lambda p, kept=kept: p.write_text("".join(kept), encoding="utf-8"))
        for later in self.snapshot_steps:
            if later > step:
                (self.path / "snapshots" / f"{later:07d}.npz").unlink()
        self.info |= {"status": "running", "process": os.getpid()}
        write_json(self.path / "run.json", self.info)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        meta = json.dumps({"parameters": snapshot.parameters, "state": snapshot.state, "sub": snapshot.sub})
        arrays = {"x": snapshot.x.astype(np.float32), "y": snapshot.y, "W": snapshot.W.astype(np.float32)}
        arrays |= {} if snapshot.ids is None else {"ids": snapshot.ids}
        write(
            self.path / "snapshots" / f"{snapshot.step:07d}.npz",
            lambda p: np.savez(p, meta=np.array(meta), **arrays),
        )

    @property
    def health(self) -> list[str]:
        """What was said about the training while it ran: whether its first loss is normal, a stuck loss, a collapse."""
        return self.info.get("health", [])

    @property
    def config(self) -> dict[str, Any]:
        """The settings the run was started with, resolved."""
        return self.info["config"]

    @property
    def split(self) -> dict[str, Any]:
        path = self.path / "split.json"
        found = check(read_json(path), SPLIT, str(path))
        check_lengths(found["pairs"], str(path))
        return found

    @property
    def steps(self) -> dict[str, np.ndarray]:
        """Columns of steps.csv; a last line that was cut off is left out."""
        path = self.path / "steps.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            names = rows[0] if rows else []
            if not names or names != [f.name for f in fields(Step)][: len(names)] or len(names) < 4:
                raise ValueError("unknown columns")
            whole = [[float(v) for v in row] for row in rows[1:] if len(row) == len(names) and row[-1]]
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged: {error}") from None
        table = np.array(whole, dtype=np.float64).reshape(-1, len(names))
        return dict(zip(names, table.T, strict=True))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every change of a parameter, in order; a last line that was cut off is left out."""
        lines = (self.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except ValueError as error:
            raise InputError(f"{self.path / 'events.jsonl'} is damaged: {error}") from None

    @property
    def snapshot_steps(self) -> list[int]:
        return sorted(int(p.stem) for p in (self.path / "snapshots").glob("[0-9]*.npz"))

    def snapshot(self, step: int) -> Snapshot:
        """The snapshot taken at a step."""
        path = self.path / "snapshots" / f"{step:07d}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as z:
                meta = json.loads(str(z["meta"]))
                ids, sub = z.get("ids"), meta.get("sub", 1)
                return Snapshot(step, z["x"], z["y"], z["W"], meta["parameters"], meta["state"], sub, ids)
        except FileNotFoundError:
            raise InputError(f"{self.path} has no snapshot of step {step}; it has {self.snapshot_steps}") from None
        except Exception as error:  # a cut or foreign zip raises almost anything
            raise InputError(f"{path} is damaged: {error}") from None

    def save_results(self, results: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Write what an evaluation measured: numbers to results.json, arrays to curves.npz."""
        write(self.path / "curves.npz", lambda p: np.savez(p, **arrays))
        write_json(self.path / "results.json", results)

    @property
    def results(self) -> dict[str, Any]:
        """What the evaluation measured; InputError if it has not run yet."""
        if not (self.path / "results.json").is_file():
            raise InputError(f"{self.path} has no results yet: run `workbench evaluate {self.path}`")
        return check(read_json(self.path / "results.json"), RESULTS, str(self.path / "results.json"))

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """The arrays of the evaluation: far, tar and thresholds of the ROC, cmc."""
        try:
            with (self.path / "curves.npz").open("rb") as file, np.load(file, allow_pickle=False) as z:
                return dict(z)
        except Exception as error:
            raise InputError(f"{self.path / 'curves.npz'} is missing or damaged: {error}") from None


def event_step(line: str) -> int:
    """The step of a line of events.jsonl."""
    return json.loads(line)["step"]


def alive(process: int | None) -> bool:
    """Whether a process of this number runs on this computer."""
    if not process:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
