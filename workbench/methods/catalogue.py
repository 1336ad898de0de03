"""METHODS: the published losses, with citations and presets; `build` makes a criterion.

The preset "paper" has the formula and values of the paper. The preset of a released code has its constructor defaults,
"<code>_config" its shipped configuration. Differences of the formula (guard, gradient, momentum) are fields of a part.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from workbench import margins as of
from workbench.centers import CENTERS
from workbench.centers import class_set as make_centers
from workbench.centers.similarity import Dot, SubCenters
from workbench.core.errors import InputError, unknown
from workbench.losses.base import IGNORE_INDEX, Objective
from workbench.losses.criteria import BinaryCrossEntropy, Focal, HardMining, SmoothedCrossEntropy
from workbench.losses.margin_softmax import COMPUTE, PRECISION, warn_caution
from workbench.losses.scales import AdaCos, Length, Scale
from workbench.losses.terms import CenterLoss, UniformTerm
from workbench.losses.triplet import Triplet, TripletLoss
from workbench.methods.method import Method
from workbench.methods.presets import ARC, NPC, NPC_ZOO, PML_RAD, elastic_presets, mv_presets

ADACOS = "Zhang et al., AdaCos, CVPR 2019"
ARCFACE = "Deng et al., ArcFace, CVPR 2019"
ELASTIC = "Boutros et al., ElasticFace, CVPR workshops 2022"
MV_SOFTMAX = "Wang et al., Mis-classified Vector Guided Softmax Loss, AAAI 2020"

_METHODS = (
    Method("softmax", "Softmax", of.Softmax, "", {"paper": {}}, scale=Scale, similarity=Dot),
    Method(
        "norm_softmax",
        "Norm-softmax",
        of.NormSoftmax,
        "Wang et al., NormFace, ACM MM 2017",
        {"paper": {"s": 20}, "pml": {"s": 20}},
    ),
    Method(
        "sphereface",
        "SphereFace / A-softmax",
        of.SphereFace,
        "Liu et al., SphereFace, CVPR 2017",
        {
            "paper": {"m": 4},
            "evolve": {"m": 4},
            "svx": {"m": 4, "decay": 1e-4, "power": 2, "by": "s", "s": 32},
            "pml": {"m": 4, "lam_base": 0, "lam_min": 0},
        },
        scale=Length,
    ),
    Method(
        "sphereface_r",
        "SphereFace-R",
        of.SphereFaceR,
        "Liu et al., SphereFace Revived, TPAMI 2022",
        {
            "paper": {"s": 30, "m": 1.7},
            "exact": {"s": 30, "m": 1.7, "grad": "exact"},
            "opensphere": {"s": 30, "m": 1.7},
            "opensphere_config": {"s": 64, "m": 1.7},
        },
    ),
    Method(
        "cosface",
        "CosFace / AM-softmax",
        of.CosFace,
        "Wang et al., CosFace, CVPR 2018; Wang et al., AM-softmax, SPL 2018",
        {
            "paper": {"s": 64, "m": 0.35},
            "am": {"s": 30, "m": 0.35},
            "insightface": {"s": 64, "m": 0.40},
            "tface": {"s": 64, "m": 0.40},
            "facexzoo": {"s": 32, "m": 0.35},
            "svx": {"s": 32, "m": 0.35, "guard": "easy"},
            "evolve": {"s": 64, "m": 0.35},
            "evolve_am": {"s": 30, "m": 0.35},
        },
    ),
    Method(
        "arcface",
        "ArcFace",
        of.ArcFace,
        ARCFACE,
        {
            "paper": ARC,
            "insightface": ARC | {"grad": "detached"},
            "tface": ARC | {"guard": "mm"},
            "evolve": ARC | {"guard": "mm"},
            "oml": ARC | {"guard": "mm"},
            "pml": {"s": 64, "m": PML_RAD, "guard": "mm"},
            "facexzoo": {"s": 32, "m": 0.35, "guard": "plain"},
            "adaface_repo": ARC | {"guard": "clip", "clip": 1e-4},
        },
    ),
    Method(
        "combined",
        "Combined margin",
        of.CombinedMargin,
        ARCFACE,
        {
            "paper": {"s": 64, "m1": 1, "m2": 0.3, "m3": 0.2},
            "paper_2": {"s": 64, "m1": 0.9, "m2": 0.4, "m3": 0.15},
            "insightface": {"s": 64, "m1": 1, "m2": 0.5, "m3": 0, "form": "insightface", "grad": "detached"},
            "insightface_config": {"s": 64, "m1": 1, "m2": 0, "m3": 0.4, "form": "insightface", "grad": "detached"},
        },
    ),
    Method(
        "adaptiveface",
        "AdaptiveFace",
        of.AdaptiveFace,
        "Liu et al., AdaptiveFace, CVPR 2019",
        {"paper": {"s": 30, "lam": 70}, "facexzoo": {"s": 30, "lam": 70}, "facexzoo_config": {"s": 32, "lam": 70}},
    ),
    Method(
        "adacos",
        "AdaCos",
        of.NormSoftmax,
        ADACOS,
        {"paper": {"rule": "dynamic"}, "facexzoo": {"rule": "dynamic"}},
        scale=AdaCos,
        essence=AdaCos,
    ),
    Method(
        "adacos_fixed",
        "AdaCos, fixed scale",
        of.NormSoftmax,
        ADACOS,
        {"paper": {"rule": "fixed"}},
        scale=AdaCos,
        essence=AdaCos,
    ),
    Method("mv_am", "MV-softmax (AM)", of.MVSoftmax, MV_SOFTMAX, mv_presets("am", 0.35, "gtm")),
    Method("mv_arc", "MV-softmax (Arc)", of.MVSoftmax, MV_SOFTMAX, mv_presets("arc", 0.5, "easy")),
    Method(
        "arcnegface",
        "ArcNegFace",
        of.ArcNegFace,
        "Liu et al., Towards Flops-constrained Face Recognition, ICCV workshops 2019",
        {"paper": ARC, "arcnegface_repo": ARC | {"guard": "mm"}, "facexzoo": ARC | {"guard": "mm"}},
        criterion=SmoothedCrossEntropy,
    ),
    Method(
        "curricularface",
        "CurricularFace",
        of.CurricularFace,
        "Huang et al., CurricularFace, CVPR 2020",
        {
            "paper": ARC | {"momentum": 0.01},
            "curricularface_repo": ARC | {"momentum": 0.01, "guard": "mm"},
            "facexzoo": ARC | {"momentum": 0.01, "guard": "mm"},
            "tface": ARC | {"momentum": 0.1, "guard": "mm"},
        },
    ),
    Method(
        "recurricularface",
        "ReCurricularFace",
        of.ReCurricularFace,
        "Sang and Yang, ReCurricularFace: Revisiting CurricularFace for Hard Sample Mining",
        {
            "paper": ARC,
            "closed": ARC | {"coeffs": "closed"},
            "literal": ARC | {"coeffs": "literal"},
            "unmasked": ARC | {"mask": "all"},
        },
    ),
    Method(
        "npcface",
        "NPCFace",
        of.NPCFace,
        "Zeng et al., NPCFace: Negative-Positive Collaborative Training for Large-scale Face Recognition",
        {"paper": NPC, "facexzoo": NPC_ZOO, "facexzoo_config": NPC_ZOO | {"s": 32, "m_mask": 0.35}},
    ),
    Method(
        "hm_softmax",
        "HM-softmax (OHEM)",
        of.NormSoftmax,
        "Shrivastava et al., Online Hard Example Mining, CVPR 2016",
        {"paper": {"s": 32, "keep": 0.9}, "svx": {"s": 32, "keep": 0.9, "rounding": "down"}},
        weighting=HardMining,
        essence=HardMining,
    ),
    Method(
        "focal_softmax",
        "Focal softmax",
        of.ArcFace,
        "Lin et al., Focal Loss, ICCV 2017",
        {  # the released codes of faces take the focal loss of their ArcFace head's logits
            "paper": {"s": 32, "m": 0, "gamma": 2},
            "svx": {"s": 32, "m": 0, "gamma": 2},
            "evolve": ARC | {"guard": "mm", "gamma": 2, "p": "batch"},
            "curricularface_repo": ARC | {"guard": "mm", "gamma": 2, "p": "batch"},
        },
        weighting=Focal,
        essence=Focal,
    ),
    Method(
        "center_loss",
        "Center loss",
        of.Softmax,
        "Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016",
        {"paper": {"lam": 0.003, "alpha": 0.5}},
        scale=Scale,
        similarity=Dot,
        terms=(CenterLoss,),
        essence=CenterLoss,
    ),
    Method(
        "triplet",
        "Triplet",
        Triplet,
        "Schroff et al., FaceNet, CVPR 2015",
        {
            "paper": {"alpha": 0.2, "mining": "semi-hard"},
            "pml": {"alpha": 0.05, "mining": "all", "distance": "euclidean"},
            "facexzoo": {"alpha": 2.5, "mining": "random", "pairs": "combinations"},
        },
        scale=Scale,
        images_per_class=4,
    ),
    Method(
        "uniformface",
        "UniformFace",
        of.SphereFace,
        "Duan et al., UniformFace, CVPR 2019",
        {"paper": {"m": 4, "lam_u": 1}},
        scale=Length,
        terms=(UniformTerm,),
        essence=UniformTerm,
    ),
    Method(
        "circle",
        "Circle loss",
        of.Circle,
        "Sun et al., Circle Loss, CVPR 2020",
        {"paper": {"s": 256, "m": 0.25}, "facexzoo": {"s": 256, "m": 0.25}},
    ),
    Method(
        "magface",
        "MagFace",
        of.MagFace,
        "Meng et al., MagFace, CVPR 2021",
        {
            "paper": {"s": 64, "lam_g": 35},
            "magface_repo": {"s": 64, "lam_g": 20, "guard": "easy"},
            "magface_repo_config": {"s": 64, "lam_g": 35, "guard": "easy"},
            "facexzoo": {"s": 32, "lam_g": 20, "guard": "plain"},
        },
    ),
    Method(
        "adaface",
        "AdaFace",
        of.AdaFace,
        "Kim et al., AdaFace, CVPR 2022",
        {
            "paper": {"s": 64, "m": 0.4, "h": 0.333, "momentum": 0.01},
            "adaface_repo": {"s": 64, "m": 0.4, "h": 0.333, "momentum": 1.0, "guard": "clip"},
            "adaface_repo_config": {"s": 64, "m": 0.4, "h": 0.333, "momentum": 0.01, "guard": "clip"},
        },
    ),
    Method("elasticface_arc", "ElasticFace-Arc", of.ElasticArc, ELASTIC, elastic_presets(ARC, 0.0175)),
    Method("elasticface_cos", "ElasticFace-Cos", of.ElasticCos, ELASTIC, elastic_presets({"s": 64, "m": 0.35}, 0.02)),
    Method(
        "subcenter_arcface",
        "Sub-center ArcFace",
        of.ArcFace,
        "Deng et al., Sub-center ArcFace, ECCV 2020",
        {"paper": ARC | {"K": 3}, "pml": {"s": 64, "m": PML_RAD, "guard": "mm", "K": 3}},
        similarity=SubCenters,
        essence=SubCenters,
    ),
    Method(
        "uniface",
        "UniFace",
        of.CosFace,
        "Zhou et al., UniFace, ICCV 2023",
        {"paper": {"s": 64, "m": 0.4, "lam": 1}, "uniface_repo": {"s": 64, "m": 0.4, "lam": 1, "exponents": "clipped"}},
        criterion=BinaryCrossEntropy,
        essence=BinaryCrossEntropy,
    ),
)
METHODS: dict[str, Method] = {method.key: method for method in _METHODS}


def build(
    name: str,
    classes: int,
    dim: int,
    preset: str = "paper",
    centers: str = "full",
    compute: str = "dense",
    precision: str = "fp32",
    seed: int = 0,
    class_set: Mapping[str, Any] = MappingProxyType({}),
    ignore_index: int = IGNORE_INDEX,
    **parameters: Any,
) -> Objective:
    """A criterion for `classes` identities and embeddings of dimension `dim`; keyword arguments override the preset.

        criterion = build("npcface", classes=C, dim=D)
        total = criterion(x, y)          # a scalar; x (B, D) embeddings, y (B,) labels of any integer type

    In train mode a forward that requires gradients advances the state once, as in BatchNorm; in eval mode and under
    no_grad the state does not change. `criterion.loss(x, y)` -> Loss(total, per_sample, terms) never changes it. Rows
    with the label `ignore_index` are ignored. Pass `criterion.parameters()` to an optimizer, for all class sets.

    seed: of the initial centers, which are the same for every method. compute: "dense"; "streaming" computes the
    cosines in tiles, exactly and without B x C memory (precision="bf16": matrix products in bfloat16); "auto" chooses
    the faster one, and `criterion.how(batch)` gives the reason. centers: "full"; "sampled" (Partial FC) and "queued"
    (a reconstruction of MutualFace from its abstract) compare a batch with a part of the classes and update only their
    rows; "sharded" splits the classes over ranks. class_set: options of the class set. Raises InputError for an unknown
    method, preset, parameter or option (with the nearest name) and for a value out of range.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    options = (("centers", centers, CENTERS), ("compute", compute, COMPUTE), ("precision", precision, PRECISION))
    for option, value, known in options:
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
    if not method.has_logits:
        if centers != "full":
            raise InputError(f"centers = {centers}: {name} compares samples with each other, not with classes")
        return TripletLoss(method.margin_of(settings), classes, dim, seed, ignore_index)
    class_centers = make_centers(centers, classes, dim, seed, method.similarity_of(settings), class_set)
    objective = method.build_objective(settings, class_centers, seed, compute, precision, ignore_index)
    warn_caution(objective, stacklevel=3)
    return objective
