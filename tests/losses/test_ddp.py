"""DistributedDataParallel on two processes is one process on the whole batch, for every method and class set.

Run as a script this file is a worker, which compares its results with those of one process in a file.
"""

import json
import sys
import traceback
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from workbench.core.distributed import all_gather, processes, rank, shard_range
from workbench.core.errors import InputError
from workbench.core.random import generator
from workbench.methods import METHODS, build
from workbench.training.processes import join_processes, launch

C, D, B, STEPS = 9, 5, 7, 3
SGD = {"momentum": 0.9, "weight_decay": 0.01}
KINDS = {
    "full": {},
    "sampled": {"rate": 0.6, "precision": "fp64"} | SGD,
    "queued": {"max_active": 6, "K": 2, "precision": "fp64"} | SGD,
}


class Model(nn.Module):
    """A network and its criterion in one module; checkpointed: both are recomputed in the backward pass."""

    def __init__(self, net, criterion, checkpointed=False):
        super().__init__()
        self.net, self.criterion, self.checkpointed = net, criterion, checkpointed

    def forward(self, x, y):
        if self.checkpointed:
            return checkpoint(lambda v: self.criterion(self.net(v), y), x, use_reentrant=False)
        return self.criterion(self.net(x), y)


def built(key, kind):
    settings = {"s": 16} if "s" in METHODS[key].parameters() else {}
    options = {} if kind == "full" else {"centers": kind, "class_set": KINDS.get(kind, {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(key, C, D, seed=1, **settings, **options).double()


def batch(step):
    rng = generator(5, f"ddp {step}")
    y = torch.randint(0, C, (B,), generator=rng)
    y[:2] = y[3:5] = y[0]
    return 3 * torch.randn(B, D, generator=rng, dtype=torch.float64), y


def cases():
    """What to train: method, class set, and what is wrapped."""
    for key, method in METHODS.items():
        for kind in KINDS if method.has_logits else ("full",):
            yield key, kind, "both"
        if method.has_logits:
            yield key, "full", "apart"
    yield "arcface", "sampled", "apart"
    yield "curricularface", "full", "checkpointed"
    yield "npcface", "sampled", "checkpointed"
    yield "npcface", "sampled", "accumulated"
    yield "curricularface", "full", "compiled"
    yield "npcface", "sharded", "sharded"
    yield "curricularface", "sharded", "sharded"
    yield "curricularface", "full", "accumulated"


def trained(key, kind, way):
    """Losses and everything that has moved after some steps of SGD, each process with its share of every batch."""
    torch.manual_seed(0)
    net, criterion = nn.Linear(D, D).double(), built(key, kind)
    several, mine, micro = processes() > 1, shard_range(B), 2 if way == "accumulated" else 1
    if way == "sharded":  # every rank owns a part of the classes
        wrapped = DistributedDataParallel(net) if several else net
        call = lambda x, y: criterion(wrapped(x), y)  # noqa: E731
    elif way == "apart":
        wrapped = [DistributedDataParallel(part) if several else part for part in (net, criterion)]
        call = lambda x, y: wrapped[1](wrapped[0](x), y)  # noqa: E731
    else:
        called = torch.compile(criterion, backend="eager") if way == "compiled" else criterion
        model = Model(net, called, way == "checkpointed")
        call = DistributedDataParallel(model) if several else model
    optimizer = torch.optim.SGD([*net.parameters(), *criterion.parameters()], lr=0.1, **SGD)
    found = {}
    for step in range(STEPS):
        optimizer.zero_grad()
        for part in range(micro):
            x, y = batch(micro * step + part)
            loss = call(x[mine], y[mine]) / micro
            loss.backward()
            found[f"loss {step} {part}"] = loss.detach()
        optimizer.step()
        if way == "sharded":
            found[f"net {step}"] = net.weight.grad.clone()
            continue
        grads = {f"grad {step} {name}": p.grad for name, p in criterion.named_parameters() if p.numel() > 1}
        found |= {name: grad.clone() for name, grad in grads.items()} | {f"net {step}": net.weight.grad.clone()}
    if way == "sharded":
        return found | {"centers": all_gather(criterion.centers.weight.detach()), "net": net.weight.detach()}
    return found | {name: value.double().clone() for name, value in criterion.state_dict().items() if value.numel()}


def farthest(found, wanted):
    assert found.keys() == wanted.keys()
    off = {
        k: float((found[k] - w).nan_to_num().abs().max() / w.nan_to_num().abs().max().clamp_min(1e-12))
        for k, w in wanted.items()
    }
    return max(off.items(), key=lambda item: item[1])


def compare(folder):
    """The differences from one process above 1e-10."""
    wanted = torch.load(folder / "alone.pt", weights_only=True)
    for case in cases():
        where, off = farthest(trained(*case), wanted[json.dumps(case)])
        if not off < 1e-10:
            yield f"{case}: {where} {off}"


def misuse(folder):
    """What is wrong without a number: evaluation on one process, and the reading `step`."""
    criterion = built("curricularface", "full")
    x, y = batch(0)
    if rank() == 0:  # a validation that only the first process does must not wait for the other
        with torch.no_grad():
            criterion(x, y)
        criterion.eval()(x, y)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        criterion.step(x, y)
    if not any("call criterion(x, y)" in str(w.message) for w in seen):
        yield "step does not warn"
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    sampled = built("arcface", "sampled")
    fully_shard(sampled, mesh=init_device_mesh("cpu", (2,)))
    try:
        sampled(x.requires_grad_(), y)
        yield "FSDP2 of sampled centers is not refused"
    except InputError as error:
        if "FSDP" not in str(error):
            yield str(error)


def sharded_by_fsdp(folder):
    """FSDP2 of full centers, gradients and updated weights, against one process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    wanted = torch.load(folder / "alone.pt", weights_only=True)
    mesh = init_device_mesh("cpu", (2,))
    for key, kind, way in cases():
        if kind != "full" or way != "both" or key == "triplet":
            continue
        torch.manual_seed(0)
        model = Model(nn.Linear(D, D).double(), built(key, kind))
        scalars = {p for p in model.parameters() if p.ndim == 0}  # of UniFace, which torch does not shard
        fully_shard(model.criterion, mesh=mesh, ignored_params=scalars)
        fully_shard(model, mesh=mesh, ignored_params=scalars)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **SGD)
        found, mine = {}, shard_range(B)
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = batch(step)
            loss = model(x[mine], y[mine])
            loss.backward()
            optimizer.step()
            found[f"loss {step} 0"] = loss.detach()
        found["centers.weight"] = model.criterion.centers.weight.full_tensor().detach()
        expected = {name: wanted[json.dumps((key, kind, way))][name] for name in found}
        where, off = farthest(found, expected)
        if not off < 1e-10:
            yield f"FSDP2 {key}: {where} {off}"


TASKS = {"compare": compare, "misuse": misuse, "fsdp": sharded_by_fsdp}


def work(task, folder):
    with join_processes("cpu"):
        report, lines = folder / f"{task}-{rank()}.txt", []
        try:
            lines = list(TASKS[task](folder))
        except Exception:
            lines = [traceback.format_exc()]
            raise
        finally:
            report.write_text("\n".join(lines) or "as one")


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ddp")
    torch.save({json.dumps(case): trained(*case) for case in cases()}, made / "alone.pt")
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute", "ignore:.*should not be instantiated")  # of torch.compile
@pytest.mark.parametrize("task", TASKS)
def test_two_processes_are_one_on_the_whole_batch(task, folder):
    done = launch([sys.executable, __file__, task, str(folder)], 2)
    reports = [path.read_text() for path in sorted(folder.glob(f"{task}-*.txt"))]
    assert reports == ["as one"] * 2, done


def test_alone_nothing_is_gathered():
    x, _ = batch(0)
    assert all_gather(x) is x
