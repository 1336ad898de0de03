"""Class sets: which class centers are active in a batch, and where they are stored: full, sampled, queued, sharded."""

from collections.abc import Mapping
from typing import Any

from workbench.centers.base import ClassSet
from workbench.centers.full import FullCenters
from workbench.centers.options import ShardedOptions
from workbench.centers.queued import QueuedCenters
from workbench.centers.sampled import SampledCenters
from workbench.centers.sharded import ShardedCenters
from workbench.centers.similarity import Cosine

CENTERS: dict[str, type[ClassSet]] = {
    "full": FullCenters,
    "sampled": SampledCenters,
    "queued": QueuedCenters,
    "sharded": ShardedCenters,
}


def class_set(name: str, classes: int, dim: int, seed: int, similarity: Cosine, options: Mapping[str, Any]) -> ClassSet:
    """The class set of this name. options: fields of its `Options`; raises InputError for an unknown or invalid one.

    Sharded centers have the option `each`, the class set of each rank; the other options belong to that class set.
    """
    if name == "sharded":
        each = local_class_set(options)
        others = {option: value for option, value in options.items() if option != "each"}
        return ShardedCenters(classes, dim, seed, similarity, lambda *arguments: class_set(each, *arguments, others))
    CENTERS[name].Options.of(dict(options))  # checks names and values
    return CENTERS[name](classes, dim, seed, similarity, **options)


def local_class_set(options: Mapping[str, Any]) -> str:
    """The name of the class set of each rank of sharded centers with these options."""
    return ShardedOptions(**{"each": options["each"]} if "each" in options else {}).each
