"""What was measured as a table on the terminal: seconds, quartiles, ratios to what a reader compares with."""

from collections.abc import Sequence

from workbench.compare.cost.results import Cost, beside

FLOOR, PLAIN = "floor, 4 products", "plain linear + CE"
HEADS = ("way", "median s", "quartiles", "over plain", "over floor", "over eager", "MiB above", "of eager's", "")
SCALING = ("classes", "way", "median s", "quartiles", "of full, streaming", "GiB", "estimated GiB", "")


def heads_rows(costs: Sequence[Cost]) -> list[list[str]]:
    """A row (HEADS) for each way with one number of classes; the eager twin is the same method's."""
    rows = []
    for cost in costs:
        twin = f"{cost.way.split()[0]} eager"
        ratios = [over(costs, cost, other) for other in (PLAIN, FLOOR, twin)]
        eager = beside(costs, cost, twin)
        share = f"{cost.bytes / eager.bytes:.2f}" if eager and eager.bytes and cost.seconds else ""
        above = "" if cost.bytes is None else f"{cost.bytes / 2**20:,.0f}"
        rows.append([cost.way, *seconds(cost), *ratios, above, share, cost.note])
    return rows


def scaling_rows(costs: Sequence[Cost]) -> list[list[str]]:
    """A row (SCALING) for each curve and number of classes."""
    rows = []
    for cost in costs:
        gib = "" if cost.bytes is None else f"{cost.bytes / 2**30:.2f}"
        share = over(costs, cost, "full, streaming")
        guess = "" if cost.estimated is None else f"{cost.estimated / 2**30:.2f}"
        rows.append([f"{cost.classes:,}", cost.way, *seconds(cost), share, gib, guess, cost.note])
    return rows


def seconds(cost: Cost) -> tuple[str, str]:
    """The median and the quartiles, empty where nothing was timed."""
    if not cost.seconds:
        return "", ""
    low, median, high = cost.quartiles
    return f"{median:.4f}", f"{low:.4f}-{high:.4f}"


def over(costs: Sequence[Cost], cost: Cost, other: str) -> str:
    """The ratio of the medians of a way and of another one, measured side by side."""
    base = beside(costs, cost, other)
    return f"{cost.median / base.median:.2f}" if base and cost.seconds else ""
