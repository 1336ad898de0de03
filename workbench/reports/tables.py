"""Tables of a run report, and the commands that repeat its runs."""

import math
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from workbench.core.angles import format_angle, format_angles
from workbench.core.parameters import Param
from workbench.evaluation.verification import too_few_impostors
from workbench.reports.evidence import Evidence, Moment, final_margin, format_value
from workbench.reports.pages import NOTHING, Cell, HtmlTable
from workbench.training.config import Config

FARS = (0.1, 0.01, 0.001)
SETTINGS = {
    "data": "Data",
    "size": "Image side, px (none: that of the data)",
    "test": "Share of test identities",
    "preset": "Preset",
    "recipe": "Recipe",
    "parameters": "Parameters set by the user",
    "backbone": "Network",
    "width": "Width multiplier",
    "dim": "Embedding dimension",
    "steps": "Training steps",
    "batch": "Batch size",
    "lr": "Peak learning rate",
    "momentum": "Momentum (SGD)",
    "weight_decay": "Weight decay",
    "snapshots": "Number of snapshots",
    "seed": "Seed",
    "device": "Device option",
    "precision": "Precision of the network",
    "compute": "Computation of the cosines",
    "centers": "Class centers",
    "class_set": "Options of the class centers",
}


def percent(share: float | None) -> str:
    """A share in percent."""
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def at_step(one: Evidence, moment: Moment | None, number: Callable[[Moment], float]) -> str | Cell:
    """A number from one snapshot, with the step unless it is the last snapshot."""
    if moment is None or math.isnan(number(moment)):
        return NOTHING
    return Cell(f"{number(moment):.2f}", "" if moment is one.moments[-1] else f"at step {moment.step:,}")


def mark_best(
    values: Sequence[float | None], text: Callable[[float | None], str], largest: bool = True
) -> list[str | Cell]:
    """The cells of a column with the best values marked, if there are two values or more."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    best = (max(known) if largest else min(known)) if len(known) > 1 else None
    return [Cell(text(v), kind="best") if v is not None and v == best else text(v) for v in values]


def results_table(runs: Sequence[Evidence]) -> HtmlTable:
    """A row for each run: errors on unseen identities, probes at the end of training, seconds per step."""

    def column(*path: str, largest: bool = True, text: Callable[[float | None], str] = percent) -> list[str | Cell]:
        return mark_best([one.result_at(*path) for one in runs], text, largest)

    def tar_column(far: float) -> list[str | Cell]:
        """TARs; in place of one of too few impostor pairs, the number of pairs that it needs."""
        name = f"tar@{far:g}"
        counts = [one.result_at("verification", "impostor") for one in runs]
        notes = [None if n is None else too_few_impostors(name, n) for n in counts]
        tars = [None if note else one.result_at("verification", name) for one, note in zip(runs, notes, strict=True)]
        return [note or cell for note, cell in zip(notes, mark_best(tars, percent, True), strict=True)]

    def seconds(s: float | None) -> str:
        return NOTHING if s is None else f"{s:.3f}"

    impostor = {one.result_at("verification", "impostor") for one in runs} - {None}
    pairs = [f"{math.floor(far * min(impostor)):,}\xa0pairs" if len(impostor) == 1 else "" for far in FARS]
    columns = {
        Cell("Loss"): [one.style for one in runs],
        Cell("EER"): column("verification", "eer", largest=False),
        **{Cell(f"TAR at\nFAR\xa0{far:g}", few): tar_column(far) for far, few in zip(FARS, pairs, strict=True)},
        Cell("Rank-1"): column("identification", "rank-1"),
        Cell("Boundary"): [format_angles(final_margin(one).actual, NOTHING) for one in runs],
        Cell("r"): [at_step(one, one.last_hard, lambda m: m.hard.r) for one in runs],
        Cell("Overlap"): [
            at_step(one, one.last_moment(lambda m: m.smaller_group), lambda m: m.similar.overlap) for one in runs
        ],
        Cell("Seconds\nper step"): column("seconds_per_step", largest=False, text=seconds),
    }
    return HtmlTable(list(columns), list(zip(*columns.values(), strict=True)), "numbers")


def boundary_table(runs: Sequence[Evidence]) -> HtmlTable:
    """A row for each run: boundaries and state at the end of training, and the measured angle between centers."""
    head = ["Loss", "Actual boundary", "Ideal boundary", "State at the end", "Nearest centers, measured"]
    rows = []
    for one in runs:
        *_, actual, ideal = final_margin(one)
        nearest = format_angle(one.moments[-1].nearest) if one.moments else NOTHING
        rows.append(
            [
                one.style,
                format_angles(actual, NOTHING),
                format_angles(ideal, NOTHING),
                format_state(one) or "none",
                nearest,
            ]
        )
    return HtmlTable(head, rows, "numbers")


def format_state(one: Evidence) -> str:
    """The state of a margin at the last snapshot: 't = 0.43, E = 1.396 rad (80.0°)'."""
    state = one.moments[-1].state if one.moments else {}
    declared = one.method.states
    return ", ".join(f"{p.symbol} = {with_unit(p, state[n])}" for n, p in declared.items() if n in state)


def with_unit(p: Param, number: Any) -> str:
    """A parameter's value with its unit; rad also in degrees."""
    if p.unit == "rad" and isinstance(number, int | float):
        return f"{format_value(number)} rad ({math.degrees(number):.1f}°)"
    return f"{format_value(number)} {p.unit}".strip()


