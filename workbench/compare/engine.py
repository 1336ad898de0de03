"""compare: train the missing runs of a plan, in this process or in several, and read all results.

    comparison = compare([Variant("ArcFace", "arcface"), Variant("NPCFace", "npcface")], seeds=5, out="runs/x")
    comparison.ranking, comparison.summary()

Each training is a run in its own folder, OUT/VARIANT/seed-N. Finished runs are kept and interrupted ones resumed. A run
whose loss became infinite or nan is kept as it is: that is its result.
"""

import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from workbench.compare.parsing import parse_duration
from workbench.compare.plan import ONE_THREAD, Plan, Task, busy_message, cpu_threads, prepare
from workbench.compare.results import METRICS, Comparison, get_metric
from workbench.compare.task import run_task
from workbench.compare.variants import Variant
from workbench.compare.worker import work
from workbench.core.device import resolve_device
from workbench.core.errors import InputError, quote
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run
from workbench.training.config import Config
from workbench.training.interrupts import stop_requests
from workbench.training.run import lock_run

MAX_JOBS = 1024
POLL = 0.2  # s between two checks for a signal
SNAPSHOTS = 4  # of each run; a run that was killed resumes from its last snapshot


def compare(
    variants: Sequence[Variant],
    seeds: int = 5,
    steps: int | None = None,
    budget: str | None = None,
    out: Path | str = "runs/compare",
    base: Config | None = None,
    metric: str = "eer",
    jobs: int | None = None,
    threads: int = ONE_THREAD,
    skip_broken: bool = False,
    progress: Progress = no_progress,
) -> Comparison:
    """Train every variant with seeds 0..seeds-1, evaluate each run on unseen identities, and compare.

    steps: training steps of each run (default: those of `base`); or budget: a time such as "60s", from which the steps
    follow. base: all other settings. jobs: parallel trainings (default: see `job_count`); threads: CPU threads of each,
    on which its results depend bitwise. Only the folder `out` is written; the report is made by
    `workbench.reports.comparison.write_report`.

    Raises InputError for invalid input, before any training, and if `out` holds another comparison.
    """
    base = base or Config(snapshots=SNAPSHOTS)
    get_metric(metric)  # raises InputError early
    jobs = job_count(base, jobs)
    if steps is not None:
        base = replace(base, steps=steps)
    time = None if budget is None else parse_duration(budget)
    plan = prepare(variants, seeds, base, Path(out), time, threads, skip_broken)
    execute(plan, jobs, progress)
    return gather(plan, metric)


