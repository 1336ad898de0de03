"""Class sets: which class centers are active in a batch, and who owns them."""

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
    """The class set of this name; options: fields of its `Options`. InputError for an option that it does not have.

    Sharded centers have the option `each`, the name of each rank's class set; the other options are of that one.
    """
    if name == "sharded":
        each = each_of(options)
        others = {option: value for option, value in options.items() if option != "each"}
        return ShardedCenters(classes, dim, seed, similarity, lambda *given: class_set(each, *given, others))
    CENTERS[name].Options.of(dict(options))  # the names of the options
    return CENTERS[name](classes, dim, seed, similarity, **options)


def each_of(options: Mapping[str, Any]) -> str:
    """The name of the class set of each rank of sharded centers."""
    return ShardedOptions(**{"each": options["each"]} if "each" in options else {}).each
