"""What papers and released codes print: golden vectors, presets, reductions to one another, first losses."""

import math

import pytest
import reference
import torch
from cases import build_quietly, case, numbers, parameter_id, view

from workbench.core.errors import InputError
from workbench.methods import METHODS, build

A = [0.6, 0.5, 0.2, -0.1, 0.583095]
GOLDEN = [
    ("arcface", {"m": 0.5}, [0.1430, 0.5, 0.2, -0.1, 0.5831]),
    ("mv_am", {"m": 0.35, "t": 1.2}, [0.25, 0.80, 0.2, -0.1, 0.8997]),
    ("mv_am", {"preset": "facexzoo"}, [0.25, 0.68, 0.2, -0.1, 0.7731]),
    ("mv_arc", {"m": 0.5, "t": 1.2}, [0.1430, 0.80, 0.44, -0.1, 0.8997]),
    ("mv_arc", {"m": 0.5, "t": 1.2, "form": "fixed"}, [0.1430, 0.70, 0.40, -0.1, 0.7831]),
    ("arcnegface", {"preset": "paper"}, [0.1430, 0.6889, 0.4377, 0.0486, 0.7244]),
    ("arcnegface", {"preset": "arcnegface_repo"}, [0.1430, 0.6889, 0.4377, 0.0486, 0.7244]),
    ("curricularface", {"state": 0.0060}, [0.1430, 0.2530, 0.0412, -0.1, 0.3435]),
    ("curricularface", {"state": 0.5010}, [0.1430, 0.5005, 0.1402, -0.1, 0.6321]),
    ("npcface", {"preset": "facexzoo"}, [0.1573, 0.75, 0.42, -0.1, 0.8414]),
    ("npcface", {"preset": "facexzoo_config"}, [0.1348, 0.75, 0.2, -0.1, 0.8414]),
    ("npcface", {"preset": "paper"}, [0.1573, 0.80, 0.47, -0.1, 0.8914]),
    ("recurricularface", {"state": 0.006}, [0.1430, 0.2762, 0.0445, -0.1, 0.3754]),
    ("recurricularface", {"state": 0.501}, [0.1430, 0.3752, 0.0841, -0.1, 0.4909]),
    ("recurricularface", {"state": 1.0}, [0.1430, 0.4750, 0.1240, -0.1, 0.6072]),
    ("circle", {"m": 0.25}, [-0.0975, 0.1875, -0.0225, -0.0525, 0.2775]),
    ("magface", {"norm": 50.0}, [0.0535, 0.5, 0.2, -0.1, 0.5831]),
    ("combined", {"m1": 1, "m2": 0.3, "m3": 0.2}, [0.1368, 0.5, 0.2, -0.1, 0.5831]),
    ("combined", {"m1": 1, "m2": 0.3, "m3": 0.2, "form": "insightface"}, [0.4, 0.5, 0.2, -0.1, 0.5831]),
    ("combined", {"m1": 1.5, "m2": 0.3, "m3": 0.2, "form": "insightface"}, [0.4, 0.5, 0.2, -0.1, 0.5831]),
]


def logits_of_cosines(name, cos, state=None, norm=1.0, **settings):
    """T and N for given cosines with the target in column 0: an embedding and centers that have these cosines."""
    obj = build_quietly(name, len(cos), len(cos) + 1, **settings).double()
    W = torch.zeros(len(cos), len(cos) + 1, dtype=torch.float64)
    for j, c in enumerate(cos):
        W[j, 0], W[j, j + 1] = c, math.sqrt(1 - c * c)
    x = torch.zeros(1, len(cos) + 1, dtype=torch.float64)
    x[0, 0] = norm
    with torch.no_grad():
        obj.centers.weight.copy_(W)
        if state is not None:
            obj.state_t.fill_(state)
    y = torch.tensor([0])
    p = view(obj, name, x, y)
    naive = reference.logits_of(name, reference.table(name, numbers(x), numbers(W), p), [norm], [0], p)
    return obj.margin_logits(x, y)[0].tolist(), naive[0]


