"""Class sets whose rows no optimizer owns, in training loops that are not ours: they train as full centers do."""

import pytest
import torch
from cases import build_quietly, relative
from torch import nn

from workbench.core.random import generator
from workbench.losses import link

C, D, B = 12, 6, 8
SGD = {"momentum": 0.9, "weight_decay": 0.01}
WHOLE = {  # with every class active they are full centers
    "sampled": {"rate": 1.0, "precision": "fp64"} | SGD,
    "queued": {"max_active": C, "K": 3, "precision": "fp64"} | SGD,
}
METHODS = ("arcface", "npcface", "softmax", "uniface", "subcenter_arcface")


def batch(step, n=B):
    rng = generator(5, f"own loop {step}")
    return torch.randn(n, D, generator=rng, dtype=torch.float64), torch.randint(0, C, (n,), generator=rng)


def parts(name, kind, **options):
    """A network and a criterion, in float64."""
    torch.manual_seed(0)
    given = {} if kind == "full" else {"centers": kind, "class_set": WHOLE[kind] | options}
    return nn.Linear(D, D).double(), build_quietly(name, C, D, **given).double()


def train(net, criterion, steps=4, backward=lambda loss: loss.backward(), step=None, micro=1, groups=None, **settings):
    """A plain loop; returns the losses."""
    parameters = groups or [*net.parameters(), *criterion.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, **(SGD | settings))
    losses = []
    for i in range(steps):
        optimizer.zero_grad()
        for x, y in zip(*(part.chunk(micro) for part in batch(i)), strict=True):
            loss = criterion(net(x), y) / micro
            backward(loss)
        (step or optimizer.step)(*([optimizer] if step else []))
        losses.append(loss.detach())
    return torch.stack(losses)


def agree(a, b, tolerance=1e-10):
    assert relative(a.centers.weight.detach(), b.centers.weight.detach()) < tolerance
    for name, value in b.state.items():
        assert relative(a.state[name], value) < tolerance


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("micro", [1, 2])
def test_with_all_classes_active_a_plain_loop_trains_as_with_full_centers(name, kind, micro):
    (net, criterion), (other, full) = parts(name, kind), parts(name, "full")
    found, expected = train(net, criterion, micro=micro), train(other, full, micro=micro)
    assert relative(found, expected) < 1e-10
    agree(criterion, full)
    assert relative(net.weight.detach(), other.weight.detach()) < 1e-10


@pytest.mark.parametrize("kind", WHOLE)
def test_the_step_of_our_training_and_of_a_plain_loop_are_the_same_bits(kind):
    (net, criterion), (other, stepped) = (parts("npcface", kind, max_active=8) for _ in range(2))
    train(net, criterion)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, **SGD)
    for i in range(4):
        x, y = batch(i)
        optimizer.zero_grad()
        stepped.step(other(x), y).total.backward()
        optimizer.step()
        stepped.apply_updates(0.1)
    assert torch.equal(criterion.centers.weight, stepped.centers.weight)
    assert torch.equal(net.weight, other.weight)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_scaler_unscales_the_rows_too(kind):
    (net, criterion), (other, full) = parts("arcface", kind), parts("arcface", "full")
    for model, one in ((net, criterion), (other, full)):
        train_scaled(model, one, torch.amp.GradScaler("cpu", init_scale=2.0**12))
    agree(criterion, full)


def train_scaled(net, criterion, scaler):
    train(
        net,
        criterion,
        backward=lambda loss: scaler.scale(loss).backward(),
        step=lambda optimizer: (scaler.step(optimizer), scaler.update()),
    )


@pytest.mark.parametrize("kind", WHOLE)
def test_a_step_that_a_scaler_skips_leaves_the_rows(kind):
    net, criterion = parts("arcface", kind)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1)
    before = criterion.centers.weight.clone()
    x, y = batch(0)
    scaler.scale(criterion(net(x), y)).backward()
    net.weight.grad[0, 0] = torch.inf
    scaler.step(optimizer), scaler.update()
    assert torch.equal(criterion.centers.weight, before)
    optimizer.zero_grad()
    scaler.scale(criterion(net(x), y)).backward()
    scaler.step(optimizer), scaler.update()
    assert not torch.equal(criterion.centers.weight, before)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_clipped_gradient_clips_the_rows_by_the_same_factor(kind):
    """The norm itself is that of the parameters an optimizer owns."""
    net, criterion = parts("arcface", kind, momentum=0.0, weight_decay=0.0)
    before = criterion.centers.weight.clone()
    x, y = batch(0)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1)
    criterion(net(x), y).backward()
    norm = nn.utils.clip_grad_norm_([*net.parameters(), *criterion.parameters()], 0.01)
    optimizer.step()
    clipped = criterion.centers.weight - before
    other, plain = parts("arcface", kind, momentum=0.0, weight_decay=0.0)
    optimizer = torch.optim.SGD([*other.parameters(), *plain.parameters()], lr=0.1)
    plain(other(x), y).backward()
    optimizer.step()
    assert relative(clipped, (plain.centers.weight - before) * 0.01 / norm) < 1e-5


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("none", [True, False])
def test_zero_grad_drops_the_gradients_of_rows(kind, none):
    (net, criterion), (other, alone) = parts("arcface", kind), parts("arcface", kind)
    for model, one, probes in ((net, criterion, 1), (other, alone, 0)):
        optimizer = torch.optim.SGD([*model.parameters(), *one.parameters()], lr=0.1)
        for i in range(3):
            x, y = batch(i)
            for _ in range(probes):  # a backward pass whose gradients are dropped
                one(model(x), y).backward()
                optimizer.zero_grad(set_to_none=none)
            one(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=none)
    assert relative(net.weight.detach(), other.weight.detach()) < 1e-10
    assert relative(criterion.centers.weight, alone.centers.weight) < 1e-10


