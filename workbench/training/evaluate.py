"""Evaluate a run on the identities that it was not trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.files import check_writable
from workbench.core.progress import Progress, no_progress
from workbench.core.record import Run, Snapshot
from workbench.curves import boundaries, ideal_boundaries
from workbench.evaluation.identification import Identification, identify
from workbench.evaluation.verification import all_pairs, pair_scores, verify
from workbench.methods import METHODS
from workbench.training.config import Config
from workbench.training.embedding import embed
from workbench.training.run import no_message, write_errors

THETA = np.radians(80)  # rad between the two centers of the slice on which boundaries are reported


def evaluate(
    path: Path, progress: Progress = no_progress, on_message: Callable[[str], None] = no_message
) -> dict[str, Any]:
    """Evaluate a run on its test identities; writes and returns the results.

    Embeddings are sums of those of an image and of its mirror image. ROC, EER, AUC and TAR are over all pairs of test
    images; the fold accuracy is over the run's balanced pairs; in rank-k the first image of each identity is the
    gallery. on_message: called with each harmless change of the data. Raises InputError where the test images are not
    those of the run's split.
    """
    run = Run.open(path)
    check_writable(run.path, "RUN")
    config, split = Config.from_json(run.config), run.split
    progress(0, 2, "embedding the test images")
    test = embed(run, skip_broken=bool(run.info["data"]["notes"]), on_message=on_message)
    progress(1, 2, "measuring")
    x, labels = test.embeddings, test.labels
    pairs = {name: np.array(split["pairs"][name]) for name in ("left", "right", "same", "fold")}
    folds = verify(pair_scores(x, pairs["left"], pairs["right"]), pairs["same"].astype(bool), pairs["fold"])
    every = verify(*shuffled_pairs(x, labels, config.seed))
    ranks = identify_first(x, labels)
    results = {
        "verification": every.summary() | {"accuracy": folds.accuracy, "accuracy_std": folds.accuracy_std},
        "identification": ranks.summary(),
        "theta": float(THETA),
        "seconds_per_step": float(np.median(run.steps["seconds"])) if len(run.steps["seconds"]) else None,
        "test": {"identities": len(test.names), "images": len(x), "genuine": every.genuine, "impostor": every.impostor}
        | {"pairs": len(pairs["same"])},
    }
    roc = {"far": every.roc.far, "tar": every.roc.tar, "thresholds": every.roc.thresholds, "cmc": ranks.cmc}
    with write_errors(run.path):
        run.save_results(results, roc)
    progress(2, 2, "done")
    return results


def identify_first(x: np.ndarray, labels: np.ndarray) -> Identification:
    """Identification with the first image of each identity as the gallery, the others as probes."""
    gallery = np.unique(labels, return_index=True)[1]
    probes = np.setdiff1d(np.arange(len(labels)), gallery)
    return identify(x[gallery], labels[gallery], x[probes], labels[probes])


def boundaries_of(method: str, seen: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """The actual and the ideal boundaries at a snapshot, in rad; empty for a method without T and N."""
    if not METHODS[method].has_logits:
        return np.empty(0), np.empty(0)
    margin = METHODS[method].margin_of(seen.parameters)
    return tuple(find(margin, float(THETA), seen.state, seen.length) for find in (boundaries, ideal_boundaries))


def shuffled_pairs(x: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels (same identity or not) of all pairs of images, shuffled so that each fold has both kinds."""
    scores, same = all_pairs(x, labels)
    order = np.random.default_rng(seed).permutation(len(same))
    return scores[order], same[order]
