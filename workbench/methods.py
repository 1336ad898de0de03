"""METHODS: every published loss as one composed line, with its citation and presets; `build` makes one.

The preset "paper" is the paper's reading. A peer's preset holds that peer's constructor defaults, "<peer>_config" its
shipped configuration. Where they differ in kind (guard, gradient, momentum) the difference is a field of the margin.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.centers.full import FullCenters
from workbench.errors import InputError, unknown
from workbench.margins import (
    ArcFace,
    CosFace,
    CurricularFace,
    Margin,
    MVSoftmax,
    NormSoftmax,
    NPCFace,
    ReCurricularFace,
)
from workbench.margins.base import Param
from workbench.objectives.softmax import SCALE, MarginSoftmax

CENTERS = ("full",)
COMPUTE = ("dense",)


@dataclass(frozen=True)
class Method:
    """One published loss: its margin, where it was published, and the settings it is known by."""

    key: str
    title: str
    margin: type[Margin]
    citation: str
    presets: Mapping[str, Mapping[str, Any]]

    def parameters(self) -> dict[str, Param]:
        """Every parameter a person may set, the scale first."""
        return {"s": SCALE} | self.margin.parameters()

    def settings(self, preset: str = "paper") -> dict[str, Any]:
        """The resolved value of every parameter under a preset."""
        if preset not in self.presets:
            raise unknown(f"preset of {self.key}", preset, self.presets)
        return self.margin.defaults() | dict(self.presets[preset])


_METHODS = (
    Method(
        "norm_softmax",
        "Norm-softmax",
        NormSoftmax,
        "Wang et al., NormFace, ACM MM 2017",
        {"paper": {"s": 20}, "pml": {"s": 20}},
    ),
    Method(
        "cosface",
        "CosFace / AM-softmax",
        CosFace,
        "Wang et al., CosFace, CVPR 2018; Wang et al., AM-softmax, SPL 2018",
        {
            "paper": {"s": 64, "m": 0.35},
            "am": {"s": 30, "m": 0.35},
            "insightface": {"s": 64, "m": 0.40},
            "tface": {"s": 64, "m": 0.40},
            "facexzoo": {"s": 32, "m": 0.35},
            "svx": {"s": 32, "m": 0.35, "guard": "easy"},
        },
    ),
    Method(
        "arcface",
        "ArcFace",
        ArcFace,
        "Deng et al., ArcFace, CVPR 2019",
        {
            "paper": {"s": 64, "m": 0.5},
            "insightface": {"s": 64, "m": 0.5, "grad": "detached"},
            "tface": {"s": 64, "m": 0.5, "guard": "mm"},
            "pml": {"s": 64, "m": math.radians(28.6), "guard": "mm"},
            "facexzoo": {"s": 32, "m": 0.35, "guard": "plain"},
            "adaface_repo": {"s": 64, "m": 0.5, "guard": "clip"},
        },
    ),
    Method(
        "mv_am",
        "MV-softmax (AM)",
        MVSoftmax,
        "Wang et al., Mis-classified vector guided softmax loss, AAAI 2020",
        {
            "paper": {"s": 32, "m": 0.35, "t": 1.2, "positive": "am"},
            "svx": {"s": 32, "m": 0.35, "t": 1.2, "positive": "am", "guard": "easy"},
            "facexzoo": {"s": 32, "m": 0.35, "t": 1.12, "positive": "am", "guard": "gtm"},
        },
    ),
    Method(
        "mv_arc",
        "MV-softmax (Arc)",
        MVSoftmax,
        "Wang et al., Mis-classified vector guided softmax loss, AAAI 2020",
        {
            "paper": {"s": 32, "m": 0.5, "t": 1.2, "positive": "arc"},
            "svx": {"s": 32, "m": 0.35, "t": 1.2, "positive": "arc", "guard": "easy"},
            "facexzoo": {"s": 32, "m": 0.35, "t": 1.12, "positive": "arc", "guard": "easy"},
        },
    ),
    Method(
        "curricularface",
        "CurricularFace",
        CurricularFace,
        "Huang et al., CurricularFace, CVPR 2020",
        {
            "paper": {"s": 64, "m": 0.5, "momentum": 0.01},
            "curricularface_repo": {"s": 64, "m": 0.5, "momentum": 0.01, "guard": "mm"},
            "facexzoo": {"s": 64, "m": 0.5, "momentum": 0.01, "guard": "mm"},
            "tface": {"s": 64, "m": 0.5, "momentum": 0.1, "guard": "mm"},
        },
    ),
    Method(
        "recurricularface",
        "ReCurricularFace",
        ReCurricularFace,
        "Sang and Yang, ReCurricularFace: Revisiting CurricularFace for Hard Sample Mining",
        {
            "paper": {"s": 64, "m": 0.5},
            "closed": {"s": 64, "m": 0.5, "coeffs": "closed"},
            "literal": {"s": 64, "m": 0.5, "coeffs": "literal"},
            "unmasked": {"s": 64, "m": 0.5, "mask": "all"},
        },
    ),
    Method(
        "npcface",
        "NPCFace",
        NPCFace,
        "Zeng et al., NPCFace: Negative-Positive Collaborative Training for Large-scale Face Recognition",
        {
            "paper": {"s": 64, "m0": 0.40, "m1": 0.20, "t": 1.1, "alpha": 0.25, "m_mask": 0.5},
            "facexzoo": {"s": 64, "m0": 0.40, "m1": 0.20, "t": 1.1, "alpha": 0.20, "m_mask": 0.5, "guard": "easy"},
            "facexzoo_config": {
                "s": 32,
                "m0": 0.40,
                "m1": 0.20,
                "t": 1.1,
                "alpha": 0.20,
                "m_mask": 0.35,
                "guard": "easy",
            },
        },
    ),
)
METHODS: dict[str, Method] = {method.key: method for method in _METHODS}


def markdown_table() -> str:
    """The methods as a Markdown table, the one in README.md."""
    lines = [
        "| method | T (positive) and N (negative) | paper's values | presets | published in |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS.values():
        equations = "<br>".join(f"${line}$" for line in method.margin.latex)
        symbols = method.parameters()
        values = [
            (symbols[name].symbol, value) for name, value in method.settings().items() if not symbols[name].choices
        ]
        shown = ", ".join(f"{symbol} {value:.4g}" for symbol, value in values)
        presets = ", ".join(f"`{name}`" for name in method.presets)
        lines.append(f"| `{method.key}` | {equations} | {shown} | {presets} | {method.citation} |")
    return "\n".join(lines)


def build(
    name: str,
    classes: int,
    dim: int,
    preset: str = "paper",
    centers: str = "full",
    compute: str = "dense",
    seed: int = 0,
    **parameters: Any,
) -> MarginSoftmax:
    """An objective for `classes` identities and embeddings of `dim` numbers; keywords override the preset by name.

    `seed` draws the centers' first directions: the same seed gives every method the same ones. Raises InputError for an
    unknown method, preset, parameter or option (with the nearest name) and for a value out of range.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    for option, value, known in (("centers", centers, CENTERS), ("compute", compute, COMPUTE)):
        if value not in known:
            raise unknown(option, value, known)
    for option, value, least in (("classes", classes, 2), ("dim", dim, 2)):
        if value < least:
            raise InputError(f"{option} = {value}: at least {least}")
    method = METHODS[name]
    for parameter in parameters:
        if parameter not in method.parameters():
            raise unknown(f"parameter of {name}", parameter, method.parameters())
    settings = method.settings(preset) | parameters
    s = settings.pop("s")
    return MarginSoftmax(method.margin(**settings), FullCenters(classes, dim, seed), s)
