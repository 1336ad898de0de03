"""`workbench train`: options against a run that is resumed, processes to launch, and how each end is reported."""

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from workbench.core.distributed import PartnerLost
from workbench.core.errors import InputError
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run
from workbench.training.config import Config
from workbench.training.fit import TrainingFault
from workbench.training.processes import LOST, launch, launched, leads
from workbench.training.run import WriteFault, resume, silent, train

Bar = Callable[[str], AbstractContextManager[Progress]]
FREE = ("device",)  # settings that a resumed run may have otherwise


def run(
    settings: Mapping[str, Any],
    given: Mapping[str, Any],
    out: Path,
    resumed: bool,
    take_over: bool,
    nproc: int,
    skip_broken: bool,
    bar: Bar,
    echo: Callable[[str], None],
) -> tuple[int, str]:
    """Train, or resume the run in `out`: the exit status, and one line for standard error ("": none).

    settings: of Config; given: those of them that were asked for, which must be the run's where one is resumed. Raises
    InputError for input that cannot be used.
    """
    if take_over and not resumed:
        raise InputError("--take-over: only with --resume")
    if resumed:
        refuse_other_settings(out, given)
    centers = Run.open(out).config["centers"] if resumed else settings["centers"]
    sharded = centers == "sharded"
    if nproc > 1 and not sharded:
        raise InputError(f"--nproc {nproc}: processes share sharded centers only; these are {centers}")
    again = f"`workbench train --out {shlex.quote(str(out))} --resume{f' --nproc {nproc}' if nproc > 1 else ''}`"
    if nproc > 1 and not launched():
        status, said = launch([sys.executable, "-m", "workbench.cli", *sys.argv[1:]], nproc)
        going_on = f"; {again} goes on from the last checkpoint" if said and (out / "run.json").exists() else ""
        return status, said + going_on
    first = leads(sharded)
    try:
        with bar(out.name) if first else nullcontext(no_progress) as progress:
            say = echo if first else silent
            if resumed:
                resume(out, progress, skip_broken, say, given.get("device"), take_over)
            else:
                train(Config(**settings), out, progress, skip_broken, say)
    except TrainingFault as fault:
        return 1, f"{fault}. The run up to there is in {out}"
    except WriteFault as fault:
        return 1, f"{fault}; {again} goes on from there"
    except PartnerLost as lost:
        return LOST, "" if launched() else f"{lost}; {again} goes on from the last checkpoint"
    except KeyboardInterrupt:
        return 130, f"stopped; {again} goes on from here" if (out / "run.json").exists() else "stopped before step 0"
    if first:
        echo(f"{out} is trained; next: workbench evaluate {shlex.quote(str(out))}")
    return 0, ""


def refuse_other_settings(out: Path, given: Mapping[str, Any]) -> None:
    """InputError, which names the option, where a setting that was asked for is not that of the run in `out`."""
    run = Run.open(out)
    mine = dict(run.config)
    if mine.get("size") is None:
        mine["size"] = run.info.get("data", {}).get("size")
    mine["parameters"] = mine.get("settings", mine.get("parameters", {}))
    for name, value in given.items():
        if name in FREE:
            continue
        words = {"parameters": "--set {}=", "class_set": "--class-set {}="}.get(name)
        pairs = value.items() if words else [(name, value)]
        for key, asked in pairs:
            has = mine.get(name, {}).get(key) if words else mine.get(name)
            if has != asked:
                option = words.format(key) if words else f"--{name.replace('_', '-')} "
                raise InputError(
                    f"{option}{asked}: the run in {out} has {'none' if has is None else has}; a resumed run keeps its"
                    " settings: leave the option out, or train into another --out"
                )
