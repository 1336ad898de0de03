"""A run's folder -> Evidence: everything the report draws, measured on the snapshots; and in words what is missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Declared
from workbench.core.record import Run
from workbench.curves import boundaries, ideal_boundaries
from workbench.evaluation.verification import Roc
from workbench.methods import METHODS
from workbench.methods.method import Method
from workbench.probes.geometry import center_angles
from workbench.probes.hardness import HardnessCorrelation, hardness
from workbench.probes.similarity import Similarity, similarity
from workbench.training.run import THETA, boundaries_of
from workbench.views.theme import Style, method_style
from workbench.views.training import FEW, Stretch

LABELLED = 6  # changes by hand that are named in a figure; more would cover each other, and are only lines


@dataclass(frozen=True, eq=False)
class Moment:
    """What one snapshot shows: both probes, the margin and its state, the embeddings' mean length, the boundaries on
    the slice of THETA rad, and the mean angle in rad of a center to its nearest other one."""

    step: int
    hard: HardnessCorrelation
    similar: Similarity
    margin: Declared
    state: dict[str, float]
    length: float
    parameters: dict[str, Any]
    actual: np.ndarray
    ideal: np.ndarray
    nearest: float
    classes: int

    @property
    def samples(self) -> int:
        """The number of samples in the snapshot."""
        return len(self.hard.misclassified)

    @property
    def smaller_group(self) -> int:
        """The number of samples in the smaller of the two groups whose similarity is compared."""
        return min(self.similar.n_well, self.similar.n_mis)


@dataclass(frozen=True, eq=False)
class Evidence:
    """One run, its look, and what it left: steps may be empty, moments too, results and roc are None if unmeasured."""

    run: Run
    look: Style
    method: Method
    steps: dict[str, np.ndarray]
    moments: list[Moment]
    results: dict[str, Any] | None
    roc: Roc | None
    missing: list[str]

    @property
    def config(self) -> dict[str, Any]:
        return self.run.config

    def measured(self, *names: str) -> Any:
        """A value of the results by its path, None where it was not measured."""
        value: Any = self.results or {}
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value


def gather(runs: Sequence[Run]) -> list[Evidence]:
    """The evidence of each run. Runs of one method are told apart by the names of their folders.

    Raises InputError where there is no run, and for a run of an unknown method.
    """
    if not runs:
        raise InputError("a report needs at least one run")
    seen: Counter[str] = Counter()
    methods = Counter(run.config["method"] for run in runs)
    found = []
    for run in runs:
        key = run.config["method"]
        if key not in METHODS:
            raise unknown(f"method in {run.path}", key, METHODS)
        label = METHODS[key].title + (f" ({run.path.name})" if methods[key] > 1 else "")
        found.append(evidence(run, method_style(key, label, repeat=seen[key])))
        seen[key] += 1
    return found


def evidence(run: Run, as_drawn: Style) -> Evidence:
    """Read what a run left; whatever cannot be read becomes a sentence in `missing`."""
    missing = [] if run.status == "finished" else [f"the training is not finished ({run.status})"]

    def attempt(read: Any, otherwise: Any) -> Any:
        try:
            return read()
        except InputError as error:
            missing.append(str(error))
            return otherwise

    steps = attempt(lambda: run.steps, {})
    moments = [m for step in run.snapshot_steps if (m := attempt(lambda s=step: moment(run, s), None))]
    if not moments:
        missing.append("there is no snapshot, so nothing over time, and the curves show the margin before training")
    results = attempt(lambda: run.results, None)
    arrays = attempt(lambda: run.curves, {}) if results else {}
    roc = Roc(arrays["far"], arrays["tar"], arrays["thresholds"]) if arrays else None
    return Evidence(run, as_drawn, METHODS[run.config["method"]], steps, moments, results, roc, missing)


def moment(run: Run, step: int) -> Moment:
    """Both probes and the boundaries at one snapshot."""
    seen = run.snapshot(step)
    cos, key = seen.cos, run.config["method"]
    return Moment(
        step,
        hardness(cos, seen.y),
        similarity(cos, seen.y),
        METHODS[key].margin_of(seen.parameters),
        seen.state,
        seen.length,
        seen.parameters,
        *boundaries_of(key, seen),
        center_angles(seen.centers, of=seen.complete).mean,
        len(seen.centers),
    )


class End(NamedTuple):
    """A margin at the end of a run: its state and the embeddings' length there, and both kinds of boundary."""

    margin: Declared
    state: dict[str, float] | None
    length: float | None
    actual: np.ndarray
    ideal: np.ndarray


def end_of(one: Evidence) -> End:
    """Margin, state and both kinds of boundary at the last snapshot; without one, of the settings before training."""
    if one.moments:
        last = one.moments[-1]
        return End(last.margin, last.state, last.length, last.actual, last.ideal)
    margin = one.method.margin_of(one.config["settings"])
    found = [find(margin, THETA) if one.method.has_logits else np.empty(0) for find in (boundaries, ideal_boundaries)]
    return End(margin, None, None, *found)


def hard_enough(one: Evidence) -> Moment | None:
    """The last snapshot with FEW misclassified samples or more: the last one whose correlation means something."""
    return next((m for m in reversed(one.moments) if m.hard.count >= FEW), None)


def stretches(found: Sequence[Evidence]) -> list[Stretch]:
    """The warm-ups that were scheduled (alike ones once), and every change by hand, to be marked in the figures."""
    warm_ups, by_hand = set(), []
    for one in found:
        scheduled = one.run.info.get("schedule", [])
        if scheduled:
            warm_ups.add((scheduled[0]["step"], scheduled[-1]["step"]))
        planned = {(event["step"], event["name"]) for event in scheduled}
        by_hand += [(one, event) for event in one.run.events if (event["step"], event["name"]) not in planned]
    return [Stretch(start, end, "warm-up") for start, end in sorted(warm_ups)] + [
        Stretch(event["step"], event["step"], change(one, event) if len(by_hand) <= LABELLED else "")
        for one, event in by_hand
    ]


def change(one: Evidence, event: dict[str, Any]) -> str:
    """A change of a parameter by hand: 'NPCFace: m₀ 0.24 → 0.5'."""
    parameters = one.method.parameters()
    name = parameters[event["name"]].symbol if event["name"] in parameters else event["name"]
    return f"{one.look.label}: {name} {value(event['old'])} → {value(event['new'])}"


def value(v: Any) -> str:
    """A parameter's value as a person reads it: at most four digits."""
    return f"{v:.4g}" if isinstance(v, int | float) and not isinstance(v, bool) else str(v)
