"""Types that callers bring along: inference tensors, float64, bfloat16, tensors with gradients, single numbers."""

import warnings

import numpy as np
import pytest
import torch

from workbench.cli.app import app_command
from workbench.cli.lab import lab_command
from workbench.core.errors import InputError
from workbench.data.pairs import sample_pairs
from workbench.evaluation.identification import identify
from workbench.evaluation.verification import pair_scores, verify
from workbench.methods import METHODS, build
from workbench.training.live.session import LiveSession

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 4
RNG = np.random.default_rng(0)
SAME = RNG.random(200) < 0.5
SCORES = RNG.standard_normal(200) + SAME


def made(key):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(key, classes=40, dim=16)


@pytest.mark.parametrize("key", METHODS)
def test_a_loss_is_the_same_under_inference_mode(key):
    plain = float(made(key).loss(X, Y).total.detach())
    with torch.inference_mode():
        assert float(made(key).loss(X, Y).total) == plain


@pytest.mark.parametrize("key", ["arcface", "npcface", "subcenter_arcface", "softmax", "magface"])
def test_float64_embeddings_are_taken(key):
    plain = float(made(key).loss(X, Y).total.detach())
    assert float(made(key).loss(X.double(), Y).total.detach()) == pytest.approx(plain, rel=1e-4)


def trained():
    session = LiveSession(data="digits", dim=3, size=16, method="arcface", name="types")
    try:
        session.run(2, block=True)
        return [step.loss for step in session.steps]
    finally:
        session.stop()


def test_the_default_type_of_the_process_does_not_matter():
    losses = trained()
    torch.set_default_dtype(torch.float64)
    try:
        assert trained() == losses
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_evaluation_takes_what_people_pass():
    x, ids = RNG.standard_normal((20, 8)).astype(np.float32), np.arange(20) // 2
    whole = verify(SCORES, SAME, fars=[0.01])
    assert verify(torch.tensor(SCORES, requires_grad=True), torch.tensor(SAME), fars=0.01).tar == whole.tar
    assert identify(x[::2], ids[::2], x[1::2], ids[1::2], ranks=1).rank.keys() == {1}
    assert identify(
        torch.tensor(x[::2]), torch.tensor(ids[::2]), x[1::2], ids[1::2], ranks=np.int64(1)
    ).rank.keys() == {1}
    assert pair_scores(torch.tensor(x).bfloat16(), [0], torch.tensor([1])).shape == (1,)
    for bad in (
        lambda: verify(np.array(["a"] * 200), SAME),
        lambda: verify(SCORES, np.array(["a"] * 200)),
        lambda: verify(SCORES, SAME, fars="0.01"),
        lambda: verify(SCORES, SAME, fars=[None]),
        lambda: verify(SCORES, SAME, fars=np.nan),
        lambda: identify(x[::2], ids[::2], x[1::2], ids[1::2], ranks=1.5),
        lambda: identify(x[::2], ids[::2], x[1::2], ids[1::2], ranks=np.inf),
        lambda: pair_scores(x, ["a"], [1]),
    ):
        with pytest.raises(InputError):
            bad()


def test_a_small_test_set_names_the_option():
    with pytest.raises(InputError, match="--test"):
        sample_pairs(np.repeat(np.arange(2), 3))


@pytest.mark.parametrize("port", [-1, 0, 70_000])
def test_ports_are_checked(port):
    with pytest.raises(InputError, match=f"--port {port}"):
        lab_command(port)
    with pytest.raises(InputError, match=f"--port {port}"):
        app_command({}, port)


def test_a_home_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file" / "x"))
    with pytest.raises(InputError, match="cannot write to"):
        lab_command()
