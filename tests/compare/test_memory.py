"""The estimate of a training's memory against what one takes: by torch's allocator, and by the process itself."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.centers.queued import QueuedCenters
from workbench.centers.sampled import SampledCenters
from workbench.cli.bench_memory import memory as memory_command
from workbench.compare.cost import memory
from workbench.compare.cost.memory import Need, Part, allocations, footprint, free_memory, needs, two_steps
from workbench.core.errors import InputError
from workbench.methods import build

pytestmark = pytest.mark.slow

B, D = 64, 32  # of the allocator's tests


def sampled(C, D, n, similarity):
    return SampledCenters(C, D, 0, similarity, max_active=n)


def queued(C, D, n, similarity):
    return QueuedCenters(C, D, 0, similarity, K=8, max_active=n)


def objective(method, C, dim, make=None, n=0, compute="dense"):
    made = build(method, C, dim)
    if make is not None:
        made.centers = make(C, dim, n, made.centers.similarity)
    made.compute = compute
    return made


def peak(make, run):
    """The most bytes that were alive at once."""
    alive, most = {}, 0
    for place, size in allocations(make, run):
        alive = {**alive, place: size} if size > 0 else {k: v for k, v in alive.items() if k != place}
        most = max(most, sum(alive.values()))
    return most


def measured(method, C, batch, dim, *rest):
    return peak(lambda: objective(method, C, dim, *rest), lambda made: two_steps(made, batch))


def estimated(method, C, batch, dim, make=None, n=0, compute="dense"):
    return sum(part.bytes for part in footprint(method, make, compute).parts(C, dim, batch, n or C))


@pytest.mark.parametrize(
    "method", ["softmax", "npcface", "curricularface", "adaptiveface", "subcenter_arcface", "uniface"]
)
def test_the_estimate_of_full_centers_is_the_peak_of_the_allocator(method):
    assert estimated(method, 20_000, B, D) == pytest.approx(measured(method, 20_000, B, D), rel=0.01)


@pytest.mark.parametrize(("batch", "dim"), [(16, 128), (128, 16), (64, 64)])
def test_it_holds_for_every_proportion_of_batch_and_dimension(batch, dim):
    assert estimated("npcface", 20_000, batch, dim) == pytest.approx(measured("npcface", 20_000, batch, dim), rel=0.01)


@pytest.mark.parametrize(
    ("make", "n", "compute"),
    [(None, 0, "streaming"), (sampled, 5_000, "dense"), (queued, 2_048, "dense")],
)
def test_it_holds_for_the_other_ways_to_hold_the_classes(make, n, compute):
    given = "npcface", 50_000, B, D, make, n, compute  # a tile is a few classes more or less than in small
    assert estimated(*given) == pytest.approx(measured(*given), rel=0.06)


def test_a_peak_moves_with_the_size():
    few, many = ({p.name: p.why for p in footprint("npcface").parts(100_000, 256, b, 1)} for b in (4, 512))
    assert few["gradient, copies"].startswith("3 x (C x D)")  # in the optimizer: weight decay makes a copy
    assert "cosines, logits" not in few
    assert many["cosines, logits"].startswith("5.25 x (B x C)")


PROCESS = """
import re, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from workbench.compare.cost.memory import two_steps
from workbench.methods import build

def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

two_steps(build("npcface", 500, 128), 256)
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
two_steps(build("npcface", 20_000, 128), 256)
print(1024 * (kilobytes("VmHWM") - before))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's peak of resident memory")
def test_the_estimate_is_within_a_tenth_of_what_the_process_takes():
    own = {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "0",
        "OMP_NUM_THREADS": "1",
    }  # freed is given back
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=Path(__file__).parents[2],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    assert estimated("npcface", 20_000, 256, 128) == pytest.approx(int(ran.stdout), rel=0.1)


def test_the_peak_counts_what_operations_hold_inside_and_forgets_what_was_freed():
    def make():
        module = torch.nn.Module()
        module.register_buffer("x", torch.zeros(1000, 1000) + 1)  # 4 MB that are left of 8
        module.register_buffer("y", torch.from_numpy(np.zeros((1000, 1000), np.float32)))  # no allocation of torch's
        return module

    def run(module):
        module.x.logsumexp(dim=1)  # holds exp(x - max), as large as x

    assert 12_000_000 <= peak(make, run) < 12_100_000
    assert 8_000_000 <= peak(make, lambda module: None) < 8_100_000


@pytest.fixture(scope="module")
def two_millions():
    return needs("npcface", 2_000_000, 512, 1024, processes=4)


def test_needs_of_two_million_classes_go_where_they_belong(two_millions):
    full, streaming, partial, queues, shard = two_millions
    W = 2_000_000 * 512 * 4
    parts = {part.name: part.bytes for part in full.parts}
    assert parts["centers"] == parts["momentum"] == W
    assert parts["cosines, logits"] > 4 * 2_000_000 * 1024 * 4
    assert 4 * W < streaming.cpu < 4.1 * W  # weights, momentum, gradient, and weight decay makes another one
    assert {part.name for part in partial.parts} >= {"active rows", "cosines, logits"}
    assert partial.cpu < full.cpu / 4
    assert queues.host == pytest.approx(W + 2_000_000 * 32 * 8, rel=0.01)
    assert queues.gpu + queues.host == queues.cpu < 5 * 2**30
    assert queues.gpu < 2**30
    assert full.host == 0
    assert shard.processes == 4
    assert shard.cpu == pytest.approx(full.cpu / 4, rel=0.01)


def test_a_need_is_the_sum_of_its_parts():
    need = Need("x", (Part("a", 3, ""), Part("b", 4, "", host=True)))
    assert (need.cpu, need.gpu, need.host) == (7, 3, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "npcfase"}, "unknown method 'npcfase'; did you mean 'npcface'"),
        ({"method": "triplet"}, "method triplet: it compares samples with samples"),
        ({"classes": 1}, "classes = 1: at least 2"),
        ({"batch": 0}, "batch = 0: at least 1"),
        ({"K": 0}, "queue = 0: at least 1"),
        ({"rate": 0}, "rate = 0 is outside"),
        ({"processes": 0}, "processes = 0: at least 1"),
    ],
)
def test_bad_input_is_one_line_that_names_it(change, says):
    with pytest.raises(InputError, match="^" + says.replace("(", r"\(")):
        needs(**{"method": "npcface", "classes": 100, "dim": 8, "batch": 8} | change)


def test_free_memory_is_some_and_not_more_than_there_is():
    assert 2**20 < free_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_command_says_what_fits(two_millions, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "needs", lambda *given: asked.append(given) or two_millions)
    monkeypatch.setattr(memory, "free_memory", lambda: 20 * 2**30)
    monkeypatch.setattr(memory, "free_gpu_memory", lambda: 2**30)
    memory_command(2e6, processes=4)
    assert asked == [("npcface", 2_000_000, 512, 1024, 0.1, 8192, 32, 4)]
    out = capsys.readouterr().out
    for text in ("npcface, 2,000,000 classes, dim 512", "4,096,000,000", "5.25 x (B x C)", "3 x W + 2 x logits"):
        assert text in out
    computer, gpu = out.splitlines()[-2:]
    assert computer.startswith("This computer's memory has 20.00 GiB free: full, streaming")
    assert "not full (55.34)" in computer
    assert gpu.startswith("This computer's GPU has 1.00 GiB free: queued, K = 32 (0.26) fits, not full")
    with pytest.raises(InputError, match=r"--classes 2\.5: expected a whole number"):
        memory_command(2.5)
