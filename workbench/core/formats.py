"""Schemas of the JSON files: run.json, split.json, results.json, compare.json, sessions and checkpoints."""

from typing import Any

from workbench.core.errors import InputError
from workbench.core.schema import Anything, Flag, Integer, ListOf, MapOf, Maybe, Number, Scalar, Table, Text

COUNT = Integer(0)
RATE = Number(0, 1)
CONFIG = {
    "method": Text(),
    "preset": Text(),
    "recipe": Text(),
    "parameters": MapOf(Scalar()),
    "data": Text(),
    "size": Maybe(Integer(1, 100_000)),
    "test": Number(),
    "backbone": Text(),
    "width": Number(),
    "dim": Integer(),
    "steps": Maybe(Integer()),
    "epochs": Maybe(Number()),
    "batch": Maybe(Integer()),
    "lr": Maybe(Number()),
    "momentum": Maybe(Number()),
    "weight_decay": Maybe(Number()),
    "snapshots": Integer(),
    "seed": Integer(),
    "device": Text(),
    "precision": Text(),
    "compute": Text(),
    "centers": Text(),
    "class_set": MapOf(Scalar()),
}
RESOLVED = {
    "drops": ListOf(COUNT),
    "augmentation": Text(),
    "nesterov": Flag(),
    "settings": MapOf(),
    "recipe_says": Text(),
}
EVENT = Table({"step": COUNT, "name": Text(), "new": Anything(), "old": Anything()}, frozenset({"old"}))
DATA = Table(
    {"source": Text(), "identities": COUNT, "images": COUNT, "size": COUNT, "notes": ListOf(Text())},
)
OWNER = Table({"host": Text(), "process": COUNT, "started": Text()}, frozenset({"host", "process", "started"}))
IDENTITIES = {"names": ListOf(Text()), "digests": ListOf(Text()), "order": Text(), "size": COUNT}
RUN = Table(
    {
        "config": Table(CONFIG | RESOLVED, frozenset(CONFIG | RESOLVED)),
        "status": Text(),
        "owner": OWNER,
        "process": Maybe(COUNT),  # of runs before there were owners
        "processes": Integer(1),
        "compute": Anything(),
        "schedule": ListOf(EVENT),
        "versions": MapOf(Text()),
        "data": DATA,
        "health": ListOf(Text()),
    },
    frozenset({"owner", "process", "processes", "compute", "schedule", "versions", "data", "health"}),
)
DESCRIBED = {"digests": ListOf(Text()), "order": Text()}
PAIRS = Table({"left": ListOf(COUNT), "right": ListOf(COUNT), "same": ListOf(Integer(0, 1)), "fold": ListOf(COUNT)})
DIGESTS = {f"{side}_{what}": form for side in ("train", "test") for what, form in DESCRIBED.items()}
SPLIT = Table(
    {
        "train": ListOf(COUNT, 2),
        "test": ListOf(COUNT, 2),
        "train_names": ListOf(Text()),
        "test_names": ListOf(Text()),
        "pairs": PAIRS,
        **DIGESTS,
    },
    frozenset({"train_names", "test_names", *DIGESTS}),
)
MEASURED = MapOf(Maybe(Number()))
RESULTS = Table(
    {
        "verification": MEASURED,
        "identification": MEASURED,
        "theta": Number(),
        "seconds_per_step": Maybe(Number()),
        "test": MapOf(COUNT),
    },
    frozenset({"theta", "seconds_per_step"}),
)
VARIANT = Table(
    {
        "label": Text(),
        "method": Text(),
        "preset": Text(),
        "parameters": MapOf(Scalar()),
        "swept": Flag(),
        "settings": MapOf(),
    }
)
COMMON = {
    name: form
    for name, form in (CONFIG | RESOLVED).items()
    if name not in ("method", "preset", "parameters", "seed", "settings")
}
PLAN = Table(
    {
        "variants": ListOf(VARIANT, 1),
        "seeds": ListOf(COUNT, 1),
        "common": Table(COMMON),
        "threads": Integer(1, 1024),
        "budget": Maybe(Number(above=0)),
        "measured": Maybe(MapOf(Number(above=0))),
        "skip_broken": Flag(),
    }
)
ENTRY = Table(
    {"at": COUNT, "step": COUNT, "do": Text(), "asked": MapOf(), "events": ListOf(EVENT), "note": Text()},
    frozenset({"events", "note"}),
)
SESSION = Table(
    {
        "schema": Integer(1),
        "config": Table(CONFIG, frozenset(CONFIG)),
        "threads": Integer(1, 1024),
        "margin": Maybe(MapOf()),
        "log": ListOf(ENTRY),
        "at": Integer(0, 10**9),
        "step": COUNT,
        "images": Text(),
        "identities": Table(IDENTITIES, frozenset({"size"})),
        "fingerprint": Text(),
        "versions": MapOf(Text()),
        "lab": Table(
            {"theta": Number(), "samples": ListOf(COUNT), "classes": ListOf(COUNT)},
            frozenset({"theta", "samples", "classes"}),
        ),
    },
    frozenset({"lab", "step", "identities"}),
)
CHECKPOINT = Table({"step": COUNT, "lr": Number(above=0), "parameters": MapOf(Scalar())})


def check_lengths(pairs: dict[str, list[Any]], where: str) -> None:
    """Check that the lists of verification pairs have equal length. Raises InputError."""
    lengths = {name: len(values) for name, values in pairs.items()}
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InputError(f"{where}: the lists of 'pairs' differ in length: {sizes}")
