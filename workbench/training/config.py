"""Recipes and settings: everything a training needs to know besides the images, resolved and recorded before step 0."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from workbench.centers import local_class_set
from workbench.core.errors import InputError, quote, unknown
from workbench.core.formats import CONFIG
from workbench.losses.margin_softmax import COMPUTE
from workbench.methods import METHODS
from workbench.methods.catalogue import CENTERS
from workbench.methods.method import Method
from workbench.networks import BACKBONES
from workbench.training.events import Event, warm_up, weakened


@dataclass(frozen=True)
class Recipe:
    """How to train: what it says of itself, and what holds where a person does not choose otherwise.

    drops: the epochs, of `epochs`, at which the learning rate is divided by 10; none: it rises over the first 5 % of
    the steps and falls by half a cosine. augmentation: affine (mirrored, turned, zoomed, moved, tinted) or flip.
    """

    says: str
    lr: float = 0.2
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 4e-3
    batch: int = 64
    steps: int | None = 600
    epochs: int | None = None
    drops: tuple[int, ...] = ()
    augmentation: str = "affine"


def paper(says: str, batch: int, epochs: int, drops: tuple[int, ...]) -> Recipe:
    """What the recipes of both papers share; `says` tells which of it a paper does not print."""
    return Recipe(says, 0.1, 0.9, False, 5e-4, batch, None, epochs, drops, "flip")


RECIPES = {
    "small": Recipe(
        "for some hundred identities: s = 24, every margin at 60 % of the preset's strength, grown from nothing"
        " over the first third of the steps"
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
SMALL_S = 24.0
SMALL_STRENGTH = 0.6
SMALL_WARM_UP = 1 / 3


@dataclass(frozen=True)
class Config:
    """The settings of one training. `parameters` override the recipe and the preset by name.

    What is None is the recipe's. steps counts batches and epochs times through the images: give one of them.
    """

    method: str = "npcface"
    preset: str = "paper"
    recipe: str = "small"
    parameters: dict[str, Any] = field(default_factory=dict)
    data: str = "heads"
    size: int | None = None  # px; None: the data's own
    test: float = 0.2  # share of the identities kept for the test
    backbone: str = "small"
    width: float = 1.0  # times the network's channels
    dim: int = 128
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
    compute: str = "auto"  # how a batch meets the classes: dense, or streaming tile by tile
    centers: str = "full"  # which classes it meets: full, sampled, queued or sharded
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
        """The same settings with epochs turned into steps, for n images to train on."""
        if self.steps is not None:
            return self
        return replace(self, steps=max(1, round(self.epochs * n / self.batch)), epochs=None)

    def known_steps(self) -> int:
        """The steps; InputError while they still depend on how many images there are."""
        if self.steps is None:
            raise InputError(f"epochs = {self.epochs:g}: steps are not known before Config.for_images says how many")
        return self.steps

    @property
    def drops(self) -> tuple[int, ...]:
        """The steps from which on the learning rate is a further tenth; none: it follows half a cosine."""
        recipe = RECIPES[self.recipe]
        return tuple(-(-self.known_steps() * epoch // recipe.epochs) for epoch in recipe.drops)

    @property
    def augmentation(self) -> str:
        """How images are changed when they are trained on: affine or flip."""
        return RECIPES[self.recipe].augmentation

    @property
    def nesterov(self) -> bool:
        """Whether momentum looks ahead."""
        return RECIPES[self.recipe].nesterov and self.momentum > 0

    @property
    def warmed(self) -> bool:
        return self.recipe == "small"

    @property
    def partial(self) -> bool:
        """Whether a batch meets a part of the classes, whose rows move by themselves."""
        return (local_class_set(self.class_set) if self.centers == "sharded" else self.centers) != "full"

    def sgd(self) -> dict[str, Any]:
        """How the rows move that no optimiser owns: as the optimiser moves the rest."""
        return {"momentum": self.momentum, "weight_decay": self.weight_decay, "nesterov": self.nesterov}

    def tuned(self, method: Method, preset: str) -> dict[str, Any]:
        """The parameters of any method after the warm-up: its preset's, as this recipe takes them."""
        settings = method.settings(preset)
        if self.recipe == "small":
            settings |= weakened(method.margin_of(settings), SMALL_STRENGTH)
            settings |= {"s": SMALL_S} if "s" in settings else {}
        return settings

    def settings(self) -> dict[str, Any]:
        """The method's parameters after the warm-up: preset, then recipe, then the person's own."""
        method = METHODS[self.method]
        for name in self.parameters:
            if name not in method.parameters():
                raise unknown(f"parameter of {self.method}", name, method.parameters())
        return self.tuned(method, self.preset) | self.parameters

    def schedule(self) -> tuple[Event, ...]:
        """The changes that are known before the first step: the recipe's warm-up."""
        if self.recipe != "small":
            return ()
        return warm_up(METHODS[self.method].margin_of(self.settings()), math.ceil(self.known_steps() * SMALL_WARM_UP))

    def to_json(self) -> dict[str, Any]:
        """Every setting, and what the recipe resolves to."""
        resolved = {name: getattr(self, name) for name in ("drops", "augmentation", "nesterov")}
        return asdict(self) | resolved | {"settings": self.settings(), "recipe_says": RECIPES[self.recipe].says}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The configuration that a run recorded."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def check_loss(self) -> None:
        """InputError where a parameter of the loss is unknown or out of its range; before any image is read."""
        METHODS[self.method].check(self.settings())


SIDES = (16, 512)  # px a side: what the networks take
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
