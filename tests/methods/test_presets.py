"""What papers and released codes print: golden vectors, presets, reductions to one another, first losses."""

import math

import pytest
import reference
import torch
from cases import build_quietly, case, numbers, parameter_id, view

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

PEERS = {
    "arcface": {
        "paper": {"s": 64, "m": 0.5, "guard": "wrap", "grad": "exact"},
        "insightface": {"s": 64, "m": 0.5, "guard": "wrap", "grad": "detached"},
        "tface": {"s": 64, "m": 0.5, "guard": "mm", "grad": "exact"},
        "evolve": {"guard": "mm"},
        "oml": {"guard": "mm"},
        "pml": {"s": 64, "m": math.radians(28.6), "guard": "mm"},
        "facexzoo": {"s": 32, "m": 0.35, "guard": "plain"},
        "adaface_repo": {"guard": "clip"},
    },
    "norm_softmax": {"pml": {"s": 20}},
    "sphereface": {
        "paper": {"m": 4, "lam_base": 1000, "lam_min": 5, "decay": 0.12, "power": 1, "by": "length"},
        "evolve": {"m": 4, "lam_base": 1000, "lam_min": 5, "decay": 0.12, "power": 1, "by": "length"},
        "svx": {"lam_base": 1000, "lam_min": 5, "decay": 1e-4, "power": 2, "by": "s"},
        "pml": {"m": 4, "lam_base": 0, "lam_min": 0, "by": "length"},
    },
    "sphereface_r": {
        "opensphere": {"m": 1.7, "s": 30, "grad": "detached"},
        "opensphere_config": {"m": 1.7, "s": 64, "grad": "detached"},
    },
    "cosface": {
        "paper": {"s": 64, "m": 0.35, "guard": "wrap"},
        "am": {"s": 30, "m": 0.35},
        "insightface": {"s": 64, "m": 0.40},
        "tface": {"m": 0.40},
        "facexzoo": {"s": 32, "m": 0.35},
        "svx": {"guard": "easy"},
        "evolve": {"s": 30},
    },
    "combined": {
        "paper": {"m1": 1, "m2": 0.3, "m3": 0.2, "form": "full"},
        "insightface": {"m1": 1, "m2": 0.5, "m3": 0, "form": "insightface"},
        "insightface_config": {"m1": 1, "m2": 0, "m3": 0.4, "form": "insightface"},
    },
    "adaptiveface": {"facexzoo": {"s": 30, "lam": 70}, "facexzoo_config": {"s": 32, "lam": 70}},
    "adacos": {"paper": {"rule": "dynamic"}},
    "adacos_fixed": {"paper": {"rule": "fixed"}},
    "mv_am": {
        "svx": {"s": 32, "m": 0.35, "t": 1.2, "guard": "easy", "form": "adaptive"},
        "facexzoo": {"s": 32, "m": 0.35, "t": 1.12, "guard": "gtm", "form": "adaptive"},
    },
    "mv_arc": {
        "paper": {"m": 0.5, "t": 1.2, "guard": "wrap"},
        "svx": {"s": 32, "m": 0.35, "t": 1.2, "guard": "easy"},
        "facexzoo": {"m": 0.35, "t": 1.12, "guard": "easy"},
    },
    "arcnegface": {"arcnegface_repo": {"s": 64, "m": 0.5, "alpha": 1.2, "sigma": 2, "guard": "mm", "smoothing": 0}},
    "curricularface": {
        "paper": {"s": 64, "m": 0.5, "momentum": 0.01},
        "curricularface_repo": {"momentum": 0.01, "guard": "mm"},
        "tface": {"momentum": 0.1, "guard": "mm"},
    },
    "recurricularface": {
        "paper": {"s": 64, "m": 0.5, "k": 1.1, "alpha": 0.4, "guard": "mm", "mask": "misclassified", "t_clip": True}
        | {"t_rule": "ema", "momentum": 0.01, "product": "cosθ·I", "coeffs": "paper"},
    },
    "npcface": {
        "paper": {"s": 64, "m0": 0.4, "m1": 0.2, "t": 1.1, "alpha": 0.25, "m_mask": 0.5, "guard": "wrap"},
        "facexzoo": {"s": 64, "m0": 0.4, "m1": 0.2, "t": 1.1, "alpha": 0.2, "m_mask": 0.5, "guard": "easy"},
        "facexzoo_config": {"s": 32, "alpha": 0.2, "m_mask": 0.35, "guard": "easy"},
    },
    "hm_softmax": {"svx": {"keep": 0.9}},
    "focal_softmax": {
        "paper": {"gamma": 2, "p": "sample"},
        "svx": {"p": "sample"},
        "evolve": {"p": "batch"},
        "curricularface_repo": {"p": "batch"},
    },
    "center_loss": {"paper": {"lam": 0.003, "alpha": 0.5}},
    "triplet": {
        "paper": {"alpha": 0.2, "mining": "semi-hard", "distance": "squared"},
        "pml": {"alpha": 0.05, "distance": "euclidean"},
        "facexzoo": {"alpha": 2.5, "mining": "random", "distance": "squared"},
    },
    "uniformface": {"paper": {"lam_u": 1}},
    "circle": {"facexzoo": {"s": 256, "m": 0.25}},
    "magface": {
        "paper": {"s": 64, "l_a": 10, "u_a": 110, "l_m": 0.45, "u_m": 0.8, "lam_g": 35},
        "magface_repo": {"lam_g": 20, "guard": "easy"},
        "magface_repo_config": {"lam_g": 35, "guard": "easy"},
        "facexzoo": {"lam_g": 20, "guard": "plain"},
    },
    "adaface": {
        "paper": {"s": 64, "m": 0.4, "h": 0.333, "momentum": 0.01},
        "adaface_repo": {"m": 0.4, "h": 0.333, "momentum": 1.0, "guard": "clip"},
        "adaface_repo_config": {"momentum": 0.01, "guard": "clip"},
    },
    "elasticface_arc": {
        "paper": {"m": 0.5, "sigma": 0.05, "plus": "none", "guard": "wrap"},
        "paper_plus": {"sigma": 0.0175, "plus": "matched"},
        "elasticface_repo": {"sigma": 0.0125, "plus": "none"},
        "elasticface_repo_config_plus": {"sigma": 0.0175, "plus": "repo"},
    },
    "elasticface_cos": {
        "paper": {"m": 0.35, "sigma": 0.05},
        "paper_plus": {"sigma": 0.02, "plus": "matched"},
        "elasticface_repo_config_plus": {"sigma": 0.02, "plus": "repo"},
    },
    "subcenter_arcface": {"paper": {"K": 3, "m": 0.5, "s": 64}},
    "uniface": {"paper": {"s": 64, "m": 0.4, "lam": 1}},
}


@pytest.mark.parametrize("name", METHODS)
def test_presets_hold_what_papers_and_peers_have(name):
    for preset, expected in PEERS.get(name, {}).items():
        found = METHODS[name].settings(preset)
        for key, value in expected.items():
            assert found[key] == (pytest.approx(value) if isinstance(value, float) else value), (preset, key)


def test_margins_of_pml_are_degrees_turned_into_radians():
    assert METHODS["arcface"].settings("pml")["m"] == pytest.approx(0.4992, abs=5e-5)


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
