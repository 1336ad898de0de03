"""Every method against the plain loops of reference.py, the golden vectors, its reductions, the contract of Margin."""

import dataclasses
import inspect
import math

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from workbench.errors import InputError
from workbench.margins import ArcFace, CosFace, CurricularFace, MVSoftmax, NormSoftmax, NPCFace, ReCurricularFace
from workbench.methods import METHODS, build
from workbench.objectives.rows import logits
from workbench.sphere import ADDITIVE_GUARDS, GUARDS

PRESETS = [(name, preset) for name, method in METHODS.items() for preset in method.presets]
EXTRA = [
    ("mv_am", {"form": "fixed"}),
    ("mv_arc", {"form": "fixed"}),
    *[("recurricularface", {"coeffs": c, "mask": m, "product": q})
      for c in ("paper", "closed", "literal") for m in ("misclassified", "all", "boundary") for q in ("cosθ·I", "I")],
    *[(name, {"guard": g}) for name, method in METHODS.items() if name not in ("norm_softmax", "mv_am")
      for g in method.parameters()["guard"].choices],
    *[("mv_am", {"guard": g}) for g in ADDITIVE_GUARDS],
]  # fmt: skip


def batch(B=6, C=9, D=5, seed=3, dtype=torch.float64):
    """Embeddings near and far from their centers, so that hard and easy negatives and all guards occur."""
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(C, D, generator=g, dtype=dtype)
    y = torch.randint(0, C, (B,), generator=g)
    towards = torch.linspace(-1.5, 2.0, B, dtype=dtype)[:, None]
    x = towards * W[y] + 0.6 * torch.randn(B, D, generator=g, dtype=dtype)
    return x, y, W


def objective(name, W, state_t=0.3, preset="paper", **parameters):
    """An objective in W's precision with these centers and, where it has one, this curriculum t."""
    result = build(name, *W.shape, preset=preset, **parameters).to(W.dtype)
    with torch.no_grad():
        result.centers.weight.copy_(W)
        if "t" in result.margin.states:
            result.state_t.fill_(state_t)
    return result


def settings(obj, state_t=0.3):
    return obj.parameters_now() | {"state_t": state_t}


def relative(a, b):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))


@pytest.mark.parametrize(("name", "parameters"), [(n, {"preset": p}) for n, p in PRESETS] + EXTRA)
def test_logits_and_loss_equal_the_plain_loops(name, parameters):
    x, y, W = batch()
    obj = objective(name, W, **parameters)
    p = settings(obj)
    expected = reference.logits(name, reference.cosine_table(x.tolist(), W.tolist()), y.tolist(), p)
    assert relative(obj.margin_logits(x, y).detach(), expected) < 1e-10
    per_sample = reference.loss(name, x.tolist(), y.tolist(), W.tolist(), p)
    assert relative(obj(x, y).per_sample.detach(), per_sample) < 1e-10
    single = objective(name, W.float(), **parameters)
    assert relative(single(x.float(), y).per_sample.detach(), per_sample) < 1e-5


@pytest.mark.parametrize("name", [n for n in METHODS if n != "npcface"])
def test_gradients_equal_differences_of_the_plain_loops(name):
    x, y, W = batch(B=3, C=4, D=3)
    obj = objective(name, W, s=8)
    p = settings(obj)
    x.requires_grad_(True)
    obj(x, y).total.backward()

    def mean(xs, Ws):
        return sum(reference.loss(name, xs, y.tolist(), Ws, p)) / len(xs)

    assert relative(x.grad, reference.gradient(lambda xs: mean(xs, W.tolist()), x.tolist())) < 1e-9
    assert relative(obj.centers.weight.grad, reference.gradient(lambda Ws: mean(x.tolist(), Ws), W.tolist())) < 1e-9