@pytest.mark.parametrize(("name", "settings", "expected"), GOLDEN, ids=parameter_id)
def test_golden_vectors_hold_for_the_workbench_and_for_the_loops(name, settings, expected):
    found, naive = logits_of_cosines(name, A, **settings)
    assert found == pytest.approx(expected, abs=1e-4)
    assert naive == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("curricularface", {"preset": "curricularface_repo"}, -1.1897),
        ("arcnegface", {"preset": "arcnegface_repo"}, -1.1897),
        ("arcface", {"preset": "facexzoo", "m": 0.5}, -0.95),
        ("arcface", {"preset": "insightface"}, -0.9834),
        ("arcface", {"guard": "easy"}, -0.95),
    ],
)
def test_golden_guards_of_peers_past_pi(name, settings, expected):
    assert logits_of_cosines(name, [-0.95, 0.0], **settings)[0][0] == pytest.approx(expected, abs=1e-4)


# --- peers: their constructors' defaults, their shipped configurations, and where they differ in kind ---

# Every value of the preset `paper`, and of each other preset those that differ from it, read from METHODS.md and from
# the released sources, never from the catalogue.
EXACT = {"guard": "wrap", "grad": "exact"}
ARC = {"s": 64, "m": 0.5} | EXACT
SPHERE = {"by": "length", "s": 32, "m": 4, "lam_base": 1000, "lam_min": 5, "decay": 0.12, "power": 1}
MV = {"s": 32, "t": 1.2, "form": "adaptive", "mask": "misclassified", "topk": 10} | EXACT
ELASTIC = {"s": 64, "sigma": 0.05, "plus": "none"} | EXACT
PML_M = math.radians(28.6)
PRESETS = {
    "softmax": ({}, {}),
    "norm_softmax": ({"s": 20}, {"pml": {}}),
    "sphereface": (
        SPHERE,
        {"evolve": {}, "svx": {"by": "s", "decay": 1e-4, "power": 2}, "pml": {"lam_base": 0, "lam_min": 0}},
    ),
    "sphereface_r": (
        {"s": 30, "m": 1.7, "grad": "detached"},
        {"exact": {"grad": "exact"}, "opensphere": {}, "opensphere_config": {"s": 64}},
    ),
    "cosface": (
        {"s": 64, "m": 0.35} | EXACT,
        {
            "am": {"s": 30},
            "insightface": {"m": 0.4},
            "tface": {"m": 0.4},
            "facexzoo": {"s": 32},
            "svx": {"s": 32, "guard": "easy"},
            "evolve": {},  # its CosFace: s 64, m 0.35
            "evolve_am": {"s": 30},  # its Am_softmax
        },
    ),
    "arcface": (
        ARC | {"clip": 1e-3},
        {
            "insightface": {"grad": "detached"},
            "tface": {"guard": "mm"},
            "evolve": {"guard": "mm"},
            "oml": {"guard": "mm"},
            "pml": {"m": PML_M, "guard": "mm"},
            "facexzoo": {"s": 32, "m": 0.35, "guard": "plain"},
            "adaface_repo": {"guard": "clip", "clip": 1e-4},
        },
    ),
    "combined": (
        {"s": 64, "m1": 1, "m2": 0.3, "m3": 0.2, "form": "full", "grad": "exact"},
        {
            "paper_2": {"m1": 0.9, "m2": 0.4, "m3": 0.15},
            "insightface": {"m2": 0.5, "m3": 0, "form": "insightface", "grad": "detached"},
            "insightface_config": {"m2": 0, "m3": 0.4, "form": "insightface", "grad": "detached"},
        },
    ),
    "adaptiveface": ({"s": 30, "lam": 70}, {"facexzoo": {}, "facexzoo_config": {"s": 32}}),
    "adacos": ({"rule": "dynamic"}, {"facexzoo": {}}),
    "adacos_fixed": ({"rule": "fixed"}, {}),
    "mv_am": (
        MV | {"m": 0.35, "positive": "am"},
        {"fixed": {"form": "fixed"}, "svx": {"guard": "easy"}, "facexzoo": {"t": 1.12, "guard": "gtm"}},
    ),
    "mv_arc": (
        MV | {"m": 0.5, "positive": "arc"},
        {
            "fixed": {"form": "fixed"},
            "svx": {"m": 0.35, "guard": "easy"},
            "facexzoo": {"m": 0.35, "t": 1.12, "guard": "easy"},
        },
    ),
    "arcnegface": (
        ARC | {"alpha": 1.2, "sigma": 2, "smoothing": 0},
        {"arcnegface_repo": {"guard": "mm"}, "facexzoo": {"guard": "mm"}},
    ),
    "curricularface": (
        ARC | {"momentum": 0.01, "mask": "misclassified", "topk": 10},
        {
            "curricularface_repo": {"guard": "mm"},
            "facexzoo": {"guard": "mm"},
            "tface": {"momentum": 0.1, "guard": "mm"},
        },
    ),
    "recurricularface": (
        ARC
        | {"k": 1.1, "alpha": 0.4, "product": "cosθ·I", "mask": "misclassified", "topk": 10, "coeffs": "paper"}
        | {"E": math.radians(80), "E_rule": "fixed", "t_rule": "ema", "momentum": 0.01, "t_steps": 1000}
        | {"t_clip": True, "guard": "mm"},
        {"closed": {"coeffs": "closed"}, "literal": {"coeffs": "literal"}, "unmasked": {"mask": "all"}},
    ),
    "npcface": (
        {"s": 64, "m0": 0.4, "m1": 0.2, "t": 1.1, "alpha": 0.25, "m_mask": 0.5, "mask": "misclassified", "topk": 10}
        | EXACT,
        {
            "facexzoo": {"alpha": 0.2, "guard": "easy"},
            "facexzoo_config": {"alpha": 0.2, "guard": "easy", "s": 32, "m_mask": 0.35},
        },
    ),
    "hm_softmax": ({"s": 32, "keep": 0.9, "rounding": "up"}, {"svx": {"rounding": "down"}}),
    "focal_softmax": (
        {"s": 32, "m": 0, "clip": 1e-3, "gamma": 2, "p": "sample"} | EXACT,
        {
            "svx": {},
            "evolve": {"s": 64, "m": 0.5, "guard": "mm", "p": "batch"},  # of its ArcFace head's logits
            "curricularface_repo": {"s": 64, "m": 0.5, "guard": "mm", "p": "batch"},
        },
    ),
    "center_loss": ({"lam": 0.003, "alpha": 0.5}, {}),
    "triplet": (
        {"alpha": 0.2, "mining": "semi-hard", "distance": "squared", "pairs": "ordered"},
        {
            "pml": {"alpha": 0.05, "mining": "all", "distance": "euclidean"},
            "facexzoo": {"alpha": 2.5, "mining": "random", "pairs": "combinations"},
        },
    ),
    "uniformface": (SPHERE | {"lam_u": 1, "alpha": 0.5}, {}),
    "circle": ({"s": 256, "m": 0.25}, {"facexzoo": {}}),
    "magface": (
        {"s": 64, "l_a": 10, "u_a": 110, "l_m": 0.45, "u_m": 0.8, "lam_g": 35} | EXACT,
        {
            "magface_repo": {"lam_g": 20, "guard": "easy"},
            "magface_repo_config": {"guard": "easy"},
            "facexzoo": {"s": 32, "lam_g": 20, "guard": "plain"},
        },
    ),
    "adaface": (
        {"s": 64, "m": 0.4, "h": 0.333, "momentum": 0.01, "clip": 1e-3} | EXACT,
        {"adaface_repo": {"momentum": 1, "guard": "clip"}, "adaface_repo_config": {"guard": "clip"}},
    ),
    "elasticface_arc": (
        ELASTIC | {"m": 0.5},
        {
            "paper_plus": {"sigma": 0.0175, "plus": "matched"},
            "elasticface_repo": {"sigma": 0.0125},
            "elasticface_repo_config": {},
            "elasticface_repo_config_plus": {"sigma": 0.0175, "plus": "repo"},
        },
    ),
    "elasticface_cos": (
        ELASTIC | {"m": 0.35},
        {
            "paper_plus": {"sigma": 0.02, "plus": "matched"},
            "elasticface_repo": {"sigma": 0.0125},
            "elasticface_repo_config": {},
            "elasticface_repo_config_plus": {"sigma": 0.02, "plus": "repo"},
        },
    ),
    "subcenter_arcface": (ARC | {"clip": 1e-3, "K": 3}, {"pml": {"m": PML_M, "guard": "mm"}}),
    "uniface": (
        {"s": 64, "m": 0.4, "lam": 1, "exponents": "full"} | EXACT,
        {"uniface_repo": {"exponents": "clipped"}},
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_every_preset_is_that_of_the_paper_or_the_released_code(name):
    paper, others = PRESETS[name]
    for preset, differs in ({"paper": {}} | others).items():
        found = METHODS[name].settings(preset)
        assert found.keys() == paper.keys(), preset
        for key, value in (paper | differs).items():
            assert found[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), (preset, key)
    assert list(METHODS[name].presets) == ["paper", *others]


def test_margins_of_pml_are_degrees_turned_into_radians():
    assert METHODS["arcface"].settings("pml")["m"] == pytest.approx(0.4992, abs=5e-5)


# --- released heads, restated in torch from their sources: value and gradient by the embeddings ---


def hot(cos, y):
    return torch.nn.functional.one_hot(y, cos.shape[1]).to(cos)


def insightface(cos, x, y):
    """CombinedMarginLoss at m1 = 1, m3 = 0: arccos, + m2, cos under no_grad."""
    with torch.no_grad():
        lead = (cos.clamp(-1, 1).acos() + 0.5 * hot(cos, y)).cos() - cos
    return torch.nn.functional.cross_entropy(64 * (cos + lead * hot(cos, y)), y)


def adaface_arcface(cos, x, y):
    cos = cos.clamp(-1 + 1e-4, 1 - 1e-4)
    theta = (cos.acos() + 0.5 * hot(cos, y)).clamp(1e-4, math.pi - 1e-4)
    return torch.nn.functional.cross_entropy(64 * theta.cos(), y)


def adaface_repo(cos, x, y, t_alpha=1.0):
    cos, norm = cos.clamp(-1 + 1e-3, 1 - 1e-3), x.norm(dim=1, keepdim=True).clamp(1e-3, 100).detach()
    mean, std = norm.mean() * t_alpha + (1 - t_alpha) * 20, norm.std() * t_alpha + (1 - t_alpha) * 100
    z = ((norm - mean) / (std + 1e-3) * 0.333).clamp(-1, 1)
    theta = (cos.acos() - 0.4 * z * hot(cos, y)).clamp(1e-3, math.pi - 1e-3)
    return torch.nn.functional.cross_entropy(64 * (theta.cos() - (0.4 + 0.4 * z) * hot(cos, y)), y)


def adaface_script(cos, x, y):
    return adaface_repo(cos, x, y, t_alpha=0.01)


def uniface_repo(cos, x, y):
    b = math.log(10 * cos.shape[1])
    own = torch.log(1 + torch.exp(-(64 * (cos - 0.4) - b).clamp(-64, 64)))
    other = torch.log(1 + torch.exp((64 * cos - b).clamp(-64, 64)))
    return torch.where(hot(cos, y) > 0, own, other).sum(dim=1).mean()


def svx_hard_mining(cos, x, y):
    losses = torch.nn.functional.cross_entropy(32 * cos, y, reduction="none")
    return losses[(-losses).argsort()[: int(0.9 * len(y))]].mean()


def evolve_focal(cos, x, y):
    m, guarded = 0.5, cos * math.cos(0.5) - (1 - cos**2).clamp_min(1e-30).sqrt() * math.sin(0.5)
    guarded = torch.where(cos > math.cos(math.pi - m), guarded, cos - math.sin(math.pi - m) * m)
    logp = torch.nn.functional.cross_entropy(64 * torch.where(hot(cos, y) > 0, guarded, cos), y)
    return (1 - torch.exp(-logp)) ** 2 * logp


RELEASED = [
    ("combined", "insightface", insightface),
    ("arcface", "adaface_repo", adaface_arcface),
    ("adaface", "adaface_repo", adaface_repo),
    ("adaface", "adaface_repo_config", adaface_script),
    ("uniface", "uniface_repo", uniface_repo),
    ("hm_softmax", "svx", svx_hard_mining),
    ("focal_softmax", "evolve", evolve_focal),
]


@pytest.mark.parametrize("compute", ["dense", "streaming"])
@pytest.mark.parametrize(("name", "preset", "head"), RELEASED, ids=lambda value: getattr(value, "__name__", value))
def test_presets_equal_the_released_heads_in_value_and_gradient(name, preset, head, compute):
    """Of samples from exactly on their center to exactly opposite, where the clamps act."""
    C, D, B = 60, 8, 25
    rng = torch.Generator().manual_seed(0)
    W, y = torch.randn(C, D, generator=rng).double(), torch.randint(0, C, (B,), generator=rng)
    x = torch.linspace(1, -1, B)[:, None] * W[y] + 0.3 * torch.randn(B, D, generator=rng).double()
    x[0], x[1], x[-2], x[-1] = W[y[0]], 0.999 * W[y[1]], -W[y[-2]], -W[y[-1]]
    x = x + 1e-4 * torch.randn(B, D, generator=rng).double()  # off the poles themselves: there acos has no slope
    x = (5 + 60 * torch.rand(B, 1, generator=rng).double()) * torch.nn.functional.normalize(x)
    obj = build(name, C, D, preset=preset, compute=compute).double()
    with torch.no_grad():
        obj.centers.weight.copy_(W)
        for value in obj.learned.values():
            value.fill_(math.log(10 * C))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    total = obj.step(ours, y).total
    wanted = head(torch.nn.functional.normalize(theirs) @ torch.nn.functional.normalize(W).T, theirs, y)
    total.backward(), wanted.backward()
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-10)
    assert float((ours.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-7


def test_insightface_refuses_what_its_code_raises_for():
    with pytest.raises(InputError, match=r"m1 = 1\.5, m3 = 0; form = 'insightface' needs m1 = 1 or m3 > 0"):
        build("combined", 4, 3, preset="insightface", m1=1.5)


# --- reductions ---

REDUCTIONS = [
    ("npcface", {"m0": 0.5, "m1": 0, "t": 1, "alpha": 0}, "arcface", {"m": 0.5}),
    ("npcface", {"m0": 0, "m1": 0, "t": 1, "alpha": 0}, "norm_softmax", {}),
    ("arcface", {"m": 0}, "norm_softmax", {}),
    ("cosface", {"m": 0}, "norm_softmax", {}),
    ("mv_am", {"t": 1, "m": 0.35}, "cosface", {"m": 0.35}),
    ("mv_arc", {"t": 1, "m": 0.5}, "arcface", {"m": 0.5}),
    ("mv_am", {"positive": "arc", "m": 0.5}, "mv_arc", {"m": 0.5}),
    ("recurricularface", {"k": 1, "alpha": 1, "guard": "wrap"}, "curricularface", {}),
    ("sphereface", {"m": 1, "by": "s", "s": 20}, "norm_softmax", {}),
    ("sphereface_r", {"m": 1}, "norm_softmax", {}),
    ("combined", {"m1": 1, "m2": 0.5, "m3": 0}, "arcface", {"m": 0.5}),
    ("combined", {"m1": 1, "m2": 0, "m3": 0.35}, "cosface", {"m": 0.35}),
    ("combined", {"m1": 1, "m2": 0, "m3": 0}, "norm_softmax", {}),
    ("combined", {"m1": 1.5, "m2": 0.3, "m3": 0.2, "form": "insightface"}, "cosface", {"m": 0.2}),
    ("arcnegface", {"alpha": 1, "sigma": 20}, "arcface", {"m": 0.5}),
    ("hm_softmax", {"keep": 1}, "norm_softmax", {}),
    ("focal_softmax", {"gamma": 0}, "norm_softmax", {}),
    ("center_loss", {"lam": 0}, "softmax", {}),
    ("uniformface", {"lam_u": 0}, "sphereface", {}),
    ("magface", {"l_m": 0.5, "u_m": 0.5, "lam_g": 0}, "arcface", {"m": 0.5}),
    ("adaface", {"h": 0, "m": 0.35}, "cosface", {"m": 0.35}),
    ("adaface", {"m": 0}, "norm_softmax", {}),
    ("elasticface_arc", {"sigma": 0}, "arcface", {"m": 0.5}),
    ("elasticface_cos", {"sigma": 0}, "cosface", {"m": 0.35}),
    ("subcenter_arcface", {"K": 1}, "arcface", {"m": 0.5}),
]


@pytest.mark.parametrize(("name", "settings", "simpler", "its"), REDUCTIONS, ids=parameter_id)
def test_reductions(name, settings, simpler, its):
    s = {"s": 20} if {"s"} <= METHODS[name].parameters().keys() & METHODS[simpler].parameters().keys() else {}
    obj, x, y = case(name, **(settings | s))
    other, _, _ = case(simpler, **(its | s))
    with torch.no_grad():
        other.centers.weight.copy_(obj.centers.weight)
        if other.centers.bias is not None:
            other.centers.bias.copy_(obj.centers.bias)
    # ArcNegFace's limit is sigma -> infinity: its largest sigma comes within (1 - cos)^2 / sigma of it
    tolerance = {"arcnegface": 0.4}.get(name, 1e-14)
    assert torch.allclose(obj.margin_logits(x, y), other.margin_logits(x, y), atol=tolerance)
    if name != "arcnegface":
        assert torch.allclose(obj.loss(x, y).total, other.loss(x, y).total, rtol=1e-13)


def test_every_method_has_a_reduction_but_those_that_have_none():
    own = {"softmax", "norm_softmax", "curricularface", "circle", "triplet", "uniface", "adacos", "adaptiveface"}
    assert {name for name, *_ in REDUCTIONS} | own | {"adacos_fixed"} == set(METHODS)


def test_the_remaining_reductions():
    """Those that need a state or a learned number set: AdaCos at a given s, AdaptiveFace at equal margins, the rest."""
    plain, x, y = case("norm_softmax", s=7)
    dynamic, _, _ = case("adacos")
    assert torch.allclose(dynamic.loss(x, y).total, plain.loss(x, y).total, rtol=1e-13)
    own, _, _ = case("adaptiveface", s=20, lam=0)
    with torch.no_grad():
        own.learned["m"].fill_(0.35)
    assert torch.allclose(own.loss(x, y).total, case("cosface", s=20, m=0.35)[0].loss(x, y).total, rtol=1e-13)
    nothing_hard, x, y = case("curricularface", m=0)
    x = 5 * nothing_hard.centers.weight.detach()[y]  # on their centers: every other cosine is below
    assert torch.allclose(nothing_hard.loss(x, y).total, case("norm_softmax", s=64)[0].loss(x, y).total, rtol=1e-13)


# --- the first loss at 10,572 random classes in 512 dimensions ---

FIRST_LOSS = [
    ("norm_softmax", {}, 12.8, 9.9),
    ("cosface", {"m": 0.35}, 35.2, 20.5),
    ("cosface", {"m": 0.40}, 38.4, 21.9),
    ("arcface", {}, 43.5, 24.4),
    ("curricularface", {}, 39.7, 23.5),
    ("recurricularface", {}, 39.7, 23.5),
    ("recurricularface", {"preset": "unmasked"}, 39.7, 23.5),
    ("arcnegface", {}, 45.1, 25.8),
    ("npcface", {}, 54.5, 29.3),
    ("mv_arc", {}, 57.9, 30.7),
]


def test_expected_first_losses():
    x = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    y = torch.randint(0, 10572, (256,), generator=torch.Generator().manual_seed(1))
    at_first = build("norm_softmax", 10572, 512)
    with torch.no_grad():
        cos = at_first.margin_logits(x, y)
        for name, settings, sharp, soft in FIRST_LOSS:
            for s, expected in ((64, sharp), (30, soft)):
                obj = build(name, 2, 2, s=s, **settings)  # the loss of given cosines: its own centers do not matter
                found = float(obj.from_cosines(cos, y).total)
                assert found == pytest.approx(expected, abs=0.25), (name, settings, s)
