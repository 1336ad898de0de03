"""`workbench compare`: train losses over seeds, print the tables, write CSV files and the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from workbench.cli import options as opt
from workbench.cli.terminal import INTERRUPTED, catch_interrupt, fail, parse_path, progress_bar
from workbench.core.console import console
from workbench.core.errors import InputError

if TYPE_CHECKING:
    from workbench.compare.plan import Plan

BUDGET = "60s"
FOLDER = Path("runs/compare")


def compare(
    methods: Annotated[str | None, Option(help="Losses: METHOD or METHOD:PRESET, separated by commas.")] = None,
    sweep: opt.Sweep = None,
    ablation: Annotated[str | None, Option(help="Ablation: npcface (its Table II).")] = None,
    seeds: Annotated[int, Option(help="Number of seeds; each loss is trained with seeds 0, 1, ...")] = 5,
    budget: Annotated[
        str | None, Option(help=f"Time budget of each training, such as 60s, 2m or 1.5h (default: {BUDGET}).")
    ] = None,
    steps: Annotated[int | None, Option(help="Training steps of each training, instead of --budget.")] = None,
    out: Annotated[Path, Option(help="Folder of the comparison, also to resume it.", parser=parse_path)] = FOLDER,
    metric: Annotated[str, Option(help="Metric of the ranking: eer, tar@0.01, rank-1, accuracy, ...")] = "eer",
    jobs: Annotated[int | None, Option(help="Trainings in parallel (default: half the cores).")] = None,
    threads: Annotated[int, Option(help="CPU threads of each training; results depend on it bitwise.")] = 1,
    recipe: opt.Recipe = "small",
    data: opt.Data = "heads",
    size: opt.Size = None,
    test: opt.Test = 0.2,
    backbone: opt.Backbone = "small",
    width: opt.Width = 1.0,
    dim: opt.Dim = 128,
    batch: opt.Batch = None,
    lr: opt.LearningRate = None,
    device: opt.Device = "auto",
    skip_broken: opt.SkipBroken = False,
) -> None:
    """Compare losses over several seeds.

    All losses are trained with the same settings and seeds; intervals of the differences show which are significant.
    """
    options = dict(locals())
    from workbench.compare.engine import SNAPSHOTS, execute, job_count
    from workbench.compare.parsing import parse_duration
    from workbench.compare.plan import prepare
    from workbench.compare.results import get_metric
    from workbench.compare.variants import ablation as ablation_variants
    from workbench.compare.variants import methods as method_variants
    from workbench.compare.variants import sweeps
    from workbench.training.config import Config

    if steps is not None and budget is not None:
        raise InputError(f"--steps {steps} and --budget {budget}: give one of them")
    settings = {name: value for name, value in options.items() if name in Config.__dataclass_fields__}
    base = Config(**{"snapshots": SNAPSHOTS, **settings, "steps": 1 if steps is None else steps})
    time = parse_duration(budget or BUDGET) if steps is None else None
    get_metric(metric)
    jobs = job_count(base, jobs)
    variants = [  # the first one is the baseline
        *(ablation_variants(ablation, base) if ablation is not None else ()),
        *(method_variants(methods, base) if methods is not None else ()),
        *sweeps(sweep or (), base),
    ]
    plan = prepare(variants, seeds, base, out, time, threads, skip_broken)
    print_plan(plan, jobs)
    with catch_interrupt() as interrupted, progress_bar("comparing") as progress:
        execute(plan, jobs, progress)
    write_results(plan, metric)
    if interrupted():
        fail(f"stopped; run the same command again to resume the comparison in {out}", INTERRUPTED)


def print_plan(plan: Plan, jobs: int) -> None:
    """Print the number and the length of the trainings."""
    from workbench.reports.comparison_words import training_length

    trainings = f"{len(plan.variants)} losses x {len(plan.seeds)} seeds = {len(plan.tasks)} trainings"
    print(f"{trainings}, {jobs} at a time; each of {training_length(plan.to_json())}", file=sys.stderr)


def write_results(plan: Plan, metric: str) -> None:
    """Write CSV files and the report of all finished trainings, and print the tables."""
    from workbench.compare.engine import gather
    from workbench.compare.tables import print_tables, write_tables
    from workbench.reports.comparison import write_report
    from workbench.reports.comparison_words import caution

    comparison = gather(plan, metric)
    write_tables(comparison, plan.out)
    report = write_report(comparison, plan.out / "report.html")
    print_tables(comparison)
    if comparison.ranking:
        console().print(f"\n{caution(comparison)}")
    print(f"Report: {report}")
