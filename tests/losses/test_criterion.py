"""A criterion like any other of torch: a scalar, BatchNorm semantics, labels, types, autocast, checkpoint, compile."""

import copy
import warnings

import pytest
import torch
from cases import build_quietly, relative
from torch import nn
from torch.utils.checkpoint import checkpoint

from workbench.core.errors import InputError
from workbench.core.random import generator
from workbench.methods import METHODS

C, D, B = 9, 5, 8
STATEFUL = [name for name in METHODS if build_quietly(name, C, D).state]
PARTIAL = {"sampled": {"rate": 0.5, "precision": "fp64"}, "queued": {"max_active": 6, "K": 2, "precision": "fp64"}}


def batch(step=0, n=B):
    rng = generator(5, f"criterion {step}")
    return torch.randn(n, D, generator=rng), torch.arange(n).roll(step) % 4


def state_of(criterion):
    return {name: value.clone() for name, value in criterion.state_dict().items()}


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.mark.parametrize("name", METHODS)
def test_a_training_forward_is_a_scalar_and_advances_the_state_as_step_does(name):
    criterion, stepped = build_quietly(name, C, D), build_quietly(name, C, D)
    for i in range(3):
        x, y = batch(i)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        total, loss = criterion(a, y), stepped.step(b, y).total
        assert total.shape == ()
        assert torch.equal(total, loss)
        total.backward(), loss.backward()
        assert torch.equal(a.grad, b.grad)
    assert same(state_of(criterion), state_of(stepped))


@pytest.mark.parametrize("name", METHODS)
def test_a_forward_without_training_reads_only(name):
    criterion = build_quietly(name, C, D)
    x, y = batch()
    criterion(x.requires_grad_(), y)
    before, expected = state_of(criterion), criterion.loss(x, y).total.detach()
    with torch.no_grad():
        assert torch.equal(criterion(x, y), expected)
    with torch.inference_mode():
        assert torch.equal(criterion(x.detach().clone(), y), expected)
    assert torch.equal(criterion.eval()(x, y).detach(), expected)
    criterion.train().requires_grad_(False)(x.detach(), y)
    assert same(before, state_of(criterion))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.has_logits])
@pytest.mark.parametrize("compute", ["dense", "streaming"])
def test_under_inference_mode_every_reading_is_the_usual_one(name, compute):
    criterion = build_quietly(name, C, D, compute=compute)
    x, y = batch()
    expected = criterion.loss(x, y).per_sample.detach()
    with torch.inference_mode():
        read = torch.randn(2, D) * 0 + 1, torch.tensor([0, 1])
        criterion.margin_logits(*read)
        assert relative(criterion.loss(x.clone(), y.clone()).per_sample, expected) < 1e-6
        criterion.observe(x.clone(), y.clone())


@pytest.mark.parametrize("kind", PARTIAL)
def test_partial_class_sets_read_under_inference_mode(kind):
    criterion = build_quietly("arcface", C, D, centers=kind, class_set=PARTIAL[kind])
    x, y = batch()
    with torch.inference_mode():
        assert torch.isfinite(criterion(x, y))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.int64])
def test_labels_have_any_integer_type(dtype):
    criterion = build_quietly("npcface", 200, D)
    x, y = batch()
    y[0] = 100
    assert torch.equal(criterion.loss(x, y.to(dtype)).per_sample, criterion.loss(x, y).per_sample)


def test_class_156_is_not_ignored_in_uint8():
    """-100 modulo 256."""
    criterion = build_quietly("arcface", 200, D)
    x, _ = batch()
    assert len(criterion.loss(x, torch.full((B,), 156, dtype=torch.uint8)).per_sample) == B


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("ignore_index", [-100, 3])
def test_ignored_rows_leave_loss_state_and_gradient(name, ignore_index):
    whole, part = (build_quietly(name, C, D, ignore_index=ignore_index) for _ in range(2))
    x, y = batch()
    keep = torch.tensor([True, False, True, True, False, True, True, True]) & (y != ignore_index)
    y = torch.where(keep, y, ignore_index)
    a, b = x.clone().requires_grad_(), x[keep].clone().requires_grad_()
    total, expected = whole(a, y), part(b, y[keep])
    assert torch.equal(total, expected)
    total.backward(), expected.backward()
    assert torch.equal(a.grad[keep], b.grad)
    assert not a.grad[~keep].any()
    assert same(state_of(whole), state_of(part))