def test_npcface_gradient_holds_the_collaborative_margin_constant():
    """Against the plain loops with m_tilde of the unmoved batch, which is what 'no gradient into m_tilde' means."""
    x, y, W = batch(B=3, C=4, D=3)
    obj = objective("npcface", W, s=8)
    p = settings(obj)
    x.requires_grad_(True)
    obj(x, y).total.backward()
    cos = reference.cosine_table(x.tolist(), W.tolist())
    tilde = []
    for row, label in zip(cos, y.tolist(), strict=True):
        threshold = math.cos(math.acos(row[label]) + p["m_mask"])
        hard = [c for j, c in enumerate(row) if j != label and c > threshold]
        tilde.append(p["m0"] + p["m1"] * (sum(hard) / len(hard) if hard else 0.0))

    def mean(xs):
        losses = [
            reference.loss("npcface", [v], [label], W.tolist(), p | {"m0": m, "m1": 0.0})[0]
            for v, label, m in zip(xs, y.tolist(), tilde, strict=True)
        ]
        return sum(losses) / len(losses)

    assert relative(x.grad, reference.gradient(mean, x.tolist())) < 1e-9


GOLDEN_COS = [0.6, 0.5, 0.2, -0.1, 0.583095]
GOLDEN = [
    (ArcFace(m=0.5), 0, [0.1430, 0.5, 0.2, -0.1, 0.5831]),
    (MVSoftmax(m=0.35, t=1.2), 0, [0.25, 0.80, 0.2, -0.1, 0.8997]),
    (MVSoftmax(m=0.35, t=1.12), 0, [0.25, 0.68, 0.2, -0.1, 0.7731]),
    (MVSoftmax(m=0.5, t=1.2, positive="arc"), 0, [0.1430, 0.80, 0.44, -0.1, 0.8997]),
    (MVSoftmax(m=0.5, t=1.2, positive="arc", form="fixed"), 0, [0.1430, 0.70, 0.40, -0.1, 0.7831]),
    (CurricularFace(), 0.006, [0.1430, 0.2530, 0.0412, -0.1, 0.3435]),
    (CurricularFace(), 0.501, [0.1430, 0.5005, 0.1402, -0.1, 0.6321]),
    (NPCFace(alpha=0.20), 0, [0.1573, 0.75, 0.42, -0.1, 0.8414]),
    (NPCFace(alpha=0.20, m_mask=0.35), 0, [0.1348, 0.75, 0.2, -0.1, 0.8414]),
    (NPCFace(), 0, [0.1573, 0.80, 0.47, -0.1, 0.8914]),
    (ReCurricularFace(), 0.006, [0.1430, 0.2762, 0.0445, -0.1, 0.3754]),
    (ReCurricularFace(), 0.501, [0.1430, 0.3752, 0.0841, -0.1, 0.4909]),
    (ReCurricularFace(), 1.0, [0.1430, 0.4750, 0.1240, -0.1, 0.6072]),
]


def margin_logits(margin, cos, t=0.0):
    cos = torch.tensor([cos], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    state = margin.init(5, 5) | ({"t": torch.tensor(t, dtype=torch.float64)} if "t" in margin.states else {})
    return logits(margin, cos, one, torch.zeros(1, 1, dtype=torch.long), {}, state)[0][0]


@pytest.mark.parametrize(("margin", "t", "expected"), GOLDEN, ids=lambda v: type(v).__name__)
def test_golden_vectors(margin, t, expected):
    # 2e-4: the expected values are printed with 4 decimals, and t with 4
    assert margin_logits(margin, GOLDEN_COS, t).tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("guard", "expected"), [("mm", -1.1897), ("plain", -0.95), ("wrap", -0.9834), ("easy", -0.95)])
def test_golden_guards_past_pi(guard, expected):
    assert float(margin_logits(ArcFace(guard=guard), [-0.95, 0.0])[0]) == pytest.approx(expected, abs=1e-4)


