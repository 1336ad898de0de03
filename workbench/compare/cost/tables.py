"""Measured costs as rows of a table: seconds, quartiles, ratios to other ways, memory."""

from collections.abc import Sequence

from workbench.compare.cost.results import Cost, find_cost

FLOOR, PLAIN = "floor, 4 products", "plain linear + CE"
HEADS = ("way", "median s", "quartiles", "over plain", "over floor", "over eager", "MiB above", "of eager's", "")
SCALING = ("classes", "way", "median s", "quartiles", "of full, streaming", "GiB", "estimated GiB", "")


def heads_rows(costs: Sequence[Cost]) -> list[list[str]]:
    """A row (HEADS) for each cost, compared with the eager implementation of the same method."""
    rows = []
    for cost in costs:
        name = f"{cost.way.split()[0]} eager"
        ratios = [ratio(costs, cost, other) for other in (PLAIN, FLOOR, name)]
        eager = find_cost(costs, name, cost.classes)
        share = f"{cost.bytes / eager.bytes:.2f}" if eager and eager.bytes and cost.seconds else ""
        above = "" if cost.bytes is None else f"{cost.bytes / 2**20:,.0f}"
        rows.append([cost.way, *seconds(cost), *ratios, above, share, cost.note])
    return rows


def scaling_rows(costs: Sequence[Cost]) -> list[list[str]]:
    """A row (SCALING) for each cost."""
    rows = []
    for cost in costs:
        sizes = ["" if size is None else f"{size / 2**30:.2f}" for size in (cost.bytes, cost.estimated)]
        share = ratio(costs, cost, "full, streaming")
        rows.append([f"{cost.classes:,}", cost.way, *seconds(cost), share, *sizes, cost.note])
    return rows


def seconds(cost: Cost) -> tuple[str, str]:
    """The median and the quartiles as text, empty if nothing was timed."""
    if not cost.seconds:
        return "", ""
    low, median, high = cost.quartiles
    return f"{median:.4f}", f"{low:.4f}-{high:.4f}"


def ratio(costs: Sequence[Cost], cost: Cost, other: str) -> str:
    """The median of a cost over that of another way with as many classes, as text."""
    base = find_cost(costs, other, cost.classes)
    return f"{cost.median / base.median:.2f}" if base and cost.seconds else ""
