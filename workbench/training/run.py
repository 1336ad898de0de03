"""Train a run: load and split the data, train, record; resume a run that was stopped.

`train` writes a run folder; `resume` continues one from its last checkpoint, bitwise identically.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.distributed import PartnerLost, any_rank, processes, rank
from workbench.core.errors import InputError, reason
from workbench.core.files import WriteError, write_error
from workbench.core.locks import lock_folder
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run, Step, refuse_used
from workbench.data.images import ImageSet, load
from workbench.data.pairs import split_identities
from workbench.data.sampling import stratified_sample
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Job, TrainingFault, fit, snapshot
from workbench.training.health import Health
from workbench.training.interrupts import Aborted, stop_requests
from workbench.training.processes import Follower, join_processes
from workbench.training.split import load_side, split_record
from workbench.training.versions import versions

SNAPSHOT_IMAGES = 4  # training images of each identity in a snapshot
SNAPSHOT_LIMIT = 2000  # embeddings in a snapshot
CHECKPOINT = "checkpoint.safetensors"


def no_message(sentence: str) -> None:
    """Ignore a message."""


class WriteFault(InputError):
    """A file of the run could not be written during the training; the last checkpoint is valid."""


def train(
    config: Config,
    out: Path,
    progress: Progress = no_progress,
    skip_broken: bool = False,
    on_message: Callable[[str], None] = no_message,
) -> Run | Follower:
    """Train by `config` into the folder `out`, which must be new or empty. Of several processes the first one writes.

    The identities are split by the seed; the split and the test pairs are saved before the first step. Ctrl-C and
    SIGTERM act between two steps: the run is saved and KeyboardInterrupt is raised. on_message: called with each remark
    on the training's health. Raises InputError for invalid input, TrainingFault where the loss is not finite (the last
    checkpoint stays), WriteFault where a file cannot be written any more.
    """
    config.check_loss()
    with join_processes(config.device, config.sharded):
        if rank() == 0:
            with write_errors(out):
                refuse_used(out)  # before the data is loaded
        data = load(config.data, config.size, skip_broken, lambda done, total: progress(done, total, "reading images"))
        known, unseen = split_identities(data.classes, config.test, config.seed)
        config = config.for_images(len(data.of(known)))
        job = Job.start(config, len(known), data.size)
        if rank() > 0:
            return run_training(Follower(out), job, data.of(known), progress, on_message)
        info, split = run_info(job, data), split_record(data, known, unseen, config.seed)
        with lock_run(out, f"{out} is in use by another training"):
            with stop_requests(), write_errors(out):
                run = Run.create(out, info, split)
            return run_training(run, job, data.of(known), progress, on_message)


def resume(
    path: Path,
    progress: Progress = no_progress,
    skip_broken: bool = False,
    on_message: Callable[[str], None] = no_message,
    device: str | None = None,
    take_over: bool = False,
) -> Run | Follower:
    """Continue a run that was stopped or killed from its last checkpoint, bitwise identically.

    Its images must be those it was trained on; identities are matched by name. device: in place of the run's own.
    take_over: resume also where the run may still be training on another host, whose lock this host cannot read. Raises
    InputError where the run is finished or locked by another process, or its images have changed.
    """
    run = Run.open(path)
    config = Config.from_json(run.config)
    config = config if device is None else replace(config, device=device)
    with join_processes(config.device, config.sharded):
        if rank() > 0:
            job, data = load_job(run, config, skip_broken, no_message)
            return run_training(Follower(path), job, data, progress, on_message)
        refuse_resume(run, take_over)
        with lock_run(path, busy_message(run)):
            run = Run.open(path)  # the last owner may have written since
            refuse_resume(run, take_over=True, locked=True)
            job, data = load_job(run, config, skip_broken, on_message)
            with stop_requests(), write_errors(path):
                for remark in run.rewind(job.step):
                    on_message(f"{path}: {remark}")
            return run_training(run, job, data, progress, on_message)


def refuse_resume(run: Run, take_over: bool, locked: bool = False) -> None:
    """InputError where the run is finished, or another process may train it; locked: this process holds its lock."""
    if run.status == "finished":
        raise InputError(f"{run.path} is finished; there is nothing to resume")
    if run.status == "running" and not locked:
        raise InputError(busy_message(run))
    if run.status.endswith("still running there") and not take_over:
        raise InputError(f"{run.path}: {run.status}; its lock cannot be judged from here: --take-over resumes it")


def busy_message(run: Run) -> str:
    """The error message for a run that another process trains."""
    process, host, started = (run.owner.get(name, "unknown") for name in ("process", "host", "started"))
    return f"{run.path} is running: process {process} on {host} trains it since {started}; wait for it, or end it"


def load_job(run: Run, config: Config, skip_broken: bool, on_message: Callable[[str], None]) -> tuple[Job, ImageSet]:
    """A run's job at its last checkpoint (at step 0 if it has none), and its training images."""
    data = load_side(run, "train", skip_broken, None, on_message)
    job = Job.start(config, data.classes, data.size)
    if (run.path / CHECKPOINT).exists():
        checkpoint.load(job, run.path / CHECKPOINT)
    return job, data


