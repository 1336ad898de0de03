"""Several processes are as one: losses, gradients, states, trainings and checkpoints; and a death is told in one line.

Run as a script this file is a worker: `launch` starts two or three, and each compares its part with one process's.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench.centers.full import FullCenters
from workbench.centers.sharded import ShardedCenters
from workbench.core.distributed import PartnerLost, all_gather, rank, shard_range
from workbench.core.errors import InputError
from workbench.core.geometry import ADDITIVE_GUARDS
from workbench.core.record import Run
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.margins import ArcFace
from workbench.margins.base import Context
from workbench.methods import METHODS, build
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.fit import Job, fit
from workbench.training.processes import LOST, SharedBatchNorm, join_processes, launch, sum_gradients, verdict
from workbench.training.run import CHECKPOINT

DRAWN = [key for key, method in METHODS.items() if method.has_logits]
MASKED = [key for key in DRAWN if "mask" in METHODS[key].parameters()]
CHOICES = [
    (key, {field: value})
    for key in DRAWN
    for field, p in METHODS[key].parameters().items()
    for value in p.choices
    if value != METHODS[key].settings()[field]
]
CASES = [
    *((key, {}) for key in DRAWN),
    *(case for case in CHOICES if case[0] != "mv_am" or case[1].get("guard", "easy") in ADDITIVE_GUARDS),
    *(("recurricularface", {"coeffs": c, "E_rule": r}) for c in ("closed", "literal") for r in ("eq2", "measured")),
    ("recurricularface", {"mask": "boundary", "E_rule": "measured"}),
    *((key, {"mask": mask, "topk": 5}) for key in MASKED for mask in ("topk", "soft")),
    ("npcface", {"mask": "topk", "topk": 200}),
    ("arcnegface", {"smoothing": 0.1}),
    ("elasticface_arc", {"plus": "matched"}),
]
PARTS = {
    "sampled": {"rate": 0.5},
    "queued": {"max_active": 5, "K": 2, "precision": "fp64", "refresh_every": 4, "refresh_delay": 2},
}
C, D, B = 20, 8, 7


def relative(a, b):
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).detach().abs().max() / b.detach().abs().max().clamp_min(1e-300))


def built(key, classes=C, **settings):
    if "s" in METHODS[key].parameters():
        settings["s"] = 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(key, classes, D, **settings).double()


def batch(W, sub, step):
    """Embeddings (B, D), some near their centers, and labels."""
    own = torch.Generator().manual_seed(step)
    x, y = 3 * torch.randn(B, D, dtype=torch.float64, generator=own), torch.randint(0, C, (B,), generator=own)
    y[:2], y[2] = y[0], C - 1  # a class twice, and the last one
    x[:4] = 3 * W.detach()[y[:4] * sub] + 0.2 * x[:4]
    return x, y


def taken(objective, x, y):
    """What one step finds: the loss of the whole batch, and the gradients of what this process has."""
    x = x.clone().requires_grad_()
    objective.zero_grad()
    loss = objective.step(x, y)
    loss.total.backward()
    if isinstance(objective.centers, ShardedCenters):
        sum_gradients(objective.learned.parameters())
    centers = getattr(objective.centers, "local", objective.centers)
    parameters = [*centers.named_parameters(), *objective.learned.items()]
    found = {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}
    state = {f"state {name}": value.double() for name, value in objective.state.items()}
    return {"total": loss.total, "per_sample": loss.per_sample, "x": x.grad} | found | state


def own_part(value, n):
    """This process's rows of a tensor that has some for each of n things."""
    mine, each = shard_range(n), len(value) // n
    return value[mine.start * each : mine.stop * each]


def farthest(found, wanted):
    """The largest relative difference of two results, and where it is."""
    assert found.keys() == wanted.keys()
    return max(((name, relative(found[name], wanted[name])) for name in wanted), key=lambda item: item[1])


