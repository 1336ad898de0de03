"""Class sets: which class centers a batch is compared with, and who owns them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from workbench.centers.base import ClassSet
from workbench.centers.full import FullCenters
from workbench.centers.queued import QueuedCenters
from workbench.centers.sampled import SampledCenters
from workbench.centers.similarity import Cosine
from workbench.errors import unknown

CENTERS: dict[str, Callable[..., ClassSet]] = {"full": FullCenters, "sampled": SampledCenters, "queued": QueuedCenters}


def class_set(name: str, classes: int, dim: int, seed: int, similarity: Cosine, options: Mapping[str, Any]) -> ClassSet:
    """The class set of this name with its own options; InputError for an option that it does not have."""
    make = CENTERS[name]
    given = ("classes", "dim", "seed", "similarity")
    known = [option for option in inspect.signature(make).parameters if option not in given]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name} centers", option, known)
    return make(classes, dim, seed, similarity, **options)
