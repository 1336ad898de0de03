"""The swept variants of a comparison as lines: a metric against one parameter, for held values of the others."""

import math
from dataclasses import replace
from itertools import product

import numpy as np

from workbench.compare.figures import SweepLine
from workbench.compare.parsing import Value
from workbench.compare.results import Comparison
from workbench.compare.variants import Variant, format_value, method_label
from workbench.core.parameters import Param
from workbench.methods import METHODS
from workbench.reports.evidence import format_value as format_setting
from workbench.training.config import Config
from workbench.views.theme import Style, method_style

MAX_LINES = 4  # of one method in a figure; more cover each other
KINDS = ("", "-open", "-dot", "-open-dot")  # plotly's marker variants, one for each line of a method

Grid = dict[str, list[Value]]  # the values of each swept parameter of one method
Owner = tuple[str, str]  # a method and its preset


def grids(comparison: Comparison) -> dict[Owner, Grid]:
    """The grid of each method, in the order of the variants."""
    collected: dict[Owner, dict[str, dict[Value, None]]] = {}
    for variant in comparison.variants:
        if variant.swept:
            for name, value in variant.parameters.items():
                collected.setdefault((variant.method, variant.preset), {}).setdefault(name, {})[value] = None
    return {owner: {name: list(values) for name, values in grid.items()} for owner, grid in collected.items()}


def grids_over(comparison: Comparison, name: str) -> dict[Owner, Grid]:
    """The grids of the methods that sweep a parameter over two values or more."""
    return {owner: grid for owner, grid in grids(comparison).items() if len(grid.get(name, ())) > 1}


def swept_names(comparison: Comparison) -> list[str]:
    """The parameters that some method sweeps over two values or more."""
    names = [name for grid in grids(comparison).values() for name, values in grid.items() if len(values) > 1]
    return list(dict.fromkeys(names))


def lines_against(comparison: Comparison, name: str, metric: str) -> list[SweepLine]:
    """A line for each method that sweeps `name` and each combination of its other swept parameters.

    Of more than MAX_LINES combinations of one method, MAX_LINES evenly spaced ones.
    """
    lines = []
    for (method, preset), grid in grids_over(comparison, name).items():
        points = {
            tuple(v.parameters[other] for other in grid): i
            for i, v in enumerate(comparison.variants)
            if v.swept and (v.method, v.preset) == (method, preset)
        }
        values = sort_values(grid[name])
        for repeat, held in enumerate(held_combinations(grid, name)):
            indices = [points[tuple((held | {name: value})[other] for other in grid)] for value in values]
            fixed = [f"{declaration(method, n).symbol} = {format_value(v)}" for n, v in held.items()]
            label = ", ".join([method_label(METHODS[method], preset), *fixed])
            at = np.array([v if isinstance(v, float) else format_value(v) for v in values])
            numbers = np.array([comparison.of(i, metric) for i in indices])
            lines.append(SweepLine(line_style(method, label, repeat), at, numbers))
    return lines


def line_style(method: str, label: str, repeat: int) -> Style:
    """The style of line number `repeat` of a method, with its own marker and dash."""
    one = method_style(method, label, repeat)
    return replace(one, marker=one.marker + KINDS[repeat % len(KINDS)])


def sort_values(values: list[Value]) -> list[Value]:
    """Numbers in ascending order; values that include words in the given order."""
    return sorted(values) if all(isinstance(value, float) for value in values) else values


def held_combinations(grid: Grid, name: str) -> list[dict[str, Value]]:
    """The combinations of the parameters other than `name` for which a line is drawn."""
    others = [n for n in grid if n != name]
    whole = [dict(zip(others, values, strict=True)) for values in product(*(grid[n] for n in others))]
    indices = np.unique(np.linspace(0, len(whole) - 1, min(MAX_LINES, len(whole))).round().astype(int))
    return [whole[i] for i in indices]


def omitted_count(comparison: Comparison, name: str) -> int:
    """The number of combinations of other parameters without a line in the figure against `name`."""
    counts = [
        math.prod(len(values) for other, values in grid.items() if other != name)
        for grid in grids_over(comparison, name).values()
    ]
    return sum(max(0, count - MAX_LINES) for count in counts)


def declaration(method: str, name: str) -> Param:
    """The declaration of a method's parameter."""
    return METHODS[method].parameters()[name]


def parameter_symbols(comparison: Comparison, name: str) -> str:
    """The symbols of a swept parameter; several if methods use different ones."""
    symbols = [declaration(method, name).symbol for method, _ in grids_over(comparison, name)]
    return " / ".join(dict.fromkeys(symbols))


def axis_title(comparison: Comparison, name: str) -> str:
    """A swept parameter's symbol and unit, and its meaning if all methods share it."""
    declared = [declaration(method, name) for method, _ in grids_over(comparison, name)]
    unit = next((f" ({p.unit})" for p in declared if p.unit), "")
    shared = len({p.meaning for p in declared}) == 1
    return parameter_symbols(comparison, name) + (f": {declared[0].meaning}" if shared else "") + unit


def parameter_meanings(comparison: Comparison, name: str) -> str:
    """The meaning of a swept parameter for each method: 'NPCFace: factor on the cosine of a hard negative'."""
    methods = dict.fromkeys(method for method, _ in grids_over(comparison, name))
    return "; ".join(f"{METHODS[method].title}: {declaration(method, name).meaning}" for method in methods)


def default_values(comparison: Comparison, name: str, base: Config) -> str:
    """The recipe's value of a swept parameter for each method: 'NPCFace 1.06, MV-softmax (Arc) 1.12'."""
    texts = []
    for method, preset in grids_over(comparison, name):
        value = Variant("", method, preset).config(base, 0).settings()[name]
        texts.append(f"{method_label(METHODS[method], preset)} {format_setting(value)}")
    return ", ".join(texts)
