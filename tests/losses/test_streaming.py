"""Streaming is exact: loss, gradients and state equal the dense path for every method, whatever the tiles."""

import gc
import math
import os
import shutil
import subprocess
import sys
import warnings
import weakref
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import InputError
from workbench.losses import compilation, streaming
from workbench.losses.margin_softmax import MANY, MarginSoftmax
from workbench.losses.streaming import used_statistics
from workbench.margins import Margin, NPCFace
from workbench.margins.source import FormulaError
from workbench.methods import METHODS, build

DRAWN = [key for key, method in METHODS.items() if method.has_logits]
MASKED = [
    (key, {"mask": mask, "topk": 5})
    for key in DRAWN
    if "mask" in METHODS[key].parameters()
    for mask in ("topk", "soft")
]
C, D, B = 150, 16, 7


@pytest.fixture(autouse=True)
def many_tiles(monkeypatch):
    monkeypatch.setattr(streaming, "TILE", 64 * B)  # three tiles, the last one smaller


def pair(key, **parameters):
    if "s" in METHODS[key].parameters():
        parameters["s"] = 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [build(key, C, D, compute=compute, **parameters).double() for compute in ("dense", "streaming")]


def batch(objective, seed=0):
    own = torch.Generator().manual_seed(seed)
    x, y = 3 * torch.randn(B, D, dtype=torch.float64, generator=own), torch.randint(0, C, (B,), generator=own)
    y[:2], y[2] = y[0], C - 1  # a class twice, and the last one
    near = objective.centers.weight.detach()[y[:4] * objective.centers.sub]
    x[:4] = 3 * near + 0.2 * x[:4]
    return x, y


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))


