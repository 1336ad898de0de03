"""The main job without a screen: five losses trained alike, measured on identities they never saw, in one report."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.record import Run
from workbench.reports import write_report
from workbench.training.config import Config
from workbench.training.run import evaluate, train

METHODS = ("norm_softmax", "arcface", "curricularface", "npcface", "recurricularface")
STEPS = 500
TITLE = "Five losses on one hypersphere"

Bar = Callable[[str], AbstractContextManager[Progress]]


def run_demo(
    out: Path,
    bar: Bar,
    say: Callable[[str], None],
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Train, evaluate and report; returns the report's path. An earlier demo in `out` is replaced, nothing else is.

    Every loss has the same seed, so the same split, first weights, centers and batches, and the same recipe.
    """
    clear(out)
    runs = []
    for method in METHODS:
        config = Config(method=method, steps=steps or STEPS, seed=seed, device=device)
        with bar(f"{method:17s}") as progress:
            train(config, out / method, progress)
        results = evaluate(out / method)
        eer, rank = results["verification"]["eer"], results["identification"]["rank-1"]
        say(f"{method:17s} EER {eer:6.2%}   rank-1 {rank:6.2%}   on {results['test']['identities']} unseen identities")
        runs.append(Run.open(out / method))
    return write_report(runs, out / "report.html", TITLE)


def clear(out: Path) -> None:
    """Remove an earlier demo from `out`; InputError if anything else is in it."""
    if not out.exists():
        return
    known = {*METHODS, "report.html"}
    strangers = sorted(p.name for p in out.iterdir() if p.name not in known) if out.is_dir() else [out.name]
    if strangers:
        raise InputError(f"{out} holds '{strangers[0]}', which no demo wrote; choose another --out")
    for name in METHODS:
        if (out / name).exists():
            shutil.rmtree(out / name)
    (out / "report.html").unlink(missing_ok=True)
