"""compare: train what is missing of a plan, one run after another or several side by side, and read it all back.

    found = compare([Variant("ArcFace", "arcface"), Variant("NPCFace", "npcface")], seeds=5, steps=300, out="runs/mine")
    found.ranking, found.summary()

Every training is a run's folder, OUT/VARIANT/seed-N. Those that are finished are used as they are, those that were cut
off go on, and one whose loss stopped being finite stays as it is: that is its result.
"""

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

from workbench.compare.carry import carry_out
from workbench.compare.parsing import seconds
from workbench.compare.plan import ONE_THREAD, Plan, Task, busy_words, cpu_threads, prepare
from workbench.compare.results import METRICS, Comparison, get_metric
from workbench.compare.variants import Variant
from workbench.compare.worker import work
from workbench.core.errors import InputError, quote
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run
from workbench.training.config import Config
from workbench.training.fit import device
from workbench.training.interrupts import stop_requests
from workbench.training.run import owned_folder

MOST_JOBS = 1024
POLL = 0.2  # s between two looks for a signal
SNAPSHOTS = 4  # of each run: few, since a sweep has many runs; a killed run goes on from the last one


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
    """Train every variant from seeds 0..seeds-1, measure each on identities it never saw, and compare.

    steps: batches of each training, or budget: a time such as "60s", from which they follow; None: those of `base`.
    base: all other settings. jobs: trainings side by side, None: as `jobs_for` says; threads: of each, on which its
    bits depend. Nothing but the folder `out` is written; `workbench.reports.comparison.write_report` makes its report.

    Raises InputError for input that cannot be used and where `out` holds another comparison.
    """
    base = base or Config(snapshots=SNAPSHOTS)
    chosen, jobs = get_metric(metric), jobs_for(base, jobs)
    if steps is not None:
        base = replace(base, steps=steps)
    time = None if budget is None else seconds(budget)
    plan = prepare(variants, seeds, base, Path(out), time, threads, skip_broken)
    execute(plan, jobs, progress)
    return gather(plan, chosen.name)


def jobs_for(base: Config, jobs: int | None = None) -> int:
    """How many trainings run side by side; when nobody says, half the cores, and one where they would share a GPU."""
    if jobs is not None:
        if not 1 <= jobs <= MOST_JOBS:
            raise InputError(f"--jobs {quote(jobs)}: at least 1, at most {MOST_JOBS}")
        return jobs
    return 1 if device(base.device).type == "cuda" else max(1, (os.cpu_count() or 1) // 2)


def execute(plan: Plan, jobs: int, progress: Progress = no_progress) -> None:
    """Train and measure what is missing of a plan, `jobs` at a time; progress counts steps over all trainings.

    A run has the plan's number of threads in whatever process it is, so its bits do not depend on `jobs`.
    KeyboardInterrupt leaves every run where it can go on. InputError where another process trains this comparison.
    """
    with owned_folder(plan.out, busy_words(plan.out)):
        tasks = [task for task in plan.tasks if not finished(task)]
        if tasks:
            say = Tally(len(plan.tasks) - len(tasks), len(plan.tasks), plan.base.steps, progress)
            if jobs == 1:
                alone(tasks, plan.threads, say)
            else:
                together(tasks, min(jobs, len(tasks)), plan.threads, say)


def finished(task: Task) -> bool:
    """Whether there is nothing left to do: measured, or the loss stopped being finite.

    A run that failed for another reason, such as a full disk, goes on.
    """
    if not (task.path / "run.json").is_file():
        return False
    status = Run.open(task.path).status
    return status.startswith("failed: step ") or (status == "finished" and (task.path / "results.json").is_file())


class Tally:
    """The steps of all trainings as one progress."""

    def __init__(self, before: int, runs: int, steps: int, progress: Progress) -> None:
        self.ended, self.runs, self.steps, self.progress = before, runs, steps, progress
        self.pending = runs - before
        self.done: dict[Path, int] = {}

    def step(self, task: Task, done: int, what: str) -> None:
        self.done[task.path] = done
        total = self.pending * self.steps
        said = f"{self.ended} of {self.runs} runs done; {task.label}, seed {task.seed}: {what}"
        self.progress(sum(self.done.values()), total, said)

    def end(self, task: Task) -> None:
        self.ended += 1
        self.step(task, self.steps, "measured")


def alone(tasks: Sequence[Task], threads: int, say: Tally) -> None:
    """All tasks in this process, one after the other."""
    with cpu_threads(threads):
        for task in tasks:
            carry_out(task, lambda done, total, what, task=task: say.step(task, done, what))
            say.end(task)


def together(tasks: Sequence[Task], jobs: int, threads: int, say: Tally) -> None:
    """The tasks in `jobs` processes, each taking the next one when it is free."""
    context, waiting = multiprocessing.get_context("spawn"), deque(tasks)
    processes, busy = [], dict[Connection, Task]()
    with stop_requests() as asked:
        try:
            for _ in range(jobs):
                mine, theirs = context.Pipe()
                processes.append(context.Process(target=work, args=(theirs, threads), daemon=True))
                with signal_blocked():
                    processes[-1].start()
                theirs.close()
                busy[mine] = waiting.popleft()
                mine.send(busy[mine])
            while busy:
                for pipe in wait(list(busy), timeout=POLL):
                    answered(pipe, busy, waiting, say)
                if asked():
                    raise KeyboardInterrupt
        finally:
            for pipe in busy:
                pipe.close()  # a process that still trains notices, saves and ends
            for process in processes:
                process.join()


@contextmanager
def signal_blocked() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile inherits that, until it ignores the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def answered(pipe: Connection, busy: dict[Connection, Task], waiting: deque[Task], say: Tally) -> None:
    """Take one answer of a worker; one that has ended its task gets the next, or is let go."""
    task = busy[pipe]
    try:
        answer = pipe.recv()
    except EOFError:
        raise RuntimeError(
            f"the process that trained {task.path} died; the same call goes on from its checkpoint"
        ) from None
    if isinstance(answer, str):
        raise InputError(answer)
    if answer is not None:
        say.step(task, *answer)
        return
    say.end(task)
    if waiting:
        busy[pipe] = waiting.popleft()
        pipe.send(busy[pipe])
    else:
        pipe.send(None)
        del busy[pipe]
        pipe.close()


def gather(plan: Plan, metric: str = "eer") -> Comparison:
    """Everything that a plan's folder holds by now; what is missing is said."""
    chosen = get_metric(metric)
    shape = (len(plan.variants), len(plan.seeds))
    values = {name: np.full(shape, np.nan) for name in METRICS}
    times, missing, paths = np.full(shape, np.nan), {}, {}
    for v, variant in enumerate(plan.variants):
        for s, seed in enumerate(plan.seeds):
            task = plan.task(variant, seed)
            if (why := absent(task)) is not None:
                missing[v, s] = why
                continue
            run, paths[v, s] = Run.open(task.path), task.path
            measured = run.results["verification"] | run.results["identification"]
            for name in METRICS:
                values[name][v, s] = measured[name]
            times[v, s] = run.steps["seconds"].sum()
    return Comparison(plan.variants, plan.seeds, values, times, missing, paths, chosen, plan.to_json())


def absent(task: Task) -> str | None:
    """Why a task has no results, None where it has."""
    if not (task.path / "run.json").is_file():
        return "not trained yet"
    status = Run.open(task.path).status
    if status != "finished":
        return status
    return None if (task.path / "results.json").is_file() else "trained, not measured yet"
