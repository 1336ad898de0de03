"""The split of a run's identities into train and test: its record in split.json, and its images by name and content."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.core.errors import InputError
from workbench.core.record import Run
from workbench.data.digests import describe_images, select_recorded
from workbench.data.images import ImageSet, load
from workbench.data.pairs import sample_pairs
from workbench.training.config import Config
from workbench.training.versions import decoder_changes

SIDES = ("train", "test")


def split_record(data: ImageSet, known: np.ndarray, unseen: np.ndarray, seed: int) -> dict[str, Any]:
    """The identities of both sides (indices, names, digests of their images) and the balanced test pairs, as JSON."""
    sides = {name: data.of(ids) for name, ids in zip(SIDES, (known, unseen), strict=True)}
    pairs = sample_pairs(sides["test"].labels, seed=seed)
    records = {side: describe_images(images) for side, images in sides.items()}
    return {
        "train": known.tolist(),
        "test": unseen.tolist(),
        **{f"{side}_{what}": values for side, record in records.items() for what, values in record.items()},
        "pairs": {name: np.asarray(values).astype(int).tolist() for name, values in vars(pairs).items()},
    }


def load_side(
    run: Run,
    side: str,
    skip_broken: bool,
    progress: Callable[[int, int], None] | None,
    on_message: Callable[[str], None],
) -> ImageSet:
    """The train or test images of a run (side: train or test), with the recorded names and content.

    on_message: called with each harmless change of the data. Raises InputError where identities are missing or have
    other images.
    """
    config, split = Config.from_json(run.config), run.split
    data = load(config.data, image_size(run, config), skip_broken, progress)
    if f"{side}_names" not in split:
        on_message(f"{run.path} has no names of its identities on record: they are taken by their numbers")
        return data.of(split[side])
    recorded = {what: split[f"{side}_{what}"] for what in ("names", "digests", "order") if f"{side}_{what}" in split}
    others = [name for one in SIDES for name in split.get(f"{one}_names", ())]
    try:
        images, remarks = select_recorded(data, recorded, str(run.path), others, decoder_changes(run.info))
    except InputError as error:
        raise InputError(f"{error}{relative_path_hint(config.data)}") from None
    for remark in remarks:
        on_message(f"{run.path}: {remark}")
    return images


def image_size(run: Run, config: Config) -> int | None:
    """The side of a run's images in px; None where neither the run nor its configuration says."""
    return run.info.get("data", {}).get("size", config.size)


def relative_path_hint(spec: str) -> str:
    """For a data source with a relative path: a remark with its absolute path; else ""."""
    path = spec.partition(":")[2]
    relative = path and not path.startswith(("/", "~"))
    return f" (the path is relative, and means {os.path.abspath(path)} now)" if relative else ""
