"""The two sides of a run's split: what split.json records of them, and their images again, by name and content."""

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
from workbench.training.versions import changed_decoders

SIDES = ("train", "test")


def split_record(data: ImageSet, known: np.ndarray, unseen: np.ndarray, seed: int) -> dict[str, Any]:
    """The identities on either side (numbers, names, digests of their images) and the balanced test pairs, as JSON."""
    sides = {name: data.of(ids) for name, ids in zip(SIDES, (known, unseen), strict=True)}
    pairs = sample_pairs(sides["test"].labels, seed=seed)
    described = {side: describe_images(images) for side, images in sides.items()}
    return {
        "train": known.tolist(),
        "test": unseen.tolist(),
        **{f"{side}_{what}": values for side, one in described.items() for what, values in one.items()},
        "pairs": {name: np.asarray(values).astype(int).tolist() for name, values in vars(pairs).items()},
    }


def load_side(
    run: Run,
    side: str,
    skip_broken: bool,
    progress: Callable[[int, int], None] | None,
    say: Callable[[str], None],
) -> ImageSet:
    """The images that a run trained on or is tested on (side: train or test), as they were: same names, same content.

    say: called with each sentence about what is different now and does not matter. Raises InputError where identities
    are missing or have other images.
    """
    config, split = Config.from_json(run.config), run.split
    size = run.info.get("data", {}).get("size", config.size)
    data = load(config.data, size, skip_broken, progress)
    if f"{side}_names" not in split:
        say(f"{run.path} has no names of its identities on record: they are taken by their numbers")
        return data.of(split[side])
    known = {what: split[f"{side}_{what}"] for what in ("names", "digests", "order") if f"{side}_{what}" in split}
    others = [name for one in SIDES for name in split.get(f"{one}_names", ())]
    try:
        images, remarks = select_recorded(data, known, str(run.path), others, changed_decoders(run.info))
    except InputError as error:
        raise InputError(f"{error}{where_it_leads(config.data)}") from None
    for remark in remarks:
        say(f"{run.path}: {remark}")
    return images


def where_it_leads(spec: str) -> str:
    """Of a data set with a relative path, which folder it means now; else nothing."""
    path = spec.partition(":")[2]
    relative = path and not path.startswith(("/", "~"))
    return f" (the path is relative, and means {os.path.abspath(path)} now)" if relative else ""
