"""`workbench train`: start a run, resume a run, or launch the processes of a run with sharded centers."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from typer import Context, Option, echo

from workbench.cli import options as opt
from workbench.cli.terminal import (
    INTERRUPTED,
    catch_interrupt,
    fail,
    is_given,
    limit_threads,
    parse_assignments,
    parse_path,
    progress_bar,
)
from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress

PAIRS = {"parameters": "--set", "class_set": "--class-set"}  # settings that repeated NAME=VALUE options give
MAY_DIFFER = ("device",)  # settings of a resumed run that may change


def train(
    ctx: Context,
    out: Annotated[Path, Option(help="Folder of the run; must be new or empty.", parser=parse_path)],
    method: opt.Method = "npcface",
    preset: Annotated[str, Option(help="Preset: `paper`, or a released code.")] = "paper",
    recipe: opt.Recipe = "small",
    parameters: Annotated[list[str] | None, Option("--set", help="Loss parameter NAME=VALUE; repeatable.")] = None,
    data: opt.Data = "heads",
    size: opt.Size = None,
    test: opt.Test = 0.2,
    backbone: opt.Backbone = "small",
    width: opt.Width = 1.0,
    dim: opt.Dim = 128,
    steps: Annotated[int | None, Option(help="Training steps (default: the recipe's).")] = None,
    epochs: Annotated[float | None, Option(help="Training epochs, instead of --steps (default: the recipe's).")] = None,
    batch: opt.Batch = None,
    lr: opt.LearningRate = None,
    momentum: Annotated[float | None, Option(help="Momentum of SGD (default: the recipe's).")] = None,
    weight_decay: Annotated[float | None, Option(help="Weight decay (default: the recipe's).")] = None,
    snapshots: Annotated[int, Option(help="Number of snapshots of embeddings and class centers.")] = 12,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    precision: Annotated[str, Option(help="Precision of the network: fp32, bf16, or auto (bf16 on a GPU).")] = "auto",
    compute: Annotated[str, Option(help="Computation of the loss: dense, streaming (in tiles), auto.")] = "auto",
    centers: Annotated[str, Option(help="Class centers: full, sampled (Partial FC), queued, sharded.")] = "full",
    class_set: Annotated[list[str] | None, Option(help="Option of the class centers NAME=VALUE; repeatable.")] = None,
    nproc: Annotated[int, Option(min=1, max=1024, help="Processes to launch here (--centers sharded only).")] = 1,
    skip_broken: opt.SkipBroken = False,
    resume: Annotated[bool, Option("--resume", help="Resume the run in --out with its own settings.")] = False,
    take_over: Annotated[bool, Option("--take-over", help="Resume even if another host may be training it.")] = False,
    threads: opt.Threads = None,
) -> None:
    """Train a network with one loss and record it as a run."""
    options = dict(locals())
    limit_threads(threads)
    from workbench.training.config import Config

    settings = {name: value for name, value in options.items() if name in Config.__dataclass_fields__}
    settings |= {name: parse_assignments(options[name] or [], option) for name, option in PAIRS.items()}
    if take_over and not resume:
        raise InputError("--take-over: only with --resume")
    if resume:
        centers = check_recorded(out, {name: v for name, v in settings.items() if is_given(ctx, name)})["centers"]
    if nproc > 1 and centers != "sharded":
        raise InputError(f"--nproc {nproc}: needs --centers sharded; the centers are {centers}")
    again = f"`workbench train --out {shlex.quote(str(out))} --resume{f' --nproc {nproc}' if nproc > 1 else ''}`"
    if nproc > 1:
        launch_processes(nproc, out, again)

    def start(progress: Progress, log: Callable[[str], None]) -> None:
        from workbench.training import run

        if resume:
            run.resume(out, progress, skip_broken, log, device if is_given(ctx, "device") else None, take_over)
        else:
            run.train(Config(**settings), out, progress, skip_broken, log)

    run_training(start, out, centers == "sharded", again)


def launch_processes(nproc: int, out: Path, again: str) -> None:
    """Run this command in `nproc` processes and exit with their status; in one of them, return at once.

    again: the command that resumes the run.
    """
    from workbench.training.processes import is_launched, launch

    if is_launched():
        return
    status, message = launch([sys.executable, "-m", "workbench.cli", *sys.argv[1:]], nproc)
    if message and (out / "run.json").exists():
        message += f"; {again} resumes from the last checkpoint"
    fail(message, status)


def run_training(
    start: Callable[[Progress, Callable[[str], None]], None], out: Path, sharded: bool, again: str
) -> None:
    """Train or resume the run in `out`; where this fails, exit with one line that says how to resume.

    start: trains or resumes, with a progress callback and a function that prints a line; again: the resuming command.
    """
    from workbench.core.distributed import PartnerLost
    from workbench.training.fit import TrainingFault
    from workbench.training.processes import LOST, is_launched, is_leader
    from workbench.training.run import WriteFault, no_message

    first = is_leader(sharded)
    bar = progress_bar(out.name) if first else nullcontext(no_progress)
    try:
        with catch_interrupt() as interrupted, bar as progress:
            start(progress, echo if first else no_message)
    except TrainingFault as fault:
        fail(f"{fault}. The run up to this step is in {out}", 1)
    except WriteFault as fault:
        fail(f"{fault}; {again} resumes from it", 1)
    except PartnerLost as lost:
        fail("" if is_launched() else f"{lost}; {again} resumes from the last checkpoint", LOST)
    if interrupted():
        recorded = (out / "run.json").exists()
        fail(f"stopped; {again} resumes the run" if recorded else "stopped before step 0", INTERRUPTED)
    if first:
        echo(f"{out} is trained; next: workbench evaluate {shlex.quote(str(out))}")


def check_recorded(out: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the run in `out`. Raises InputError that names a given setting which differs from it."""
    from workbench.core.record import Run

    run = Run.open(out)
    config = dict(run.config)
    if config.get("size") is None:
        config["size"] = run.info.get("data", {}).get("size")
    config["parameters"] = config.get("settings", config.get("parameters", {}))
    for name, value in given.items():
        if name in MAY_DIFFER:
            continue
        if name in PAIRS:
            pairs = [(f"{PAIRS[name]} {key}=", asked, config.get(name, {}).get(key)) for key, asked in value.items()]
        else:
            pairs = [(f"--{name.replace('_', '-')} ", value, config.get(name))]
        for option, asked, recorded in pairs:
            if asked != recorded:
                raise InputError(
                    f"{option}{asked}: the run in {run.path} has {'none' if recorded is None else recorded}; a resumed"
                    " run keeps its settings: omit the option, or train into another --out"
                )
    return run.config
