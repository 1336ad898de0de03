"""Recipes and settings: everything a training needs to know besides the images, resolved and recorded before step 0."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from workbench.backbones import BACKBONES
from workbench.errors import InputError, unknown
from workbench.methods import METHODS
from workbench.training.events import Event, warm_up, weakened

RECIPES = {
    "small": "for some hundred identities: s = 24, every margin at 60 % of the preset's strength, grown from nothing"
    " over the first third of the steps",
    "preset": "the preset's own values from the first step on",
}
SMALL_S = 24.0
SMALL_STRENGTH = 0.6
SMALL_WARM_UP = 1 / 3


@dataclass(frozen=True)
class Config:
    """The settings of one training. `parameters` override the recipe and the preset by name."""

    method: str = "npcface"
    preset: str = "paper"
    recipe: str = "small"
    parameters: dict[str, Any] = field(default_factory=dict)
    data: str = "heads"
    size: int | None = None  # px; None: the data's own
    test: float = 0.2  # share of the identities kept for the test
    backbone: str = "small"
    dim: int = 128
    steps: int = 600
    batch: int = 64
    lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 4e-3
    snapshots: int = 12
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for option, value, known in (
            ("method", self.method, METHODS),
            ("recipe", self.recipe, RECIPES),
            ("backbone", self.backbone, BACKBONES),
        ):
            if value not in known:
                raise unknown(option, value, known)
        METHODS[self.method].settings(self.preset)
        for option, low, high in LIMITS:
            value = getattr(self, option)
            if not low <= value <= high:
                raise InputError(f"{option} = {value} is outside [{low:g}, {high:g}]")

    @property
    def warmed(self) -> bool:
        return self.recipe == "small"

    def settings(self) -> dict[str, Any]:
        """The method's parameters after the warm-up: preset, then recipe, then the person's own."""
        method = METHODS[self.method]
        settings = method.settings(self.preset)
        if self.recipe == "small":
            preset = {name: value for name, value in settings.items() if name != "s"}
            settings |= weakened(method.margin(**preset), SMALL_STRENGTH) | {"s": SMALL_S}
        for name in self.parameters:
            if name not in method.parameters():
                raise unknown(f"parameter of {self.method}", name, method.parameters())
        return settings | self.parameters

    def schedule(self) -> tuple[Event, ...]:
        """The changes that are known before the first step: the recipe's warm-up."""
        if self.recipe != "small":
            return ()
        settings = {name: value for name, value in self.settings().items() if name != "s"}
        return warm_up(METHODS[self.method].margin(**settings), math.ceil(self.steps * SMALL_WARM_UP))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"settings": self.settings(), "recipe_says": RECIPES[self.recipe]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The configuration that a run recorded."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


LIMITS = (
    ("test", 0.0, 0.9),
    ("dim", 2, 4096),
    ("steps", 1, 10**8),
    ("batch", 2, 10**5),
    ("lr", 1e-6, 10.0),
    ("momentum", 0.0, 0.999),
    ("weight_decay", 0.0, 1.0),
    ("snapshots", 1, 1000),
    ("seed", 0, 2**31 - 1),
)
