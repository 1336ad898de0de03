"""Parts of a loss besides the margin: criteria, weightings, scales, extra terms; the triplet loss."""

import math
from fractions import Fraction

import pytest
import reference
import torch
from cases import case, numbers, per_sample, relative, total, view
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from workbench.losses.criteria import Focal, HardMining
from workbench.losses.triplet import TripletLoss
from workbench.methods import METHODS, build

# --- criteria ---


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_is_torch_s_cross_entropy_of_the_scaled_logits(smoothing):
    obj, x, y = case("arcnegface", smoothing=smoothing, s=10)
    expected = cross_entropy(10 * obj.margin_logits(x, y), y, reduction="none", label_smoothing=smoothing)
    assert relative(obj.loss(x, y).per_sample.detach(), expected.detach()) < 1e-13


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_uniface_is_a_sum_of_binary_cross_entropies(lam):
    obj, x, y = case("uniface", lam=lam, s=10)
    z = 10 * obj.margin_logits(x, y) - obj.learned["b"]
    hit = one_hot(y, 9).to(z)
    expected = (binary_cross_entropy_with_logits(z, hit, reduction="none") * (hit + lam * (1 - hit))).sum(dim=1)
    assert relative(obj.loss(x, y).per_sample.detach(), expected.detach()) < 1e-13


@pytest.mark.parametrize("name", ["softmax", "norm_softmax", "hm_softmax", "focal_softmax", "center_loss"])
def test_losses_without_a_margin_are_torch_s_cross_entropy(name):
    obj, x, y = case(name)
    scale = obj.parameters_now().get("s", 1.0)
    expected = cross_entropy(scale * obj.margin_logits(x, y), y, reduction="none")
    assert relative(obj.loss(x, y).per_sample.detach(), expected.detach()) < 1e-13


def test_a_sure_and_a_hopeless_sample_keep_exact_losses():
    """torch.softplus is linear above 20; these losses must be exact."""
    for name in ("arcface", "uniface"):
        obj, x, y = case(name, s=200)
        p = view(obj, name, x, y)
        expected = per_sample(name, obj, x, y, p)
        for found, value in zip(obj.loss(x, y).per_sample.tolist(), expected, strict=True):
            assert found == pytest.approx(value, rel=1e-9, abs=1e-300)


# --- weightings ---


