"""A plan: variants x seeds, trained by one recipe for one number of steps. compare.json in its folder says which.

A second call with the same plan goes on with the first one's folder; another plan is refused. Only the seeds may grow.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.compare.variants import Variant, all_different, checked
from workbench.core.errors import InputError, quote
from workbench.core.files import check_writable, make_folder, read_json, write_json
from workbench.core.formats import PLAN
from workbench.core.locks import LOCK
from workbench.core.schema import check
from workbench.data.images import load
from workbench.data.pairs import split_identities
from workbench.training.config import Config
from workbench.training.fit import Job, fit
from workbench.training.run import lock_run

NAME = "compare.json"
SETTLE, TIMED = 5, 20  # steps that a calibration takes before it counts, and that it counts
MOST_SEEDS, MOST_THREADS = 10_000, 1024
ONE_THREAD = 1  # of each run: its bits then do not depend on how many train side by side


@dataclass(frozen=True)
class Task:
    """One training of a plan, and where it goes."""

    label: str
    seed: int
    config: Config
    path: Path
    skip_broken: bool


@dataclass(frozen=True)
class Plan:
    """What is compared. budget: s of training a run, None where steps were given; measured: s a step of each method."""

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
        """Every training, seed by seed, so that what is finished early can be compared."""
        return [self.task(variant, seed) for seed in self.seeds for variant in self.variants]

    def to_json(self) -> dict[str, Any]:
        own = ("method", "preset", "parameters", "seed", "settings")
        common = {name: value for name, value in self.base.to_json().items() if name not in own}
        variants = [
            {
                "label": v.label,
                "method": v.method,
                "preset": v.preset,
                "parameters": dict(v.parameters),
                "swept": v.swept,
                "settings": v.config(self.base, 0).settings(),
            }
            for v in self.variants
        ]
        return {
            "variants": variants,
            "seeds": list(self.seeds),
            "common": common,
            "threads": self.threads,
            "budget": self.budget,
            "measured": self.measured,
            "skip_broken": self.skip_broken,
        }

    @classmethod
    def open(cls, out: Path) -> "Plan":
        """The plan of a folder; InputError if it holds none, or a damaged one."""
        path = Path(out) / NAME
        if not path.is_file():
            raise InputError(f"{out} is not a comparison: it has no {NAME}")
        info = check(read_json(path), PLAN, str(path))
        known = [{k: v for k, v in one.items() if k != "settings"} for one in info["variants"]]
        variants = tuple(Variant(**one) for one in known)
        base = Config.from_json(info["common"])
        for variant in variants:
            checked(variant, base, f"{path}: variants")
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
    """The plan for these variants and seeds 0..seeds-1 in the folder `out`, written there; calibrated for a budget.

    budget: s of training a run, from which base.steps follows; None: base.steps holds. Raises InputError for input that
    cannot be used, and where `out` holds anything but an earlier part of the same comparison.
    """
    for option, value, most in (("seeds", seeds, MOST_SEEDS), ("threads", threads, MOST_THREADS)):
        if not 1 <= value <= most:
            raise InputError(f"--{option} {quote(value)}: at least 1, at most {most}")
    plan = Plan(Path(out), all_different(variants), tuple(range(seeds)), base, threads, budget, None, skip_broken)
    check_writable(plan.out)
    there = earlier(plan.out)
    if budget is not None:
        measured = there.measured if there and there.budget == budget else None
        measured = measured or seconds_a_step(plan)
        steps = (
            there.base.steps if there and there.measured == measured else round_steps(budget / max(measured.values()))
        )
        plan = replace(plan, measured=measured, base=replace(base, steps=steps))
    if there:
        refuse_another(plan, read_json(plan.out / NAME))
    make_folder(plan.out)
    with lock_run(plan.out, busy_words(plan.out)):
        write_json(plan.out / NAME, plan.to_json())
    return plan


def busy_words(out: Path) -> str:
    """The message for a comparison that another process trains now."""
    return f"{out} is being trained by another process; wait for it, or end it"


def earlier(out: Path) -> Plan | None:
    """The comparison that a folder holds, None where it is new or empty; InputError for anything else."""
    if not out.exists():
        return None
    if not (out / NAME).is_file() and (not out.is_dir() or any(entry.name != LOCK for entry in out.iterdir())):
        raise InputError(f"--out {out} holds something that is not a comparison; choose another --out")
    return Plan.open(out) if (out / NAME).is_file() else None


def refuse_another(plan: Plan, there: dict[str, Any]) -> None:
    """InputError where a folder's compare.json is of another comparison; more seeds than before are welcome."""
    mine, old = flat(json.loads(json.dumps(plan.to_json()))), flat(there)
    for name in mine:
        if mine[name] != old.get(name):
            raise InputError(
                f"--out {plan.out} holds another comparison: its {name} is {old.get(name)}, this one's {mine[name]}; "
                "choose another --out"
            )
    if len(plan.seeds) < len(there["seeds"]):
        raise InputError(f"--seeds {len(plan.seeds)}: {plan.out} holds {len(there['seeds'])}; give as many or more")


def flat(info: dict[str, Any]) -> dict[str, Any]:
    """What two plans must agree in, name by name."""
    return {
        "list of losses": ", ".join(v["label"] for v in info["variants"]),
        **{f"{v['label']}": v["settings"] for v in info["variants"]},
        **info["common"],
        "threads": info["threads"],
        "budget": info["budget"],
        "skip_broken": info["skip_broken"],
    }


def seconds_a_step(plan: Plan) -> dict[str, float]:
    """Median time of a training step of each method, in s, measured one after the other on the real images."""
    data = load(plan.base.data, plan.base.size, plan.skip_broken)
    known, _ = split_identities(data.classes, plan.base.test, 0)
    train = data.of(known)
    short = replace(plan.base, steps=SETTLE + TIMED)
    measured: dict[str, float] = {}
    with cpu_threads(plan.threads):
        for variant in plan.variants:
            if variant.method not in measured:
                job = Job.start(variant.config(short, 0), len(known), data.size)
                times = [step.seconds for step in fit(job, train.images, train.labels)]
                measured[variant.method] = float(np.median(times[SETTLE:]))
    return measured


def round_steps(steps: float) -> int:
    """A number of steps of two digits, rounded down: a time that was measured says no more. At least 1."""
    whole = max(1, int(steps))
    unit = 10 ** max(0, len(str(whole)) - 2)
    return whole // unit * unit


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
