"""The contract of every method: its numbers and gradients are those of the plain loops, and reading changes nothing."""

import dataclasses
import inspect
import math
from itertools import product

import pytest
import reference
import torch
from cases import (
    CLASSIFIERS,
    SMALL,
    autograd,
    build_quietly,
    case,
    choices,
    gradients,
    numbers,
    parameter_id,
    per_sample,
    presets,
    relative,
    take_step,
    total,
    view,
)
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import InputError
from workbench.core.geometry import GUARDS
from workbench.margins import ArcFace
from workbench.methods import METHODS, build

SETTINGS = pytest.mark.parametrize(("name", "settings"), presets() + choices(), ids=parameter_id)
EVERY_PRESET = pytest.mark.parametrize(("name", "settings"), presets(), ids=parameter_id)


@SETTINGS
def test_logits_and_losses_equal_the_plain_loops(name, settings):
    obj, x, y, p, loss = take_step(name, **settings)
    rows = reference.table(name, numbers(x), numbers(obj.centers.weight), p)
    norms = [reference.length(u) for u in numbers(x)]
    assert relative(obj.margin_logits(x, y).detach(), reference.logits_of(name, rows, norms, y.tolist(), p)) < 1e-10
    assert relative(loss.per_sample.detach(), per_sample(name, obj, x, y, p)) < 1e-10
    assert relative(loss.total.detach(), total(name, obj, x, y, p)) < 1e-10
    assert float(sum(loss.terms.values()).detach()) == pytest.approx(float(loss.total.detach()), rel=1e-14)


@SETTINGS
def test_gradients_equal_those_of_the_plain_loops(name, settings):
    """By embeddings, centers and learned parameters; what a method holds constant, the loops hold constant too."""
    softer = {"s": 8} if "s" in METHODS[name].parameters() else {}
    obj, x, y, p, loss = take_step(name, **(settings | softer | SMALL))
    loss.total.backward()
    expected, found = gradients(name, obj, x, y, p), autograd(name, obj, x)
    assert set(expected) == set(found)
    for key, value in expected.items():
        assert relative(found[key], value) < 1e-10, key


@EVERY_PRESET
def test_float32_equals_the_plain_loops(name, settings):
    obj, x, y, p, loss = take_step(name, dtype=torch.float32, **settings)
    loss.total.backward()
    assert relative(loss.per_sample.detach(), per_sample(name, obj, x, y, p)) < 1e-5
    assert relative(loss.total.detach(), total(name, obj, x, y, p)) < 1e-5
    for key, value in gradients(name, obj, x, y, p).items():
        assert relative(autograd(name, obj, x)[key], value) < 1e-5, key


@pytest.mark.parametrize(
    "name", ["softmax", "norm_softmax", "sphereface", "combined", "adaptiveface", "focal_softmax", "uniface"]
)
def test_the_loops_complex_step_equals_differences(name):
    """Where nothing is held constant the two ways of differentiating agree: a check of the oracle itself."""
    obj, x, y, p, _ = take_step(name, **SMALL)

    def loss(v):
        return reference.total(name, v, y.tolist(), numbers(obj.centers.weight), p)

    assert relative(reference.gradient(loss, numbers(x)), reference.differences(loss, numbers(x))) < 1e-8


@pytest.mark.parametrize("guard", [g for g in GUARDS if g != "wrap"])
def test_the_batch_reaches_every_guard(guard):
    obj, x, y = case("arcface", guard=guard)
    wrap = case("arcface", guard="wrap")[0]
    assert not torch.equal(obj.loss(x, y).total, wrap.loss(x, y).total)


@pytest.mark.parametrize("guard", GUARDS)
def test_guards_with_a_margin_drawn_below_zero(guard):
    """ElasticFace's draw is unclipped: theta + eps cannot pass pi where eps < 0, however near theta is to pi."""
    obj, x, y = case("elasticface_arc", guard=guard, sigma=0.5, B=64)
    x = -obj.centers.weight.detach()[y] + 0.05 * x
    p = view(obj, "elasticface_arc", x, y)
    assert min(p["eps"]) < 0
    assert relative(obj.loss(x, y).per_sample.detach(), per_sample("elasticface_arc", obj, x, y, p)) < 1e-10


@given(st.floats(-1, 1), st.floats(0, 1.5), st.sampled_from(GUARDS))
def test_add_angle_with_every_guard_equals_math(c, m, guard):
    value = ArcFace(m=m, guard=guard).T(torch.tensor([[c]], dtype=torch.float64), None, None)
    if abs(math.acos(c) + m - math.pi) > 1e-7 and abs(c) > 1e-9 and abs(c - m) > 1e-9:  # at an edge both are right
        assert float(value) == pytest.approx(
            reference.arcface([c], 0, {"m": m, "guard": guard, "clip": 1e-3})[0].real, abs=1e-7
        )


