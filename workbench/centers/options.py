"""Options of the class sets as declared dataclasses: the one place of their defaults, ranges and meanings."""

import os
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Declared, Param

SWITCH = (False, True)
UPDATES = ("mutual", "positive", "ema", "none")
CRITERIA = ("hardest", "misclassified")
PRECISIONS = ("fp16", "fp32", "fp64")


def option(default: Any, meaning: str, whole: bool = False, live: bool = False, **limits: Any) -> Any:
    """A field of a class set's options. whole: an integer; live: may change during training; limits: of `Param`."""
    return field(default=default, metadata={"param": Param("", meaning, **limits), "whole": whole, "live": live})


@dataclass(frozen=True)
class ClassSetOptions(Declared):
    """Base class of the options; full centers have none. Raises InputError for a value out of range."""

    name: ClassVar[str] = "full"

    def __post_init__(self) -> None:
        for f in fields(self):
            declared, value = f.metadata.get("param"), getattr(self, f.name)
            if declared is None or (value is None and "None" in str(f.type)):
                continue
            if declared.choices and value not in declared.choices:
                raise unknown(f.name, str(value), map(str, declared.choices))
            value = declared.check(f"{self.name} centers", f.name, value)
            object.__setattr__(self, f.name, int(value) if f.metadata["whole"] else value)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """Options by name. Raises InputError for an unknown name (with the nearest known one) or an invalid value."""
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                raise unknown(f"option of {cls.name} centers", name, known)
        return cls(**options)

    @classmethod
    def live(cls) -> dict[str, Param]:
        """The options that may change during training, by name."""
        return {f.name: f.metadata["param"] for f in fields(cls) if f.metadata.get("live")}


@dataclass(frozen=True)
class RowOptions(ClassSetOptions):
    """Storage and updates of rows that no optimizer owns: SGD on the active rows."""

    momentum: float = option(0.9, "momentum of the rows", low=0, high=1)
    weight_decay: float = option(5e-4, "weight decay of the rows", low=0)
    nesterov: bool = option(False, "Nesterov momentum", choices=SWITCH)
    renormalize: bool = option(False, "normalize rows to unit length after each update", choices=SWITCH)
    precision: str = option("fp32", "storage type of the rows", choices=PRECISIONS)
    folder: str | os.PathLike | None = None  # rows are memory-mapped from a scratch file in this folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum == 1:
            raise InputError(f"{self.name} centers: momentum = 1 is outside [0, 1)")


@dataclass(frozen=True)
class SampledOptions(RowOptions):
    """Options of sampled centers (Partial FC)."""

    name: ClassVar[str] = "sampled"
    rate: float = option(0.1, "share of the classes that are active in a batch", low=1e-6, high=1, live=True)
    max_active: int | None = option(None, "active classes in a batch (default: rate C)", low=2, whole=True)


@dataclass(frozen=True)
class QueuedOptions(RowOptions):
    """Options of queued centers (hard-negative queues)."""

    name: ClassVar[str] = "queued"
    precision: str = option("fp16", "storage type of the rows", choices=PRECISIONS)
    K: int = option(32, "length of each class's queue", low=0, whole=True)
    max_active: int = option(8192, "active classes in a batch", low=2, high=1e9, whole=True, live=True)
    explore: float = option(0.25, "share of the negatives that are random", low=0, high=1, live=True)
    warmup: int = option(0, "steps before queues are used", low=0, whole=True)
    center_update: str = option("mutual", "which active rows are updated", choices=UPDATES)
    criterion: str = option("hardest", "which classes enter a queue", choices=CRITERIA)
    margin: float = option(0.5, "angle of criterion = misclassified, rad")
    conflict: float | None = option(
        0.8, "cosine of two centers above which they are treated as one identity", low=-1, high=1, live=True
    )
    max_age: int | None = option(
        30, "visits of a class after which an unseen entry is dropped", low=1, high=10_000, whole=True, live=True
    )
    beta: float = option(0.1, "step of center_update = ema", low=0, high=1)
    refresh_every: int = option(0, "steps between rebuilds of all queues (0: never)", low=0, whole=True)
    refresh_delay: int = option(100, "steps until a rebuild is used", low=1, whole=True)
    index: str = "auto"  # search index of a rebuild, see mining.index


@dataclass(frozen=True)
class ShardedOptions(ClassSetOptions):
    """Options of sharded centers: `each`, and the options of that class set."""

    name: ClassVar[str] = "sharded"
    each: str = option("full", "class set of each rank", choices=("full", "sampled", "queued"))
