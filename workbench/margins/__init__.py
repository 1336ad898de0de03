"""Margins, grouped as in NPCFace, Table I: in the positive logit, in the negative logits, or in both."""

from workbench.core.parameters import Param, param
from workbench.margins.adaptive import AdaFace, AdaptiveFace, ElasticArc, ElasticCos, MagFace
from workbench.margins.base import Margin
from workbench.margins.collaborative import NPCFace
from workbench.margins.negative import ArcNegFace, Circle, CurricularFace, MVSoftmax, ReCurricularFace
from workbench.margins.positive import ArcFace, CombinedMargin, CosFace, NormSoftmax, Softmax, SphereFace, SphereFaceR

__all__ = [
    "AdaFace",
    "AdaptiveFace",
    "ArcFace",
    "ArcNegFace",
    "Circle",
    "CombinedMargin",
    "CosFace",
    "CurricularFace",
    "ElasticArc",
    "ElasticCos",
    "MVSoftmax",
    "MagFace",
    "Margin",
    "NPCFace",
    "NormSoftmax",
    "Param",
    "ReCurricularFace",
    "Softmax",
    "SphereFace",
    "SphereFaceR",
    "param",
]
