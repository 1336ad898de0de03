"""What a training leaves behind: Step, Snapshot and Run, numpy only. A run is a folder that anything may read back.

    run.json            settings, versions, the events that were scheduled; status: running, finished or why it failed;
                        owner: host, process number and start of the last training
    split.json          which identities were trained on and which were kept for the test, by name and by a digest of
                        their images; the test pairs
    .lock               locked by the process that trains the run, as long as it lives
    steps.csv           one line a step, written as it happens
    events.jsonl        one line for every change of a parameter
    snapshots/*.npz     embeddings, labels, centers and parameters at a step
    checkpoint.safetensors   the network, the objective and the optimiser at the last snapshot
    results.json        what the evaluation measured; curves.npz its arrays

Every file but the two that only grow is written beside itself and renamed, so a killed run leaves whole files and a
status that says so.
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
from workbench.core.locks import LOCK, lock_state, seen_by_all_hosts, this_owner
from workbench.core.logs import damaged_line, parse_event, parse_step, read_lines
from workbench.core.schema import check

NEW_RUN = {LOCK, "snapshots", "split.json", "steps.csv", "events.jsonl"}  # in a folder before its run.json


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
    C: ids (C,) says which, in rising order, and y counts among those; None: all of them. The nearest of all classes to
    each embedding, and to each center of the sample's classes, is always among them.
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
    def complete(self) -> np.ndarray | None:
        """The classes whose nearest other class is in the snapshot for sure: those of the sample; None: every class."""
        return None if self.ids is None else np.unique(self.y)

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
        """A new folder for a run with its settings and split. InputError if the folder holds anything already.

        What an earlier call left that ended before the run existed, and so before its first step, counts as nothing.
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
        """A run that exists. InputError names the file that is missing or damaged."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise InputError(f"{path} is not a run: it has no run.json")
        return cls(path, check(read_json(path / "run.json"), RUN, str(path / "run.json")))

    @property
    def status(self) -> str:
        """finished, stopped, failed: and why; running while its lock is held, else interrupted.

        Of a run of another host whose lock this host cannot judge: "interrupted on HOST or still running there".
        """
        if self.info["status"] != "running":
            return self.info["status"]
        state, host = lock_state(self.path), self.owner.get("host")
        if state == "held":
            return "running"
        if state == "unknown" or (host not in (None, this_owner()["host"]) and not seen_by_all_hosts(self.path)):
            return f"interrupted on {host} or still running there"
        return "interrupted"

    @property
    def owner(self) -> dict[str, Any]:
        """Host, process number and start (UTC) of the last training; empty where the run does not say."""
        owner = self.info.get("owner")
        return owner if isinstance(owner, dict) else {}

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

    def rewind(self, step: int) -> list[str]:
        """Forget what was recorded after the first `step` steps: they will be taken again. Returns remarks.

        InputError, before anything is changed, for a damaged line among those that are kept.
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
            whole = "".join(f"{line}\n" for line in text)
            write(self.path / name, lambda p, whole=whole: p.write_text(whole, encoding="utf-8"))
        for later in self.snapshot_steps:
            if later > step:
                (self.path / "snapshots" / f"{later:07d}.npz").unlink()
        self.info |= {"status": "running", "owner": this_owner()}
        write_json(self.path / "run.json", self.info)
        return [f"steps.csv lacks the steps {len(kept)}..{step - 1}, which were taken"] if len(kept) < step else []

    def sync(self) -> None:
        """Wait until the lines that were added are on the disk; before a checkpoint that counts on them."""
        for name in ("steps.csv", "events.jsonl"):
            sync(self.path / name)

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
        """Columns of steps.csv; a last line that was cut off is left out. InputError names a damaged line."""
        path = self.path / "steps.csv"
        head, *lines = read_lines(path) or [""]
        names = head.split(",")
        if names != [f.name for f in fields(Step)][: len(names)] or len(names) < 4:
            raise damaged_line(path, 1, "unknown columns")
        whole = [parse_step(path, number, line, len(names)) for number, line in enumerate(lines, 2)]
        table = np.array(whole, dtype=np.float64).reshape(-1, len(names))
        return dict(zip(names, table.T, strict=True))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every change of a parameter, in order; a last line that was cut off is left out."""
        path = self.path / "events.jsonl"
        return [parse_event(path, number, line) for number, line in enumerate(read_lines(path), 1)]

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


def refuse_used(path: Path) -> Path:
    """The path of a folder for a new run: as `refuse_existing`, but for what is there before a run's first step."""
    path = Path(path)
    return path if path.is_dir() and nothing_recorded(path) else refuse_existing(path)


def nothing_recorded(path: Path) -> bool:
    """Whether a folder holds only what `Run.create` writes before run.json, or a part of it."""
    inside = {entry.name for entry in path.iterdir()}
    if not inside <= NEW_RUN or (inside and LOCK not in inside):
        return False
    grown = [path / name for name in ("steps.csv", "events.jsonl") if name in inside]
    if any(not file.is_file() or file.read_bytes().count(b"\n") > 1 for file in grown):
        return False
    return "snapshots" not in inside or not any((path / "snapshots").iterdir())
