"""A comparison's swept variants as lines: a metric against one parameter, the other swept ones held."""

import math
from dataclasses import replace
from itertools import product

import numpy as np

from workbench.compare.parsing import Value
from workbench.compare.results import Comparison
from workbench.compare.variants import Variant, format_value, method_label
from workbench.methods import METHODS
from workbench.reports.evidence import value
from workbench.training.config import Config
from workbench.views.compare import SweepLine
from workbench.views.theme import Look, look

MOST_LINES = 4  # of one method in a figure: more cover each other
KINDS = ("", "-open", "-dot", "-open-dot")  # of plotly's markers, one for each line of a method

Owner = tuple[str, str]  # a method and its preset


def grids(found: Comparison) -> dict[Owner, dict[str, list[Value]]]:
    """The values of every swept parameter of each method, in the order in which they were given."""
    collected: dict[Owner, dict[str, dict[Value, None]]] = {}
    for variant in found.variants:
        if variant.swept:
            for name, value in variant.parameters.items():
                collected.setdefault((variant.method, variant.preset), {}).setdefault(name, {})[value] = None
    return {owner: {name: list(known) for name, known in grid.items()} for owner, grid in collected.items()}


def swept_names(found: Comparison) -> list[str]:
    """The parameters with two values or more in some method: what there is to draw against."""
    names = [name for grid in grids(found).values() for name, known in grid.items() if len(known) > 1]
    return list(dict.fromkeys(names))


def lines_against(found: Comparison, name: str, metric: str) -> list[SweepLine]:
    """A line for each method that swept `name`, and for each combination of its other swept parameters; of more than
    MOST_LINES combinations, so many evenly spaced ones."""
    lines = []
    for (method, preset), grid in grids(found).items():
        if len(grid.get(name, ())) < 2:
            continue
        points = {
            tuple(v.parameters[other] for other in grid): i
            for i, v in enumerate(found.variants)
            if v.swept and (v.method, v.preset) == (method, preset)
        }
        for repeat, held in enumerate(held_combinations(grid, name)):
            known = along(grid[name])
            chosen = [points[tuple((held | {name: value})[other] for other in grid)] for value in known]
            fixed = [f"{symbol(method, n)} = {format_value(v)}" for n, v in held.items()]
            label = ", ".join([method_label(METHODS[method], preset), *fixed])
            at = np.array([v if isinstance(v, float) else format_value(v) for v in known])
            lines.append(
                SweepLine(
                    told_apart(look(method, label, repeat), repeat), at, np.array([found.of(i, metric) for i in chosen])
                )
            )
    return lines


def told_apart(one: Look, repeat: int) -> Look:
    """The look of a method's line number `repeat`: a marker of its own beside the dash."""
    return replace(one, marker=one.marker + KINDS[repeat % len(KINDS)])


def along(known: list[Value]) -> list[Value]:
    """The values in the order of an axis: numbers ascending, words as they were given."""
    return sorted(known) if all(isinstance(value, float) for value in known) else known


def held_combinations(grid: dict[str, list[Value]], name: str) -> list[dict[str, Value]]:
    """The combinations of the other parameters for which a line is drawn."""
    others = [n for n in grid if n != name]
    whole = [dict(zip(others, values, strict=True)) for values in product(*(grid[n] for n in others))]
    kept = np.unique(np.linspace(0, len(whole) - 1, min(MOST_LINES, len(whole))).round().astype(int))
    return [whole[i] for i in kept]


def left_out(found: Comparison, name: str) -> int:
    """How many combinations of other parameters have no line in the figure against `name`."""
    swept = [grid for grid in grids(found).values() if len(grid.get(name, ())) > 1]
    whole = [math.prod(len(known) for other, known in grid.items() if other != name) for grid in swept]
    return sum(max(0, count - MOST_LINES) for count in whole)


def symbol(method: str, name: str) -> str:
    return METHODS[method].parameters()[name].symbol


def sweepers(found: Comparison, name: str) -> list[Owner]:
    """The methods that swept a parameter over two values or more."""
    return [owner for owner, grid in grids(found).items() if len(grid.get(name, ())) > 1]


def symbols(found: Comparison, name: str) -> str:
    """A swept parameter's symbol; two, where methods call it differently."""
    return " / ".join(dict.fromkeys(symbol(method, name) for method, _ in sweepers(found, name)))


def axis_title(found: Comparison, name: str) -> str:
    """What a swept parameter is: its symbol and unit, and what it means where all methods mean the same by it."""
    declared = [METHODS[method].parameters()[name] for method, _ in sweepers(found, name)]
    unit = next((f" ({p.unit})" for p in declared if p.unit), "")
    alike = len({p.meaning for p in declared}) == 1
    return symbols(found, name) + (f": {declared[0].meaning}" if alike else "") + unit


def meanings(found: Comparison, name: str) -> str:
    """What each method means by a swept parameter: 'NPCFace: factor on the cosine of a hard negative'."""
    methods = dict.fromkeys(method for method, _ in sweepers(found, name))
    return "; ".join(f"{METHODS[method].title}: {METHODS[method].parameters()[name].meaning}" for method in methods)


def own_values(found: Comparison, name: str, base: Config) -> str:
    """The value that the recipe gives each method when nobody sweeps it: 'NPCFace 1.06, MV-softmax (Arc) 1.12'."""
    said = []
    for method, preset in sweepers(found, name):
        own = Variant("", method, preset).config(base, 0).settings()[name]
        said.append(f"{method_label(METHODS[method], preset)} {value(own)}")
    return ", ".join(said)
