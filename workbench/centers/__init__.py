"""Class sets: which class centers a batch is compared with, and who owns them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from workbench.centers.base import ClassSet
from workbench.centers.full import FullCenters
from workbench.centers.queued import QueuedCenters
from workbench.centers.sampled import SampledCenters
from workbench.centers.sharded import ShardedCenters
from workbench.centers.similarity import Cosine
from workbench.core.errors import unknown

CENTERS: dict[str, Callable[..., ClassSet]] = {
    "full": FullCenters,
    "sampled": SampledCenters,
    "queued": QueuedCenters,
    "sharded": ShardedCenters,
}


def class_set(name: str, classes: int, dim: int, seed: int, similarity: Cosine, options: Mapping[str, Any]) -> ClassSet:
    """The class set of this name with its own options; InputError for an option that it does not have.

    Sharded centers have one of their own, `each`: the name of the class set that every process has of its classes; the
    other options are of that one.
    """
    if name == "sharded":
        each = each_of(options)
        others = {option: value for option, value in options.items() if option != "each"}
        return ShardedCenters(classes, dim, seed, similarity, lambda *given: class_set(each, *given, others))
    make = CENTERS[name]
    given = ("classes", "dim", "seed", "similarity")
    known = [option for option in inspect.signature(make).parameters if option not in given]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name} centers", option, known)
    return make(classes, dim, seed, similarity, **options)


def each_of(options: Mapping[str, Any]) -> str:
    """The class set that each process of sharded centers has, full if the options do not say."""
    each = options.get("each", "full")
    if each not in CENTERS or each == "sharded":
        raise unknown("each", each, [name for name in CENTERS if name != "sharded"])
    return each
