"""What single methods add to the contract: state between batches, learned parameters, reductions, first losses."""

import math
import warnings

import pytest
import reference
import torch
from cases import CLASSIFIERS, build_quietly, case, elastic_eps, numbers, per_sample, relative, view

from workbench.core.errors import InputError
from workbench.methods import METHODS, build


def trained(obj, batches):
    """The objective after SGD on what it owns, one step a batch; the losses on the way."""
    owned = [p for p in obj.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(owned, lr=0.01, momentum=0.9) if owned else None
    losses = []
    for x, y in batches:
        loss = obj.step(x, y).total
        losses.append(loss.detach())
        if optimizer and loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            obj.apply_updates(0.1)
    return losses


def batches(n, B=8, C=9, D=5):
    g = torch.Generator().manual_seed(5)
    return [(3 * torch.randn(B, D, generator=g), torch.randint(0, C, (B,), generator=g)) for _ in range(n)]


@pytest.mark.parametrize("name", METHODS)
def test_state_survives_saving_in_the_middle_of_a_training(name):
    """Loaded into an objective made with another seed, the training goes on to the same bits."""
    first = build(name, 9, 5, seed=1)
    trained(first, batches(4))
    resumed = build(name, 9, 5, seed=2)
    resumed.load_state_dict(first.state_dict())
    assert first.state.keys() == resumed.state.keys()
    assert all(torch.equal(value, resumed.state[key]) for key, value in first.state.items())
    later = batches(7)[4:]
    assert all(torch.equal(a, b) for a, b in zip(trained(first, later), trained(resumed, later), strict=True))
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_step_is_observe_then_loss(name):
    together, apart = build(name, 9, 5), build(name, 9, 5)
    for x, y in batches(3):
        loss = together.step(x, y)
        apart.observe(x, y)
        assert torch.equal(loss.total, apart.loss(x, y).total)
    assert all(torch.equal(a, b) for a, b in zip(together.state.values(), apart.state.values(), strict=True))


STATEFUL = {
    "sphereface": {"lam", "step"},
    "adacos": {"s"},
    "adacos_fixed": {"s"},
    "curricularface": {"t"},
    "recurricularface": {"t", "E", "step"},
    "center_loss": {"means"},
    "triplet": {"seed", "step"},
    "uniformface": {"lam", "step", "means"},
    "adaface": {"mu", "sigma"},
    "elasticface_arc": {"seed", "step"},
    "elasticface_cos": {"seed", "step"},
}


@pytest.mark.parametrize("name", METHODS)
def test_state_is_saved_copied_out_and_shown(name):
    obj = build(name, 9, 5)
    assert set(obj.state) == STATEFUL.get(name, set())
    assert {f"state_{key}" for key in obj.state} <= set(obj.state_dict())
    for value in obj.state.values():
        value.add_(1)  # a copy: nothing happens
    assert all(torch.equal(value, obj.state[key]) for key, value in build(name, 9, 5).state.items())


@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_an_earlier_step_outlive_a_later_one(name):
    """The state moves in place; a loss whose gradient is still wanted must not notice."""
    obj, alone = build(name, 9, 5), build(name, 9, 5)
    (x, y), (x2, y2) = batches(2)
    a, b = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    early = obj.step(a, y).total
    obj.step(x2, y2)
    early.backward()
    alone.step(b, y).total.backward()
    assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_decides_every_first_number(name):
    same, again, other = (build(name, 9, 5, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, again[key]) for key, value in same.items())
    assert not torch.equal(same["centers.weight"], other["centers.weight"])
    if name != "triplet" and METHODS[name].similarity.rows == 1:
        assert torch.equal(same["centers.weight"], build("arcface", 9, 5, seed=3).centers.weight)


@pytest.mark.parametrize("name", METHODS)
def test_training_on_easy_clusters_lowers_the_loss(name):
    """Embeddings as the parameters: the gradient leads downhill, whatever is held constant."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(24) % 6
    settings = {"s": 16} if METHODS[name].parameters().keys() & {"s"} else {}
    obj = build_quietly(name, 6, 8, **settings)
    lengths = 20.0 if name in ("magface", "adaface") else 2.0
    x = torch.randn(24, 8, generator=g)
    x = (lengths * x / x.norm(dim=1, keepdim=True)).requires_grad_(True)
    owned = [p for p in obj.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam([{"params": [x], "lr": 0.05 * lengths}, {"params": owned, "lr": 0.05}])
    losses = []
    for _ in range(40):
        loss = obj.step(x, y)
        losses.append(float((loss.total - loss.terms.get("penalty", 0)).detach()))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        obj.apply_updates(0.1)
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < 0.5 * losses[0]


# --- single methods ---


def cosines(x, W):
    return reference.cosine_table(numbers(x), numbers(W))


def test_curricular_t_is_the_moving_mean_of_the_plain_target_cosine():
    for preset, momentum in (("paper", 0.01), ("tface", 0.1)):
        obj, x, y = case("curricularface", preset=preset)
        obj.state_t.zero_()
        mean = reference.mean(row[label] for row, label in zip(cosines(x, obj.centers.weight), y.tolist(), strict=True))
        obj.observe(x, y)
        assert float(obj.state["t"]) == pytest.approx(momentum * mean, rel=1e-12)
        obj.observe(x, y)
        assert float(obj.state["t"]) == pytest.approx(momentum * mean * (2 - momentum), rel=1e-12)


def test_recurricular_rules_of_t_and_E():
    def observed(n=1, at=0.0, towards=1.0, **settings):
        obj, x, y = case("recurricularface", **settings)
        obj.state_t.fill_(at), obj.state_step.zero_()
        x = x if towards > 0 else -obj.centers.weight.detach()[y]
        seen = []
        for _ in range(n):
            obj.observe(x, y)
            seen.append(float(obj.state["t"]))
        return obj, seen

    assert observed(6, t_rule="linear", t_steps=4)[1] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert observed(momentum=1.0, towards=-1)[1] == [0.0]
    assert observed(momentum=1.0, towards=-1, t_clip=False)[1] == pytest.approx([-1.0])
    assert observed(at=0.7, t_rule="fixed")[1] == pytest.approx([0.7])
    obj, _ = observed(E_rule="measured")
    between = cosines(obj.centers.weight, obj.centers.weight)
    nearest = [math.acos(max(c for j, c in enumerate(row) if j != i)) for i, row in enumerate(between)]
    assert float(obj.state["E"]) == pytest.approx(reference.mean(nearest), rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"preset": "svx"}, {"preset": "pml"}, {"lam_base": 200, "lam_min": 1}])
def test_sphereface_lambda_falls_with_the_step(settings):
    obj, x, y = case("sphereface", **settings)
    p = obj.parameters_now()
    obj.state_step.zero_()
    for step in range(1, 5):
        obj.observe(x, y)
        assert float(obj.state["lam"]) == pytest.approx(reference.sphereface_lam(step, p), rel=1e-12)
    obj.state_step.fill_(1e7)
    obj.observe(x, y)
    assert float(obj.state["lam"]) == p["lam_min"]
    fresh = build("sphereface", 4, 4, **settings)
    assert float(fresh.state["lam"]) == p["lam_base"]


def test_sphereface_psi_falls_all_the_way_for_any_m():
    for m in (1.0, 1.7, 2.0, 4.0, 5.5):
        obj = build("sphereface_r", 4, 4, m=m, grad="exact").double()
        theta = torch.linspace(0.001, math.pi - 0.001, 400, dtype=torch.float64)
        T = obj.margin.T(theta.cos()[:, None], None, None)[:, 0]
        assert (T.diff() < 0).all()
        assert T.tolist() == pytest.approx([reference.psi(math.cos(a), m) for a in theta.tolist()], abs=1e-12)


def test_adacos_scale_moves_as_the_paper_says_and_starts_by_C():
    obj, x, y = case("adacos", C=100)
    assert float(build("adacos", 10572, 4).state["s"]) == pytest.approx(13.1, abs=0.05)
    assert float(build("adacos_fixed", 93431, 4).state["s"]) == pytest.approx(16.2, abs=0.05)
    s = 7.0
    for batch in (x, 2 * x - 1, 3 * obj.centers.weight.detach()[y] + 0.2 * x):  # the last: median below pi / 4
        s = reference.adacos_scale(cosines(batch, obj.centers.weight), y.tolist(), s)
        obj.observe(batch, y)
        assert float(obj.state["s"]) == pytest.approx(s, rel=1e-12)
        assert obj.s == pytest.approx(s, rel=1e-12)
    fixed, x, y = case("adacos_fixed")
    fixed.observe(x, y)
    assert float(fixed.state["s"]) == 7.0


def test_adacos_takes_the_lower_median_of_an_even_batch():
    angles = torch.tensor([0.2, 0.7, 0.1, 0.6], dtype=torch.float64)  # sorted: 0.1 0.2 0.6 0.7
    obj, _, _ = case("adacos", C=3, D=2)
    with torch.no_grad():
        obj.centers.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    obj.observe(x, torch.zeros(4, dtype=torch.long))
    B = sum(math.exp(7 * math.sin(a)) + math.exp(-7 * math.cos(a)) for a in angles.tolist()) / 4
    assert float(obj.state["s"]) == pytest.approx(math.log(B) / math.cos(0.2), rel=1e-12)


def test_adaptiveface_learns_margins_inside_zero_and_one():
    obj = build("adaptiveface", 200, 4, seed=7)
    m = obj.learned["m"].detach()
    assert m.shape == (200,)
    assert 0.3 <= float(m.min()) < 0.31
    assert 0.39 < float(m.max()) <= 0.4
    with torch.no_grad():
        obj.learned["m"][0], obj.learned["m"][1] = 1.7, -0.4
    obj.apply_updates(0.1)
    assert obj.learned["m"][:2].tolist() == [1.0, 0.0]
    assert torch.equal(obj.learned["m"].detach()[2:], m[2:])
    assert "learned.m" in obj.state_dict()
    x, y = torch.randn(3, 4), torch.tensor([0, 5, 5])
    obj.loss(x, y).total.backward()
    unseen = [k for k in range(200) if k not in (0, 5)]
    assert obj.learned["m"].grad[unseen].tolist() == pytest.approx([-70 / 200] * 198)


def test_magface_warns_where_lambda_g_breaks_the_convexity_bound():
    bound = 64 * (0.35 / 100) * 110**2 * 10**2 / (110**2 - 10**2)
    assert bound == pytest.approx(22.59, abs=0.005)
    for settings in ({"lam_g": 20}, {"preset": "facexzoo", "s": 64}, {"preset": "magface_repo"}, {"lam_g": 22.5}):
        with pytest.warns(UserWarning, match=r"lam_g = [\d.]+ is below 22\.59"):
            build("magface", 10, 4, **settings)
    with pytest.warns(UserWarning, match="22.59"):
        build("magface", 10, 4).replace(lam_g=20)
    with pytest.warns(UserWarning, match="is below 45.1"):
        build("magface", 10, 4).replace(s=128)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in ({}, {"lam_g": 22.6}, {"lam_g": 20, "s": 32}, {"lam_g": 0, "l_m": 0.5, "u_m": 0.5}):
            build("magface", 10, 4, **settings)


def test_magface_bound_is_where_the_loss_stops_being_convex_in_the_length():
    """Where it holds with equality, the slope of lambda_g g at l_a is -s m'(a), and 0 at u_a."""
    lam, s, l, u = 22.59, 64, 10.0, 110.0
    slope_of_g = [lam * (1 / u**2 - 1 / a**2) for a in (l, u)]
    assert slope_of_g[0] == pytest.approx(-s * 0.35 / 100, rel=1e-3)
    assert slope_of_g[1] == pytest.approx(0)


def test_adaface_statistics_are_moving_and_a_batch_of_one_keeps_sigma():
    obj, x, y = case("adaface")
    start = build("adaface", 4, 4).state
    assert (float(start["mu"]), float(start["sigma"])) == (20.0, 100.0)
    norms = [reference.length(u) for u in numbers(x)]
    mu, sigma = reference.adaface_statistics(norms, 20.0, 10.0, 0.01)
    obj.observe(x, y)
    assert float(obj.state["mu"]) == pytest.approx(mu, rel=1e-12)
    assert float(obj.state["sigma"]) == pytest.approx(sigma, rel=1e-12)
    obj.observe(x[2:3], y[2:3])  # its length, 120, counts as 100
    assert float(obj.state["mu"]) == pytest.approx(0.99 * mu + 1, rel=1e-12)
    assert float(obj.state["sigma"]) == pytest.approx(sigma, rel=1e-12)
    at_once, x, y = case("adaface", preset="adaface_repo")
    at_once.observe(x, y)
    mu, sigma = reference.adaface_statistics(norms, 0.0, 0.0, 1.0)
    assert float(at_once.state["mu"]) == pytest.approx(mu)
    assert float(at_once.state["sigma"]) == pytest.approx(sigma)


@pytest.mark.parametrize("name", ["elasticface_arc", "elasticface_cos"])
def test_elastic_draws_by_seed_and_step_and_shows_its_mean_at_first(name):
    obj = build(name, 9, 5, seed=1).double()
    m, sigma = obj.margin.m, obj.margin.sigma
    assert elastic_eps(obj, 4) == [m] * 4
    x, y = batches(1)[0]
    draws = []
    for _ in range(3):
        obj.observe(x.double(), y)
        draws.append(elastic_eps(obj, 4000))
        assert elastic_eps(obj, 4000) == draws[-1]
    assert draws[0] != draws[1] != draws[2]
    assert reference.mean(draws[0]) == pytest.approx(m, abs=4 * sigma / 4000**0.5)
    assert torch.tensor(draws[0]).std() == pytest.approx(sigma, rel=0.05)
    other = build(name, 9, 5, seed=2).double()
    other.observe(x.double(), y)
    assert elastic_eps(other, 4000) != draws[0]
    again = build(name, 9, 5, seed=1).double()
    again.observe(x.double(), y)
    assert elastic_eps(again, 4000) == draws[0]


@pytest.mark.parametrize("name", ["elasticface_arc", "elasticface_cos"])
def test_elastic_plus_matches_the_largest_draw_with_the_farthest_sample(name):
    obj, x, y = case(name, plus="matched", sigma=0.2)
    eps = elastic_eps(obj, len(x))
    own = [row[label] for row, label in zip(cosines(x, obj.centers.weight), y.tolist(), strict=True)]
    matched = reference.elastic_margins(eps, own, "matched")
    assert matched[own.index(min(own))] == max(eps)
    assert matched[own.index(max(own))] == min(eps)
    repo = reference.elastic_margins(eps, own, "repo")
    assert sorted(repo) == sorted(matched)
    assert repo != matched, "six samples in this order tell the two apart"
    T = obj.margin_logits(x, y).gather(1, y[:, None]).flatten().tolist()
    margined = (lambda c, e: math.cos(math.acos(c) + e)) if name.endswith("arc") else (lambda c, e: c - e)
    assert [margined(c, e) for c, e in zip(own, matched, strict=True)] == pytest.approx(T, abs=1e-12)


def test_uniface_threshold_is_learned_from_ln_10_C():
    obj = build("uniface", 50, 4)
    assert float(obj.learned["b"].detach()) == pytest.approx(math.log(500))
    x, y = torch.randn(3, 4), torch.tensor([0, 5, 5])
    loss = obj.loss(x, y)
    loss.total.backward()
    assert obj.learned["b"].grad.shape == ()
    assert float(obj.learned["b"].grad) != 0


def test_subcenters_of_a_class_are_neighbouring_rows_and_only_the_best_learns():
    obj, x, y = case("subcenter_arcface", B=1)
    assert obj.centers.weight.shape == (27, 5)
    obj.loss(x, y).total.backward()
    moved = obj.centers.weight.grad.abs().sum(dim=1).unflatten(0, (9, 3)) > 0
    assert (moved.sum(dim=1) == 1).all()
    with pytest.raises(InputError, match="K = 2"):
        obj.replace(K=2)
    obj.replace(K=3, m=0.4)
    assert obj.margin.m == 0.4


@pytest.mark.parametrize("name", ["mv_am", "mv_arc", "curricularface", "recurricularface", "npcface"])
def test_topk_takes_the_K_largest_others_whatever_K(name):
    """Also where fewer than K others exist, and where the K-th largest is the smallest."""
    for K in (1, 7, 8, 9, 1000):
        obj, x, y = case(name, mask="topk", topk=K)
        p = view(obj, name, x, y)
        assert relative(obj.loss(x, y).per_sample.detach(), per_sample(name, obj, x, y, p)) < 1e-10
    every, x, y = case(name, mask="topk", topk=8)
    past = case("recurricularface", mask="all")[0] if name == "recurricularface" else None
    if past is not None:
        assert torch.equal(every.loss(x, y).total, past.loss(x, y).total)


@pytest.mark.parametrize("name", ["mv_am", "mv_arc", "curricularface", "recurricularface", "npcface"])
def test_soft_hardness_is_continuous_where_the_mask_jumps(name):
    """At tau the weight is 0, at 1 it is 1: N has no jump, unlike the mis-classified mask's."""
    soft, mis = (case(name, mask=mask)[0].margin for mask in ("soft", "misclassified"))
    pos = torch.tensor([[0.6]], dtype=torch.float64)
    state = {"t": torch.tensor(0.3), "E": torch.tensor(1.4), "step": torch.tensor(1.0)}
    ctx = soft.context(pos, pos, torch.tensor([[0]]), {}, state)
    around = torch.cat([ctx.tau - 1e-9, ctx.tau + 1e-9, torch.ones_like(ctx.tau)], dim=1)
    N, jumping = soft.N(around, ctx)[0], mis.N(around, ctx)[0]
    assert abs(float(N[1] - N[0])) < 1e-8
    assert abs(float(jumping[1] - jumping[0])) > 1e-3
    assert float(N[2]) == pytest.approx(float(jumping[2]))
    assert soft.hard(around, ctx)[0].tolist() == pytest.approx([0, 0, 1], abs=1e-8)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_replace_is_all_or_nothing_and_keeps_the_state(name):
    obj, x, y = case(name)
    obj.step(x, y)
    state, before = obj.state, obj.parameters_now()
    numeric = [key for key, p in METHODS[name].parameters().items() if not p.choices and key != "K"]
    for key in numeric:
        with pytest.raises(InputError):
            obj.replace(**{numeric[0]: METHODS[name].parameters()[numeric[0]].high, key: float("nan")})
        assert obj.parameters_now() == before
    with pytest.raises(InputError, match="unknown parameter"):
        obj.replace(no_such_number=0.1)
    changed = {key: METHODS[name].parameters()[key].high for key in numeric if key not in ("l_a", "l_m")}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="MagFace: lam_g")
        obj.replace(**changed)
    assert obj.parameters_now() == before | changed
    assert all(torch.equal(value, obj.state[key]) for key, value in state.items())
