"""Variants: what a comparison compares. Methods, sweeps and ablations are three ways to write variants down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from workbench.compare.parsing import Value, values
from workbench.core.errors import InputError, quote, unknown
from workbench.methods import METHODS, build
from workbench.methods.method import Method
from workbench.training.config import Config

ABLATIONS = {  # NPCFace Table II: the baseline is ArcFace of margin m0, "Neg." Eq. 10, "Pos." Eq. 11 and 12
    "npcface": {
        "baseline": {"m1": 0.0, "t": 1.0, "alpha": 0.0},
        "negatives": {"m1": 0.0},
        "positive": {"t": 1.0, "alpha": 0.0},
        "both": {},
    }
}


@dataclass(frozen=True)
class Variant:
    """A method under a preset with some parameters set; `swept`: it is a point of a grid over those parameters.

    `parameters` are final values: recipes weaken what a preset says, never what is set here.
    """

    label: str
    method: str
    preset: str = "paper"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    swept: bool = False

    def config(self, base: Config, seed: int) -> Config:
        """The settings of one training of this variant: everything but the loss and the seed as in `base`."""
        return replace(base, method=self.method, preset=self.preset, parameters=dict(self.parameters), seed=seed)

    @property
    def key(self) -> str:
        """The settings as the name of a folder: npcface, npcface-facexzoo, npcface-alpha=0.1-t=1.1."""
        preset = [] if self.preset == "paper" else [self.preset]
        return "-".join([self.method, *preset, *(f"{name}={value}" for name, value in self.parameters.items())])


def methods(text: str, base: Config) -> list[Variant]:
    """The variants of --methods: METHOD or METHOD:PRESET between commas."""
    found = []
    for word in text.split(","):
        method, preset = method_of(word.strip(), f"--methods {quote(text)}")
        found.append(checked(Variant(titled(method, preset), method.key, preset), base, f"--methods {quote(text)}"))
    return found


def sweeps(texts: Sequence[str], base: Config) -> list[Variant]:
    """The variants of every --sweep METHOD[:PRESET].PARAMETER=VALUES: for each method the grid over its parameters."""
    grids: dict[tuple[str, str], dict[str, tuple[Value, ...]]] = {}
    for text in texts:
        option = f"--sweep {quote(text)}"
        target, equals, listed = text.partition("=")
        owner, dot, name = target.rpartition(".")
        if not (equals and dot):
            raise InputError(f"{option}: expected METHOD.PARAMETER=VALUES, such as npcface.t=1.0,1.1")
        method, preset = method_of(owner.strip(), option)
        name = name.strip()
        if name not in method.parameters():
            raise InputError(f"{option}: {unknown(f'parameter of {method.key}', name, method.parameters())}")
        grid = grids.setdefault((method.key, preset), {})
        if name in grid:
            raise InputError(f"{option}: {name} of {method.key} is swept twice; list all its values in one --sweep")
        grid[name] = values(listed, option)
        for value in grid[name]:
            checked(Variant("", method.key, preset, {name: value}), base, option)
    return [point for (key, preset), grid in grids.items() for point in points(key, preset, grid, base)]


def points(key: str, preset: str, grid: Mapping[str, tuple[Value, ...]], base: Config) -> list[Variant]:
    """Every point of one method's grid, the last parameter changing fastest."""
    method, found = METHODS[key], []
    for combination in product(*grid.values()):
        parameters = dict(zip(grid, combination, strict=True))
        said = ", ".join(f"{method.parameters()[name].symbol} = {shown(v)}" for name, v in parameters.items())
        point = Variant(f"{titled(method, preset)} {said}", key, preset, parameters, swept=True)
        found.append(checked(point, base, f"--sweep of {key}"))
    return found


def ablation(name: str, base: Config) -> list[Variant]:
    """The variants of --ablation: the method without its parts, with each of them alone, with all."""
    if name not in ABLATIONS:
        raise unknown("--ablation", name, ABLATIONS)
    title = METHODS[name].title
    parts = ABLATIONS[name].items()
    return [
        checked(Variant(f"{title}: {label}", name, "paper", off), base, f"--ablation {name}") for label, off in parts
    ]


def method_of(word: str, option: str) -> tuple[Method, str]:
    """The method and the preset of METHOD[:PRESET]; InputError begins with the option."""
    key, _, preset = word.partition(":")
    preset = preset or "paper"
    if key not in METHODS:
        raise InputError(f"{option}: {unknown('method', key, METHODS)}")
    if preset not in METHODS[key].presets:
        raise InputError(f"{option}: {unknown(f'preset of {key}', preset, METHODS[key].presets)}")
    return METHODS[key], preset


def titled(method: Method, preset: str) -> str:
    return method.title if preset == "paper" else f"{method.title} ({preset})"


def shown(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def checked(variant: Variant, base: Config, option: str) -> Variant:
    """The variant, if its loss can be built; InputError begins with the option."""
    try:
        settings = variant.config(base, 0).settings()
        build(variant.method, 100, 8, variant.preset, **settings)  # the sizes do not matter: the ranges are checked
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    return variant


def all_different(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The variants as a tuple; InputError for none at all, and where two have the same settings or the same label."""
    if not variants:
        raise InputError("nothing to compare: give --methods, --sweep or --ablation")
    seen: dict[str, Variant] = {}
    for variant in variants:
        for name in (variant.key, variant.label):
            if name in seen:
                raise InputError(f"'{seen[name].label}' and '{variant.label}' have the same settings; leave one out")
        seen |= {variant.key: variant, variant.label: variant}
    return tuple(variants)
