"""The command line of training: options of a resumed run, a scheduler's variables, several demos."""

import json

import pytest

from workbench.cli import demo
from workbench.core.errors import InputError
from workbench.core.locks import lock_folder
from workbench.core.record import Run
from workbench.training import checkpoint, processes
from workbench.training import run as training
from workbench.training.config import Config
from workbench.training.run import CHECKPOINT, train

TINY = {"data": "digits", "size": 16, "dim": 8, "width": 0.25, "batch": 16, "test": 0.4, "device": "cpu"}


@pytest.fixture
def stopped(tmp_path):
    def stop(done, total, what):
        if what.startswith("loss") and done == 3:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(Config(**TINY, method="arcface", steps=6, snapshots=2, parameters={"m": 0.3}), path, stop)
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", 9), "--steps 9: the run in {} has 6"),
        (("--lr", 0.1), "--lr 0.1: the run in {} has 0.2"),
        (("--method", "npcface"), "--method npcface: the run in {} has arcface"),
        (("--weight-decay", 0.1), "--weight-decay 0.1: the run in {} has 0.004"),
        (("--set", "m=0.4"), "--set m=0.4: the run in {} has 0.3"),
        (("--set", "zeta=1"), "--set zeta=1: the run in {} has none"),
        (("--epochs", 3), "--epochs 3.0: the run in {} has none"),
        (("--size", 32), "--size 32: the run in {} has 16"),
        (("--class-set", "rate=0.5"), "--class-set rate=0.5: the run in {} has none"),
        (("--nproc", 2), "--nproc 2: needs --centers sharded; the centers are full"),
    ],
)
def test_a_resumed_run_refuses_settings_that_are_not_its_own(words, said, stopped, run):
    before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
    status, _, error = run("train", "--out", stopped, "--resume", *words)
    assert status == 2
    assert said.format(stopped) in error
    assert error.count("\n") == 1
    assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before


def test_a_resumed_run_takes_its_own_settings_again(stopped, run):
    own = ("--steps", 6, "--lr", 0.2, "--method", "arcface", "--set", "m=0.3", "--size", 16, "--device", "cpu")
    assert run("train", "--out", stopped, "--resume", *own)[0] == 0
    assert Run.open(stopped).status == "finished"


def test_a_run_with_an_owner_and_take_over_without_resume_are_one_line(stopped, run, tmp_path):
    found = Run.open(stopped)
    found.finish("running")
    with lock_folder(stopped, ""):
        status, _, error = run("train", "--out", stopped, "--resume")
    assert (status, error.count("\n")) == (2, 1)
    assert "is running: process" in error
    status, _, error = run("train", "--out", tmp_path / "new", "--take-over")
    assert (status, error) == (2, "workbench: --take-over: only with --resume\n")


def test_a_disk_that_fills_says_what_is_saved_and_how_to_go_on(tmp_path, run, monkeypatch):
    save, calls = checkpoint.save, []

    def full(job, path):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        save(job, path)

    monkeypatch.setattr(checkpoint, "save", full)
    out = tmp_path / "run"
    words = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    status, _, error = run("train", "--out", out, "--steps", 4, "--snapshots", 2, *words)
    assert status == 1
    assert error.splitlines()[-1] == (
        f"workbench: cannot write to {out}: No space left on device, at step 4; the last checkpoint is whole;"
        f" `workbench train --out {out} --resume` resumes from it"
    )
    assert (out / CHECKPOINT).exists()


FULL = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29519", "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, (0, 0, 2)),
        ({"WORLD_SIZE": "1"}, None),
        ({"WORLD_SIZE": ""}, None),
        ({"WORLD_SIZE": "auto"}, None),
        ({"RANK": "-1"}, None),
        ({"RANK": "2"}, None),
        ({"RANK": "²"}, None),
        ({"LOCAL_RANK": None}, None),
        ({"MASTER_ADDR": None}, None),
        ({"MASTER_PORT": "a"}, None),
        ({"MASTER_ADDR": ""}, None),
    ],
)
def test_processes_join_only_by_a_whole_set_of_variables(changes, found, monkeypatch):
    for name, value in (FULL | changes).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert processes.process_ranks() == found


def test_a_scheduler_does_not_change_a_training_whose_centers_are_not_sharded(tmp_path, monkeypatch, run):
    for name, value in (FULL | {"RANK": "1"}).items():
        monkeypatch.setenv(name, value)
    words = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    status, said, _ = run("train", "--out", tmp_path / "run", "--steps", 2, *words)
    assert status == 0
    assert "is trained" in said  # this process prints although its RANK is 1
    assert Run.open(tmp_path / "run").status == "finished"


def test_processes_that_do_not_come_are_waited_for_a_while(monkeypatch, tmp_path):
    for name, value in FULL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "JOIN_LIMIT", 1.0)
    with pytest.raises(InputError, match=r"process 0 of 2 .* did not find the others at 127\.0\.0\.1:29519 within 1 s"):
        train(Config(**TINY, steps=2, centers="sharded"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def quick_demo(monkeypatch, tmp_path):
    """A demo of two losses on small images, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "METHODS", ("norm_softmax", "arcface"))
    monkeypatch.setattr(demo, "demo_config", lambda method, settings: Config(**TINY, method=method, steps=4))
    return tmp_path / "runs"


def contents(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_demo_twice_loses_nothing_and_says_where_it_wrote(quick_demo, run):
    status, said, error = run("demo")
    assert status == 0, error
    assert "The demo writes to runs/demo\n" in said
    before = contents(quick_demo / "demo")
    status, said, _ = run("demo")
    assert (status, "The demo writes to runs/demo-2\n" in said) == (0, True)
    assert contents(quick_demo / "demo") == before
    status, _, error = run("demo", "--out", "runs/demo")
    assert status == 2
    assert "--out runs/demo holds a finished demo's report.html; choose another --out" in error
    assert contents(quick_demo / "demo") == before


def test_an_unfinished_demo_goes_on_and_anything_else_is_left_alone(quick_demo, run, monkeypatch):
    real = training.train

    def stop(config, *rest):
        if config.method == "arcface":
            raise KeyboardInterrupt
        return real(config, *rest)

    monkeypatch.setattr(training, "train", stop)
    status, _, error = run("demo")
    assert status == 130
    assert "run the same command again to resume the demo in runs/demo" in error
    monkeypatch.setattr(training, "train", real)
    first = (quick_demo / "demo" / "norm_softmax" / "steps.csv").read_bytes()
    status, said, _ = run("demo")
    assert (status, "The demo writes to runs/demo\n" in said) == (0, True)
    assert (quick_demo / "demo" / "norm_softmax" / "steps.csv").read_bytes() == first
    mine = quick_demo / "mine" / "arcface"
    train(Config(**TINY, method="arcface", steps=2), mine)
    before = contents(mine)
    status, _, error = run("demo", "--out", "runs/mine")
    assert status == 2
    assert "--out runs/mine holds 'arcface' of other settings; choose another --out" in error
    assert contents(mine) == before
    assert json.loads((mine / "run.json").read_text())["status"] == "finished"
