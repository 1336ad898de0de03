"""`workbench compare`: from the options to the tables and the report; Ctrl-C ends it early with what there is."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from workbench.compare.engine import SNAPSHOTS, execute, gather, job_count
from workbench.compare.parsing import parse_duration
from workbench.compare.plan import Plan, prepare
from workbench.compare.results import get_metric
from workbench.compare.tables import print_tables, write_tables
from workbench.compare.variants import Variant, ablation, methods, sweeps
from workbench.core.console import console
from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.reports.comparison import write_report
from workbench.reports.comparison_words import caution, training_length
from workbench.training.config import Config

BUDGET = "60s"

Bar = Callable[[str], AbstractContextManager[Progress]]


def run(
    settings: Mapping[str, Any],
    listed: str | None,
    sweep: Sequence[str],
    ablated: str | None,
    seeds: int,
    budget: str | None,
    out: Path,
    metric: str,
    jobs: int | None,
    threads: int,
    skip_broken: bool,
    bar: Bar,
) -> bool:
    """Compare, print the tables, write CSV files and the report; False if it was interrupted.

    settings: of Config, common to all runs; steps or `budget`, or BUDGET where neither is given. listed, sweep,
    ablated: the values of --methods, --sweep and --ablation.
    """
    steps = settings.get("steps")
    if steps is not None and budget is not None:
        raise InputError(f"--steps {steps} and --budget {budget}: give one of them")
    base = Config(**{"snapshots": SNAPSHOTS, **settings, "steps": 1 if steps is None else steps})
    time = parse_duration(BUDGET if budget is None else budget) if steps is None else None
    get_metric(metric)
    jobs = job_count(base, jobs)
    variants = asked(base, listed, sweep, ablated)
    plan = prepare(variants, seeds, base, out, time, threads, skip_broken)
    announce(plan, jobs)
    complete = True
    try:
        with bar("comparing") as progress:
            execute(plan, jobs, progress)
    except KeyboardInterrupt:
        complete = False
    tell(plan, metric)
    return complete


def asked(base: Config, listed: str | None, sweep: Sequence[str], ablated: str | None) -> list[Variant]:
    """The variants of the three options together, the ablation first: its baseline is what others are compared with."""
    return [
        *(ablation(ablated, base) if ablated is not None else ()),
        *(methods(listed, base) if listed is not None else ()),
        *sweeps(sweep, base),
    ]


def announce(plan: Plan, jobs: int) -> None:
    """Say what will happen, before it takes long."""
    many = f"{len(plan.variants)} losses x {len(plan.seeds)} seeds = {len(plan.tasks)} trainings"
    print(f"{many}, {jobs} at a time; each of {training_length(plan.to_json())}", file=sys.stderr)


def tell(plan: Plan, metric: str) -> None:
    """The CSV files and the report of everything that is there by now, then the tables on the terminal."""
    found = gather(plan, metric)
    write_tables(found, plan.out)
    report = write_report(found, plan.out / "report.html")
    print_tables(found)
    if found.ranking:
        console().print(f"\n{caution(found)}")
    print(f"The report: {report}")
