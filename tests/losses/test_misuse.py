"""Mistakes in a training loop that would train wrongly in silence: each raises or warns once, and names the fix."""

import warnings

import pytest
import torch
from cases import build_quietly
from torch import nn
from torch.utils.checkpoint import checkpoint

from workbench.core.errors import InputError
from workbench.core.random import generator
from workbench.losses import link

C, D, B = 12, 6, 8
PARTIAL = {"sampled": {"rate": 0.5}, "queued": {"max_active": 9, "K": 3}}
FIX = r"give criterion\.parameters\(\) to a torch\.optim optimizer"
partial = pytest.mark.parametrize("kind", PARTIAL)


def batch(step=0):
    rng = generator(5, f"misuse {step}")
    return torch.randn(B, D, generator=rng), torch.randint(0, C, (B,), generator=rng)


def parts(kind="full", name="arcface"):
    options = {} if kind == "full" else {"centers": kind, "class_set": PARTIAL[kind]}
    return nn.Linear(D, D), build_quietly(name, C, D, **options)


def loop(net, criterion, optimizer, steps, forward=None, zero=True):
    for i in range(steps):
        x, y = batch(i)
        if zero:
            optimizer.zero_grad()
        (forward or criterion)(net(x), y).backward()
        optimizer.step()


@partial
def test_1_partial_centers_that_no_optimizer_holds_are_refused_at_the_second_step(kind):
    net, criterion = parts(kind)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loop(net, criterion, optimizer, 1)
    with pytest.raises(InputError, match=FIX):
        loop(net, criterion, optimizer, 1)


def test_2_full_centers_that_no_optimizer_holds_are_warned_of_once():
    net, criterion = parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match=FIX) as seen:
        loop(net, criterion, optimizer, 5)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_frozen_centers_are_no_mistake():
    net, criterion = parts()
    criterion.requires_grad_(False)
    loop(net, criterion, torch.optim.SGD(net.parameters(), lr=0.1), 3)


@partial
def test_3_an_update_by_hand_is_refused_at_the_second_step(kind):
    net, criterion = parts(kind)
    for step in range(2):
        x, y = batch(step)
        if step:
            with pytest.raises(InputError, match="something else than a torch"):
                criterion(net(x), y)
            return
        criterion(net(x), y).backward()
        with torch.no_grad():
            for p in [*net.parameters(), *criterion.parameters()]:
                p -= 0.1 * p.grad
                p.grad = None


@partial
def test_4_backward_passes_without_any_step_are_warned_of(kind, monkeypatch):
    monkeypatch.setattr(link, "PATIENCE", 5)
    net, criterion = parts(kind)
    with pytest.warns(UserWarning, match=FIX) as seen:
        loop_by_hand(net, criterion, 8)
    assert len(seen) == 1


@torch.no_grad()
def loop_by_hand(net, criterion, steps):
    for step in range(steps):
        x, y = batch(step)
        with torch.enable_grad():
            criterion(net(x), y).backward()
        for p in net.parameters():
            p -= 0.1 * p.grad
            p.grad = None


@partial
@pytest.mark.parametrize("reading", ["loss", "step"])
def test_5_a_reading_in_place_of_the_forward_is_refused_at_the_second_step(kind, reading):
    net, criterion = parts(kind)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1)

    def forward(x, y):
        return getattr(criterion, reading)(x, y).total

    loop(net, criterion, optimizer, 1, forward)
    with pytest.raises(InputError, match=r"call criterion\(x, y\) in a training loop, or apply_updates"):
        loop(net, criterion, optimizer, 1, forward)


@partial
def test_6_gradients_that_are_not_set_to_zero_are_warned_of_once(kind):
    net, criterion = parts(kind)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1)
    with pytest.warns(UserWarning, match=r"call optimizer.zero_grad\(\) after each step") as seen:
        loop(net, criterion, optimizer, 4, zero=False)
    assert len(seen) == 1


def test_7_a_recomputation_after_another_batch_is_refused():
    net, criterion = parts(name="curricularface")
    losses = [checkpoint(criterion, net(x), y, use_reentrant=False) for x, y in (batch(0), batch(1))]
    with pytest.raises(InputError, match="call backward after each forward, or leave the criterion out"):
        sum(losses).backward()


@pytest.mark.parametrize("bad", [-1, -2, C, 255])
def test_8_a_label_outside_the_classes_is_named_with_the_label_to_ignore(bad):
    _, criterion = parts()
    x, y = batch()
    y[3] = bad
    with pytest.raises(InputError, match=rf"label {bad} is outside 0\.\.11 .* ignore_index = -100"):
        criterion(x.requires_grad_(), y)


@pytest.mark.parametrize("bad", [torch.float32, torch.bool])
def test_9_labels_that_are_no_integers_are_named(bad):
    _, criterion = parts()
    x, y = batch()
    with pytest.raises(InputError, match=r"expected .* an integer type"):
        criterion(x.requires_grad_(), y.to(bad))


def test_10_one_hot_labels_and_integer_embeddings_are_named():
    _, criterion = parts()
    x, y = batch()
    with pytest.raises(InputError, match=r"labels have shape \(8, 12\)"):
        criterion(x, torch.nn.functional.one_hot(y, C))
    with pytest.raises(InputError, match="of a floating type"):
        criterion(x.long(), y)


def test_11_a_batch_of_ignored_rows_only_is_named():
    _, criterion = parts()
    x, y = batch()
    with pytest.raises(InputError, match="every label of the batch is ignore_index"):
        criterion(x, torch.full_like(y, -100))


def test_12_the_result_of_a_forward_has_no_parts():
    """Code written for an earlier protocol fails where it reads them."""
    _, criterion = parts()
    with pytest.raises(AttributeError, match="total"):
        criterion(*batch()).total.backward()


@partial
def test_a_correct_loop_warns_of_nothing(kind):
    net, criterion = parts(kind)
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop(net, criterion, optimizer, 4)
        with torch.no_grad():
            criterion.eval()(net(batch()[0]), batch()[1])
            criterion.loss(net(batch()[0]), batch()[1])
        loop(net, criterion.train(), optimizer, 2)
    before = criterion.centers.weight.clone()
    criterion.eval()  # fine-tuning: gradients without a state that advances
    loop(net, criterion, optimizer, 1)
    assert not torch.equal(criterion.centers.weight, before)
