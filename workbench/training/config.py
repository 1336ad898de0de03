"""Config, the settings of a training, and the recipes that they default to. A run records both before step 0."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from workbench.centers import CENTERS, each_of
from workbench.core.errors import InputError, quote, unknown
from workbench.core.formats import CONFIG
from workbench.core.parameters import Declared
from workbench.losses.margin_softmax import COMPUTE
from workbench.methods import METHODS
from workbench.methods.method import Method
from workbench.networks import BACKBONES
from workbench.training.events import Event, warm_up, weaken


@dataclass(frozen=True)
class Recipe:
    """A training procedure: the defaults of a configuration, and how a preset's parameters are changed.

    drops: epochs, of `epochs`, at which the learning rate is divided by 10; without them it rises over the first 5 %
    of the steps and then follows half a cosine. augmentation: affine (mirror, rotate, zoom, shift, tint) or flip.
    s: the scale, in place of the preset's. strength: share of the preset's margins, 1 for all of it; warm_up: share of
    the steps over which the margins grow from no effect.
    """

    description: str
    lr: float = 0.2
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 4e-3
    batch: int = 64
    steps: int | None = 600
    epochs: int | None = None
    drops: tuple[int, ...] = ()
    augmentation: str = "affine"
    s: float | None = None
    strength: float = 1.0
    warm_up: float = 0.0


def paper(description: str, batch: int, epochs: int, drops: tuple[int, ...]) -> Recipe:
    """A recipe with the values that both papers share; the description names those that a paper does not state."""
    return Recipe(description, 0.1, 0.9, False, 5e-4, batch, None, epochs, drops, "flip")


RECIPES = {
    "small": Recipe(
        "for some hundred identities: s = 24, every margin at 60 % of the preset's strength, grown from nothing"
        " over the first third of the steps",
        s=24.0,
        strength=0.6,
        warm_up=1 / 3,
    ),
    "preset": Recipe("the preset's own values from the first step on"),
    "npcface-casia": paper(
        "NPCFace V-A on CASIA-WebFace: batch 128, lr 0.1 divided by 10 at epochs 16, 24, 28 of 30, momentum 0.9, weight"
        " decay 0.0005, pixels (p - 127.5) / 128, mirrored with probability 1/2; paper silent on warm-up (none) and"
        " Nesterov momentum (not)",
        batch=128,
        epochs=30,
        drops=(16, 24, 28),
    ),
    "npcface-ms1m": paper(
        "NPCFace V-A on MS1M-v1c: batch 512, lr 0.1 divided by 10 at epochs 8, 14, 18 of 20, momentum 0.9, weight decay"
        " 0.0005, pixels (p - 127.5) / 128, mirrored with probability 1/2; paper silent on warm-up (none) and Nesterov"
        " momentum (not)",
        batch=512,
        epochs=20,
        drops=(8, 14, 18),
    ),
    "recurricular": paper(
        "ReCurricularFace 4.2 on CASIA-WebFace: batch 512, lr 0.1 divided by 10 at epochs 20, 28, 32 of 34; paper"
        " silent on momentum (0.9), weight decay (0.0005), pixels ((p - 127.5) / 128) and augmentation (mirrored with"
        " probability 1/2), all four as NPCFace V-A, on warm-up (none) and Nesterov momentum (not)",
        batch=512,
        epochs=34,
        drops=(20, 28, 32),
    ),
}


@dataclass(frozen=True)
class Config:
    """The settings of one training.

    `parameters` of the loss, by name, override the recipe, which overrides the preset. Settings that are None are the
    recipe's. Give steps or epochs, not both. Raises InputError for an invalid setting.
    """

    method: str = "npcface"
    preset: str = "paper"
    recipe: str = "small"
    parameters: dict[str, Any] = field(default_factory=dict)
    data: str = "heads"
    size: int | None = None  # px; None: the data's own
    test: float = 0.2  # share of the identities kept for the test
    backbone: str = "small"
    width: float = 1.0  # multiplier of the network's channels
    dim: int = 128  # embedding dimension
    steps: int | None = None
    epochs: float | None = None
    batch: int | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    snapshots: int = 12
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"  # of the network: bf16 on a GPU, fp32 elsewhere
    compute: str = "auto"  # cosines of a batch to the classes: dense, or streaming in tiles
    centers: str = "full"  # class centers: full, sampled (Partial FC), queued or sharded
    class_set: dict[str, Any] = field(default_factory=dict)  # options of sampled, queued and sharded centers

    def __post_init__(self) -> None:
        for option, form in CONFIG.items():
            value = getattr(self, option)
            value = value.item() if hasattr(value, "item") else value  # a scalar of numpy or torch
            if not form.accepts(value):
                raise InputError(f"{option} = {quote(value)}; expected {form.expected}")
        for option, value, known in (
            ("method", self.method, METHODS),
            ("recipe", self.recipe, RECIPES),
            ("backbone", self.backbone, BACKBONES),
            ("precision", self.precision, PRECISIONS),
            ("compute", self.compute, COMPUTE),
            ("centers", self.centers, CENTERS),
        ):
            if value not in known:
                raise unknown(option, value, known)
        METHODS[self.method].settings(self.preset)
        if self.steps is not None and self.epochs is not None:
            raise InputError(f"steps = {self.steps} and epochs = {self.epochs:g}: give one of them")
        length = ("steps", "epochs") if self.steps is None and self.epochs is None else ()
        for name in ("batch", "lr", "momentum", "weight_decay", *length):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(RECIPES[self.recipe], name))
        for option, low, high in LIMITS:
            value = getattr(self, option)
            if value is not None and not low <= value <= high:
                raise InputError(f"{option} = {quote(value)} is outside [{low:g}, {high:g}]")
        if not 0 < self.test < 1:
            raise InputError(f"test {self.test} is no share of the identities; a number between 0 and 0.9 is needed")
        if self.size is not None and not SIDES[0] <= self.size <= SIDES[1]:
            raise InputError(f"size {self.size} is out of range; images are {SIDES[0]} to {SIDES[1]} px a side")

    def for_images(self, n: int) -> "Config":
        """The same settings with epochs converted to steps, for n training images."""
        if self.steps is not None:
            return self
        return replace(self, steps=max(1, round(self.epochs * n / self.batch)), epochs=None)

    def total_steps(self) -> int:
        """The number of training steps; InputError while it depends on the number of images, see `for_images`."""
        if self.steps is None:
            raise InputError(f"epochs = {self.epochs:g}: steps are not known before Config.for_images says how many")
        return self.steps

    @property
    def drops(self) -> tuple[int, ...]:
        """The steps at which the learning rate is divided by 10; empty: it follows half a cosine."""
        recipe = RECIPES[self.recipe]
        return tuple(-(-self.total_steps() * epoch // recipe.epochs) for epoch in recipe.drops)

    @property
    def augmentation(self) -> str:
        """The augmentation of training images: affine or flip."""
        return RECIPES[self.recipe].augmentation

    @property
    def nesterov(self) -> bool:
        """Whether SGD uses Nesterov momentum."""
        return RECIPES[self.recipe].nesterov and self.momentum > 0

    @property
    def sharded(self) -> bool:
        """Whether the class centers are sharded over processes."""
        return CENTERS[self.centers].sharded

    def center_options(self) -> dict[str, Any]:
        """The options of the class set. Centers that no optimizer owns get its momentum, weight decay and Nesterov."""
        partial = CENTERS[each_of(self.class_set) if self.sharded else self.centers].partial
        sgd = {"momentum": self.momentum, "weight_decay": self.weight_decay, "nesterov": self.nesterov}
        return self.class_set | (sgd if partial else {})

    def method_parameters(self, method: Method, preset: str) -> dict[str, Any]:
        """The parameters of any method after the warm-up: those of its preset, changed by the recipe."""
        settings, recipe = method.settings(preset), RECIPES[self.recipe]
        if recipe.strength < 1:
            settings |= weaken(method.margin_of(settings), recipe.strength)
        if recipe.s is not None and "s" in settings:
            settings["s"] = recipe.s
        return settings

    def settings(self) -> dict[str, Any]:
        """The method's parameters after the warm-up: of the preset, the recipe, and `parameters`, the last winning."""
        method = METHODS[self.method]
        for name in self.parameters:
            if name not in method.parameters():
                raise unknown(f"parameter of {self.method}", name, method.parameters())
        return self.method_parameters(method, self.preset) | self.parameters

    def schedule(self) -> tuple[Event, ...]:
        """The warm-up of the configured method's margin: the changes known before the first step."""
        if not RECIPES[self.recipe].warm_up:
            return ()
        return self.warm_up(METHODS[self.method].margin_of(self.settings()), self.total_steps())

    def warm_up(self, margin: Declared, steps: int) -> tuple[Event, ...]:
        """The recipe's warm-up of a margin in a training of this number of steps; empty if the recipe has none."""
        share = RECIPES[self.recipe].warm_up
        return warm_up(margin, math.ceil(steps * share)) if share else ()

    def to_json(self) -> dict[str, Any]:
        """Every setting, and the values that the recipe gives."""
        resolved = {name: getattr(self, name) for name in ("drops", "augmentation", "nesterov")}
        return asdict(self) | resolved | {"settings": self.settings(), "recipe_says": RECIPES[self.recipe].description}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The configuration that `to_json` wrote."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def check_loss(self) -> None:
        """InputError where a parameter of the loss is unknown or out of range."""
        METHODS[self.method].check(self.settings())


SIDES = (16, 512)  # image sides in px that the networks accept
PRECISIONS = ("auto", "fp32", "bf16")
LIMITS = (
    ("test", 0.0, 0.9),
    ("dim", 2, 4096),
    ("width", 1 / 16, 16.0),
    ("steps", 1, 10**8),
    ("epochs", 1e-3, 10**5),
    ("batch", 2, 10**5),
    ("lr", 1e-6, 10.0),
    ("momentum", 0.0, 0.999),
    ("weight_decay", 0.0, 1.0),
    ("snapshots", 1, 1000),
    ("seed", 0, 2**31 - 1),
)