EXPECTED_INITIAL_LOSS = {  # C = 10,572, D = 512, random directions
    64: {"norm_softmax": 12.8, "arcface": 43.5, "curricularface": 39.7, "recurricularface": 39.7, "npcface": 54.5},
    30: {"norm_softmax": 9.9, "arcface": 24.4, "curricularface": 23.5, "recurricularface": 23.5, "npcface": 29.3},
}


@pytest.mark.parametrize("s", [64, 30])
def test_expected_initial_loss(s):
    x = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    y = torch.randint(0, 10572, (256,), generator=torch.Generator().manual_seed(1))
    for name, expected in EXPECTED_INITIAL_LOSS[s].items():
        with torch.no_grad():
            assert float(build(name, 10572, 512, s=s).step(x, y).total) == pytest.approx(expected, abs=0.35), name


REDUCTIONS = [
    (NPCFace(m0=0.5, m1=0, t=1, alpha=0), ArcFace(m=0.5)),
    (ArcFace(m=0), NormSoftmax()),
    (CosFace(m=0), NormSoftmax()),
    (MVSoftmax(t=1, m=0.35), CosFace(m=0.35)),
    (MVSoftmax(t=1, m=0.5, positive="arc"), ArcFace(m=0.5)),
    (ReCurricularFace(k=1, alpha=1, guard="wrap"), CurricularFace()),
    (NPCFace(m0=0, m1=0, t=1, alpha=0), NormSoftmax()),
]


@pytest.mark.parametrize(("margin", "simpler"), REDUCTIONS, ids=lambda v: type(v).__name__)
def test_reductions(margin, simpler):
    for cos in (GOLDEN_COS, [-0.95, 0.1, 0.9], [0.99, -0.5, 0.3]):
        assert torch.allclose(margin_logits(margin, cos, 0.4), margin_logits(simpler, cos, 0.4), atol=1e-14)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_on_top_of_a_center_and_opposite_for_a_batch_of_one(name, dtype):
    W = torch.eye(4, dtype=dtype)
    for sign in (1.0, -1.0):
        obj = objective(name, W)
        x = (sign * 3 * W[:1]).clone().requires_grad_(True)
        loss = obj.step(x, torch.tensor([0]))
        loss.total.backward()
        assert torch.isfinite(loss.total)
        assert torch.isfinite(x.grad).all()
        assert torch.isfinite(obj.centers.weight.grad).all()


@pytest.mark.parametrize("name", METHODS)
def test_reading_changes_neither_input_nor_state(name):
    x, y, W = batch()
    obj = objective(name, W)
    before = {k: v.clone() for k, v in obj.state_dict().items()} | {"x": x.clone(), "y": y.clone()}
    obj(x, y), obj.margin_logits(x, y)
    after = obj.state_dict() | {"x": x, "y": y}
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("name", METHODS)
def test_step_is_observe_then_loss_and_state_survives_saving(name):
    x, y, W = batch()
    stepped, parts = objective(name, W), objective(name, W)
    for _ in range(3):
        total = stepped.step(x, y).total
        parts.observe(x, y)
        assert torch.equal(total, parts(x, y).total)
    loaded = build(name, *W.shape).double()
    loaded.load_state_dict(stepped.state_dict())
    assert torch.equal(loaded.step(x, y).total, stepped.step(x, y).total)