def heads():
    """Every method with all classes, dense and streaming, against full centers."""
    for key, settings in CASES:
        for compute in ("dense", "streaming"):
            alone = built(key, compute=compute, **settings)
            shared = built(key, centers="sharded", compute=compute, **settings)
            for step in range(2):
                x, y = batch(alone.centers.weight, alone.centers.sub, step)
                mine = shard_range(B)
                wanted, found = taken(alone, x, y), taken(shared, x[mine], y[mine])
                wanted |= {name: own_part(wanted[name], C) for name in ("weight", "bias") if name in wanted}
                yield f"{key} {settings} {compute}", *farthest(found, wanted | {"x": wanted["x"][mine]})
            logits = alone.margin_logits(x, y)[:, shard_range(C)]
            yield key, "logits", relative(shared.margin_logits(x[mine], y[mine]), logits)
    yield from custom_margins()
    yield from norms()


@dataclass(frozen=True)
class Spread(ArcFace):
    """A custom margin whose state is a sum over all centers: its `observe` reads W."""

    def init(self, classes, dim, seed=0):
        return {"spread": torch.zeros(()), "classes": torch.zeros(())}

    def context(self, pos, norm, y, params, state):
        return Context(m=0.1 + state["spread"].abs())

    def T(self, c, ctx, rows):
        return c - ctx.m

    def observe(self, pos, norm, W, state):
        return {"spread": W.sum() / W.numel(), "classes": torch.tensor(float(len(W)))}


def custom_margins():
    """A margin that is not the workbench's reads the centers of all classes too."""
    alone = MarginSoftmax(Spread(), FullCenters(C, D)).double()
    shared = MarginSoftmax(Spread(), ShardedCenters(C, D)).double()
    x, y = batch(alone.centers.weight, 1, 0)
    mine = shard_range(B)
    wanted, found = taken(alone, x, y), taken(shared, x[mine], y[mine])
    wanted |= {"weight": own_part(wanted["weight"], C), "x": wanted["x"][mine]}
    yield "a custom margin", *farthest(found, wanted)


def norms():
    """Batch normalisation of shares against that of the whole."""
    own = torch.Generator().manual_seed(0)
    for norm, shape in ((nn.BatchNorm2d(4), (B, 4, 3, 2)), (nn.BatchNorm1d(4), (B, 4))):
        alone, x = norm.double(), 5 + torch.randn(shape, dtype=torch.float64, generator=own)
        shared, mine = SharedBatchNorm.of(alone), shard_range(B)
        found, wanted = x[mine].clone().requires_grad_(), x.clone().requires_grad_()
        for net, values, part in ((shared, found, x[mine]), (alone, wanted, x)):
            (net(values) * part.cos()).sum().backward()
        sum_gradients(shared.parameters())
        ours, theirs = ([net.weight.grad, net.bias.grad, *net.buffers()] for net in (shared, alone))
        off = [relative(found.grad, wanted.grad[mine]), *map(relative, map(torch.as_tensor, ours), theirs)]
        yield type(norm).__name__, "all", max(off)


def parts():
    """Samples and queues on each process, against one process with just the classes that all of them met."""
    for each, options in PARTS.items():
        options = options | {"each": each, "momentum": 0.0, "weight_decay": 0.0}
        for key in ("npcface", "adaptiveface", "softmax", "subcenter_arcface", "uniface", "curricularface"):
            if METHODS[key].similarity.rows != 1:
                options = options | {"refresh_every": 0} if each == "queued" else options
            for compute in ("dense", "streaming") if each == "sampled" else ("dense",):
                shared = built(key, centers="sharded", compute=compute, class_set=options)
                for bank in (shared.centers.local.bank, shared.centers.local.biases):
                    _ = bank and bank.double()
                for step in range(6):
                    yield f"{key} {each} {compute}", *part_step(key, shared, step)


def part_step(key, shared, step):
    every, sub, mine = all_gather(shared.centers.weight), shared.centers.sub, shard_range(B)
    x, y = batch(every, sub, step)
    ids = shared.centers.select(y).ranks.ids
    alone = built(key, len(ids))
    with torch.no_grad():
        alone.centers.weight.copy_(every.unflatten(0, (C, sub))[ids].flatten(0, 1))
        if alone.centers.bias is not None:
            alone.centers.bias.copy_(all_gather(shared.centers.local.biases.rows)[ids])
        for name, value in shared.learned.items():
            alone.learned[name].copy_(value[ids] if value.ndim else value)
        for name, value in shared.named_buffers(recurse=False):
            alone.get_buffer(name).copy_(value)
    found, wanted = taken(shared, x[mine], y[mine]), taken(alone, x, torch.searchsorted(ids, y))
    before = shared.centers.weight.clone()
    shared.apply_updates(1.0)
    moved = torch.zeros(C, sub, D, dtype=torch.float64)
    moved[ids] = wanted.pop("weight").unflatten(0, (-1, sub))
    wanted.pop("bias", None)
    wanted |= {"moved": own_part(moved.flatten(0, 1), C), "x": wanted["x"][mine]}
    found["moved"] = before - shared.centers.weight
    if "m" in found:
        found["m"] = found["m"][ids]
    return farthest(found, wanted)


