"""Method: a published loss as a composition of parts, with its citation and presets; the Markdown table of methods."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workbench.centers.base import ClassSet
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Declared, Param
from workbench.losses.base import IGNORE_INDEX
from workbench.losses.criteria import CrossEntropy, Mean
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.losses.scales import Fixed, Scale
from workbench.margins.base import Margin

PEERS = {
    "paper": "values of the paper",
    "facexzoo": "FaceX-Zoo",
    "insightface": "insightface, arcface_torch",
    "tface": "TFace, recognition",
    "pml": "pytorch-metric-learning",
    "svx": "SV-X-Softmax, code of the authors of MV-softmax",
    "opensphere": "OpenSphere, code of the authors of SphereFace",
    "evolve": "face.evoLVe",
    "oml": "open-metric-learning",
    "curricularface_repo": "CurricularFace, the authors' code",
    "adaface_repo": "AdaFace, the authors' code",
    "magface_repo": "MagFace, the authors' code",
    "elasticface_repo": "ElasticFace, the authors' code",
    "arcnegface_repo": "ArcNegFace, the authors' code",
    "uniface_repo": "UniFace, the authors' code",
}


def preset_source(preset: str) -> str:
    """The source of a preset's values: a paper, a released code's constructor defaults or its shipped configuration."""
    peer = preset.removesuffix("_plus").removesuffix("_config").removesuffix("_am")
    if peer not in PEERS:
        return "a variant of the paper"
    return PEERS[peer] + (", its shipped configuration" if preset.removesuffix("_plus").endswith("_config") else "")


@dataclass(frozen=True)
class Method:
    """One published loss: its parts, its citation and its presets.

    margin, scale, criterion, weighting, terms and similarity are the classes of its parts; images_per_class: images per
    identity in a batch (1: any batch); essence: the defining part, if that is not the margin.
    """

    key: str
    title: str
    margin: type[Declared]
    citation: str
    presets: Mapping[str, Mapping[str, Any]]
    scale: type[Scale] = Fixed
    criterion: type[CrossEntropy] = CrossEntropy
    weighting: type[Mean] = Mean
    terms: tuple[type[Declared], ...] = field(default=())
    similarity: type[Cosine] = Cosine
    images_per_class: int = 1
    essence: type[Declared] | None = None

    @property
    def parts(self) -> tuple[type[Declared], ...]:
        """The classes of all parts, whose parameters may be set."""
        return (self.scale, self.margin, self.criterion, self.weighting, *self.terms, self.similarity)

    @property
    def has_logits(self) -> bool:
        """Whether the loss has logits T and N, and hence curves, boundaries and class centers (not a triplet loss)."""
        return issubclass(self.margin, Margin)

    @property
    def summary(self) -> str:
        """The effect of the loss, in one sentence."""
        return first_line(self.essence or self.margin)

    @property
    def latex(self) -> tuple[str, ...]:
        """The equations of the margin and of every part that is not the default."""
        others = (self.similarity, self.scale, self.criterion, self.weighting, *self.terms)
        return self.margin.latex + tuple(line for part in others if part is not CrossEntropy for line in part.latex)

    @property
    def states(self) -> dict[str, Param]:
        """The declared scalars of the state, by name."""
        return {name: p for part in self.parts for name, p in part.states.items()}

    def parameters(self) -> dict[str, Param]:
        """All parameters, by name."""
        return {name: p for part in self.parts for name, p in part.parameters().items()}

    def settings(self, preset: str = "paper") -> dict[str, Any]:
        """The value of every parameter in a preset. Raises InputError for an unknown preset."""
        if preset not in self.presets:
            raise unknown(f"preset of {self.key}", preset, self.presets)
        return {name: value for part in self.parts for name, value in part.defaults().items()} | self.presets[preset]

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise InputError if a setting is out of range."""
        for part in self.parts:
            make_part(part, settings)

    def margin_of(self, settings: Mapping[str, Any]) -> Declared:
        """The margin with these settings."""
        return make_part(self.margin, settings)

    def similarity_of(self, settings: Mapping[str, Any]) -> Cosine:
        """The similarity with these settings."""
        return make_part(self.similarity, settings)

    def build_objective(
        self,
        settings: Mapping[str, Any],
        centers: ClassSet,
        seed: int = 0,
        compute: str = "dense",
        precision: str = "fp32",
        ignore_index: int = IGNORE_INDEX,
    ) -> MarginSoftmax:
        """The loss with these settings and a class set."""
        scale, margin, criterion, weighting, *terms, _ = (make_part(part, settings) for part in self.parts)
        return MarginSoftmax(
            margin, centers, scale, criterion, weighting, tuple(terms), seed, compute, precision, ignore_index
        )


def first_line(part: type[Declared]) -> str:
    """The first sentence of a part's docstring, without the citation after it."""
    return (inspect.getdoc(part) or "").split("\n")[0].split("      (")[0]


def make_part(part: type[Declared], settings: Mapping[str, Any]) -> Any:
    """A part of a method with those settings that name its fields."""
    return part(**{f.name: settings[f.name] for f in fields(part) if f.name in settings})


def markdown_table(methods: Mapping[str, Method]) -> str:
    """The methods as the Markdown table of README.md, with links to their pages."""
    lines = ["| method | what it does | paper's values | presets | published in |", "|---|---|---|---|---|"]
    for key, method in methods.items():
        symbols = method.parameters()
        values = [(symbols[name].symbol, v) for name, v in method.settings().items() if not symbols[name].choices]
        settings = ", ".join(f"{symbol} {value:.4g}" for symbol, value in values)
        presets = ", ".join(f"`{name}`" for name in method.presets)
        link = f"[{method.title}](docs/methods/{key}.md)<br>`{key}`"
        lines.append(f"| {link} | {method.summary} | {settings} | {presets} | {method.citation} |")
    return "\n".join(lines)


def own_values(part: Any) -> dict[str, Any]:
    """The value of every field of a part, including undeclared fields of a custom part."""
    return {f.name: getattr(part, f.name) for f in fields(part)}


def as_method(margin: Margin) -> Method:
    """A custom margin as a method whose one preset has the margin's values. Raises InputError for anything else."""
    if not isinstance(margin, Margin):
        raise InputError(f"margin = {margin!r}: not a Margin; give an instance such as ArcFace(m=0.4)")
    name = type(margin).__name__
    return Method(name, f"{name} (yours)", type(margin), "", {"given": own_values(margin)})