@pytest.mark.parametrize("name", METHODS)
def test_permuting_the_other_classes_permutes_N(name):
    x, y, W = batch()
    y = torch.zeros_like(y)
    order = torch.tensor([0, *range(len(W) - 1, 0, -1)])
    a = objective(name, W).margin_logits(x, y)
    b = objective(name, W[order]).margin_logits(x, y)
    assert torch.allclose(a[:, order], b, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_no_gradient_flows_from_N_into_the_target(name):
    x, y, W = batch()
    margin = objective(name, W).margin
    cos = reference_cos(x, W)
    pos = cos.gather(1, y[:, None]).requires_grad_(True)
    ctx = margin.context(pos, torch.ones_like(pos), y[:, None], {}, margin.init(*W.shape))
    for value in (margin.N(cos, ctx), margin.hard(cos, ctx)):
        assert not value.requires_grad


def reference_cos(x, W):
    return torch.tensor(reference.cosine_table(x.tolist(), W.tolist()), dtype=x.dtype)


@pytest.mark.parametrize("name", METHODS)
def test_gradcheck(name):
    x, y, W = batch(B=3, C=4, D=3)
    obj = objective(name, W, s=4, **({"m1": 0.0} if name == "npcface" else {}))  # m_tilde is detached: not checkable
    assert gradcheck(lambda v: obj(v, y).total, (x.requires_grad_(True),))


@pytest.mark.parametrize("name", [n for n in METHODS if n != "norm_softmax"])
def test_detached_gradient_has_the_slope_of_the_cosine(name):
    margin = dataclasses.replace(
        build(name, 4, 4).margin, grad="detached", **({"m1": 0.0} if name == "npcface" else {})
    )
    exact = dataclasses.replace(margin, grad="exact")
    c = torch.tensor([[0.3], [0.8]], dtype=torch.float64, requires_grad=True)
    rows = type("Rows", (), {"hard_mean": torch.zeros(2, 1, dtype=torch.float64)})
    assert torch.allclose(margin.T(c, None, rows), exact.T(c, None, rows))
    (slope,) = torch.autograd.grad(margin.T(c, None, rows).sum(), c)
    assert torch.equal(slope, torch.ones_like(c))


@given(st.floats(-1, 1), st.floats(0, 1.5), st.sampled_from(GUARDS))
def test_add_angle_with_every_guard_equals_math(c, m, guard):
    value = ArcFace(m=m, guard=guard).T(torch.tensor([[c]], dtype=torch.float64), None, None)
    if abs(math.acos(c) + m - math.pi) > 1e-7 and abs(c) > 1e-9:  # at the guard's edge either side is right
        assert float(value) == pytest.approx(reference.guarded(math.cos(math.acos(c) + m), c, m, guard), abs=1e-7)


def test_curricular_t_is_the_moving_mean_of_the_plain_target_cosine():
    x, y, W = batch()
    obj = objective("curricularface", W, state_t=0.0)
    mean = reference_cos(x, W).gather(1, y[:, None]).mean()
    obj.observe(x, y)
    assert float(obj.state["t"]) == pytest.approx(0.01 * float(mean), rel=1e-12)
    obj.observe(x, y)
    assert float(obj.state["t"]) == pytest.approx(0.01 * float(mean) * 1.99, rel=1e-12)


def test_recurricular_rules_of_t_and_E():
    x, y, W = batch()
    linear = objective("recurricularface", W, state_t=0.0, t_rule="linear", t_steps=4)
    seen = []
    for _ in range(6):
        linear.observe(x, y)
        seen.append(float(linear.state["t"]))
    assert seen == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    negative = objective("recurricularface", W, state_t=0.0, momentum=1.0)
    negative.observe(-W[y], y)
    assert float(negative.state["t"]) == 0.0
    free = objective("recurricularface", W, state_t=0.0, momentum=1.0, t_clip=False)
    free.observe(-W[y], y)
    assert float(free.state["t"]) == pytest.approx(-1.0)
    fixed = objective("recurricularface", W, state_t=0.7, t_rule="fixed")
    fixed.observe(x, y)
    assert float(fixed.state["t"]) == pytest.approx(0.7)
    measured = objective("recurricularface", W, E_rule="measured")
    measured.observe(x, y)
    cos = reference_cos(W, W).fill_diagonal_(-1)
    assert float(measured.state["E"]) == pytest.approx(float(cos.amax(1).acos().mean()), rel=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_docstrings_say_gradient_reduction_and_differences(name):
    doc = inspect.getdoc(METHODS[name].margin)
    for line in ("Gradient:", "Reduces to:", "Follows / differs:"):
        assert line in doc, f"{name}: {line}"


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_is_declared_for_sliders_and_tables(name):
    method = METHODS[name]
    assert {f.name for f in dataclasses.fields(method.margin)} == set(method.margin.parameters())
    for p in method.parameters().values():
        assert p.symbol
        assert p.meaning
        assert p.choices or (math.isfinite(p.low) and math.isfinite(p.high))


def test_bad_input_names_the_culprit():
    for call, words in [
        (lambda: build("arcfase", 10, 4), "did you mean 'arcface'"),
        (lambda: build("arcface", 10, 4, margin=0.3), "unknown parameter of arcface 'margin'"),
        (lambda: build("arcface", 10, 4, m=3.0), "m = 3.0 is outside [0, 1.5]"),
        (lambda: build("arcface", 10, 4, m=float("nan")), "m = nan"),
        (lambda: build("arcface", 10, 4, m="wide"), "m = 'wide' is not a number"),
        (lambda: build("arcface", 10, 4, guard="mmm"), "guard = 'mmm' is not one of wrap, mm"),
        (lambda: build("cosface", 10, 4, guard="mm"), "guard = 'mm' is not one of wrap, easy, gtm"),
        (lambda: build("mv_am", 10, 4, guard="mm"), "needs positive = 'arc'"),
        (lambda: build("arcface", 10, 4, s=0), "s = 0 is outside"),
        (lambda: build("arcface", 10, 4, preset="papr"), "did you mean 'paper'"),
        (lambda: build("arcface", 1, 4), "classes = 1: at least 2"),
        (lambda: build("arcface", 10, 4, compute="streamed"), "unknown compute 'streamed'"),
    ]:
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value)
        assert "\n" not in str(error.value)


def test_bad_batches_name_the_sample():
    obj = build("arcface", 10, 4)
    x = torch.ones(3, 4)
    for bad_x, bad_y, words in [
        (x, torch.tensor([0, 10, 1]), "label 10 is outside 0..9"),
        (x, torch.tensor([0, -1, 1]), "label -1 is outside"),
        (x[:, :3], torch.tensor([0, 1, 2]), "expected (B, 4)"),
        (x, torch.tensor([0, 1]), "expected (3,)"),
        (x, torch.tensor([0, 1, 2], dtype=torch.int32), "expected (3,) and torch.int64"),
        (torch.stack([x[0], 0 * x[0], x[0]]), torch.tensor([0, 1, 2]), "sample 1 of the batch has norm 0"),
    ]:
        with pytest.raises(InputError) as error:
            obj(bad_x, bad_y)
        assert words in str(error.value)


def test_replace_is_all_or_nothing_and_keeps_the_state():
    x, y, W = batch()
    obj = objective("curricularface", W)
    obj.step(x, y)
    state = obj.state
    obj.replace(m=0.4, s=30)
    assert (obj.margin.m, obj.s) == (0.4, 30)
    assert torch.equal(obj.state["t"], state["t"])
    with pytest.raises(InputError):
        obj.replace(s=20, m=9)
    assert (obj.margin.m, obj.s) == (0.4, 30)
    with pytest.raises(InputError, match="did you mean 'momentum'"):
        obj.replace(momentun=0.1)


@pytest.mark.parametrize("name", METHODS)
def test_bf16_autocast_is_no_worse_than_casting_the_cosines(name):
    x, y, W = batch(B=64, C=50, D=64, dtype=torch.float32)
    obj = objective(name, W, s=16)
    exact = obj(x, y).per_sample.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = obj(x, y)
    assert half.total.dtype == torch.float32
    error = (half.per_sample.detach() - exact).abs().max()
    rounding = 16 * 2.0**-8 * 2.5  # s x half a unit of bf16 at 1, through the steepest N and T
    assert error < rounding