def poles(name, dtype, sign, B, settings):
    """Embeddings exactly on their centers or opposite them, also where rounding puts the cosine past 1."""
    obj = build_quietly(name, 6, 37, **settings).to(dtype)
    y = torch.arange(B) % 6
    rows = len(obj.centers.weight) // 6 if name != "triplet" else 1
    x = (sign * 30 * obj.centers.weight.detach()[y * rows]).clone().requires_grad_(True)
    return obj, x, y


@pytest.mark.parametrize(
    ("name", "settings"),
    [*presets(), *(("triplet", {"preset": preset}) for preset in METHODS["triplet"].presets)],
    ids=parameter_id,
)
def test_finite_on_top_of_a_center_and_opposite_also_for_a_batch_of_one(name, settings):
    for precision, B, sign in product(("float32", "float64", "bfloat16", "float16"), (1, 6), (1.0, -1.0)):
        half = precision.endswith("16")
        obj, x, y = poles(name, torch.float64 if precision == "float64" else torch.float32, sign, B, settings)
        with torch.autocast("cpu", dtype=getattr(torch, precision) if half else None, enabled=half):
            for _ in range(2):
                loss = obj.step(x, y)
        loss.total.backward()
        gradients = [x.grad, *(p.grad for p in obj.parameters() if p.grad is not None)]
        for value in (loss.total, loss.per_sample, *gradients, *obj.state.values()):
            assert torch.isfinite(value).all(), (precision, B, sign)


