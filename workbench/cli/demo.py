"""The main job without a screen: five losses trained alike, measured on identities they never saw, in one report.

A demo never removes or replaces anything: it goes on with an unfinished demo of the same settings, or takes a new
folder.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.record import Run, nothing_recorded
from workbench.reports import write_report
from workbench.training.config import Config
from workbench.training.run import evaluate, resume, train

METHODS = ("norm_softmax", "arcface", "curricularface", "npcface", "recurricularface")
STEPS = 500
TITLE = "Five losses on one hypersphere"
FOLDER = Path("runs/demo")  # where nobody chooses another

Bar = Callable[[str], AbstractContextManager[Progress]]


def settings(method: str, steps: int | None, seed: int, device: str) -> Config:
    """The configuration of one of the demo's trainings."""
    return Config(method=method, steps=STEPS if steps is None else steps, seed=seed, device=device)


def run_demo(
    out: Path,
    bar: Bar,
    say: Callable[[str], None],
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Train, evaluate and report; returns the report's path. An unfinished demo in `out` goes on.

    Every loss has the same seed, so the same split, first weights, centers and batches, and the same recipe. Raises
    InputError where `out` holds anything else.
    """
    if (held := held_by(out, steps, seed, device)) is not None:
        raise InputError(f"--out {out} holds {held}; choose another --out")
    runs = []
    for method in METHODS:
        path = out / method
        with bar(f"{method:17s}") as progress:
            if not (path / "run.json").is_file():
                train(settings(method, steps, seed, device), path, progress)
            elif Run.open(path).status != "finished":
                resume(path, progress, say=say)
        results = Run.open(path).results if (path / "results.json").is_file() else evaluate(path)
        eer, rank = results["verification"]["eer"], results["identification"]["rank-1"]
        say(f"{method:17s} EER {eer:6.2%}   rank-1 {rank:6.2%}   on {results['test']['identities']} unseen identities")
        runs.append(Run.open(path))
    return write_report(runs, out / "report.html", TITLE)


def choose_folder(out: Path | None, steps: int | None = None, seed: int = 0, device: str = "auto") -> Path:
    """The folder for a demo: `out`; where it is None, the first of runs/demo, runs/demo-2, ... that can take it."""
    if out is not None:
        return out
    folders = (FOLDER if i == 1 else FOLDER.with_name(f"{FOLDER.name}-{i}") for i in count(1))
    return next(folder for folder in folders if held_by(folder, steps, seed, device) is None)


def held_by(out: Path, steps: int | None, seed: int, device: str) -> str | None:
    """In words, what a folder holds that this demo cannot go on with; None: nothing, or its own unfinished part."""
    if not out.exists():
        return None
    if not out.is_dir():
        return "no folder"
    for entry in sorted(out.iterdir()):
        if entry.name == "report.html":
            return "a finished demo's report.html"
        if entry.name not in METHODS or not entry.is_dir():
            return f"'{entry.name}', which is not of a demo"
        if not (entry / "run.json").is_file():
            if not nothing_recorded(entry):
                return f"'{entry.name}', which is not a run"
        elif (run := Run.open(entry)).status == "running":
            return f"a demo that is running: '{entry.name}'"
        elif Config.from_json(run.config) != settings(entry.name, steps, seed, device):
            return f"'{entry.name}' of other settings"
    return None
