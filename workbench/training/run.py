"""A whole training from settings to results: load, split, train, record, evaluate. What the command line calls.

`train` leaves a run's folder, `evaluate` measures one on identities it never saw, `resume` goes on with one that was
stopped.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from workbench.core.device import device
from workbench.core.distributed import PartnerLost, any_rank, processes, rank
from workbench.core.errors import InputError
from workbench.core.files import WriteError, check_writable
from workbench.core.geometry import expected_angle
from workbench.core.locks import lock_folder
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run, Snapshot, Step, refuse_used
from workbench.curves import boundaries, ideal_boundaries
from workbench.data.images import ImageSet, load
from workbench.data.pairs import split_identities, stratified
from workbench.evaluation.identification import identify
from workbench.evaluation.verification import all_pairs, pair_scores, verify
from workbench.methods import METHODS
from workbench.probes.geometry import center_angles
from workbench.probes.hardness import hardness
from workbench.probes.similarity import similarity
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import Job, TrainingFault, embed, fit, snapshot
from workbench.training.health import Health
from workbench.training.interrupts import Aborted, stop_requests
from workbench.training.processes import Follower, joined
from workbench.training.split import load_side, split_record
from workbench.training.versions import versions

THETA = np.radians(80)  # rad between the two centers of the slice on which boundaries are reported
SNAPSHOT_IMAGES = 4  # training images an identity whose embeddings a snapshot keeps
SNAPSHOT_LIMIT = 2000  # embeddings in a snapshot
CHECKPOINT = "checkpoint.safetensors"
WRITE_ERRORS = (OSError, SafetensorError)


def silent(sentence: str) -> None:
    """Says nothing."""


class WriteFault(InputError):
    """A file of the run could not be written while it trained: which, why, and what is saved."""


def train(
    config: Config,
    out: Path,
    progress: Progress = no_progress,
    skip_broken: bool = False,
    say: Callable[[str], None] = silent,
) -> Run | Follower:
    """Train by `config` into the folder `out`, which must be new or empty; of several processes the first writes.

    The identities are split by the seed; the split and the test pairs are saved before the first step. Ctrl-C and
    SIGTERM are served between two steps: the run is saved and KeyboardInterrupt is raised. Raises InputError for input
    that cannot be used, TrainingFault where the loss stops being finite (the last checkpoint stays), WriteFault where a
    file cannot be written any more.
    """
    config.check_loss()
    with joined(config.device, config.centers == "sharded"):
        if rank() == 0:
            with write_errors(out):
                refuse_used(out)  # before anything that takes time
        data = load(config.data, config.size, skip_broken, lambda done, total: progress(done, total, "reading images"))
        known, unseen = split_identities(data.classes, config.test, config.seed)
        config = config.for_images(len(data.of(known)))
        job = Job.start(config, len(known), data.size)
        if rank() > 0:
            return carry_on(Follower(out), job, data.of(known), progress, say)
        info, split = described(job, data), split_record(data, known, unseen, config.seed)
        with owned_folder(out, f"{out} is in use by another training"):
            with stop_requests(), write_errors(out):
                run = Run.create(out, info, split)
            return carry_on(run, job, data.of(known), progress, say)


def resume(
    path: Path,
    progress: Progress = no_progress,
    skip_broken: bool = False,
    say: Callable[[str], None] = silent,
    device: str | None = None,
    take_over: bool = False,
) -> Run | Follower:
    """Go on with a run that was stopped or killed, from its last checkpoint, to the bits it would have had.

    Its images must be those it was trained on; identities are found by name. device: another one than the run's.
    take_over: also where the run may still be training on another host, whose lock this host cannot judge. Raises
    InputError where the run is finished, has another owner, or its images have changed.
    """
    run = Run.open(path)
    config = Config.from_json(run.config)
    config = config if device is None else replace(config, device=device)
    with joined(config.device, config.centers == "sharded"):
        if rank() > 0:
            job, data = resumed_job(run, config, skip_broken, silent)
            return carry_on(Follower(path), job, data, progress, say)
        refuse_resume(run, take_over)
        with owned_folder(path, busy_words(run)):
            run = Run.open(path)  # the last owner may have written since
            refuse_resume(run, take_over=True, locked=True)
            job, data = resumed_job(run, config, skip_broken, say)
            with stop_requests(), write_errors(path):
                for remark in run.rewind(job.step):
                    say(f"{path}: {remark}")
            return carry_on(run, job, data, progress, say)


def refuse_resume(run: Run, take_over: bool, locked: bool = False) -> None:
    """InputError where there is nothing to resume, or the run has an owner; locked: this process is its owner."""
    if run.status == "finished":
        raise InputError(f"{run.path} is finished; there is nothing to resume")
    if run.status == "running" and not locked:
        raise InputError(busy_words(run))
    if run.status.endswith("still running there") and not take_over:
        raise InputError(f"{run.path}: {run.status}; its lock cannot be judged from here: --take-over resumes it")


def busy_words(run: Run) -> str:
    """The message for a run that another process trains now."""
    process, host, started = (run.owner.get(name, "unknown") for name in ("process", "host", "started"))
    return f"{run.path} is running: process {process} on {host} trains it since {started}; wait for it, or end it"


def resumed_job(run: Run, config: Config, skip_broken: bool, say: Callable[[str], None]) -> tuple[Job, ImageSet]:
    """A run's job at its last checkpoint, at step 0 if it has none, and the images it trains on."""
    data = load_side(run, "train", skip_broken, None, say)
    job = Job.start(config, data.classes, data.size)
    if (run.path / CHECKPOINT).exists():
        checkpoint.load(job, run.path / CHECKPOINT)
    return job, data


