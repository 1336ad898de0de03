"""A run's folder -> Evidence: what a report shows, measured on the snapshots, and what is missing."""

from collections import Counter
from collections.abc import Callable, Sequence
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
from workbench.training.evaluate import THETA, boundaries_of
from workbench.views.theme import Style, method_style
from workbench.views.training import FEW, Stretch

MAX_LABELS = 6  # labels of manual changes in a figure; with more changes, only lines are drawn


@dataclass(frozen=True, eq=False)
class Moment:
    """Measurements on one snapshot.

    hard, similar: the two probes; margin, state, parameters: of the loss; length: mean norm of the embeddings; actual,
    ideal: boundaries in rad on the slice with centers THETA rad apart; nearest: mean angle in rad of a center to the
    nearest other center.
    """

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
        """The number of samples in the smaller of the well and misclassified groups."""
        return min(self.similar.n_well, self.similar.n_mis)


@dataclass(frozen=True, eq=False)
class Evidence:
    """One run: its style in figures, and its records.

    steps and moments may be empty; results and roc are None for a run that is not evaluated; missing: sentences.
    """

    run: Run
    style: Style
    method: Method
    steps: dict[str, np.ndarray]
    moments: list[Moment]
    results: dict[str, Any] | None
    roc: Roc | None
    missing: list[str]

    @property
    def config(self) -> dict[str, Any]:
        return self.run.config

    @property
    def times(self) -> np.ndarray:
        """The steps of the snapshots."""
        return np.array([m.step for m in self.moments])

    def result_at(self, *names: str) -> Any:
        """A value of the results by its path, None if it was not measured."""
        value: Any = self.results or {}
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def last_moment(self, samples: Callable[[Moment], int]) -> Moment | None:
        """The last snapshot for which `samples` is at least FEW."""
        return next((m for m in reversed(self.moments) if samples(m) >= FEW), None)

    @property
    def last_hard(self) -> Moment | None:
        """The last snapshot with FEW misclassified samples or more."""
        return self.last_moment(lambda m: m.hard.count)


def gather(runs: Sequence[Run]) -> list[Evidence]:
    """The evidence of each run. The labels of runs with the same method contain the names of their folders.

    Raises InputError if there is no run, and for an unknown method.
    """
    if not runs:
        raise InputError("a report needs at least one run")
    repeats: Counter[str] = Counter()
    methods = Counter(run.config["method"] for run in runs)
    result = []
    for run in runs:
        key = run.config["method"]
        if key not in METHODS:
            raise unknown(f"method in {run.path}", key, METHODS)
        label = METHODS[key].title + (f" ({run.path.name})" if methods[key] > 1 else "")
        result.append(evidence(run, method_style(key, label, repeat=repeats[key])))
        repeats[key] += 1
    return result


def evidence(run: Run, run_style: Style) -> Evidence:
    """Read the records of a run; what cannot be read becomes a sentence in `missing`."""
    missing = [] if run.status == "finished" else [f"the training is not finished ({run.status})"]

    def attempt(read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except InputError as error:
            missing.append(str(error))
            return default

    steps = attempt(lambda: run.steps, {})
    moments = [m for step in run.snapshot_steps if (m := attempt(lambda s=step: measure_snapshot(run, s), None))]
    if not moments:
        missing.append("there is no snapshot, so nothing over time, and the curves show the margin before training")
    results = attempt(lambda: run.results, None)
    arrays = attempt(lambda: run.curves, {}) if results else {}
    roc = Roc(arrays["far"], arrays["tar"], arrays["thresholds"]) if arrays else None
    return Evidence(run, run_style, METHODS[run.config["method"]], steps, moments, results, roc, missing)


def measure_snapshot(run: Run, step: int) -> Moment:
    """The probes and the boundaries at one snapshot."""
    snapshot = run.snapshot(step)
    cos, key = snapshot.cos, run.config["method"]
    return Moment(
        step,
        hardness(cos, snapshot.y),
        similarity(cos, snapshot.y),
        METHODS[key].margin_of(snapshot.parameters),
        snapshot.state,
        snapshot.length,
        snapshot.parameters,
        *boundaries_of(key, snapshot),
        center_angles(snapshot.centers, of=snapshot.complete).mean,
        len(snapshot.centers),
    )


class FinalMargin(NamedTuple):
    """A margin at the end of a run: its state and the mean norm of the embeddings, and its boundaries in rad."""

    margin: Declared
    state: dict[str, float] | None
    length: float | None
    actual: np.ndarray
    ideal: np.ndarray


def final_margin(one: Evidence) -> FinalMargin:
    """The margin at the last snapshot; without a snapshot, that of the settings before training."""
    if one.moments:
        last = one.moments[-1]
        return FinalMargin(last.margin, last.state, last.length, last.actual, last.ideal)
    margin = one.method.margin_of(one.config["settings"])
    both = [find(margin, THETA) if one.method.has_logits else np.empty(0) for find in (boundaries, ideal_boundaries)]
    return FinalMargin(margin, None, None, *both)


def mark_changes(runs: Sequence[Evidence]) -> list[Stretch]:
    """The scheduled warm-ups, each once, and the manual changes of parameters, as marks in figures over steps."""
    warm_ups, manual = set(), []
    for one in runs:
        scheduled = one.run.info.get("schedule", [])
        if scheduled:
            warm_ups.add((scheduled[0]["step"], scheduled[-1]["step"]))
        planned = {(event["step"], event["name"]) for event in scheduled}
        manual += [(one, event) for event in one.run.events if (event["step"], event["name"]) not in planned]
    return [Stretch(start, end, "warm-up") for start, end in sorted(warm_ups)] + [
        Stretch(event["step"], event["step"], format_change(one, event) if len(manual) <= MAX_LABELS else "")
        for one, event in manual
    ]


def format_change(one: Evidence, event: dict[str, Any]) -> str:
    """A manual change of a parameter: 'NPCFace: m₀ 0.24 → 0.5'."""
    parameters = one.method.parameters()
    name = parameters[event["name"]].symbol if event["name"] in parameters else event["name"]
    return f"{one.style.label}: {name} {format_value(event['old'])} → {format_value(event['new'])}"


def format_value(v: Any) -> str:
    """A parameter's value as text; numbers with four significant digits."""
    return f"{v:.4g}" if isinstance(v, int | float) and not isinstance(v, bool) else str(v)