@given(st.integers(1, 200), st.integers(1, 100))
@example(100, 55)  # 0.55 * 100 is a rounding error above 55
def test_hard_mining_keeps_the_largest_losses_and_rounds_their_number_up(B, percent):
    losses = torch.arange(B, dtype=torch.float64).roll(B // 3) ** 2
    kept = math.ceil(Fraction(percent, 100) * B)
    expected = sum(v * v for v in range(B - kept, B)) / kept
    assert float(HardMining(keep=percent / 100)(losses)) == pytest.approx(expected, rel=1e-12)


@given(st.integers(1, 200))
def test_hard_mining_of_svx_rounds_down_and_keeps_one_sample_at_least(B):
    losses = torch.arange(B, dtype=torch.float64)
    expected = sum(range(B - max(1, 9 * B // 10), B)) / max(1, 9 * B // 10)
    assert float(HardMining(keep=0.9, rounding="down")(losses)) == pytest.approx(expected, rel=1e-12)


def test_hard_mining_gives_no_gradient_to_the_other_samples():
    obj, x, y = case("hm_softmax", keep=0.5, s=10)
    x.requires_grad_(True)
    loss = obj.loss(x, y)
    loss.total.backward()
    learns = x.grad.abs().sum(dim=1) > 1e-12
    assert int(learns.sum()) == 3
    assert float(loss.per_sample[learns].detach().min()) > float(loss.per_sample[~learns].detach().max())


def test_focal_weighs_each_sample_by_its_own_probability():
    losses = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    for gamma in (0.0, 0.5, 2.0, 5.0):
        value = Focal(gamma=gamma)(losses)
        assert float(value.detach()) == pytest.approx(sum((1 - math.exp(-v)) ** gamma * v for v in (0.1, 1, 3)) / 3)
        (slope,) = torch.autograd.grad(value, losses)
        weight = [1 - math.exp(-v) for v in (0.1, 1, 3)]
        through = [
            (w**gamma + gamma * w ** (gamma - 1) * math.exp(-v) * v) / 3
            for w, v in zip(weight, (0.1, 1, 3), strict=True)
        ]
        assert slope.tolist() == pytest.approx(through)
    batch = float(Focal(gamma=2, p="batch")(losses.detach()))
    assert batch == pytest.approx((1 - math.exp(-4.1 / 3)) ** 2 * 4.1 / 3)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_is_finite_where_a_sample_is_certain(gamma):
    losses = torch.tensor([0.0, 1e-30, 800.0], requires_grad=True)
    value = Focal(gamma=gamma)(losses)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(losses.grad).all()


# --- scales ---


def test_the_embedding_s_length_is_the_scale_and_has_a_gradient():
    obj, x, y = case("sphereface")
    logits = obj.margin_logits(x, y)
    lengths = x.norm(dim=1, keepdim=True)
    assert (
        relative(obj.loss(x, y).per_sample.detach(), cross_entropy(lengths * logits, y, reduction="none").detach())
        < 1e-13
    )
    torch.testing.assert_close(obj.margin_logits(3 * x, y), logits, rtol=1e-12, atol=1e-12)
    x.requires_grad_(True)
    obj.loss(x, y).total.backward()
    along = (x.grad * x).sum(dim=1)  # by the length alone
    assert (along.abs() > 1e-6).all()
    fixed, x, y = case("sphereface", by="s", s=12)
    x.requires_grad_(True)
    fixed.loss(x, y).total.backward()
    assert (x.grad * x).sum(dim=1).abs().max() < 1e-12


# --- extra terms ---


def test_center_loss_means_follow_their_samples():
    obj, x, y = case("center_loss", alpha=0.5)
    y = torch.tensor([2, 2, 2, 0, 0, 5])
    c = numbers(obj.state["means"])
    for _ in range(3):
        obj.observe(x, y)
        c = reference.update_means(c, numbers(x), y.tolist(), 0.5)
        assert relative(obj.state["means"], c) < 1e-13
    before = obj.state["means"]
    obj.observe(x, y)
    assert torch.equal(obj.state["means"][[1, 3, 4]], before[[1, 3, 4]])
    term = obj.loss(x, y).terms["center"]
    assert float(term) == pytest.approx(0.0015 * float((x - obj.state["means"][y]).square().sum() / 6))


def test_center_loss_pulls_each_embedding_straight_to_its_mean():
    obj, x, y = case("center_loss", lam=2.0)
    x.requires_grad_(True)
    (pull,) = torch.autograd.grad(obj.loss(x, y).terms["center"], x)
    assert relative(pull, (2.0 / 6 * (x - obj.state["means"][y])).detach()) < 1e-13


def test_uniform_term_moves_means_by_directions_and_spreads_them():
    obj, x, y = case("uniformface", alpha=0.5)
    c = numbers(obj.state["means"])
    for _ in range(3):
        obj.observe(x, y)
        c = reference.update_means(c, [reference.unit(u) for u in numbers(x)], y.tolist(), 0.5)
        assert relative(obj.state["means"], c) < 1e-13
    crowded, even = case("uniformface")[0], case("uniformface")[0]
    with torch.no_grad():
        crowded.state_means.copy_(
            torch.ones(9, 5) + 0.01 * torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
        )
        even.state_means.copy_(torch.cat([torch.eye(5), -torch.eye(5)])[:9])
    assert float(even.loss(x, y).terms["uniform"]) < 0.5 < 0.95 < float(crowded.loss(x, y).terms["uniform"]) < 1


@pytest.mark.parametrize("C", [2048, 2049])
def test_uniform_term_of_many_classes_is_close_to_that_of_all_pairs(C):
    obj = build("uniformface", C, 8, seed=1)
    x, y = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 7, C - 1, 7])
    x.requires_grad_(True)
    found = obj.step(x, y).terms["uniform"]
    c = torch.nn.functional.normalize(obj.state["means"])
    distance = (2 - 2 * c.double() @ c.double().T).clamp_min(0).sqrt()
    every = (1 / (1 + distance)).fill_diagonal_(0).sum() / (C * (C - 1))
    assert float(found.detach()) == pytest.approx(float(every), rel=0.01 if C > 2048 else 1e-5)
    (gradient,) = torch.autograd.grad(found, x)
    assert (gradient.abs().sum(dim=1) > 0).all(), "every class of the batch is among the chosen"


# --- triplets ---


def triplets(B=10, D=4, C=4, seed=2):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(B, D, generator=g).double(), torch.randint(0, C, (B,), generator=g)


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.5])
@pytest.mark.parametrize("pairs", ["ordered", "combinations"])
def test_triplet_equals_the_plain_loops_in_value_and_gradient(mining, distance, alpha, pairs):
    for seed in range(4):
        x, y = triplets(seed=seed)
        obj = build("triplet", 4, 4, mining=mining, distance=distance, alpha=alpha, pairs=pairs).double()
        x.requires_grad_(True)
        loss = obj.loss(x, y)

        def naive(v, y=y):
            return reference.triplet(v, y.tolist(), alpha, mining, distance, pairs)

        assert float(loss.total.detach()) == pytest.approx(naive(numbers(x)), rel=1e-12)
        expected = reference.gradient(naive, numbers(x))
        (gradient,) = torch.autograd.grad(loss.total, x)
        assert relative(gradient, expected) < 1e-10 or gradient.abs().max() < 1e-12


def test_triplet_minings_differ_and_hard_is_hardest():
    x, y = triplets()
    losses = {m: float(build("triplet", 4, 4, mining=m).loss(x, y).total) for m in ("all", "hard", "semi-hard")}
    assert len(set(losses.values())) == 3
    assert losses["semi-hard"] < losses["all"] < losses["hard"]


