"""A whole training from settings to results: load, split, train, record, evaluate. What the command line calls.

`train` leaves a run's folder, `evaluate` measures one on identities it never saw, `resume` goes on with one that was
stopped.
"""

import errno
import platform
from collections.abc import Callable
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench import __version__
from workbench.core.distributed import PartnerLost, anywhere, processes, rank
from workbench.core.errors import InputError
from workbench.core.files import WriteError, check_writable, refuse_existing
from workbench.core.geometry import expected_angle
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run, Snapshot
from workbench.curves import boundaries, ideal_boundaries
from workbench.data.images import ImageSet, load
from workbench.data.pairs import sample_pairs, split_identities
from workbench.data.sampling import stratified_sample
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
from workbench.training.processes import Follower, joined, stoppable

THETA = np.radians(80)  # rad between the two centers of the slice on which boundaries are reported
SNAPSHOT_IMAGES = 4  # training images an identity whose embeddings a snapshot keeps
SNAPSHOT_LIMIT = 2000  # embeddings in a snapshot
CHECKPOINT = "checkpoint.safetensors"
VERSIONS = ("torch", "numpy", "pillow", "scikit-learn")


def silent(sentence: str) -> None:
    """Says nothing."""


def train(
    config: Config,
    out: Path,
    progress: Progress = no_progress,
    skip_broken: bool = False,
    say: Callable[[str], None] = silent,
) -> Run | Follower:
    """Train by `config` into the folder `out`, which must be new or empty; of several processes the first writes.

    The identities are split by the seed; the split and the test pairs are saved before the first step. Raises
    InputError for input that cannot be used and TrainingFault where the loss stops being finite; the run is saved
    first.
    """
    config.check_loss()
    with joined(config.device):
        if rank() == 0:
            refuse_existing(out)  # before anything that takes time
        data = load(config.data, config.size, skip_broken, lambda done, total: progress(done, total, "reading images"))
        known, unseen = split_identities(data.classes, config.test, config.seed)
        config = config.for_images(len(data.of(known)))
        job = Job.start(config, len(known), data.size)
        if rank() > 0:
            return carry_on(Follower(out), job, data.of(known), progress, say)
        info = described(job, data)
        run = Run.create(out, info, split_record(data, known, unseen, config.seed))
        return carry_on(run, job, data.of(known), progress, say)


