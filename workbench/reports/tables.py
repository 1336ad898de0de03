"""Results, boundaries, parameters and settings as HTML tables, and the commands that train the runs again."""

import math
import re
import shlex
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from workbench.core.angles import format_angles
from workbench.core.parameters import Param
from workbench.evaluation.verification import pairs_needed
from workbench.reports.evidence import Evidence, Moment, end_of, hard_enough, value
from workbench.training.config import Config
from workbench.views.theme import Style
from workbench.views.training import FEW

NOTHING = "–"
FARS = (0.1, 0.01, 0.001)
SYMBOLS = {  # the same second channel as in the figures
    "x": "✕",
    "diamond": "◆",
    "square": "■",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "diamond-tall": "♦",
    "star": "★",
    "circle": "●",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of ready HTML cells that scrolls sideways where it is too wide; the first cell of a row is its head."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Table, scrolls sideways">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def chip(look: Style) -> str:
    """A run's name behind the mark it has in the figures."""
    mark = f'<span class="mark" style="color:{look.color}" aria-hidden="true">{SYMBOLS[look.marker]}</span>'
    return f"{mark} {escape(look.label)}"


def percent(share: float | None) -> str:
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def degrees(angles: Sequence[float]) -> str:
    """Angles in rad as '28.8° (0.503 rad)', or a dash."""
    return format_angles(angles, NOTHING)


def at_step(one: Evidence, seen: Moment | None, number: Callable[[Moment], float]) -> str:
    """A probe's number from one snapshot, with the step where that is not the last snapshot."""
    if seen is None or math.isnan(number(seen)):
        return NOTHING
    return f"{number(seen):.2f}" + ("" if seen is one.moments[-1] else f"<small>at step {seen.step:,}</small>")


def best_marked(values: Sequence[float | None], show: Callable[[float | None], str], largest: bool) -> list[str]:
    """The cells of a column, its best value bold and marked; of a single value, none is."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    best = (max(known) if largest else min(known)) if len(known) > 1 else None
    mark = '<span class="best" aria-hidden="true">▸</span><span class="hidden">best: </span>'
    return [f"{mark}<b>{show(v)}</b>" if v is not None and v == best else show(v) for v in values]


def results_table(found: Sequence[Evidence]) -> str:
    """One row a run: errors on unseen identities, what the probes say at the end, and the time of a step."""

    def column(*path: str, largest: bool = True, show: Callable[[float | None], str] = percent) -> list[str]:
        return best_marked([one.measured(*path) for one in found], show, largest)

    def seconds(s: float | None) -> str:
        return NOTHING if s is None else f"{s:.3f}"

    def tar(far: float) -> list[str]:
        impostors = [one.measured("verification", "impostor") for one in found]
        few = [n is not None and n < pairs_needed(far) for n in impostors]
        values = [
            None if no else one.measured("verification", f"tar@{far:g}") for no, one in zip(few, found, strict=True)
        ]
        cells = best_marked(values, percent, largest=True)
        return [f"needs {pairs_needed(far):,} pairs" if no else cell for no, cell in zip(few, cells, strict=True)]

    impostor = {one.measured("verification", "impostor") for one in found} - {None}
    pairs = [
        f"<small>{math.floor(far * min(impostor)):,}&nbsp;pairs</small>" if len(impostor) == 1 else "" for far in FARS
    ]
    columns = {
        "Loss": [chip(one.look) for one in found],
        "EER": column("verification", "eer", largest=False),
        **{f"TAR at<br>FAR&nbsp;{far:g}{few}": tar(far) for far, few in zip(FARS, pairs, strict=True)},
        "Rank-1": column("identification", "rank-1"),
        "Boundary": [degrees(end_of(one).actual) for one in found],
        "r": [at_step(one, hard_enough(one), lambda m: m.hard.r) for one in found],
        "Overlap": [at_step(one, compared(one), lambda m: m.similar.overlap) for one in found],
        "Seconds<br>a step": column("seconds_per_step", largest=False, show=seconds),
    }
    return table(list(columns), list(zip(*columns.values(), strict=True)), "numbers")


def compared(one: Evidence) -> Moment | None:
    """The last snapshot with FEW samples or more in both groups whose similarity is compared."""
    return next((m for m in reversed(one.moments) if m.smaller_group >= FEW), None)


def boundary_table(found: Sequence[Evidence]) -> str:
    """One row a run: actual and ideal boundary at the end of training, the state it rests on, the measured centers."""
    head = ["Loss", "Actual boundary", "Ideal boundary", "State at the end", "Centers, measured"]
    rows = []
    for one in found:
        *_, actual, ideal = end_of(one)
        nearest = degrees([one.moments[-1].nearest]) if one.moments else NOTHING
        rows.append([chip(one.look), degrees(actual), degrees(ideal), state_in_words(one) or "none", nearest])
    return table(head, rows, "numbers")


def state_in_words(one: Evidence) -> str:
    """What survived between batches, at the last snapshot: 't = 0.43, E = 1.396 rad (80.0°)'."""
    state = one.moments[-1].state if one.moments else {}
    declared = one.method.states
    return ", ".join(f"{symbol(p.symbol)} = {with_unit(p, state[n])}" for n, p in declared.items() if n in state)


def symbol(text: str) -> str:
    """A parameter's symbol; what follows an underscore is set below."""
    return re.sub(r"_(\w+)", r"<sub>\1</sub>", escape(text))


def with_unit(p: Param, number: Any) -> str:
    """A parameter's value with its unit; an angle in rad also in degrees."""
    text = escape(value(number))
    if p.unit == "rad" and isinstance(number, int | float):
        return f"{text} rad ({math.degrees(number):.1f}°)"
    return f"{text} {escape(p.unit)}".strip()


def parameter_tables(one: Evidence) -> str:
    """The parameters of a loss as used and as the preset has them: numbers first, its switches folded away."""
    used = one.config["settings"] | (one.moments[-1].parameters if one.moments else {})
    preset = one.method.settings(one.config["preset"])
    numbers, switches = [], []
    for name, p in one.method.parameters().items():
        row = [
            f"<var>{symbol(p.symbol)}</var>",
            with_unit(p, used[name]),
            with_unit(p, preset[name]),
            escape(p.meaning),
        ]
        (switches if p.choices else numbers).append(row)
    head = ["Parameter", "Used", f"Preset “{escape(one.config['preset'])}”", "Meaning"]
    folded = (
        f"<details><summary>{len(switches)} switches</summary>{table(head, switches)}</details>" if switches else ""
    )
    return table(head, numbers) + folded


SETTINGS = {
    "data": "Data",
    "size": "Image side in px (none: the data's own)",
    "test": "Share of identities kept for the test",
    "preset": "Preset",
    "recipe": "Recipe",
    "parameters": "Parameters set by hand",
    "backbone": "Network",
    "width": "Times the network's channels",
    "dim": "Numbers in an embedding",
    "steps": "Steps (batches)",
    "batch": "Images in a batch",
    "lr": "Peak learning rate",
    "momentum": "Momentum of SGD",
    "weight_decay": "Weight decay",
    "snapshots": "Snapshots asked for",
    "seed": "Seed",
    "device": "Device asked for",
    "precision": "Precision of the network",
    "compute": "How a batch meets the classes",
    "centers": "Which classes a batch meets",
    "class_set": "Options of these centers",
}


def settings_table(found: Sequence[Evidence]) -> str:
    """Every setting but the loss: one column where all runs agree, else one for each."""
    differ = any(len({str(one.config.get(name)) for one in found}) > 1 for name in SETTINGS)
    told = found if differ else found[:1]
    head = ["Setting", *(chip(one.look) if differ else "Value" for one in told)]
    rows = [[text, *(escape(setting(one.config.get(name))) for one in told)] for name, text in SETTINGS.items()]
    return table(head, rows)


def setting(given: Any) -> str:
    """A setting's value as text."""
    if given is None or given == {}:
        return "none"
    return ", ".join(f"{k} = {value(v)}" for k, v in given.items()) if isinstance(given, dict) else value(given)


def versions_table(found: Sequence[Evidence]) -> str:
    """What the runs depended on beside their settings."""
    names = list(dict.fromkeys(name for one in found for name in one.run.info.get("versions", {})))
    rows = []
    for name in names:
        values = dict.fromkeys(str(one.run.info.get("versions", {}).get(name, "unknown")) for one in found)
        rows.append([escape(name), escape(" / ".join(values))])
    return table(["What", "Version"], rows)


def commands(found: Sequence[Evidence]) -> str:
    """The command lines that train and measure every run again."""
    folders = [f"runs/{one.run.path.name}" for one in found]
    return "\n".join(
        f"{train_command(one, out)}\n{shlex.join(['workbench', 'evaluate', out])}"
        for one, out in zip(found, folders, strict=True)
    )


def train_command(one: Evidence, out: str) -> str:
    """What trains a run again, on two lines: loss, data, steps and seed, and every setting that is not the default."""
    config, plain = Config.from_json(one.config), Config()
    words = ["workbench", "train"]
    for name, given in vars(config).items():
        if name in ("parameters", "class_set"):
            for parameter, v in given.items():
                words += [
                    "--set" if name == "parameters" else "--class-set",
                    f"{parameter}={str(v).lower() if isinstance(v, bool) else v}",
                ]
        elif given != getattr(plain, name) or name in ("method", "data", "steps", "seed"):
            words += [f"--{name.replace('_', '-')}", str(given)]
    return f"{shlex.join(words)} \\\n    {shlex.join(['--out', out])}"