def trainings(folder):
    """A training that is cut and goes on from its checkpoint has the same bits on every process."""
    x, y = images()
    for each, options in ({"full": {}} | PARTS).items():
        whole, cut = started(each, options), started(each, options)
        losses = [step.loss for step in fit(whole, x, y)]
        for _, _ in zip(range(5), fit(cut, x, y), strict=False):
            pass
        checkpoint.save(cut, folder / f"{each}-cut.safetensors")
        checkpoint.save(whole, folder / f"{each}.safetensors")
        all_gather(torch.zeros(1))  # the file is written by then
        again = checkpoint.load(started(each, options), folder / f"{each}-cut.safetensors")
        assert [step.loss for step in fit(again, x, y)] == losses[5:]
        ours, theirs = (
            [*job.backbone.state_dict().values(), *job.objective.state_dict().values()] for job in (again, whole)
        )
        yield each, "same bits", 0.0 if all(map(torch.equal, ours, theirs)) else 1.0
        (folder / f"{each}.json").write_text(json.dumps(losses))


def started(each, options):
    """A job in float64 where all classes are met, so that only the order of sums may differ."""
    class_set = {"each": each} | options | ({"precision": "fp16"} if each == "queued" else {})
    values = {"method": "npcface", "size": 16, "steps": 9, "batch": 16, "dim": D, "lr": 0.1, "width": 0.25}
    config = Config(**values, device="cpu", centers="sharded", class_set=class_set)
    job = Job.start(config, C, 16)
    if each == "full":
        job.backbone.double().register_forward_pre_hook(lambda _, given: (given[0].double(),))
        job.objective.double()
    return job


def images():
    own = np.random.default_rng(0)
    labels = np.arange(3 * C) % C
    patterns = own.integers(0, 256, (C, 16, 16, 3))
    return np.clip(patterns[labels] + own.normal(0, 30, (3 * C, 16, 16, 3)), 0, 255).astype(np.uint8), labels


def work(task, folder):
    """What one of the processes does: a report of every difference it finds, and of what it fails with."""
    made = {"heads": heads, "parts": parts, "trainings": lambda: trainings(folder)}[task]
    with join_processes("cpu"):
        report, lines = folder / f"{task}-{rank()}.txt", []
        try:
            lines = [f"{what}: {where} {off}" for what, where, off in made() if not off < 1e-10]
        except Exception as error:
            lines = [] if isinstance(error, PartnerLost) else [traceback.format_exc()]
            raise
        finally:
            report.write_text("\n".join(lines) or "as one")


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))


def together(task, n, folder):
    done = launch([sys.executable, __file__, task, str(folder)], n)
    reports = [path.read_text() for path in sorted(folder.glob(f"{task}-*.txt"))]
    assert reports == ["as one"] * n
    assert done == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_heads_equal_those_of_one_process(n, tmp_path):
    together("heads", n, tmp_path)


@pytest.mark.slow
def test_parts_of_the_classes_equal_one_process_that_meets_them_all(tmp_path):
    together("parts", 3, tmp_path)


