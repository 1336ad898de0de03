"""The sentences of a report that depend on its runs; the others stand in template.html."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from workbench.reports.evidence import Evidence, hard_enough, value
from workbench.reports.tables import chip, percent, symbol

ALIKE = (
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
)


def alike(found: Sequence[Evidence]) -> bool:
    """Whether the runs differ in nothing but the loss, as far as their settings say."""
    return all(len({str(one.config.get(name)) for one in found}) == 1 for name in ALIKE)


def summary(found: Sequence[Evidence]) -> str:
    """What the page is about, when nobody said it better."""
    losses = ", ".join(one.look.label for one in found)
    if len(found) == 1:
        return f"{losses}: one training, and how well its embeddings tell apart people they never saw."
    same = "from the same seed, on the same images, by the same recipe" if alike(found) else "with different settings"
    return f"{losses}: trained {same}, and compared by what their embeddings do with people they never saw."


def facts(found: Sequence[Evidence]) -> str:
    """The few numbers to know before reading: data, split, length, network, seed, device."""
    info, config = found[0].run.info, found[0].config
    data, test = info.get("data", {}), next((t for one in found if (t := one.measured("test"))), None)
    known = {
        "Data": f"{data['identities']:,} identities, {data['images']:,} images ({data['source']})" if data else "",
        "Kept for the test": f"{test['identities']} identities, {test['images']:,} images" if test else "",
        "Training": f"{config['steps']:,} steps of {config['batch']} images",
        "Network": f"{config['backbone']}, {config['dim']} numbers an embedding",
        "Seed": str(config["seed"]),
        "Device": info.get("versions", {}).get("device", ""),
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in known.items() if v)
    where = "" if alike(found) else "<p class='note'>These are the first run’s; the settings at the end list all.</p>"
    return f"<dl class='facts'>{items}</dl>{where}"


def notices(found: Sequence[Evidence]) -> str:
    """What is missing and what cannot be compared."""
    lines = [f"{chip(one.look)}: {escape(text)}." for one in found for text in one.missing]
    if not alike(found):
        lines.append("The runs differ in more than the loss, and so may their results for more reasons than the loss.")
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<div class='notice' role='note'><b>Before you compare</b><ul>{items}</ul></div>" if lines else ""


def tested_on(found: Sequence[Evidence]) -> str:
    """What the numbers of the results table were measured on."""
    tests = [t for one in found if (t := one.measured("test"))]
    if not tests:
        return "No run has been measured yet; <code>workbench evaluate</code> does that."
    if any(t != tests[0] for t in tests):
        return "The runs were tested on different images, so their numbers cannot be compared with one another."
    t = tests[0]
    return (
        f"Measured on {t['images']:,} images of {t['identities']} identities that no run was trained on: all "
        f"{t['genuine']:,} genuine and {t['impostor']:,} impostor pairs."
    )


def caution(found: Sequence[Evidence]) -> str:
    """How much of a difference may be noise, as far as one training of each loss can tell."""
    rates = [(one.measured("verification", "eer"), one.measured("test")) for one in found]
    known = [(eer, test) for eer, test in rates if eer is not None and test]
    if not known:
        return ""
    eer, test = min(known, key=lambda pair: pair[0])
    error = 100 * math.sqrt(eer * (1 - eer) / test["genuine"])
    return (
        "Do not over-read small differences: every row is one training from one seed. Counted over "
        f"{test['genuine']:,} independent genuine pairs, an EER of {percent(eer)} would have a standard error of "
        f"{error:.1f} points. These pairs share the images of only {test['identities']} identities, so it is larger, "
        "and another seed moves it further. A ranking needs several seeds."
    )


def warm_up(one: Evidence) -> str:
    """The scheduled changes of a run."""
    planned = one.run.info.get("schedule", [])
    if not planned:
        return "No change of a parameter was scheduled."
    values: dict[str, list] = {}
    for event in planned:
        values.setdefault(event["name"], []).append(event["new"])
    parameters = one.method.parameters()
    said = [
        f"<var>{symbol(parameters[n].symbol if n in parameters else n)}</var> {value(v[0])} → {value(v[-1])}"
        for n, v in values.items()
    ]
    return f"Warm-up from step {planned[0]['step']:,} to {planned[-1]['step']:,}: {', '.join(said)}."


def correlation_here(found: Sequence[Evidence]) -> str:
    """The sign of the correlation in these runs, beside the paper's."""
    ends = [m for one in found if (m := hard_enough(one)) and np.isfinite(m.hard.r)]
    if not ends:
        return ""
    low, high = min(m.hard.r for m in ends), max(m.hard.r for m in ends)
    here = f"Here r ends at {low:.2f}" if low == high else f"Here r ends between {low:.2f} and {high:.2f}"
    if high < 0:
        return f"{here}, negative as well."
    if low < 0:
        return f"{here}, of either sign."
    return (
        f"{here}: positive, so a sample far from its own center is far from the others too. The paper measured two "
        "data sets of thousands of identities, the larger one more negative, and explains it by the crowd: another "
        f"center is always near. Among {ends[0].classes:,} identities it need not be."
    )


def snapshots(found: Sequence[Evidence]) -> str:
    """How many snapshots the runs have."""
    counts = sorted({len(one.moments) for one in found if one.moments})
    return f"{counts[0]} snapshots" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} snapshots"


def sample(found: Sequence[Evidence]) -> str:
    """What the probes looked at: how many samples of how many, and how often."""
    n, classes = (
        " to ".join(f"{v:,}" for v in sorted({min(values), max(values)}))
        for values in zip(*[(m.samples, m.classes) for one in found for m in one.moments], strict=True)
    )
    known = [(one.run.info.get("data", {}).get("images"), one.measured("test", "images")) for one in found]
    trained = {images - kept for images, kept in known if images and kept}
    whole = f" of {trained.pop():,}" if len(trained) == 1 else ""
    return f"Sampled: the same {n}{whole} training images ({classes} identities) at each of {snapshots(found)}."


def recipes(found: Sequence[Evidence]) -> str:
    """Each recipe that was used, in its own words."""
    says = dict.fromkeys((one.config["recipe"], one.config.get("recipe_says", "")) for one in found)
    return "".join(f"<p><b>Recipe “{escape(name)}”:</b> {escape(words)}.</p>" for name, words in says)


def data(found: Sequence[Evidence]) -> str:
    """Where the images are from, how they were split, and what was noticed in reading them, as list items."""
    lines = dict.fromkeys(line for one in found for line in data_lines(one))
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def data_lines(one: Evidence) -> list[str]:
    data, test = one.run.info.get("data", {}), one.measured("test")
    if not data:
        return ["The run does not say what its data was."]
    size = f", {data['size']} px wide and high" if "size" in data else ""
    lines = [f"{data['source']}: {data['images']:,} images of {data['identities']:,} identities{size}"]
    if test:
        trained = data["identities"] - test["identities"]
        lines.append(
            f"{test['identities']} identities ({test['images']:,} images) were kept for the test, the other {trained} "
            "trained on; split.json in the folder of a run names them"
        )
    return lines + list(data.get("notes", []))
