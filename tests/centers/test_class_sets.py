"""Partial class sets: with all classes active they equal the full classifier; inactive classes do not change."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import relative
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn.functional import normalize

from workbench.centers import bank as banks
from workbench.centers.bank import Bank, round_to_fp16, sample_others
from workbench.centers.full import FullCenters
from workbench.centers.options import RowOptions
from workbench.centers.queued import QueuedCenters, Rebuild, max_by_class
from workbench.centers.sampled import SampledCenters
from workbench.centers.similarity import Cosine, Dot, SubCenters
from workbench.core.errors import InputError
from workbench.core.geometry import full
from workbench.core.random import generator
from workbench.core.record import Run
from workbench.methods import build
from workbench.mining.exact import quantize
from workbench.mining.queue import HardNegativeQueue
from workbench.training import checkpoint
from workbench.training import kept as kept_centers
from workbench.training.config import Config
from workbench.training.fit import Job, snapshot

C, D, B = 40, 8, 6
SGD = {"momentum": 0.9, "weight_decay": 0.01}


def sampled(similarity=Cosine(), seed=1, **options):  # noqa: B008
    return SampledCenters(C, D, seed, similarity, **({"precision": "fp64"} | SGD | options))


def queued(similarity=Cosine(), seed=1, classes=C, **options):  # noqa: B008
    usual = {"precision": "fp64", "max_active": 20, "K": 4, "conflict": None} | SGD
    return QueuedCenters(classes, D, seed, similarity, **(usual | options))


def objective(centers, name="npcface", **parameters):
    """A method on the class set; in float64 where its centers are."""
    made = build(name, centers.classes, D, seed=1, **parameters)
    made.centers = centers
    return made.to(full(centers.weight).dtype)


def batch(step, classes=C):
    rng = generator(7, f"batch {step}")
    return torch.randn(B, D, generator=rng, dtype=torch.float64), torch.randint(0, classes, (B,), generator=rng)


def trained(made, steps, start=0, lr=0.1):
    """Losses and gradients by the embeddings of some training steps on a class set that updates its rows itself."""
    seen = []
    for step in range(start, start + steps):
        x, y = batch(step, made.centers.classes)
        x = x.to(full(made.centers.weight).dtype).requires_grad_()
        loss = made.step(x, y).total
        loss.backward()
        made.apply_updates(lr)
        seen += [loss.detach(), x.grad]
    return seen


def trained_in_full(name, steps, similarity, nesterov=False, lr=0.1, **parameters):
    made = objective(FullCenters(C, D, 1, similarity).double(), name, **parameters)
    optimizer = torch.optim.SGD(made.centers.parameters(), lr=lr, nesterov=nesterov, **SGD)
    seen = []
    for step in range(steps):
        x, y = batch(step)
        loss = made.step(x.requires_grad_(), y).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        made.apply_updates(lr)
        seen += [loss.detach(), x.grad]
    return seen, made.centers.weight.detach(), made.centers.bias


@pytest.mark.parametrize(
    ("name", "similarity"),
    [
        ("npcface", Cosine()),
        ("curricularface", Cosine()),
        ("adacos", Cosine()),
        ("uniface", Cosine()),
        ("softmax", Dot()),
        ("subcenter_arcface", SubCenters(K=3)),
    ],
)
@pytest.mark.parametrize("kind", ["sampled", "queued"])
def test_with_all_classes_active_it_is_the_full_classifier(name, similarity, kind):
    """Loss, gradients and centers of several steps with momentum and weight decay, as torch.optim.SGD moves them."""
    centers = sampled(similarity, rate=1.0) if kind == "sampled" else queued(similarity, max_active=C)
    expected, weight, bias = trained_in_full(name, 6, similarity)
    found = trained(objective(centers, name), 6)
    for a, b in zip(found, expected, strict=True):
        assert relative(a, b) < 1e-10
    assert relative(centers.weight, weight) < 1e-10
    if bias is not None:
        assert relative(centers.biases.rows, bias.detach()) < 1e-10


def test_nesterov_is_that_of_the_optimiser():
    centers = sampled(rate=1.0, nesterov=True)
    _, weight, _ = trained_in_full("arcface", 4, Cosine(), nesterov=True)
    trained(objective(centers, "arcface"), 4)
    assert relative(centers.weight, weight) < 1e-10


def test_without_queues_it_is_partial_fc_with_the_same_draw():
    a, b = sampled(max_active=20), queued(K=0)
    for x, y in zip(trained(objective(a), 5), trained(objective(b), 5), strict=True):
        assert torch.equal(x, y)
    assert torch.equal(a.weight, b.weight)


def test_before_warm_up_it_is_partial_fc_and_after_it_is_not():
    a, b = objective(sampled(max_active=20)), objective(queued(warmup=3))
    trained(a, 4)
    trained(b, 4)
    assert torch.equal(a.centers.weight, b.centers.weight)  # step 3 feeds the queues, step 4 is the first to use them
    trained(a, 3, start=4)
    trained(b, 3, start=4)
    assert not torch.equal(a.centers.weight, b.centers.weight)


@pytest.mark.parametrize("make", [sampled, queued])
def test_rows_that_were_not_met_stay_bitwise(make):
    centers = make(max_active=10)
    made = objective(centers)
    trained(made, 3)  # so that there is momentum to go on with
    for step in range(3, 6):
        rows, velocity = centers.bank.rows.clone(), centers.bank.velocity.clone()
        x, y = batch(step)
        active = centers.select(y).ids
        made.step(x, y).total.backward()
        made.apply_updates(0.1)
        rest = torch.ones(C, dtype=torch.bool)
        rest[active] = False
        assert len(active) == 10
        assert torch.equal(centers.bank.rows[rest], rows[rest])
        assert torch.equal(centers.bank.velocity[rest], velocity[rest])
        assert not (centers.bank.rows[active] == rows[active]).all(dim=(1, 2)).any()


def test_settle_moves_the_rows_that_the_gradient_belongs_to():
    """Whatever was looked at between the comparison, which comes before observe, and the backward after it."""
    plain, busy = objective(sampled(rate=0.3)), objective(sampled(rate=0.3))
    for step in range(4):
        (x, y), other = batch(step), batch(step + 50)
        plain.step(x, y).total.backward()
        plain.apply_updates(0.1)
        first, second = busy.centers.select(y), busy.centers.select(y)
        assert torch.equal(first.ids, second.ids)
        assert torch.equal(first.W, second.W)
        loss = busy.step(x, y).total
        with torch.no_grad():
            busy.loss(*other)
        busy.loss(*other)  # looked at with a graph, and left
        busy.margin_logits(*other)
        loss.backward()
        busy.apply_updates(0.1)
        busy.apply_updates(0.1)  # nothing is left to move
    assert torch.equal(plain.centers.weight, busy.centers.weight)


@pytest.mark.parametrize("K", [0, 4])
def test_reading_changes_nothing_and_only_observe_advances_the_draw(K):
    made = objective(queued(K=K))
    trained(made, 3)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    x, y = batch(9)
    made.loss(x, y)
    made.apply_updates(0.1)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    first = made.centers.select(y).ids
    made.observe(x, y)
    assert int(made.centers.step) == 4
    assert not torch.equal(first, made.centers.select(y).ids)


def test_several_backwards_before_a_step_add_up():
    whole, parts = objective(sampled(rate=1.0), "arcface"), objective(sampled(rate=1.0), "arcface")
    x, y = batch(0)
    whole.loss(x, y).total.backward()
    for half in (slice(0, 3), slice(3, 6)):
        (parts.loss(x[half], y[half]).total / 2).backward()
    for made in (whole, parts):
        made.apply_updates(0.1)
    assert relative(parts.centers.weight, whole.centers.weight) < 1e-12


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "fp16"},
        {"center_update": "positive"},
        {"criterion": "misclassified", "warmup": 2},
        {"refresh_every": 4, "refresh_delay": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("cut", [5, 8])
def test_a_state_dict_goes_on_with_the_same_bits(options, cut):
    """Also with fp16, and with a rebuild under way: started in steps 3 and 7, adopted before steps 7 and 11."""

    def fresh():
        return objective(queued(**options))

    whole, first, second = fresh(), fresh(), fresh()
    trained(whole, 12)
    trained(first, cut)
    saved = {name: value.clone() for name, value in first.state_dict().items()}
    second.load_state_dict(saved)
    trained(second, 12 - cut, start=cut)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in second.state_dict().items())


def test_a_late_rebuild_is_waited_for(monkeypatch):
    """However long the rebuild takes, it is adopted before the same step."""
    real, gate = HardNegativeQueue.rebuild, threading.Event()

    def slow(*args, **kwargs):
        assert gate.wait(20)
        return real(*args, **kwargs)

    prompt, late = (objective(queued(refresh_every=4, refresh_delay=3)) for _ in range(2))
    trained(prompt, 9)
    monkeypatch.setattr(HardNegativeQueue, "rebuild", slow)
    trained(late, 6)  # the rebuild that step 3 started is due when step 6 has been observed
    assert not torch.equal(late.centers.queue.ids, prompt.centers.queue.ids)
    opener = threading.Timer(0.1, gate.set)
    opener.start()
    trained(late, 3, start=6)
    opener.join()
    assert torch.equal(late.centers.queue.ids, prompt.centers.queue.ids)
    assert torch.equal(late.centers.weight, prompt.centers.weight)


def test_a_rebuild_sees_the_centers_of_the_step_it_started_at_a_byte_a_number(monkeypatch):
    """Whatever moves them meanwhile; and no more is copied than that."""
    real, seen = HardNegativeQueue.rebuild, []

    def watched(self, W, *args, **kwargs):
        seen.append(W)
        return real(self, W, *args, **kwargs)

    monkeypatch.setattr(HardNegativeQueue, "rebuild", watched)
    made = objective(queued(refresh_every=4, refresh_delay=3))
    trained(made, 3)
    made.observe(*batch(3))  # the fourth step, which starts the rebuild before the rows move
    expected = quantize(made.centers.weight)
    trained(made, 3, start=4)
    assert not torch.equal(quantize(made.centers.weight), expected)
    assert seen[0].dtype == torch.int8
    assert torch.equal(seen[0], expected)
    assert made.centers.queue.rebuilt.startswith("flat (")


def test_what_went_wrong_in_a_rebuild_is_raised_when_it_is_due(monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError("no room for an index")

    monkeypatch.setattr(HardNegativeQueue, "rebuild", broken)
    with pytest.raises(MemoryError, match="no room for an index"):
        trained(objective(queued(refresh_every=4, refresh_delay=3)), 9)


def test_a_rebuild_that_nobody_waits_for_is_stopped():
    ended = threading.Event()

    def make(stop):
        while not stop():
            time.sleep(0.001)
        ended.set()

    rebuild = Rebuild(make)
    assert not ended.is_set()
    del rebuild
    assert ended.is_set()


def families(**options):
    """100 classes in families of 5 near each other, in a class set with 20 active classes."""
    rng = generator(3, "families")
    W = normalize(torch.randn(20, 1, D, generator=rng) + 0.2 * torch.randn(20, 5, D, generator=rng), dim=2)
    centers = queued(classes=100, weight_decay=0.0, explore=0.5, **options)
    centers.bank.rows.copy_(W.view(100, 1, D))
    return centers


def test_queues_fill_with_the_classes_that_are_near():
    """Fed by batches of which each meets a fifth of the classes, the queues come to hold the exact neighbors."""
    centers = families()
    made = objective(centers, "cosface", s=16)
    for step in range(300):
        y = torch.randint(0, 100, (10,), generator=generator(step, "families"))
        made.observe(centers.weight[y], y)
    W = normalize(centers.weight)
    nearest = (W @ W.T - 2 * torch.eye(100)).topk(4, dim=1).indices
    found = (centers.queue.of(torch.arange(100)).long()[:, :, None] == nearest[:, None]).any(dim=1)
    assert found.double().mean() > 0.9
    y = torch.tensor([0, 7])
    assert set(nearest[y].flatten().tolist()) <= set(centers.select(y).ids.tolist())


def test_hard_negatives_are_capped_by_score_and_leave_room_to_explore():
    centers = queued(explore=0.5, max_active=10)
    centers.queue.ids[0] = torch.tensor([5, 6, 7, 8])
    centers.queue.ids[1] = torch.tensor([6, 9, 0, -1])
    centers.queue.scores[0] = torch.tensor([0.5, 0.1, 0.3, 0.2])
    centers.queue.scores[1] = torch.tensor([0.6, 0.4, 0.9, 1.0])
    active = torch.tensor([0, 1])
    assert centers.hard_negatives(active, 99).tolist() == [6, 5, 9, 7, 8]
    assert centers.hard_negatives(active, 3).tolist() == [6, 5, 9]
    always = set(range(C))
    for step in range(20):
        centers.step.fill_(step)
        ids = centers.select(torch.tensor([1, 0, 0])).ids.tolist()
        assert len(ids) == 10
        always &= set(ids)
    assert always == {0, 1, 6, 5, 9, 7}  # half of the room for 8; the other half is drawn anew every step


@pytest.mark.parametrize("refresh", [{}, {"refresh_every": 10, "refresh_delay": 5}], ids=["batches", "rebuilds"])
def test_classes_too_near_are_not_hard_negatives(refresh):
    """Neither from batches nor from a rebuild, of which the last is adopted just before the end."""
    centers = families(conflict=0.5, **refresh)
    made = objective(centers, "cosface", s=16)
    for step in range(66):
        y = torch.randint(0, 100, (10,), generator=generator(step, "families"))
        made.observe(centers.weight[y], y)
    W = normalize(centers.weight)
    mates = centers.queue.of(torch.arange(100)).long()
    cos = (W[:, None] @ W[mates].transpose(1, 2))[:, 0]
    assert (mates >= 0).sum() > 50
    assert (cos[mates >= 0] <= 0.5).all()


def test_scores_are_the_cosines_of_the_nearest_sub_centers():
    centers = queued(SubCenters(K=3), max_active=C)
    x, y = batch(0)
    objective(centers, "subcenter_arcface").observe(x, y)
    W, k = normalize(centers.weight).view(C, 3, D), int(y[0])
    mates = centers.queue.of(y[:1])[0].long()
    expected = (W[k] @ W[mates].transpose(1, 2)).amax(dim=(1, 2))
    assert relative(centers.queue.scores[k], expected) < 1e-3  # kept as float16


def test_what_was_not_seen_for_max_age_visits_is_forgotten():
    kept, old = (queued(max_age=age, max_active=C) for age in (None, 2))
    k = torch.tensor([7])
    far = int((normalize(kept.weight) @ normalize(kept.weight[7], dim=0)).argmin())
    for centers in (kept, old):
        centers.queue.ids[7, 0], centers.queue.scores[7, 0] = far, 0.99
        for visit in range(3):
            assert far in centers.queue.of(k), visit
            objective(centers).observe(centers.weight[k], k)
    assert far in kept.queue.of(k)
    assert far not in old.queue.of(k)


def test_misclassified_queues_what_is_farthest_past_the_margined_target():
    centers = queued(criterion="misclassified", margin=0.3, max_active=C)
    y = torch.tensor([3, 3, 8, 21, 30, 30])
    x = normalize(centers.weight[y]) + 0.35 * batch(0)[0]
    objective(centers).observe(x, y)
    cos = normalize(x) @ normalize(centers.weight).T
    past = cos - (cos.gather(1, y[:, None]).acos() + 0.3).cos()
    sizes = []
    for k in y.unique().tolist():
        most = past[y == k].amax(dim=0)
        most[k] = -1
        found = {j for j in centers.queue.of(torch.tensor([k]))[0].tolist() if j >= 0}
        assert found == {j for j in most.topk(4).indices.tolist() if most[j] > 0}
        sizes.append(len(found))
    assert any(0 < size < 4 for size in sizes)
    assert 4 in sizes


@pytest.mark.parametrize("update", ["positive", "ema", "none"])
def test_center_update_says_which_rows_move(update):
    centers = queued(center_update=update, beta=0.2)
    before = centers.weight.clone()
    x, y = batch(0)
    active = centers.select(y)
    loss = objective(centers).loss(x.requires_grad_(), y).total
    centers.observe(y, active.ids, (normalize(x) @ normalize(active.W).T).detach(), x.detach())
    loss.backward()
    centers.apply_updates(0.1)
    moved = (centers.weight != before).any(dim=1).nonzero()[:, 0]
    assert torch.equal(moved, y.unique() if update != "none" else moved[:0])
    if update == "ema":
        for k in y.unique():
            mean = normalize(normalize(x.detach()[y == k]).sum(dim=0), dim=0)
            assert relative(centers.weight[k], normalize(0.8 * normalize(before[k], dim=0) + 0.2 * mean, dim=0)) < 1e-12


def test_per_class_parameters_get_a_gradient_for_the_classes_met():
    made = objective(sampled(rate=0.3), "adaptiveface", s=16)
    x, y = batch(0)
    active = made.centers.select(y).ids
    made.step(x, y).total.backward()
    grad = made.learned["m"].grad
    assert (grad[active] != 0).all()
    assert int((grad != 0).sum()) == len(active)


def test_the_margins_own_state_works_on_a_part():
    """The loss equals the dense loss of the active classes."""
    for name in ("npcface", "curricularface", "adacos", "mv_arc", "circle"):
        made = objective(sampled(rate=0.3), name)
        x, y = batch(0)
        active = made.centers.select(y)
        assert active.ids[active.y].equal(y)
        cos = normalize(x) @ normalize(made.centers.weight[active.ids]).T
        part = made.from_cosines(cos, active.y, x.norm(dim=1, keepdim=True))
        assert relative(made.loss(x, y).total.detach(), part.total.detach()) < 1e-12
        trained(made, 3)
        assert all(torch.isfinite(value).all() for value in made.state.values())


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_bank_in_a_file_is_the_bank_in_memory_and_leaves_nothing(tmp_path, precision):
    kept, mapped = queued(precision=precision), queued(precision=precision, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    before, place = kept.weight.clone(), mapped.weight.data_ptr()
    trained(objective(kept), 3)
    trained(objective(mapped), 3)
    assert torch.equal(kept.weight, mapped.weight)
    assert not torch.equal(kept.weight, before)
    mapped.double()
    assert mapped.weight.data_ptr() == place  # the host's rows stay where and what they are


KILLED = """
import os, sys
from safetensors.torch import save_file
from centers.test_class_sets import objective, queued, trained
made = objective(queued(precision="fp16", folder=sys.argv[1]))
trained(made, 3)
save_file(made.state_dict(), sys.argv[2])
trained(made, 2, start=3)
os.kill(os.getpid(), 9)
"""


def test_a_process_killed_leaves_its_checkpoint_and_nothing_ahead_of_it(tmp_path):
    folder, saved = tmp_path / "scratch", tmp_path / "saved.safetensors"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(saved)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr
    assert list(folder.iterdir()) == []
    whole, resumed = (objective(queued(precision="fp16", folder=folder)) for _ in range(2))
    trained(whole, 6)
    resumed.load_state_dict(load_file(saved))
    trained(resumed, 3, start=3)
    assert torch.equal(resumed.centers.weight, whole.centers.weight)


def test_centers_start_as_those_of_the_full_classifier(monkeypatch):
    for chunk in (banks.CHUNK, 16):
        monkeypatch.setattr(banks, "CHUNK", chunk)
        for similarity in (Cosine(), SubCenters(K=3)):
            expected = FullCenters(C, D, 1, similarity).weight
            assert torch.equal(SampledCenters(C, D, 1, similarity).weight, expected)
            assert torch.equal(QueuedCenters(C, D, 1, similarity, max_active=9).weight, expected.half())


@given(st.integers(1, 3000), st.integers(0, 99) | st.integers(0, 3000), st.integers(0, 99), st.integers(0, 99))
def test_sampled_others_are_distinct_and_not_excluded(classes, n, P, seed):
    rng = generator(seed, "others")
    excluded = torch.randperm(classes, generator=rng)[:P].sort().values
    sample = sample_others(classes, n, excluded, rng)
    assert len(sample) == min(n, classes - len(excluded))
    both = torch.cat([excluded, sample])
    assert len(both.unique()) == len(both)
    assert len(both) == 0 or 0 <= int(both.min()) <= int(both.max()) < classes


@pytest.mark.parametrize("classes", [25, 200])
def test_others_are_sampled_uniformly(classes):
    """By both ways of drawing: 10,000 draws of 4, each free class within 5 standard deviations of its share."""
    rng, excluded, draws = generator(0, "even"), torch.tensor([0, 3, 4, 20]), 10_000
    count = torch.stack(
        [sample_others(classes, 4, excluded, rng).bincount(minlength=classes) for _ in range(draws)]
    ).sum(dim=0)
    share = 4 / (classes - 4)
    assert count[excluded].sum() == 0
    free = count[torch.isin(torch.arange(classes), excluded, invert=True)]
    assert (free - draws * share).abs().max() < 5 * (draws * share * (1 - share)) ** 0.5


def test_sampling_costs_only_the_sampled_classes():
    """10^9 classes: an O(C) algorithm would need gigabytes."""
    assert len(sample_others(10**9, 1000, torch.arange(500), generator(0, "large"))) == 1000


def test_fp16_is_rounded_without_a_bias():
    rng = generator(0, "rounding")
    held = torch.randn(999, generator=rng).half().float()
    assert torch.equal(round_to_fp16(held, rng).float(), held)
    x = torch.full((40_000,), 1 + 0.3 * 2**-10)  # 0.3 of the way between two numbers that fp16 can hold
    got = round_to_fp16(x, rng).float()
    assert set(got.tolist()) == {1.0, 1 + 2**-10}
    assert float(got.mean()) - float(x[0]) == pytest.approx(0, abs=4 * 0.46 * 2**-10 / 200)


def test_steps_too_small_for_fp16_still_move_an_fp16_bank():
    bank = Bank((500, 1, 16), RowOptions(precision="fp16", momentum=0.0, weight_decay=0.0))
    bank.rows.fill_(1)
    ids = torch.arange(500)
    for step in range(100):
        bank.update(ids, torch.ones(500, 1, 16), 1e-5, generator(step, "noise"))
    assert float(bank.rows.float().mean()) == pytest.approx(1 - 100 * 1e-5, abs=1e-4)


def test_renormalised_rows_have_length_1():
    centers = sampled(renormalize=True, rate=0.3)
    trained(objective(centers), 1)
    length = centers.weight.norm(dim=1)
    assert int(((length - 1).abs() < 1e-12).sum()) == centers.max_active


def test_the_largest_by_class():
    values, place = torch.randn(30, 7, generator=generator(0, "values")), torch.arange(30) % 11
    expected = torch.stack([values[place == k].amax(dim=0) for k in range(11)])
    assert torch.equal(max_by_class(values, place, 11), expected)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (sampled, {"rate": 0.0}, "rate = 0.0 is outside"),
        (sampled, {"max_active": 1}, "max_active = 1"),
        (sampled, {"precision": "fp8"}, "unknown precision 'fp8'"),
        (sampled, {"momentum": 1.0}, "momentum = 1"),
        (sampled, {"weight_decay": -1.0}, "weight_decay = -1"),
        (sampled, {"folder": "/proc/nowhere"}, "centers to /proc/nowhere"),
        (queued, {"center_update": "both"}, "unknown center_update"),
        (queued, {"criterion": "harder"}, "did you mean 'hardest'"),
        (queued, {"K": C}, r"K = 40 is outside \[0, 39\]"),
        (queued, {"explore": 1.5}, r"explore = 1.5 is outside \[0, 1\]"),
        (queued, {"warmup": -1}, "warmup = -1"),
        (queued, {"refresh_every": 5, "refresh_delay": 9}, "refresh_delay = 9"),
        (queued, {"refresh_every": 5, "refresh_delay": 2, "similarity": SubCenters()}, "filled by batches only"),
    ],
)
def test_options_that_do_not_fit_are_named(make, options, words):
    with pytest.raises(InputError, match=words):
        make(**options)


def test_ema_without_the_embeddings_is_named():
    _, y = batch(0)
    centers = queued(center_update="ema")
    active = centers.select(y)
    with pytest.raises(InputError, match="observe needs the embeddings"):
        centers.observe(y, active.ids, torch.zeros(len(y), len(active.ids)))


def job_of(classes, **options):
    config = Config(method="arcface", steps=4, batch=8, dim=8, device="cpu", **options)
    return Job.start(config, classes, 16)


@pytest.mark.parametrize("method", ["arcface", "subcenter_arcface"])
def test_a_snapshot_of_many_classes_keeps_those_of_its_sample_and_some_others(method, monkeypatch, tmp_path):
    monkeypatch.setattr(kept_centers, "CENTERS_KEPT", 50)
    job = job_of(3000)
    job.objective = build(method, 3000, 8)
    labels = np.array([2999, 7, 7, 1400, 0])
    images = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), np.uint8)
    seen, again = (snapshot(job, images, labels) for _ in range(2))
    assert np.array_equal(seen.ids, again.ids)
    assert (len(seen.ids), seen.cos.shape, seen.centers.shape) == (50, (5, 50), (50, 8))
    assert np.array_equal(seen.ids[seen.y], labels)
    weight = job.objective.centers.weight.detach().unflatten(0, (3000, -1))
    assert np.array_equal(seen.W, weight[seen.ids].flatten(0, 1).numpy())
    run = Run.create(tmp_path / "run", {"config": {}}, {})
    run.add_snapshot(seen)
    assert np.array_equal(run.snapshot(0).ids, seen.ids)
    monkeypatch.setattr(kept_centers, "CENTERS_KEPT", 3000)
    whole = snapshot(job, images, labels)
    assert whole.ids is None
    assert np.array_equal(whole.y, labels)
    np.testing.assert_allclose(whole.cos[:, seen.ids], seen.cos, atol=1e-6)


def test_a_checkpoint_of_other_classes_is_refused_before_its_tensors_are_read(tmp_path, monkeypatch):
    checkpoint.save(job_of(300, centers="queued"), tmp_path / "job.safetensors")
    fresh = job_of(301, centers="queued")
    before = {name: value.clone() for name, value in fresh.objective.state_dict().items()}
    monkeypatch.setattr(checkpoint, "read", lambda *given: pytest.fail("a tensor was read"))
    with pytest.raises(InputError, match="another objective"):
        checkpoint.load(fresh, tmp_path / "job.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in fresh.objective.state_dict().items())
