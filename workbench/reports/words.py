"""The sentences of a run report that depend on its runs; the others are in templates/run.html."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.reports.evidence import Evidence, format_value
from workbench.reports.tables import percent
from workbench.views.theme import Style

SHARED = [
    "data",
    "size",
    "test",
    "recipe",
    "backbone",
    "dim",
    "steps",
    "batch",
    "lr",
    "momentum",
    "weight_decay",
    "seed",
]


def share_settings(runs: Sequence[Evidence]) -> bool:
    """Whether the runs differ in the loss only, according to their settings."""
    return all(len({str(one.config.get(name)) for one in runs}) == 1 for name in SHARED)


def summary(runs: Sequence[Evidence]) -> str:
    """The default introduction."""
    losses = ", ".join(one.style.label for one in runs)
    if len(runs) == 1:
        return f"{losses}: one training, evaluated on identities that it was not trained on."
    same = "with the same seed, images and recipe" if share_settings(runs) else "with different settings"
    return f"{losses}: trained {same}, and compared on identities that they were not trained on."


def facts(runs: Sequence[Evidence]) -> dict[str, str]:
    """Data, split, steps, network, seed and device of the first run."""
    info, config = runs[0].run.info, runs[0].config
    data, test = info.get("data", {}), next((t for one in runs if (t := one.result_at("test"))), None)
    return {
        "Data": f"{data['identities']:,} identities, {data['images']:,} images ({data['source']})" if data else "",
        "Test split": f"{test['identities']} identities, {test['images']:,} images" if test else "",
        "Training": f"{config['steps']:,} steps, batch size {config['batch']}",
        "Network": f"{config['backbone']}, embedding dimension {config['dim']}",
        "Seed": str(config["seed"]),
        "Device": info.get("versions", {}).get("device", ""),
    }


def notices(runs: Sequence[Evidence]) -> list[str | tuple[Style, str]]:
    """What is missing and what cannot be compared: sentences, or a run and a sentence."""
    lines: list[str | tuple[Style, str]] = [(one.style, text) for one in runs for text in one.missing]
    if not share_settings(runs):
        lines.append("The runs differ in more than the loss, so their results may differ for other reasons.")
    return lines


def describe_test(runs: Sequence[Evidence]) -> str:
    """The images and pairs of the results table."""
    tests = [t for one in runs if (t := one.result_at("test"))]
    if not tests:
        return "No run has been measured yet; run “workbench evaluate”."
    if any(t != tests[0] for t in tests):
        return "The runs were tested on different images, so their results cannot be compared."
    t = tests[0]
    return (
        f"Measured on {t['images']:,} images of {t['identities']} identities that no run was trained on: all "
        f"{t['genuine']:,} genuine and {t['impostor']:,} impostor pairs."
    )


def caution(runs: Sequence[Evidence]) -> str:
    """The standard error of the smallest EER, as a lower bound of the uncertainty."""
    rates = [(one.result_at("verification", "eer"), one.result_at("test")) for one in runs]
    known = [(eer, test) for eer, test in rates if eer is not None and test]
    if not known:
        return ""
    eer, test = min(known, key=lambda pair: pair[0])
    error = 100 * math.sqrt(eer * (1 - eer) / test["genuine"])
    return (
        "Do not over-interpret small differences: every row is one training from one seed. With "
        f"{test['genuine']:,} independent genuine pairs, an EER of {percent(eer)} would have a standard error of "
        f"{error:.1f} points. These pairs share the images of only {test['identities']} identities, so the error is "
        "larger, and another seed changes the result further. A ranking needs several seeds."
    )


def warm_up(one: Evidence) -> dict[str, Any] | None:
    """The scheduled changes of a run: first and last step, and (symbol, first value, last value) of each parameter."""
    schedule = one.run.info.get("schedule", [])
    if not schedule:
        return None
    values: dict[str, list[str]] = {}
    for event in schedule:
        values.setdefault(event["name"], []).append(format_value(event["new"]))
    parameters = one.method.parameters()
    changes = [(parameters[n].symbol if n in parameters else n, v[0], v[-1]) for n, v in values.items()]
    return {"start": schedule[0]["step"], "end": schedule[-1]["step"], "changes": changes}


def correlation(runs: Sequence[Evidence]) -> str:
    """The sign of the hardness correlation in these runs."""
    ends = [m for one in runs if (m := one.last_hard) and np.isfinite(m.hard.r)]
    if not ends:
        return ""
    low, high = min(m.hard.r for m in ends), max(m.hard.r for m in ends)
    here = f"Here r ends at {low:.2f}" if low == high else f"Here r ends between {low:.2f} and {high:.2f}"
    if high < 0:
        return f"{here}, negative as well."
    if low < 0:
        return f"{here}, of either sign."
    return (
        f"{here}: positive, so a sample far from its own center is also far from the others. The paper measured two "
        "data sets with thousands of identities, more negative on the larger one, and explains it by the number of "
        f"centers: another one is always near. This need not hold for {ends[0].classes:,} identities."
    )


def snapshots(runs: Sequence[Evidence]) -> str:
    """The number of snapshots of the runs."""
    counts = sorted({len(one.moments) for one in runs if one.moments})
    return f"{counts[0]} snapshots" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} snapshots"


def sample(runs: Sequence[Evidence]) -> str:
    """The number of samples of the probes, and of snapshots."""
    n, classes = (
        " to ".join(f"{v:,}" for v in sorted({min(values), max(values)}))
        for values in zip(*[(m.samples, m.classes) for one in runs for m in one.moments], strict=True)
    )
    known = [(one.run.info.get("data", {}).get("images"), one.result_at("test", "images")) for one in runs]
    trained = {images - test for images, test in known if images and test}
    whole = f" of {trained.pop():,}" if len(trained) == 1 else ""
    return f"Sampled: the same {n}{whole} training images ({classes} identities) at each of {snapshots(runs)}."


def recipes(runs: Sequence[Evidence]) -> list[tuple[str, str]]:
    """The recipes of the runs: (name, description)."""
    return list(dict.fromkeys((one.config["recipe"], one.config.get("recipe_says", "")) for one in runs))


def data(runs: Sequence[Evidence]) -> list[str]:
    """Source, split and notes of the data."""
    return list(dict.fromkeys(line for one in runs for line in data_lines(one)))


def data_lines(one: Evidence) -> list[str]:
    """Source, split and notes of the data of one run."""
    info, test = one.run.info.get("data", {}), one.result_at("test")
    if not info:
        return ["The run does not record its data."]
    size = f", {info['size']} px wide and high" if "size" in info else ""
    lines = [f"{info['source']}: {info['images']:,} images of {info['identities']:,} identities{size}"]
    if test:
        trained = info["identities"] - test["identities"]
        lines.append(
            f"{test['identities']} identities ({test['images']:,} images) are the test set, the other {trained} the"
            " training set; split.json in the folder of a run lists them"
        )
    return lines + list(info.get("notes", []))