def described(job: Job, data: ImageSet) -> dict[str, Any]:
    """What a run records of itself before its first step."""
    return {
        "config": job.config.to_json(),
        "compute": job.objective.how(job.config.batch),
        "schedule": [event.to_json() for event in job.config.schedule()],
        "versions": versions(job.device),
        "processes": processes(),
        "data": {"source": data.source, "identities": data.classes, "images": len(data), "size": data.size}
        | {"notes": list(data.notes)},
    }


def carry_on(
    run: Run | Follower, job: Job, data: ImageSet, progress: Progress, say: Callable[[str], None]
) -> Run | Follower:
    """Train a job to its last step, recording as it goes; whatever ends it is written into the run.

    What is saved is always the state between two steps. say: called with each sentence about the training's health,
    which the run keeps as well.
    """
    sample = stratified(data.labels, SNAPSHOT_IMAGES, SNAPSHOT_LIMIT, job.config.seed)
    images, labels = data.images[sample], data.labels[sample]
    keep = snapshot_steps(job.config.steps, job.config.snapshots)
    health = Health(job.objective, job.config.method, data.labels, job.config.for_images(len(data.labels)).batch)

    def record(event: Event) -> None:
        run.add_event(event.to_json())
        health.changed()

    def save() -> None:
        run.sync()
        run.add_snapshot(snapshot(job, images, labels))
        checkpoint.save(job, run.path / CHECKPOINT)

    def after(step: Step) -> None:
        run.add_step(step)
        if said := health.watch(step):
            run.add_note(said)
            say(said)
        if job.step in keep:
            save()
        progress(job.step, job.config.steps, f"loss {step.loss:.3f}")
        if any_rank(asked()):
            raise KeyboardInterrupt

    with write_faults(run, job), stop_requests(parent=processes() > 1) as asked:
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


def evaluate(path: Path, progress: Progress = no_progress, say: Callable[[str], None] = silent) -> dict[str, Any]:
    """Measure a run on the identities it never saw, and its snapshots over time; writes and returns the results.

    Embeddings are those of an image plus of its mirror image. ROC, EER, AUC and TAR are over every pair of test images;
    the fold accuracy is over the run's own balanced pairs; rank-k has the first image of each identity as its gallery.
    say: called with each sentence about what has changed in the data and does not matter. Raises InputError where the
    test images are not those of the run's split.
    """
    run = Run.open(path)
    check_writable(run.path, "RUN")
    config, split = Config.from_json(run.config), run.split
    test = load_side(run, "test", bool(run.info["data"]["notes"]), None, say)
    where = device(config.device)
    net = checkpoint.load_network(config, test.size, run.path / CHECKPOINT)
    progress(0, 2, "embedding the test images")
    x = embed(net.to(where, memory_format=torch.channels_last), test.images, where, mirror=True)
    progress(1, 2, "measuring")
    pairs = {name: np.array(split["pairs"][name]) for name in ("left", "right", "same", "fold")}
    folds = verify(pair_scores(x, pairs["left"], pairs["right"]), pairs["same"].astype(bool), pairs["fold"])
    whole = verify(*shuffled_pairs(x, test.labels, config.seed))
    gallery = np.unique(test.labels, return_index=True)[1]
    probes = np.setdiff1d(np.arange(len(test)), gallery)
    ranks = identify(x[gallery], test.labels[gallery], x[probes], test.labels[probes])
    accuracy = {"accuracy": folds.accuracy, "accuracy_std": folds.accuracy_std}
    results = {
        "verification": whole.summary() | accuracy,
        "identification": ranks.summary(),
        "series": [look(run, step, len(split["train"]), config) for step in run.snapshot_steps],
        "theta": float(THETA),
        "seconds_per_step": float(np.median(run.steps["seconds"])) if len(run.steps["seconds"]) else None,
        "test": {"identities": test.classes, "images": len(test), "genuine": whole.genuine, "impostor": whole.impostor}
        | {"pairs": len(pairs["same"])},
    }
    roc = {"far": whole.roc.far, "tar": whole.roc.tar, "thresholds": whole.roc.thresholds, "cmc": ranks.cmc}
    with write_errors(run.path):
        run.save_results(results, roc)
    progress(2, 2, "done")
    return results