def job_count(base: Config, jobs: int | None = None) -> int:
    """The number of parallel trainings. Default: half the CPU cores, or 1 on a GPU."""
    if jobs is not None:
        if not 1 <= jobs <= MAX_JOBS:
            raise InputError(f"--jobs {quote(jobs)}: at least 1, at most {MAX_JOBS}")
        return jobs
    return 1 if resolve_device(base.device).type == "cuda" else max(1, (os.cpu_count() or 1) // 2)


def execute(plan: Plan, jobs: int, progress: Progress = no_progress) -> None:
    """Train and evaluate the missing runs of a plan, `jobs` in parallel; progress counts the steps of all trainings.

    The results do not depend on `jobs`: each run uses the plan's number of threads. After KeyboardInterrupt every run
    can be resumed. Raises InputError if another process trains this comparison.
    """
    with lock_run(plan.out, busy_message(plan.out)):
        tasks = [task for task in plan.tasks if not is_finished(task)]
        if tasks:
            counter = StepCounter(len(plan.tasks) - len(tasks), len(plan.tasks), plan.base.steps, progress)
            if jobs == 1:
                run_serial(tasks, plan.threads, counter)
            else:
                run_parallel(tasks, min(jobs, len(tasks)), plan.threads, counter)


def is_finished(task: Task) -> bool:
    """Whether a task is evaluated, or its loss became infinite or nan. Other failures (disk full) are resumed."""
    if not (task.path / "run.json").is_file():
        return False
    status = Run.open(task.path).status
    return status.startswith("failed: step ") or (status == "finished" and (task.path / "results.json").is_file())


class StepCounter:
    """The steps of all trainings as one progress. finished: runs that are skipped; runs: all; steps: of each."""

    def __init__(self, finished: int, runs: int, steps: int, progress: Progress) -> None:
        self.finished, self.runs, self.steps, self.progress = finished, runs, steps, progress
        self.total = (runs - finished) * steps
        self.done: dict[Path, int] = {}

    def update(self, task: Task, done: int, what: str) -> None:
        """Report that `done` steps of a task are done."""
        self.done[task.path] = done
        text = f"{self.finished} of {self.runs} runs done; {task.label}, seed {task.seed}: {what}"
        self.progress(sum(self.done.values()), self.total, text)

    def end(self, task: Task) -> None:
        """Report that a task is finished."""
        self.finished += 1
        self.update(task, self.steps, "measured")


def run_serial(tasks: Sequence[Task], threads: int, counter: StepCounter) -> None:
    """Run the tasks in this process, one after another."""
    with cpu_threads(threads):
        for task in tasks:
            run_task(task, lambda done, total, what, task=task: counter.update(task, done, what))
            counter.end(task)


def run_parallel(tasks: Sequence[Task], jobs: int, threads: int, counter: StepCounter) -> None:
    """Run the tasks in `jobs` worker processes; an idle worker gets the next task."""
    context, waiting = multiprocessing.get_context("spawn"), deque(tasks)
    processes, busy = [], dict[Connection, Task]()
    with stop_requests() as stop_requested:
        try:
            for _ in range(jobs):
                ours, theirs = context.Pipe()
                processes.append(context.Process(target=work, args=(theirs, threads), daemon=True))
                with block_sigint():
                    processes[-1].start()
                theirs.close()
                busy[ours] = waiting.popleft()
                ours.send(busy[ours])
            while busy:
                for pipe in wait(list(busy), timeout=POLL):
                    handle_message(pipe, busy, waiting, counter)
                if stop_requested():
                    raise KeyboardInterrupt
        finally:
            for pipe in busy:
                pipe.close()  # a worker that still trains writes a checkpoint and ends
            for process in processes:
                process.join()


@contextmanager
def block_sigint() -> Iterator[None]:
    """Block SIGINT. A process started in this context inherits the mask until it ignores the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def handle_message(pipe: Connection, busy: dict[Connection, Task], waiting: deque[Task], counter: StepCounter) -> None:
    """Receive one message of a worker; after the end of a task, send the next one, or None to end the worker."""
    task = busy[pipe]
    try:
        message = pipe.recv()
    except EOFError:
        raise RuntimeError(
            f"the process that trained {task.path} died; the same call resumes it from its checkpoint"
        ) from None
    if isinstance(message, str):
        raise InputError(message)
    if message is not None:
        counter.update(task, *message)
        return
    counter.end(task)
    if waiting:
        busy[pipe] = waiting.popleft()
        pipe.send(busy[pipe])
    else:
        pipe.send(None)
        del busy[pipe]
        pipe.close()


def gather(plan: Plan, metric: str = "eer") -> Comparison:
    """The results in the folder of a plan; for runs without results, the reason."""
    chosen = get_metric(metric)
    shape = (len(plan.variants), len(plan.seeds))
    values = {name: np.full(shape, np.nan) for name in METRICS}
    times, missing, paths, impostors = np.full(shape, np.nan), {}, {}, math.inf
    for v, variant in enumerate(plan.variants):
        for s, seed in enumerate(plan.seeds):
            task = plan.task(variant, seed)
            if (reason := missing_reason(task)) is not None:
                missing[v, s] = reason
                continue
            run, paths[v, s] = Run.open(task.path), task.path
            measured = run.results["verification"] | run.results["identification"]
            for name in METRICS:
                values[name][v, s] = measured[name]
            impostors = min(impostors, measured["impostor"])
            times[v, s] = run.steps["seconds"].sum()
    return Comparison(plan.variants, plan.seeds, values, times, missing, paths, chosen, plan.to_json(), impostors)


def missing_reason(task: Task) -> str | None:
    """Why a task has no results; None if it has."""
    if not (task.path / "run.json").is_file():
        return "not trained yet"
    status = Run.open(task.path).status
    if status != "finished":
        return status
    return None if (task.path / "results.json").is_file() else "trained, not measured yet"
