"""`workbench demo`: five losses with the same training settings, evaluated on held-out identities, in one report.

The demo never removes or replaces files: it resumes an unfinished demo of the same settings, or takes a new folder.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, echo

from workbench.cli.options import Device, Seed, Threads
from workbench.cli.terminal import INTERRUPTED, catch_interrupt, fail, limit_threads, parse_path, progress_bar
from workbench.core.errors import InputError

if TYPE_CHECKING:
    from workbench.training.config import Config

METHODS = ("norm_softmax", "arcface", "curricularface", "npcface", "recurricularface")
STEPS = 500
TITLE = "Five losses on one hypersphere"
FOLDER = Path("runs/demo")


def demo(
    out: Annotated[
        Path | None,
        Option(
            help="Folder of the runs and the report (default: the first free of runs/demo, runs/demo-2, ...).",
            parser=parse_path,
        ),
    ] = None,
    steps: Annotated[int, Option(help="Training steps of each loss.")] = STEPS,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train and evaluate five losses, write a report.

    The losses are trained on the embedded heads with the same settings and evaluated on held-out identities.
    """
    settings = {"steps": steps, "seed": seed, "device": device}
    limit_threads(threads)
    out = out or default_folder(settings)
    echo(f"The demo writes to {out}")
    with catch_interrupt() as interrupted:
        report = run_demo(out, settings)
    if interrupted():
        fail(f"stopped; run the same command again to resume the demo in {out}", INTERRUPTED)
    echo(f"\nReport: {report}")
    echo("Next: `workbench lab` (notebooks), `workbench train --help` (your own training), `workbench methods`.")


def run_demo(out: Path, settings: dict[str, Any]) -> Path:
    """Train, evaluate and report into `out`, or resume its unfinished demo; returns the path of the report.

    settings: of Config, the same for every loss, so all have one split, initialization and batch order. Raises
    InputError where `out` holds anything else than an unfinished demo of these settings.
    """
    from workbench.core.record import Run
    from workbench.reports import write_report
    from workbench.training.evaluate import evaluate
    from workbench.training.run import resume, train

    if (obstacle := find_obstacle(out, settings)) is not None:
        raise InputError(f"--out {out} holds {obstacle}; choose another --out")
    runs = []
    for method in METHODS:
        path = out / method
        with progress_bar(f"{method:17s}") as progress:
            if not (path / "run.json").is_file():
                train(demo_config(method, settings), path, progress)
            elif Run.open(path).status != "finished":
                resume(path, progress, on_message=echo)
        results = Run.open(path).results if (path / "results.json").is_file() else evaluate(path)
        eer, rank = results["verification"]["eer"], results["identification"]["rank-1"]
        n = results["test"]["identities"]
        echo(f"{method:17s} EER {eer:6.2%}   rank-1 {rank:6.2%}   on {n} held-out identities")
        runs.append(Run.open(path))
    return write_report(runs, out / "report.html", TITLE)


def demo_config(method: str, settings: dict[str, Any]) -> Config:
    """The configuration of one training of the demo."""
    from workbench.training.config import Config

    return Config(method=method, **settings)


def default_folder(settings: dict[str, Any]) -> Path:
    """The first of runs/demo, runs/demo-2, ... that is new or holds an unfinished demo of these settings."""
    folders = (FOLDER if i == 1 else FOLDER.with_name(f"{FOLDER.name}-{i}") for i in count(1))
    return next(folder for folder in folders if find_obstacle(folder, settings) is None)


def find_obstacle(out: Path, settings: dict[str, Any]) -> str | None:
    """What in a folder keeps a demo of these settings from being started or resumed there; None: nothing."""
    from workbench.core.record import Run, nothing_recorded
    from workbench.training.config import Config

    if not out.exists():
        return None
    if not out.is_dir():
        return "a file"
    for entry in sorted(out.iterdir()):
        if entry.name == "report.html":
            return "a finished demo's report.html"
        if entry.name not in METHODS or not entry.is_dir():
            return f"'{entry.name}', which is no part of a demo"
        if not (entry / "run.json").is_file():
            if not nothing_recorded(entry):
                return f"'{entry.name}', which is not a run"
        elif (run := Run.open(entry)).status == "running":
            return f"a demo that is running: '{entry.name}'"
        elif Config.from_json(run.config) != demo_config(entry.name, settings):
            return f"'{entry.name}' of other settings"
    return None