def taken(objective, x, y):
    """Loss of each sample, dx and the gradient of every parameter after one step."""
    x = x.clone().requires_grad_()
    objective.zero_grad()
    loss = objective.step(x, y)
    loss.total.backward()
    return [loss.per_sample.detach(), x.grad, *(p.grad for p in objective.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("key", "parameters"), [*((key, {}) for key in DRAWN), *MASKED], ids=str)
def test_streaming_equals_dense(key, parameters):
    dense, tiled = pair(key, **parameters)
    for step in range(2):
        x, y = batch(dense, step)
        found, wanted = taken(tiled, x, y), taken(dense, x, y)
        assert len(found) == len(wanted)
        assert max(relative(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-10
        assert all(relative(tiled.state[n].double(), v.double()) < 1e-10 for n, v in dense.state.items())
    logits, wanted = (objective.margin_logits(x, y).detach() for objective in (tiled, dense))
    assert relative(logits, wanted) < 1e-10  # the bound of the state that they depend on


@pytest.fixture
def compiles(monkeypatch):
    """Every batch counts as large; what is compiled is traced and noted, but no machine code is made."""
    graphs = []
    use_backend(monkeypatch, lambda graph, _: graphs.append(graph) or graph)
    yield graphs
    compilation.Compiled.of.cache_clear()


def use_backend(monkeypatch, backend):
    """Every batch counts as large; `backend` compiles instead of Inductor, without Inductor's options."""
    real = torch.compile
    monkeypatch.setattr(compilation, "LARGE", 0)
    monkeypatch.setattr(torch, "compile", lambda f, options=None, **how: real(f, backend=backend, **how))
    compilation.Compiled.of.cache_clear()


@pytest.mark.parametrize(
    ("key", "parameters"),
    [
        ("npcface", {}),
        ("arcnegface", {"smoothing": 0.1}),
        ("sphereface", {}),  # a scale for each sample
        ("uniface", {}),  # a learned threshold
    ],
    ids=str,
)
def test_traced_tiles_equal_dense(compiles, key, parameters):
    dense, tiled = pair(key, **parameters)
    x, y = batch(dense)
    assert max(relative(a, b) for a, b in zip(taken(tiled, x, y), taken(dense, x, y), strict=True)) < 1e-10
    assert len(compiles) == 2  # the sums and the slopes, whatever the size of a tile
    assert compilation.way(tiled.margin, B, C) == "compiled"


def test_a_moved_slider_and_another_batch_compile_nothing(compiles):
    dense, tiled = pair("npcface")
    x, y = batch(dense)
    taken(tiled, x, y)
    for t, n in ((1.3, 7), (1.0, 6), (2.0, 3)):
        for objective in (dense, tiled):
            objective.replace(t=t, alpha=t - 1, m0=0.3 * t)
        found, wanted = taken(tiled, x[:n], y[:n]), taken(dense, x[:n], y[:n])
        assert max(relative(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-10
    assert len(compiles) == 2


def test_what_cannot_be_compiled_is_eager_and_says_why(compiles):
    @dataclass(frozen=True)
    class Branching(Margin):
        m: float = 0.5

        def N(self, c, ctx):
            return c * math.exp(self.m) if self.m > 0 else c

    dense, tiled = pair("arcface")
    dense.margin = tiled.margin = Branching()
    x, y = batch(dense)
    assert max(relative(a, b) for a, b in zip(taken(tiled, x, y), taken(dense, x, y), strict=True)) < 1e-10
    assert compiles == []
    assert compilation.way(tiled.margin, B, C).startswith("eager: ")


def skip_columns(graph, _):
    """A backend that plants a wrong kernel: it leaves out every second group of 8 columns of a tile."""

    def seen(value):
        tile = isinstance(value, torch.Tensor) and value.ndim == 2 and value.shape[1] > 1
        return torch.where(torch.arange(value.shape[1]) % 16 < 8, value, 0) if tile else value

    return lambda *args: graph(*map(seen, args))


@pytest.mark.parametrize("key", ["npcface", "arcface", "uniface"])
def test_a_wrong_kernel_is_replaced_by_eager_code_with_one_warning(monkeypatch, key):
    dense, tiled = pair(key)
    use_backend(monkeypatch, skip_columns)
    x, y = batch(dense)
    wanted = taken(dense, x, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert max(relative(a, b) for a, b in zip(taken(tiled, x, y), wanted, strict=True)) < 1e-10
    told = [str(each.message) for each in caught if each.category is RuntimeWarning]
    name = type(tiled.margin).__name__
    assert [text.split(" differs")[0] for text in told] == [
        f"{name}: compiled code of the {function}" for function in ("sums", "slopes")
    ]
    assert compilation.way(tiled.margin, B, C).startswith(
        f"eager: {name}: compiled code of the sums differs from eager code"
    )
    compilation.Compiled.of.cache_clear()


def test_a_wrong_formula_is_told_though_tiles_compile(compiles):
    class Wrong(Margin):
        def N(self, c, ctx):
            return c[:, :1]

    tiled = pair("arcface")[1]
    tiled.margin = Wrong()
    with pytest.raises(FormulaError, match=r"Wrong\.N returns shape"):
        taken(tiled, *batch(tiled))


def test_a_small_problem_compiles_nothing(monkeypatch):
    monkeypatch.setattr(compilation, "compiled_function", None)  # so that asking for it fails
    tiled = pair("npcface")[1]
    taken(tiled, *batch(tiled))
    assert compilation.way(tiled.margin, B, C) == "eager"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.parametrize("key", ["npcface", "curricularface"])
def test_machine_code_equals_eager_to_rounding_and_itself_to_the_bit(monkeypatch, key):
    tiled = build(key, C, D, s=16, compute="streaming")
    x, y = (v.float() if v.is_floating_point() else v for v in batch(tiled))
    eager = taken(build(key, C, D, s=16, compute="streaming"), x, y)
    monkeypatch.setattr(compilation, "LARGE", 0)
    compilation.Compiled.of.cache_clear()
    found = taken(tiled, x, y)
    assert compilation.way(tiled.margin, B, C) == "compiled"
    assert max(relative(a, b) for a, b in zip(found, eager, strict=True)) < 3e-6
    again = taken(build(key, C, D, s=16, compute="streaming"), x, y)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


SHARING = """
import warnings, torch
from workbench.methods import build
from workbench.losses import compilation
warnings.simplefilter("error", RuntimeWarning)
found = []
x, y = torch.randn(7, 16, generator=torch.Generator().manual_seed(0)), torch.arange(7)
for compilation.LARGE in (compilation.LARGE, 0):
    objective, leaf = build("npcface", 150, 16, compute="streaming"), x.clone().requires_grad_()
    objective(leaf, y).backward()
    found.append(leaf.grad)
assert compilation.way(objective.margin, 7, 150) == "compiled"
assert (found[0] - found[1]).abs().max() < 3e-6 * found[0].abs().max()
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_a_compile_cache_is_shared_between_cpu_capabilities(tmp_path):
    for capability in ({}, {"ATEN_CPU_CAPABILITY": "avx2"}, {"ATEN_CPU_CAPABILITY": "default"}):
        env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), **capability}
        subprocess.run([sys.executable, "-c", SHARING], env=env, check=True)


def test_label_smoothing_streams():
    dense, tiled = pair("arcnegface", smoothing=0.1)
    x, y = batch(dense)
    assert max(relative(a, b) for a, b in zip(taken(tiled, x, y), taken(dense, x, y), strict=True)) < 1e-10


@given(st.integers(1, 9), st.integers(2, 300), st.integers(1, 4096))
@settings(max_examples=25)
def test_any_batch_any_classes_any_tile(n, classes, tile):
    own = torch.Generator().manual_seed(n * classes)
    x = torch.randn(n, 5, dtype=torch.float64, generator=own)
    y = torch.randint(0, classes, (n,), generator=own)
    before, streaming.TILE = streaming.TILE, tile
    try:
        dense, tiled = (build("npcface", classes, 5, s=8, compute=c).double() for c in ("dense", "streaming"))
        assert max(relative(a, b) for a, b in zip(taken(tiled, x, y), taken(dense, x, y), strict=True)) < 1e-10
    finally:
        streaming.TILE = before


def test_only_what_is_asked_for_is_summed():
    plain = build("npcface", 10, 4)
    assert used_statistics(plain.margin, plain.criterion) == {"logsumexp", "hard_mean"}
    smooth = build("arcnegface", 10, 4, smoothing=0.1)
    assert used_statistics(smooth.margin, smooth.criterion) == {"logsumexp", "N_sum"}
    bce = build("uniface", 10, 4)
    assert used_statistics(bce.margin, bce.criterion) == {"softplus_sum"}


def test_a_batch_is_freed_with_its_loss():
    tiled = build("npcface", C, D, compute="streaming")
    x, y = (v.float() if v.is_floating_point() else v for v in batch(tiled))
    x = x.requires_grad_()
    gc.collect()
    gc.disable()
    try:
        made = x * 1.0
        alive = weakref.ref(made)
        tiled.step(made, y).total.backward()
        del made
        assert alive() is None
    finally:
        gc.enable()


def test_reading_pos_for_the_state_does_not_pass_over_all_classes(monkeypatch):
    tiled = build("curricularface", C, D, compute="streaming")
    x, y = (v.float() if v.is_floating_point() else v for v in batch(tiled))
    passes = []
    real = streaming.Tiling.tiles
    monkeypatch.setattr(streaming.Tiling, "tiles", lambda self, n: passes.append(n) or real(self, n))
    tiled.observe(x, y)
    assert passes == []
    tiled.step(x.requires_grad_(), y).total.backward()
    assert len(passes) == 2


def test_bf16_products_are_close_and_say_so_in_the_error():
    exact, rough = build("npcface", C, D, s=16), build("npcface", C, D, s=16, compute="streaming", precision="bf16")
    x, y = (v.float() if v.is_floating_point() else v for v in batch(exact))
    a, b = taken(rough, x, y), taken(exact, x, y)
    assert 1e-6 < relative(a[0], b[0]) < 0.02
    assert relative(a[1], b[1]) < 0.1


def test_auto_takes_tiles_where_they_are_faster_and_says_why():
    objective = build("arcface", 1000, 4, compute="auto")
    few, many = MANY // 1000, MANY // 1000 + 1
    assert not objective.streams(few)
    assert objective.streams(many)
    assert objective.how(few).startswith("dense: 16,777 x 1,000 cosines are few enough")
    assert "streaming: 16,778 x 1,000 cosines would take 64 MiB an array" in objective.how(many)
    assert build("arcface", 10, 4, compute="streaming").how(8) == "streaming, as requested: 8 x 10 cosines"


def test_a_margin_that_asks_for_an_unknown_statistic_is_told():
    class Wrong(NPCFace):
        def T(self, c, ctx, rows):
            return c - rows.hard_men

    objective = build("npcface", 10, 4, compute="streaming")
    objective.margin = Wrong()
    with pytest.raises((FormulaError, AttributeError, InputError), match="hard_men"):
        objective(torch.randn(3, 4), torch.tensor([0, 1, 2]))


def test_bad_options_name_the_culprit():
    for options, words in (
        ({"compute": "stream"}, "did you mean 'streaming'"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
    ):
        with pytest.raises(InputError, match=words):
            build("arcface", 10, 4, **options)
    assert isinstance(build("arcface", 10, 4, compute="auto"), MarginSoftmax)
    assert Margin().selects == 0