@pytest.mark.parametrize("mining", METHODS["triplet"].parameters()["mining"].choices)
@pytest.mark.parametrize("y", [[0, 1, 2, 3], [2, 2, 2, 2], [1]], ids=["no positives", "no negatives", "a batch of one"])
def test_triplet_of_a_batch_without_triplets_is_zero_with_zero_gradient(mining, y):
    x = triplets()[0][: len(y)].requires_grad_(True)
    loss = build("triplet", 4, 4, mining=mining).loss(x, torch.tensor(y))
    loss.total.backward()
    assert float(loss.total.detach()) == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("mining", METHODS["triplet"].parameters()["mining"].choices)
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_triplet_of_equal_and_opposite_embeddings_is_finite(mining, distance):
    x = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [1, 0], [1, 0]], requires_grad=True)
    loss = build("triplet", 4, 2, mining=mining, distance=distance).loss(x, torch.tensor([0, 0, 0, 1, 1]))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert torch.isfinite(x.grad).all()


def test_triplet_by_hand():
    """Four samples on a circle: squared distances 2 - 2 cos of the angle between them."""
    angles = torch.tensor([0.0, 0.6, 0.7, 1.5], dtype=torch.float64)
    x, y = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 1])

    def d(a, b):
        return 2 - 2 * math.cos(float(angles[a] - angles[b]))

    lead = 0.2
    hinges = [
        d(a, p) - d(a, n) + lead for a, p, others in ((0, 1, (2, 3)), (1, 0, (2, 3)), (2, 3, (0, 1)), (3, 2, (0, 1)))
        for n in others
    ]  # fmt: skip
    assert float(build("triplet", 2, 2, mining="all").loss(x, y).total) == pytest.approx(
        sum(h for h in hinges if h > 0) / sum(h > 0 for h in hinges)
    )
    nearest = [d(0, 1) - d(0, 2) + lead, d(0, 1) - d(1, 2) + lead, d(2, 3) - d(1, 2) + lead, d(2, 3) - d(1, 3) + lead]
    assert float(build("triplet", 2, 2, mining="hard").loss(x, y).total) == pytest.approx(
        sum(max(0, h) for h in nearest) / 4
    )


def test_random_triplets_violate_and_follow_seed_and_step():
    x, y = triplets(B=12)
    obj = build("triplet", 4, 4, preset="facexzoo", seed=1).double()
    again = build("triplet", 4, 4, preset="facexzoo", seed=1).double()
    released = {"alpha": 2.5, "mining": "random", "distance": "squared", "pairs": "combinations"}
    assert obj.parameters_now() == released
    values = []
    for _ in range(3):
        first = obj.loss(x, y)
        assert torch.equal(first.total, obj.loss(x, y).total)
        assert torch.equal(first.total, again.loss(x, y).total)
        values.append(float(first.total))
        obj.observe(x, y), again.observe(x, y)
    assert len(set(values)) == 3
    least = float(build("triplet", 4, 4, mining="semi-hard", alpha=0.0).loss(x, y).total)
    unit = torch.nn.functional.normalize(x)
    d = 2 - 2 * unit @ unit.T
    hinges = [
        [h for n in range(12) if y[n] != y[a] and (h := float(d[a, p] - d[a, n]) + 2.5) > 0]
        for a in range(12) for p in range(a + 1, 12) if y[a] == y[p]
    ]  # fmt: skip
    hinges = [h for h in hinges if h]
    low, high = (sum(map(f, hinges)) / len(hinges) for f in (min, max))
    assert all(low <= v <= high for v in values)
    assert least == 0  # alpha = 0: no negative lies strictly between d and d


def test_triplet_class_means_are_used_by_the_probes_only():
    x, y = triplets()
    obj = build("triplet", 4, 4).double()
    assert list(obj.parameters()) == []
    assert isinstance(obj, TripletLoss)
    c = numbers(obj.centers.weight)
    obj.observe(x, y)
    moved = reference.update_means(c, [reference.unit(u) for u in numbers(x)], y.tolist(), 0.5)
    assert relative(obj.centers.weight, moved) < 1e-13
    obj.replace(mining="hard", alpha=0.4)
    assert obj.parameters_now()["alpha"] == 0.4


# --- penalties ---


def test_penalties_are_named_terms():
    for name, term in (("adaptiveface", "penalty"), ("magface", "penalty"), ("center_loss", "center")):
        obj, x, y = case(name)
        p = view(obj, name, x, y)
        found = float(obj.loss(x, y).terms[term].detach())
        assert found == pytest.approx(float(sum(reference.terms(name, numbers(x), y.tolist(), p).values())), rel=1e-12)
        assert float(obj.loss(x, y).total.detach()) == pytest.approx(float(total(name, obj, x, y, p)), rel=1e-12)
    golden = build("magface", 4, 4, lam_g=35).double()
    x = torch.zeros(1, 4, dtype=torch.float64)
    x[0, 0] = 50
    assert float(golden.loss(x, torch.tensor([0])).terms["penalty"].detach()) == pytest.approx(35 * 0.024132, abs=1e-4)