def parameter_tables(one: Evidence) -> tuple[HtmlTable, HtmlTable]:
    """The parameters of a loss as used and as in the preset: the numbers, and the switches."""
    used = one.config["settings"] | (one.moments[-1].parameters if one.moments else {})
    preset = one.method.settings(one.config["preset"])
    numbers, switches = [], []
    for name, p in one.method.parameters().items():
        values = [with_unit(p, settings[name]) for settings in (used, preset)]
        (switches if p.choices else numbers).append([Cell(p.symbol, kind="symbol"), *values, p.meaning])
    head = ["Parameter", "Used", f"Preset “{one.config['preset']}”", "Meaning"]
    return HtmlTable(head, numbers), HtmlTable(head, switches)


def settings_table(runs: Sequence[Evidence]) -> HtmlTable:
    """Every setting except the loss: one column if all runs agree, else one for each run."""
    differ = any(len({str(one.config.get(name)) for one in runs}) > 1 for name in SETTINGS)
    columns = runs if differ else runs[:1]
    head = ["Setting", *(one.style if differ else "Value" for one in columns)]
    rows = [[text, *(format_setting(one.config.get(name)) for one in columns)] for name, text in SETTINGS.items()]
    return HtmlTable(head, rows)


def format_setting(value: Any) -> str:
    """A setting's value as text."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{k} = {format_value(v)}" for k, v in value.items())
    return format_value(value)


def versions_table(infos: Sequence[dict[str, Any]]) -> HtmlTable:
    """The versions and devices in the run.json of runs; several values of one entry in one cell."""
    known: dict[str, dict[str, None]] = {}
    for info in infos:
        for name, version in info.get("versions", {}).items():
            known.setdefault(name, {})[str(version)] = None
    return HtmlTable(["Name", "Version"], [[name, " / ".join(values)] for name, values in known.items()])


def commands(runs: Sequence[Evidence]) -> str:
    """The command lines that train and evaluate every run again."""
    lines = []
    for one in runs:
        out = f"runs/{one.run.path.name}"
        lines += [train_command(one, out), shlex.join(["workbench", "evaluate", out])]
    return "\n".join(lines)


def train_command(one: Evidence, out: str) -> str:
    """The command that trains a run again: loss, data, steps, seed, and all settings that are not the default."""
    config, default = Config.from_json(one.config), Config()
    words = ["workbench", "train"]
    for name, value in vars(config).items():
        if name in ("parameters", "class_set"):
            option = "--set" if name == "parameters" else "--class-set"
            for parameter, v in value.items():
                words += [option, f"{parameter}={str(v).lower() if isinstance(v, bool) else v}"]
        elif value != getattr(default, name) or name in ("method", "data", "steps", "seed"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return f"{shlex.join(words)} \\\n    {shlex.join(['--out', out])}"