def resume(
    path: Path, progress: Progress = no_progress, skip_broken: bool = False, say: Callable[[str], None] = silent
) -> Run | Follower:
    """Go on with a run that was stopped or killed, from its last checkpoint, to the bits it would have had."""
    run = Run.open(path)
    config = Config.from_json(run.config)
    with joined(config.device):
        if rank() == 0 and run.status in ("finished", "running"):
            raise InputError(f"{path} is {run.status}; there is nothing to resume")
        data = load(config.data, config.size, skip_broken)
        known = np.array(run.split["train"])
        job = Job.start(config, len(known), data.size)
        if (path / CHECKPOINT).exists():
            checkpoint.load(job, path / CHECKPOINT)
        if rank() > 0:
            return carry_on(Follower(path), job, data.of(known), progress, say)
        run.rewind(job.step)
        return carry_on(run, job, data.of(known), progress, say)


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

    say: called with each sentence about the training's health, which the run keeps as well.
    """
    sample = stratified_sample(data.labels, SNAPSHOT_LIMIT, SNAPSHOT_IMAGES, job.config.seed)
    images, labels = data.images[sample], data.labels[sample]
    keep = snapshot_steps(job.config.steps, job.config.snapshots)

    health = Health(job.objective, job.config.method)

    def record(event: Event) -> None:
        run.add_event(event.to_json())
        health.changed()

    def save() -> None:
        run.add_snapshot(snapshot(job, images, labels))
        checkpoint.save(job, run.path / CHECKPOINT)

    with disk_full_said(run.path), stoppable() as asked:
        try:
            for step in fit(job, data.images, data.labels, job.config.schedule(), record):
                run.add_step(step)
                if said := health.watch(step):
                    run.add_note(said)
                    say(said)
                if job.step in keep:
                    save()
                progress(job.step, job.config.steps, f"loss {step.loss:.3f}")
                if anywhere(asked()):
                    raise KeyboardInterrupt
        except PartnerLost as lost:
            run.finish(f"failed: {lost}, step {job.step}")
            raise
        except (KeyboardInterrupt, TrainingFault) as stop:
            checkpoint.save(job, run.path / CHECKPOINT)
            run.finish(f"failed: {stop}" if isinstance(stop, TrainingFault) else f"stopped by hand at step {job.step}")
            raise
        run.finish()
    return run


def evaluate(path: Path, progress: Progress = no_progress) -> dict[str, Any]:
    """Measure a run on the identities it never saw, and its snapshots over time; writes and returns the results.

    Embeddings are those of an image plus of its mirror image. ROC, EER, AUC and TAR are over every pair of test images;
    the fold accuracy is over the run's own balanced pairs; rank-k has the first image of each identity as its gallery.
    """
    run = Run.open(path)
    check_writable(run.path, "RUN")
    config, split = Config.from_json(run.config), run.split
    data = load(config.data, config.size, bool(run.info["data"]["notes"]))
    test = data.of(split["test"])
    job = checkpoint.load(Job.start(config, len(split["train"]), data.size), run.path / CHECKPOINT)
    progress(0, 2, "embedding the test images")
    x = embed(job.backbone, test.images, job.device, mirror=True)
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
    run.save_results(results, roc)
    progress(2, 2, "done")
    return results


def look(run: Run, step: int, classes: int, config: Config) -> dict[str, Any]:
    """What the probes see in one snapshot: correlation, overlap, center angles, the boundary its parameters draw."""
    seen = run.snapshot(step)
    cos = seen.cos
    r, groups = hardness(cos, seen.y), similarity(cos, seen.y)
    angles = center_angles(seen.centers, expected_angle(classes, seen.W.shape[1]))
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
    if not METHODS[method].drawn:
        return np.empty(0), np.empty(0)
    margin = METHODS[method].margin_of(seen.parameters)
    return tuple(find(margin, float(THETA), seen.state, seen.length) for find in (boundaries, ideal_boundaries))


def shuffled_pairs(x: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and sameness of every pair of images, in an order that mixes both kinds in every block of folds."""
    scores, same = all_pairs(x, labels)
    order = np.random.default_rng(seed).permutation(len(same))
    return scores[order], same[order]


def split_record(data: ImageSet, known: np.ndarray, unseen: np.ndarray, seed: int) -> dict[str, Any]:
    """The identities on either side (numbers and names) and the balanced test pairs, as JSON."""
    pairs = sample_pairs(data.of(unseen).labels, seed=seed)
    return {
        "train": known.tolist(),
        "test": unseen.tolist(),
        "train_names": [data.names[i] for i in known],
        "test_names": [data.names[i] for i in unseen],
        "pairs": {name: np.asarray(values).astype(int).tolist() for name, values in vars(pairs).items()},
    }


def snapshot_steps(steps: int, count: int) -> set[int]:
    """The steps after which a snapshot is taken: the first, the last, and `count` in all, closer together early on."""
    shares = (np.arange(1, count) / max(1, count - 1)) ** 1.5
    return {max(1, round(steps * share)) for share in shares} | {1, steps}


def versions(where: torch.device) -> dict[str, str]:
    """What a run depends on beside its configuration."""
    found = {"workbench": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    hardware = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return found | {"device": f"{where.type}: {hardware}"}


@contextmanager
def disk_full_said(path: Path):
    """Turn a full disk or a folder that cannot be written into one line."""
    try:
        yield
    except WriteError:  # one line already
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR):
            raise InputError(f"cannot write to {path}: {error.strerror}") from None
        raise