def test_labels_that_cannot_be_used_are_named():
    criterion = build_quietly("arcface", C, D)
    x, y = batch()
    for bad, words in (
        (y - 1, "label -1 is outside 0..8 .* ignore_index = -100"),
        (y.float(), "type torch.float32; expected .* integer type"),
        (y == 0, "type torch.bool"),
        (torch.full_like(y, -100), "every label of the batch is ignore_index = -100"),
    ):
        with pytest.raises(InputError, match=words):
            criterion(x.requires_grad_(), bad)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("given", "held"), [(torch.float64, torch.float32), (torch.float32, torch.float64)])
def test_embeddings_are_converted_to_the_type_of_the_centers(name, given, held):
    criterion = build_quietly(name, C, D).to(held)
    x, y = batch()
    a = x.to(given).requires_grad_()
    total = criterion(a, y)
    total.backward()
    assert total.dtype == held
    assert (a.grad.dtype, torch.isfinite(a.grad).all()) == (given, True)
    assert float(total.detach()) == pytest.approx(float(build_quietly(name, C, D).step(x, y).total.detach()), rel=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_default_type_may_be_float64(name):
    torch.set_default_dtype(torch.float64)
    try:
        criterion = build_quietly(name, C, D)
        x, y = batch()
        for kind in ("dense", "streaming"):
            criterion.compute = kind
            criterion(x.requires_grad_(), y).backward()
        assert x.grad.dtype == torch.float64
        for kind, options in PARTIAL.items():
            if METHODS[name].has_logits:
                partial = build_quietly(name, C, D, centers=kind, class_set=options)
                partial(x, y).backward()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_margin_stays_in_float32(name, dtype):
    criterion, plain = build_quietly(name, C, D), build_quietly(name, C, D)
    x, y = batch()
    net = nn.Linear(D, D)
    with torch.autocast("cpu", dtype=dtype):
        total = criterion(net(x), y)
    total.backward()
    assert total.dtype == torch.float32
    assert torch.isfinite(net.weight.grad).all()
    assert float(total.detach()) == pytest.approx(float(plain(net(x), y).detach()), rel=0.05, abs=0.2)


def test_channels_last_networks_and_views_are_embeddings_too():
    net = nn.Sequential(nn.Conv2d(3, D, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(memory_format=torch.channels_last)
    criterion = build_quietly("npcface", C, D)
    images = torch.randn(B, 3, 8, 8).to(memory_format=torch.channels_last)
    x, y = net(images), batch()[1]
    criterion(x, y).backward()
    other, usual = (criterion.loss(v, y).total.detach() for v in (x.T.contiguous().T, x))
    assert relative(other, usual) < 1e-6


# --- checkpointing ---


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", ["full", *PARTIAL])
@pytest.mark.parametrize("name", STATEFUL[:6])
def test_a_checkpointed_forward_advances_the_state_once(name, kind, reentrant):
    if kind != "full" and not METHODS[name].has_logits:
        return
    options = {} if kind == "full" else {"centers": kind, "class_set": PARTIAL[kind]}
    plain, checkpointed = (build_quietly(name, C, D, **options) for _ in range(2))
    net = nn.Linear(D, D)
    for i in range(3):
        x, y = batch(i)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        plain(net(a), y).backward()
        checkpoint(lambda v, y=y: checkpointed(net(v), y), b, use_reentrant=reentrant).backward()
        assert torch.equal(a.grad, b.grad)
    assert same(state_of(plain), state_of(checkpointed))


def test_a_recomputation_after_another_batch_is_refused():
    criterion = build_quietly("curricularface", C, D)
    losses = []
    for i in range(2):
        x, y = batch(i)
        losses.append(checkpoint(criterion, x.requires_grad_(), y, use_reentrant=False))
    with pytest.raises(InputError, match="call backward after each forward"):
        sum(losses).backward()


@pytest.mark.parametrize("name", ["curricularface", "adaface", "arcface"])
def test_micro_batches_advance_the_state_once_each(name):
    criterion, stepped = build_quietly(name, C, D), build_quietly(name, C, D)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.0)
    for i in range(4):
        x, y = batch(i)
        (criterion(x.requires_grad_(), y) / 2).backward()
        stepped.step(x, y)
        if i % 2:
            optimizer.step()
            optimizer.zero_grad()
    assert same(criterion.state, stepped.state)


# --- copies ---


@pytest.mark.parametrize("name", METHODS)
def test_copies_and_state_dicts_go_on_with_the_same_bits(name):
    kinds = ["full", *PARTIAL] if METHODS[name].has_logits else ["full"]
    for kind in kinds:
        options = {} if kind == "full" else {"centers": kind, "class_set": PARTIAL[kind]}
        criterion, loaded = (build_quietly(name, C, D, **options) for _ in range(2))
        train(criterion, 2)
        copied = copy.deepcopy(criterion)
        loaded.load_state_dict(criterion.state_dict())
        assert "centers.handle" not in criterion.state_dict()
        values = [train(one, 2, start=2) for one in (criterion, copied, loaded)]
        assert torch.equal(values[0], values[1])
        assert torch.equal(values[0], values[2])
        assert same(state_of(criterion), state_of(copied))
        assert same(state_of(criterion), state_of(loaded))


def train(criterion, steps, start=0):
    """The last loss of some steps of SGD without momentum, whose state a copy does not have."""
    parameters = list(criterion.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1) if parameters else None
    for i in range(start, start + steps):
        x, y = batch(i)
        total = criterion(x.requires_grad_(), y)
        total.backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()
    return total.detach()


# --- torch.compile ---

tracing = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own


@tracing
@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, "eager") for name in METHODS if not name.startswith("elasticface")]  # their draws read the step
    + [(name, "aot_eager") for name in ("arcface", "npcface", "curricularface", "adaface")],
)
def test_a_compiled_criterion_has_no_graph_break_and_the_same_numbers(name, backend):
    torch._dynamo.reset()
    plain, other = build_quietly(name, C, D), build_quietly(name, C, D)
    compiled = torch.compile(other, backend=backend, fullgraph=True)
    for i in range(3):
        x, y = batch(i)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        total, expected = compiled(a, y.int()), plain(b, y)
        total.backward(), expected.backward()
        assert relative(total.detach(), expected.detach()) < 1e-6
        assert relative(a.grad, b.grad) < 1e-5
    for key, value in plain.state.items():
        assert relative(other.state[key], value) < 1e-6


@tracing
def test_a_compiled_criterion_refuses_labels_outside_the_classes():
    torch._dynamo.reset()
    compiled = torch.compile(build_quietly("arcface", C, D), backend="eager", fullgraph=True)
    x, y = batch()
    for bad in (C, -1, -100):
        with pytest.raises(RuntimeError, match=r"label is outside 0\.\.8"):
            compiled(x.requires_grad_(), torch.where(y == 0, bad, y))


@pytest.mark.parametrize("kind", PARTIAL)
def test_partial_class_sets_work_beside_compiled_code(kind):
    torch._dynamo.reset()
    plain, other = (build_quietly("arcface", C, D, centers=kind, class_set=PARTIAL[kind]) for _ in range(2))
    compiled = torch.compile(other, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.equal(train(plain, 3), train(compiled, 3))
    assert torch.equal(plain.centers.weight, other.centers.weight)