def look(run: Run, step: int, classes: int, config: Config) -> dict[str, Any]:
    """What the probes see in one snapshot: correlation, overlap, center angles, the boundary its parameters draw."""
    seen = run.snapshot(step)
    cos = seen.cos
    r, groups = hardness(cos, seen.y), similarity(cos, seen.y)
    angles = center_angles(seen.centers, expected_angle(classes, seen.W.shape[1]), seen.complete)
    actual, ideal = boundaries_of(config.method, seen)
    return {
        "step": step,
        **r.summary(),
        **groups.summary(),
        "nearest_center_mean": angles.mean,
        "nearest_center_min": angles.minimum,
        "nearest_center_expected": angles.expected,
        "boundary": actual.tolist(),
        "ideal": ideal.tolist(),
        "t": seen.state.get("t"),
    }


def boundaries_of(method: str, seen: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """The actual and the ideal boundaries at a snapshot, in rad; none where a method has no T and N."""
    if not METHODS[method].has_logits:
        return np.empty(0), np.empty(0)
    margin = METHODS[method].margin_of(seen.parameters)
    return tuple(find(margin, float(THETA), seen.state, seen.length) for find in (boundaries, ideal_boundaries))


def shuffled_pairs(x: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and sameness of every pair of images, in an order that mixes both kinds in every block of folds."""
    scores, same = all_pairs(x, labels)
    order = np.random.default_rng(seed).permutation(len(same))
    return scores[order], same[order]


def snapshot_steps(steps: int, count: int) -> set[int]:
    """The steps after which a snapshot is taken: the first, the last, and `count` in all, closer together early on."""
    shares = (np.arange(1, count) / max(1, count - 1)) ** 1.5
    return {max(1, round(steps * share)) for share in shares} | {1, steps}


@contextmanager
def owned_folder(path: Path, busy: str) -> Iterator[None]:
    """Be the one owner of a run's folder; InputError where it has one, or cannot be written."""
    with ExitStack() as stack:
        with write_errors(path):
            stack.enter_context(lock_folder(path, busy))
        yield


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an error of writing to a folder into one line: InputError."""
    try:
        yield
    except WRITE_ERRORS as error:
        raise InputError(write_words(path, error)) from None


@contextmanager
def write_faults(run: Run | Follower, job: Job) -> Iterator[None]:
    """Where a file of a run cannot be written while it trains, record that, and raise WriteFault with what is saved.

    Before the first checkpoint there is nothing to go on from: InputError.
    """
    try:
        yield
    except BrokenPipeError:  # of the terminal, not of the run's folder
        raise
    except WRITE_ERRORS as error:
        words, saved = write_words(run.path, error), (run.path / CHECKPOINT).exists()
        with suppress(*WRITE_ERRORS):
            run.finish(f"failed: {words}, step {job.step}")
        if not saved:
            raise InputError(f"{words}; nothing was saved") from None
        raise WriteFault(f"{words}, at step {job.step}; the last checkpoint is whole") from None


def write_words(path: Path, error: Exception) -> str:
    if isinstance(error, WriteError):  # one line already
        return str(error)
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    return f"cannot write to {path}: {reason}"
