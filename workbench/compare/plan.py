"""A plan: variants x seeds with common settings and one number of training steps, saved as compare.json.

A second call with the same plan continues in the same folder; another plan is refused. Seeds may be added.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.compare.variants import Variant, check_distinct, check_variant
from workbench.core.errors import InputError, quote
from workbench.core.files import check_writable, make_folder, read_json, write_json
from workbench.core.formats import PLAN
from workbench.core.locks import LOCK
from workbench.core.schema import check
from workbench.data.images import ImageSet, load
from workbench.data.pairs import sample_pairs, split_identities
from workbench.training.config import Config
from workbench.training.fit import Job, fit
from workbench.training.run import lock_run

NAME = "compare.json"
WARM_UP_STEPS, TIMED_STEPS = 5, 20  # of a calibration: not timed, timed
MAX_SEEDS, MAX_THREADS = 10_000, 1024
ONE_THREAD = 1  # of each run: its results then do not depend on the number of parallel trainings


@dataclass(frozen=True)
class Task:
    """One training of a plan. path: the folder of its run."""

    label: str
    seed: int
    config: Config
    path: Path
    skip_broken: bool


@dataclass(frozen=True)
class Plan:
    """Variants and seeds of a comparison, and the settings that all runs share.

    budget: s of training of a run, None if steps were given; measured: s of a step of each method, None without budget.
    """

    out: Path
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    base: Config
    threads: int
    budget: float | None = None
    measured: dict[str, float] | None = None
    skip_broken: bool = False

    def task(self, variant: Variant, seed: int) -> Task:
        path = self.out / variant.key / f"seed-{seed}"
        return Task(variant.label, seed, variant.config(self.base, seed), path, self.skip_broken)

    @property
    def tasks(self) -> list[Task]:
        """All trainings, seed by seed, so that finished seeds can be compared early."""
        return [self.task(variant, seed) for seed in self.seeds for variant in self.variants]

    def to_json(self) -> dict[str, Any]:
        specific = ("method", "preset", "parameters", "seed", "settings")
        common = {name: value for name, value in self.base.to_json().items() if name not in specific}
        variants = [
            vars(v) | {"parameters": dict(v.parameters), "settings": v.config(self.base, 0).settings()}
            for v in self.variants
        ]
        rest = {name: getattr(self, name) for name in ("threads", "budget", "measured", "skip_broken")}
        return {"variants": variants, "seeds": list(self.seeds), "common": common} | rest

    @classmethod
    def open(cls, out: Path) -> "Plan":
        """The plan in a folder. Raises InputError if there is none, or if it is damaged."""
        path = Path(out) / NAME
        if not path.is_file():
            raise InputError(f"{out} is not a comparison: it has no {NAME}")
        info = check(read_json(path), PLAN, str(path))
        fields = [{k: v for k, v in one.items() if k != "settings"} for one in info["variants"]]
        variants = tuple(Variant(**one) for one in fields)
        base = Config.from_json(info["common"])
        for variant in variants:
            check_variant(variant, base, f"{path}: variants")
        rest = {name: info[name] for name in ("threads", "budget", "measured", "skip_broken")}
        return cls(path.parent, variants, tuple(info["seeds"]), base, **rest)


def prepare(
    variants: Sequence[Variant],
    seeds: int,
    base: Config,
    out: Path,
    budget: float | None = None,
    threads: int = ONE_THREAD,
    skip_broken: bool = False,
) -> Plan:
    """The plan for these variants and seeds 0..seeds-1, written into the folder `out`.

    budget: s of training of a run, from which base.steps follows by a calibration; None: base.steps holds. Before a
    new plan is written, the images are read and a job of each method is built, so that invalid settings are found
    before any training. Raises InputError for invalid input, and if `out` holds anything but an earlier state of this
    comparison.
    """
    for option, value, high in (("seeds", seeds, MAX_SEEDS), ("threads", threads, MAX_THREADS)):
        if not 1 <= value <= high:
            raise InputError(f"--{option} {quote(value)}: at least 1, at most {high}")
    plan = Plan(Path(out), check_distinct(variants), tuple(range(seeds)), base, threads, budget, None, skip_broken)
    check_writable(plan.out)
    earlier = open_earlier(plan.out)
    if budget is not None:
        measured = earlier.measured if earlier and earlier.budget == budget else None
        measured = measured or measure_steps(plan)
        known = earlier is not None and earlier.measured == measured
        steps = earlier.base.steps if known else round_steps(budget / max(measured.values()))
        plan = replace(plan, measured=measured, base=replace(base, steps=steps))
    elif earlier is None:
        for _ in start_jobs(plan):
            pass  # built without an error
    if earlier:
        check_same(plan, read_json(plan.out / NAME))
    make_folder(plan.out)
    with lock_run(plan.out, busy_message(plan.out)):
        write_json(plan.out / NAME, plan.to_json())
    return plan


def busy_message(out: Path) -> str:
    """The error text for a comparison that another process trains."""
    return f"{out} is being trained by another process; wait for it, or end it"


def open_earlier(out: Path) -> Plan | None:
    """The plan in a folder, None if the folder is new or empty. Raises InputError for other contents."""
    if not out.exists():
        return None
    if not (out / NAME).is_file() and (not out.is_dir() or any(entry.name != LOCK for entry in out.iterdir())):
        raise InputError(f"--out {out} holds something that is not a comparison; choose another --out")
    return Plan.open(out) if (out / NAME).is_file() else None


def check_same(plan: Plan, earlier: dict[str, Any]) -> None:
    """Raise InputError if `earlier`, the compare.json of the folder, is of another comparison or has more seeds."""
    new, old = flatten(json.loads(json.dumps(plan.to_json()))), flatten(earlier)
    for name in new:
        if new[name] != old.get(name):
            raise InputError(
                f"--out {plan.out} holds another comparison: its {name} is {old.get(name)}, this one's {new[name]}; "
                "choose another --out"
            )
    if len(plan.seeds) < len(earlier["seeds"]):
        raise InputError(f"--seeds {len(plan.seeds)}: {plan.out} holds {len(earlier['seeds'])}; give as many or more")


def flatten(info: dict[str, Any]) -> dict[str, Any]:
    """The entries of compare.json that two plans of one comparison share, by name."""
    return {
        "list of losses": ", ".join(v["label"] for v in info["variants"]),
        **{f"{v['label']}": v["settings"] for v in info["variants"]},
        **info["common"],
        **{name: info[name] for name in ("threads", "budget", "skip_broken")},
    }


def start_jobs(plan: Plan) -> Iterator[tuple[Job, ImageSet]]:
    """A job of each method before its first step, in the order of the variants, and the training images of seed 0.

    Raises InputError for images, a split, a network, a device or options of the class set that cannot be used.
    """
    data = load(plan.base.data, plan.base.size, plan.skip_broken)
    known, unseen = split_identities(data.classes, plan.base.test, 0)
    sample_pairs(data.of(unseen).labels)  # checks that there are enough images to test on
    train, started = data.of(known), set()
    for variant in plan.variants:
        if variant.method not in started:
            started.add(variant.method)
            yield Job.start(variant.config(plan.base, 0), len(known), data.size), train


def measure_steps(plan: Plan) -> dict[str, float]:
    """Median time in s of a training step of each method, measured one after another on the images."""
    measured: dict[str, float] = {}
    with cpu_threads(plan.threads):
        for job, train in start_jobs(replace(plan, base=replace(plan.base, steps=WARM_UP_STEPS + TIMED_STEPS))):
            times = [step.seconds for step in fit(job, train.images, train.labels)]
            measured[job.config.method] = float(np.median(times[WARM_UP_STEPS:]))
    return measured


def round_steps(steps: float) -> int:
    """A number of steps rounded down to two significant digits, the accuracy of a measured time. At least 1."""
    whole = max(1, int(steps))
    unit = 10 ** max(0, len(str(whole)) - 2)
    return whole // unit * unit


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Use `count` CPU threads in torch within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
