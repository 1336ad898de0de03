"""The margins, by where they act (NPCFace, Table I): the positive logit, the negative logits, or both together."""

from workbench.margins.base import Margin, Param, param
from workbench.margins.collaborative import NPCFace
from workbench.margins.negative import CurricularFace, MVSoftmax, ReCurricularFace
from workbench.margins.positive import ArcFace, CosFace, NormSoftmax

__all__ = [
    "ArcFace",
    "CosFace",
    "CurricularFace",
    "MVSoftmax",
    "Margin",
    "NPCFace",
    "NormSoftmax",
    "Param",
    "ReCurricularFace",
    "param",
]