@pytest.mark.parametrize("half_embeddings", [False, True], ids=["", "half"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_autocast_is_no_worse_than_rounding_the_similarities(name, precision, half_embeddings):
    """The obvious way: linear(normalize(x), normalize(W)) under autocast, and all that follows exactly.

    Embeddings come in float32, or in half precision as a network under autocast gives them.
    """
    obj, x, y = case(name, B=48, C=30, D=32, dtype=torch.float32)
    x = x.to(precision) if half_embeddings else x
    with torch.autocast("cpu", dtype=precision):
        found = obj.loss(x, y)
    assert found.per_sample.dtype == torch.float32
    p = view(obj, name, x, y)
    norms = [reference.length(u) for u in numbers(x)]
    exact = torch.tensor(per_sample(name, obj, x, y, p), dtype=torch.float64)
    W, bias = obj.centers.weight.detach(), obj.centers.bias
    with torch.autocast("cpu", dtype=precision):
        if name not in reference.DOT:
            x, W = torch.nn.functional.normalize(x), torch.nn.functional.normalize(W)
        rounded = torch.nn.functional.linear(x, W, bias).detach()
    if name == "subcenter_arcface":
        rounded = rounded.unflatten(1, (-1, int(p["K"]))).amax(2)
    obvious = torch.tensor(reference.per_sample(name, numbers(rounded), norms, y.tolist(), p), dtype=torch.float64)
    ours, theirs = ((value - exact).square().mean().sqrt() for value in (found.per_sample.detach(), obvious))
    assert ours <= 1.25 * theirs + 1e-5 * exact.abs().max()


@pytest.mark.parametrize("name", METHODS)
def test_reading_changes_neither_input_nor_state(name):
    obj, x, y = case(name) if name != "triplet" else (build(name, 9, 5), torch.randn(6, 5), torch.arange(6) % 3)
    before = {k: v.clone() for k, v in obj.state_dict().items()} | {"x": x.clone(), "y": y.clone()}
    random = torch.get_rng_state()
    first = obj.loss(x, y).total
    if name != "triplet":
        obj.margin_logits(x, y), obj.from_cosines(x @ x.T, y % len(x), x.norm(dim=1, keepdim=True))
    assert torch.equal(obj.loss(x, y).total, first)
    after = obj.state_dict() | {"x": x, "y": y}
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_from_cosines_is_the_loss_without_the_terms_of_embeddings(name):
    obj, x, y = case(name)
    p = view(obj, name, x, y)
    similarities = torch.tensor(reference.table(name, numbers(x), numbers(obj.centers.weight), p), dtype=x.dtype)
    given, whole = obj.from_cosines(similarities, y, x.norm(dim=1, keepdim=True)), obj.loss(x, y)
    assert relative(given.per_sample.detach(), whole.per_sample.detach()) < 1e-12
    left_out = sum(v.detach() for k, v in whole.terms.items() if k not in given.terms)
    assert float(given.total.detach()) == pytest.approx(float(whole.total.detach() - left_out), rel=1e-12)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_permuting_the_other_classes_permutes_N(name):
    obj, x, y = case(name)
    y = torch.zeros_like(y)
    order = torch.tensor([0, *range(8, 0, -1)])
    before = obj.margin_logits(x, y)
    with torch.no_grad():
        obj.centers.weight.copy_(obj.centers.weight.clone().unflatten(0, (9, -1))[order].flatten(0, 1))
        if obj.centers.bias is not None:
            obj.centers.bias.copy_(obj.centers.bias.clone()[order])
    assert torch.allclose(before[:, order], obj.margin_logits(x, y), atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), presets() + choices(), ids=parameter_id)
def test_N_is_elementwise_and_sends_no_gradient_into_the_target(name, settings):
    obj, x, y = case(name, **settings)
    p = view(obj, name, x, y)
    similarities = torch.tensor(reference.table(name, numbers(x), numbers(obj.centers.weight), p), dtype=x.dtype)
    pos = similarities.gather(1, y[:, None]).requires_grad_(True)
    norm = x.norm(dim=1, keepdim=True).requires_grad_(True)
    params = {key: value.detach() for key, value in obj.learned.items()}
    ctx = obj.margin.context(pos, norm, y[:, None], params, obj.state)
    if obj.margin.selects:
        ctx.tau = torch.zeros_like(pos)
    for f in (obj.margin.N, obj.margin.hard):
        whole = f(similarities, ctx)
        assert not whole.requires_grad
        one_by_one = torch.cat([f(similarities[:, j : j + 1], ctx) for j in range(9)], dim=1)
        # vector and scalar code of a CPU may round a cosine differently: a few units of the last digit of a float64
        torch.testing.assert_close(whole, one_by_one, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", METHODS)
def test_docstrings_say_gradient_reduction_and_differences(name):
    doc = inspect.getdoc(METHODS[name].margin)
    for line in ("Gradient:", "Reduces to:", "Follows / differs:"):
        assert line in doc, f"{name}: {line}"


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_is_declared_for_sliders_and_tables(name):
    method = METHODS[name]
    for part in method.parts:
        assert {f.name for f in dataclasses.fields(part)} == set(part.parameters())
    assert sum(len(part.parameters()) for part in method.parts) == len(method.parameters()), "two parts share a name"
    for key, p in method.parameters().items():
        assert p.symbol
        assert p.meaning
        assert p.choices or (math.isfinite(p.low) and math.isfinite(p.high)), key
    for preset in method.presets:
        assert set(method.settings(preset)) == set(method.parameters())
        assert method.settings(preset) == build_quietly(name, 4, 4, preset=preset).parameters_now()


@pytest.mark.parametrize("name", METHODS)
def test_values_past_the_declared_range_are_refused(name):
    for key, p in METHODS[name].parameters().items():
        bad = ["no such choice"] if p.choices else [p.low - 0.01, p.high * 1.01 + 0.01, float("nan"), "wide"]
        for value in bad:
            with pytest.raises(InputError, match=f"{key} = ") as error:
                build(name, 10, 4, **{key: value})
            assert "\n" not in str(error.value)


def test_bad_input_names_the_culprit():
    for call, words in [
        (lambda: build("arcfase", 10, 4), "did you mean 'arcface'"),
        (lambda: build("arcface", 10, 4, margin=0.3), "unknown parameter of arcface 'margin'"),
        (lambda: build("arcface", 10, 4, m=3.0), "m = 3.0 is outside [0, 1.5]"),
        (lambda: build("arcface", 10, 4, guard="mmm"), "guard = 'mmm' is not one of wrap, mm"),
        (lambda: build("cosface", 10, 4, guard="mm"), "guard = 'mm' is not one of wrap, easy, gtm"),
        (lambda: build("mv_am", 10, 4, guard="mm"), "needs positive = 'arc'"),
        (lambda: build("magface", 10, 4, l_a=50, u_a=20), "needs l_a < u_a"),
        (lambda: build("magface", 10, 4, l_m=0.8, u_m=0.5), "l_m <= u_m"),
        (lambda: build("triplet", 10, 4, mining="hardest"), "mining = 'hardest' is not one of all, hard"),
        (lambda: build("arcface", 10, 4, preset="papr"), "did you mean 'paper'"),
        (lambda: build("arcface", 1, 4), "classes = 1: at least 2"),
        (lambda: build("arcface", 10, 4, compute="streamed"), "unknown compute 'streamed'"),
    ]:
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", METHODS)
def test_bad_batches_name_the_sample(name):
    obj = build(name, 10, 4)
    x = torch.ones(3, 4)
    for bad_x, bad_y, words in [
        (x, torch.tensor([0, 10, 1]), "label 10 is outside 0..9"),
        (x, torch.tensor([0, -1, 1]), "label -1 is outside"),
        (x[:, :3], torch.tensor([0, 1, 2]), "expected (B, 4)"),
        (x[:0], torch.tensor([], dtype=torch.long), "B of at least 1"),
        (x, torch.tensor([0, 1]), "expected (3,)"),
        (x, torch.tensor([0.0, 1.0, 2.0]), "expected (3,) and an integer type"),
        (x, torch.full((3,), -100), "every label of the batch is ignore_index"),
        (torch.stack([x[0], 0 * x[0], x[0]]), torch.tensor([0, 1, 2]), "sample 1 of the batch has norm 0"),
    ]:
        for call in (obj, obj.observe, obj.step):
            with pytest.raises(InputError) as error:
                call(bad_x, bad_y)
            assert words in str(error.value)