def run_info(job: Job, data: ImageSet) -> dict[str, Any]:
    """What run.json records before the first step."""
    return {
        "config": job.config.to_json(),
        "compute": job.objective.how(job.config.batch),
        "schedule": [event.to_json() for event in job.config.schedule()],
        "versions": versions(job.device),
        "processes": processes(),
        "data": {"source": data.source, "identities": data.classes, "images": len(data), "size": data.size}
        | {"notes": list(data.notes)},
    }


def run_training(
    run: Run | Follower, job: Job, data: ImageSet, progress: Progress, on_message: Callable[[str], None]
) -> Run | Follower:
    """Train a job to its last step and record it. The run's status says how the training ended.

    Checkpoints are always of the state between two steps. on_message: called with each remark on the training's health,
    which the run records as well.
    """
    sample = stratified_sample(data.labels, SNAPSHOT_LIMIT, SNAPSHOT_IMAGES, job.config.seed)
    images, labels = data.images[sample], data.labels[sample]
    snapshots = snapshot_steps(job.config.steps, job.config.snapshots)
    health = Health(job.objective, job.config.method, data.labels, job.config.for_images(len(data.labels)).batch)

    def record(event: Event) -> None:
        run.add_event(event.to_json())
        health.reset()

    def after(step: Step) -> None:
        run.add_step(step)
        if note := health.watch(step):
            run.add_note(note)
            on_message(note)
        if job.step in snapshots:
            run.sync()
            run.add_snapshot(snapshot(job, images, labels))
            checkpoint.save(job, run.path / CHECKPOINT)
        progress(job.step, job.config.steps, f"loss {step.loss:.3f}")
        if any_rank(stop_requested()):
            raise KeyboardInterrupt

    with write_faults(run, job), stop_requests(parent=processes() > 1) as stop_requested:
        try:
            for step in fit(job, data.images, data.labels, job.config.schedule(), record):
                try:
                    after(step)
                except KeyboardInterrupt as stopped:
                    if not isinstance(stopped, Aborted):
                        run.sync()
                        checkpoint.save(job, run.path / CHECKPOINT)
                        run.finish(f"stopped by hand at step {job.step}")
                    raise
        except PartnerLost as lost:
            run.finish(f"failed: {lost}, step {job.step}")
            raise
        except TrainingFault as fault:  # its forward pass has changed batch statistics: the last checkpoint stays
            run.finish(f"failed: {fault}")
            raise
        run.finish()
    return run


def snapshot_steps(steps: int, count: int) -> set[int]:
    """The steps after which a snapshot is taken: the first, the last, and `count` in all, denser at the start."""
    shares = (np.arange(1, count) / max(1, count - 1)) ** 1.5
    return {max(1, round(steps * share)) for share in shares} | {1, steps}


@contextmanager
def lock_run(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a run folder; InputError where another process holds it, or it cannot be written."""
    with ExitStack() as stack:
        with write_errors(path):
            stack.enter_context(lock_folder(path, busy))
        yield


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise errors of writing to a folder as WriteError, whose message is one line."""
    try:
        yield
    except OSError as error:
        raise as_write_error(path, error) from None


@contextmanager
def write_faults(run: Run | Follower, job: Job) -> Iterator[None]:
    """Record in the run that a file could not be written while it trained, and raise WriteFault.

    Before the first checkpoint nothing can be resumed: InputError.
    """
    try:
        yield
    except BrokenPipeError:  # standard output was closed
        raise
    except OSError as error:
        message, saved = str(as_write_error(run.path, error)), (run.path / CHECKPOINT).exists()
        with suppress(OSError):
            run.finish(f"failed: {message}, step {job.step}")
        if not saved:
            raise InputError(f"{message}; nothing was saved") from None
        raise WriteFault(f"{message}, at step {job.step}; the last checkpoint is whole") from None


def as_write_error(path: Path, error: OSError) -> WriteError:
    """The error itself if it names its file already, else one that names the folder."""
    return error if isinstance(error, WriteError) else write_error(path, error, error.strerror or reason(error))