@pytest.mark.parametrize("kind", WHOLE)
def test_rows_follow_the_rate_of_their_group_and_its_schedule(kind):
    (net, criterion), (other, full) = parts("arcface", kind), parts("arcface", "full")
    for model, one in ((net, criterion), (other, full)):
        groups = [{"params": list(model.parameters()), "lr": 0.5}, {"params": list(one.parameters()), "lr": 0.05}]
        optimizer = torch.optim.SGD(groups, lr=0.1, **SGD)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
        for i in range(5):
            x, y = batch(i)
            optimizer.zero_grad()
            one(model(x), y).backward()
            optimizer.step()
            schedule.step()
    agree(criterion, full)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.NAdam])
def test_any_optimizer_moves_the_rows_by_sgd_at_its_rate(kind, make):
    (net, criterion), (other, full) = parts("arcface", kind), parts("arcface", "full")
    for model, one, split in ((net, criterion, False), (other, full, True)):
        first = make(list(model.parameters()) + ([] if split else list(one.parameters())), lr=0.01)
        second = [torch.optim.SGD(one.parameters(), lr=0.01, **SGD)] if split else []
        for i in range(4):
            x, y = batch(i)
            for optimizer in (first, *second):
                optimizer.zero_grad()
            one(model(x), y).backward()
            for optimizer in (first, *second):
                optimizer.step()
    agree(criterion, full)


@pytest.mark.parametrize("kind", WHOLE)
def test_two_optimizers_in_either_order(kind):
    (net, criterion), (other, full) = parts("arcface", kind), parts("arcface", "full")
    for model, one in ((net, criterion), (other, full)):
        a = torch.optim.SGD(model.parameters(), lr=0.1)
        b = torch.optim.SGD(one.parameters(), lr=0.1, **SGD)
        for i in range(4):
            x, y = batch(i)
            a.zero_grad(), b.zero_grad()
            one(model(x), y).backward()
            a.step()
            if i % 2:  # the centers every second step, by gradients of one batch
                b.step()
    agree(criterion, full)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
def test_class_margins_stay_in_their_range_in_any_loop(compiled):
    net, criterion = parts("adaptiveface", "full")
    call = torch.compile(criterion, backend="eager", fullgraph=True) if compiled else criterion
    optimizer = torch.optim.SGD(criterion.parameters(), lr=10.0)
    for i in range(3):
        x, y = batch(i)
        call(net(x).detach(), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert criterion.learned["m"].min() >= 0
        assert criterion.learned["m"].max() <= 1


@pytest.mark.parametrize("kind", ["full", *WHOLE])
def test_the_total_may_be_changed_in_place(kind):
    net, criterion = parts("arcface", kind)
    x, y = batch(0)
    total = criterion(net(x), y)
    total *= 2
    total.backward()
    assert torch.isfinite(net.weight.grad).all()


def test_what_is_linked_is_freed_with_its_criterion():
    before = len(link.LINKED)
    net, criterion = parts("arcface", "sampled")
    train(net, criterion, 2)
    assert len(link.LINKED) == before + 1
    del criterion
    assert len(link.LINKED) == before


def test_the_handle_changes_neither_loss_nor_gradients_nor_the_norm_that_clipping_uses():
    net, criterion = parts("arcface", "sampled")
    x, y = batch(0)
    expected = criterion.loss(net(x), y).total
    total = criterion(net(x), y)
    assert torch.equal(total, expected)
    total.backward()
    every = nn.utils.get_total_norm([p.grad for p in [*net.parameters(), *criterion.parameters()]])
    assert torch.equal(every, nn.utils.get_total_norm([p.grad for p in net.parameters()]))
    assert [p.numel() for p in criterion.parameters()] == [1]
