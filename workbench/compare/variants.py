"""Variants: the losses of a comparison, given as methods, sweeps or an ablation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from workbench.compare.parsing import Value, parse_values
from workbench.core.errors import InputError, quote, unknown
from workbench.methods import METHODS, build
from workbench.methods.method import Method
from workbench.training.config import Config

ABLATIONS = {  # NPCFace Table II: the baseline is ArcFace with margin m0, "Neg." is Eq. 10, "Pos." is Eq. 11 and 12
    "npcface": {
        "baseline": {"m1": 0.0, "t": 1.0, "alpha": 0.0},
        "negatives": {"m1": 0.0},
        "positive": {"t": 1.0, "alpha": 0.0},
        "both": {},
    }
}


@dataclass(frozen=True)
class Variant:
    """A method with a preset and parameters. swept: a point of a grid over these parameters.

    `parameters` are final values: recipes weaken the values of presets, not these.
    """

    label: str
    method: str
    preset: str = "paper"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    swept: bool = False

    def config(self, base: Config, seed: int) -> Config:
        """The settings of one training: those of `base` with this loss and this seed."""
        return replace(base, method=self.method, preset=self.preset, parameters=dict(self.parameters), seed=seed)

    @property
    def key(self) -> str:
        """The name of the variant's folder: npcface, npcface-facexzoo, npcface-alpha=0.1-t=1.1."""
        preset = [] if self.preset == "paper" else [self.preset]
        return "-".join([self.method, *preset, *(f"{name}={value}" for name, value in self.parameters.items())])


def methods(text: str, base: Config) -> list[Variant]:
    """The variants of --methods: METHOD or METHOD:PRESET between commas."""
    option, variants = f"--methods {quote(text)}", []
    for word in text.split(","):
        method, preset = parse_method(word.strip(), option)
        variants.append(check_variant(Variant(method_label(method, preset), method.key, preset), base, option))
    return variants


def sweeps(texts: Sequence[str], base: Config) -> list[Variant]:
    """The variants of every --sweep METHOD[:PRESET].PARAMETER=VALUES: for each method the grid over its parameters."""
    grids: dict[tuple[str, str], dict[str, tuple[Value, ...]]] = {}
    for text in texts:
        option = f"--sweep {quote(text)}"
        target, equals, values = text.partition("=")
        owner, dot, name = target.rpartition(".")
        if not (equals and dot):
            raise InputError(f"{option}: expected METHOD.PARAMETER=VALUES, such as npcface.t=1.0,1.1")
        method, preset = parse_method(owner.strip(), option)
        name = name.strip()
        if name not in method.parameters():
            raise InputError(f"{option}: {unknown(f'parameter of {method.key}', name, method.parameters())}")
        grid = grids.setdefault((method.key, preset), {})
        if name in grid:
            raise InputError(f"{option}: {name} of {method.key} is swept twice; give all its values in one --sweep")
        grid[name] = parse_values(values, option)
        for value in grid[name]:
            check_variant(Variant("", method.key, preset, {name: value}), base, option)
    return [point for (key, preset), grid in grids.items() for point in grid_points(key, preset, grid, base)]


def grid_points(key: str, preset: str, grid: Mapping[str, tuple[Value, ...]], base: Config) -> list[Variant]:
    """All points of one method's grid; the last parameter changes fastest."""
    method, points = METHODS[key], []
    for combination in product(*grid.values()):
        parameters = dict(zip(grid, combination, strict=True))
        text = ", ".join(f"{method.parameters()[name].symbol} = {format_value(v)}" for name, v in parameters.items())
        point = Variant(f"{method_label(method, preset)} {text}", key, preset, parameters, swept=True)
        points.append(check_variant(point, base, f"--sweep of {key}"))
    return points


def ablation(name: str, base: Config) -> list[Variant]:
    """The variants of --ablation: the method without its parts, with each of them alone, and with all."""
    if name not in ABLATIONS:
        raise unknown("--ablation", name, ABLATIONS)
    title = METHODS[name].title
    return [
        check_variant(Variant(f"{title}: {part}", name, "paper", parameters), base, f"--ablation {name}")
        for part, parameters in ABLATIONS[name].items()
    ]


def parse_method(word: str, option: str) -> tuple[Method, str]:
    """The method and the preset of METHOD[:PRESET]. Raises InputError, which begins with `option`."""
    key, _, preset = word.partition(":")
    preset = preset or "paper"
    if key not in METHODS:
        raise InputError(f"{option}: {unknown('method', key, METHODS)}")
    if preset not in METHODS[key].presets:
        raise InputError(f"{option}: {unknown(f'preset of {key}', preset, METHODS[key].presets)}")
    return METHODS[key], preset


def method_label(method: Method, preset: str) -> str:
    """The title of a method, with the preset unless it is the paper's."""
    return method.title if preset == "paper" else f"{method.title} ({preset})"


def format_value(value: Value) -> str:
    """A swept value as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def check_variant(variant: Variant, base: Config, option: str) -> Variant:
    """The variant. Raises InputError, which begins with `option`, if its parameters are invalid."""
    try:
        build(variant.method, 100, 8, variant.preset, **variant.config(base, 0).settings())  # for any number of classes
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    return variant


def check_distinct(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The variants as a tuple. Raises InputError if there is none, or if two have equal settings or labels."""
    if not variants:
        raise InputError("nothing to compare: give --methods, --sweep or --ablation")
    seen: dict[str, Variant] = {}
    for variant in variants:
        for name in (variant.key, variant.label):
            if name in seen:
                raise InputError(f"'{seen[name].label}' and '{variant.label}' have the same settings; leave one out")
        seen |= {variant.key: variant, variant.label: variant}
    return tuple(variants)
