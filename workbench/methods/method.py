"""Method: a published loss as a composition of parts, with its citation and presets; and the table of methods."""

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
    "paper": "the paper's own reading",
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


def source(preset: str) -> str:
    """Where a preset comes from: the peer whose constructor it holds, or its shipped configuration."""
    peer = preset.removesuffix("_plus").removesuffix("_config").removesuffix("_am")
    if peer not in PEERS:
        return "a variant of the paper's"
    return PEERS[peer] + (", its shipped configuration" if preset.removesuffix("_plus").endswith("_config") else "")


@dataclass(frozen=True)
class Method:
    """One published loss: its parts, its citation and its presets.

    margin, scale, criterion, weighting, terms and similarity are the classes of its parts; images_per_class: images of
    an identity that a batch needs (1: any batch); essence: the defining part, where that is not the margin.
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
        """The classes whose parameters may be set, the scale first."""
        return (self.scale, self.margin, self.criterion, self.weighting, *self.terms, self.similarity)

    @property
    def has_logits(self) -> bool:
        """Whether it has logits T and N, and so curves, boundaries and class centers; a triplet loss has none."""
        return issubclass(self.margin, Margin)

    @property
    def summary(self) -> str:
        """Its effect, in a sentence."""
        return first_line(self.essence or self.margin)

    @property
    def latex(self) -> tuple[str, ...]:
        """Its equations: the margin's, and those of every part that is not the default."""
        others = (self.similarity, self.scale, self.criterion, self.weighting, *self.terms)
        return self.margin.latex + tuple(line for part in others if part is not CrossEntropy for line in part.latex)

    @property
    def states(self) -> dict[str, Param]:
        """The scalars of the state that survives between batches, by name."""
        return {name: p for part in self.parts for name, p in part.states.items()}

    def parameters(self) -> dict[str, Param]:
        """Every parameter, by name."""
        return {name: p for part in self.parts for name, p in part.parameters().items()}

    def settings(self, preset: str = "paper") -> dict[str, Any]:
        """The resolved value of every parameter under a preset."""
        if preset not in self.presets:
            raise unknown(f"preset of {self.key}", preset, self.presets)
        return {name: value for part in self.parts for name, value in part.defaults().items()} | self.presets[preset]

    def check(self, settings: Mapping[str, Any]) -> None:
        """InputError where a setting of any part is out of its range."""
        for part in self.parts:
            made(part, settings)

    def margin_of(self, settings: Mapping[str, Any]) -> Declared:
        """The margin with those of these settings that are its own."""
        return made(self.margin, settings)

    def similarity_of(self, settings: Mapping[str, Any]) -> Cosine:
        """The similarity with those of these settings that are its own."""
        return made(self.similarity, settings)

    def objective(
        self,
        settings: Mapping[str, Any],
        centers: ClassSet,
        seed: int = 0,
        compute: str = "dense",
        precision: str = "fp32",
        ignore_index: int = IGNORE_INDEX,
    ) -> MarginSoftmax:
        """The loss with these settings over a class set."""
        return MarginSoftmax(
            made(self.margin, settings),
            centers,
            made(self.scale, settings),
            made(self.criterion, settings),
            made(self.weighting, settings),
            tuple(made(term, settings) for term in self.terms),
            seed,
            compute,
            precision,
            ignore_index,
        )


def first_line(part: type[Declared]) -> str:
    """The first sentence of a part's docstring, without a source that follows it."""
    return (inspect.getdoc(part) or "").split("\n")[0].split("      (")[0]


def made(part: type[Declared], settings: Mapping[str, Any]) -> Any:
    """A part of a method with those of these settings that are its own."""
    return part(**{f.name: settings[f.name] for f in fields(part) if f.name in settings})


def markdown_table(methods: Mapping[str, Method]) -> str:
    """The methods as a Markdown table with links to their pages, as in README.md."""
    lines = ["| method | what it does | paper's values | presets | published in |", "|---|---|---|---|---|"]
    for key, method in methods.items():
        symbols = method.parameters()
        values = [(symbols[name].symbol, v) for name, v in method.settings().items() if not symbols[name].choices]
        shown = ", ".join(f"{symbol} {value:.4g}" for symbol, value in values)
        presets = ", ".join(f"`{name}`" for name in method.presets)
        link = f"[{method.title}](docs/methods/{key}.md)<br>`{key}`"
        lines.append(f"| {link} | {method.summary} | {shown} | {presets} | {method.citation} |")
    return "\n".join(lines)


def own_values(part: Any) -> dict[str, Any]:
    """The value of every field of a part, undeclared fields of a custom part included."""
    return {f.name: getattr(part, f.name) for f in fields(part)}


def as_method(margin: Margin) -> Method:
    """A custom margin as a method with one preset: its own values."""
    if not isinstance(margin, Margin):
        raise InputError(f"margin = {margin!r}: not a Margin; give an instance such as ArcFace(m=0.4)")
    name = type(margin).__name__
    return Method(name, f"{name} (yours)", type(margin), "", {"given": own_values(margin)})