@pytest.mark.slow
def test_trainings_are_those_of_one_process_and_resume_with_any_number(tmp_path):
    together("trainings", 2, tmp_path)
    x, y = images()
    alone = started("full", {})
    losses = [step.loss for step in fit(alone, x, y)]
    assert np.allclose(losses, json.loads((tmp_path / "full.json").read_text()), rtol=1e-9)
    both = checkpoint.load(started("full", {}), tmp_path / "full.safetensors")
    assert both.step == 9
    assert relative(*map(moving, (both, alone))) < 1e-8
    for each, options in PARTS.items():
        cut = checkpoint.load(started(each, options), tmp_path / f"{each}-cut.safetensors")
        if each == "queued":  # of the classes of their own process, by the numbers that they have everywhere
            ids = cut.objective.centers.local.queue.ids
            upper = torch.arange(C)[:, None].expand_as(ids) >= C // 2
            assert (ids[ids >= 0] >= C // 2).eq(upper[ids >= 0]).all()
            assert (ids >= 0).any(dim=1).sum() > C // 2
        assert np.isfinite([step.loss for step in fit(cut, x, y)]).all()


def moving(job):
    """All weights and their momenta in one row."""
    weights = [*job.backbone.parameters(), *job.objective.parameters()]
    momenta = [job.optimizer.state[weight]["momentum_buffer"] for weight in weights]
    return torch.cat([value.detach().flatten() for value in weights + momenta])


def command(out, *more):
    return [sys.executable, "-m", "workbench.cli", "train", "--out", str(out), *map(str, more)]


def worker_of(launcher, n):
    """The process of a launcher that has rank n."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return next(int(pid) for pid in children if f"RANK={n}" in Path(f"/proc/{pid}/environ").read_text().split("\0"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_dead_process_is_told_in_one_line_and_the_run_resumes_to_the_same_bits(tmp_path):
    made = ["--nproc", 2, "--centers", "sharded", "--data", "digits", "--width", 0.25, "--device", "cpu"]
    made += ["--steps", 24, "--snapshots", 12]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(whole, *made), check=True, capture_output=True)
    with subprocess.Popen(command(cut, *made), stderr=subprocess.PIPE, text=True) as running:
        while not (cut / CHECKPOINT).exists():
            time.sleep(0.05)
        os.kill(worker_of(running.pid, 1), signal.SIGKILL)
        said = running.stderr.read().splitlines()
    assert running.returncode == 1
    assert [line for line in said if not line.startswith("cut: ")] == [
        f"workbench: process 1 of 2 was killed (SIGKILL); `workbench train --out {cut} --resume --nproc 2` resumes from"
        " the last checkpoint"
    ]
    assert Run.open(cut).status.startswith("failed: another process")
    subprocess.run(command(cut, "--resume", "--nproc", 2), check=True, capture_output=True)
    assert (cut / CHECKPOINT).read_bytes() == (whole / CHECKPOINT).read_bytes()
    assert Run.open(cut).status == "finished"


def test_what_is_said_of_a_launch():
    assert verdict([0, 0], "") == (0, "")
    assert verdict([2, 2], "workbench: bad") == (2, "")
    assert verdict([LOST, -9], "") == (1, "process 1 of 2 was killed (SIGKILL)")
    assert verdict([-9, LOST], "") == (1, "process 0 of 2 was killed (SIGKILL)")
    assert verdict([None, LOST, 2], "a\nworkbench: bad") == (2, "process 2 of 3 ended with status 2: workbench: bad")
    assert verdict([LOST, LOST], "") == (1, "the 2 processes lost each other")


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_stretches_follow_each_other_and_differ_by_one_at_most(n):
    for things in (n, n + 1, 20, 101):
        made = [range(things)[shard_range(things, n, at)] for at in range(n)]
        assert [i for part in made for i in part] == list(range(things))
        assert max(map(len, made)) - min(map(len, made)) <= 1


@pytest.mark.parametrize("key", ["npcface", "softmax", "subcenter_arcface"])
def test_alone_sharded_centers_are_full_ones(key):
    full, shared = (build(key, C, D, centers=centers, seed=3) for centers in ("full", "sharded"))
    assert torch.equal(full.centers.weight, shared.centers.weight)
    x, y = (value.float() if value.is_floating_point() else value for value in batch(full.centers.weight, 1, 0))
    assert torch.equal(full.step(x, y).total, shared.step(x, y).total)


def test_bad_options_name_the_culprit():
    for options, words in (
        ({"each": "sharded"}, "unknown each 'sharded'"),
        ({"each": "sampled", "rat": 0.1}, "unknown option of sampled centers 'rat'; did you mean 'rate'"),
        ({"K": 3}, "unknown option of full centers 'K'"),
    ):
        with pytest.raises(InputError, match=words):
            build("npcface", C, D, centers="sharded", class_set=options)
