"""Runs: recorded, read back, interrupted, killed, damaged, resumed to the same bits."""

import json
import os

import numpy as np
import pytest
import torch
from trainings import stop_at, tiny

from workbench.core.errors import InputError
from workbench.core.record import Run, Snapshot
from workbench.training import checkpoint
from workbench.training import fit as fitting
from workbench.training import run as runs
from workbench.training.config import Config
from workbench.training.evaluate import evaluate
from workbench.training.fit import Job, TrainingFault


def settings(**changes):
    return tiny(**{"method": "npcface", "steps": 12, "batch": 16, "lr": 0.1} | changes)


def weights(job):
    return torch.cat([p.detach().flatten() for p in [*job.backbone.parameters(), *job.objective.parameters()]])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    runs.train(settings(), path)
    evaluate(path)
    return path


def test_a_run_is_read_back(finished):
    run = Run.open(finished)
    assert run.status == "finished"
    assert run.steps["step"].tolist() == list(range(12))
    assert run.snapshot_steps[0] == 1
    assert run.snapshot_steps[-1] == 12
    seen = run.snapshot(12)
    assert seen.cos.shape == (len(seen.x), len(seen.W))
    assert seen.parameters["m0"] == pytest.approx(0.24)
    assert Config.from_json(run.config) == settings()
    assert set(run.split["train"]).isdisjoint(run.split["test"])
    assert {e["name"] for e in run.events} == {"m0", "m1", "t", "alpha"}
    assert 0 <= run.results["verification"]["eer"] <= 1
    assert run.curves["far"][-1] == 1
    assert run.config["settings"]["s"] == 24
    assert "torch" in run.info["versions"]


def test_a_run_interrupted_anywhere_resumes_to_the_same_bits(finished, tmp_path):
    path = tmp_path / "cut"

    with pytest.raises(KeyboardInterrupt):
        runs.train(settings(), path, stop_at(9))
    assert Run.open(path).status == "stopped by hand at step 9"
    runs.resume(path)
    for name in ("events.jsonl",):
        assert (path / name).read_text() == (finished / name).read_text()
    a, b = (runs.Run.open(p).snapshot(12) for p in (path, finished))
    assert np.array_equal(a.x, b.x)
    assert np.array_equal(a.W, b.W)
    assert np.array_equal(Run.open(path).steps["loss"], Run.open(finished).steps["loss"])
    with pytest.raises(InputError, match="nothing to resume"):
        runs.resume(path)


def test_a_killed_run_says_so_opens_and_resumes_from_its_last_checkpoint(finished, tmp_path, monkeypatch):
    path = tmp_path / "killed"
    real = fitting.train_step

    class Killed(BaseException):
        pass

    def killed(job, *rest):
        if job.step == 8:
            raise Killed  # nothing after this line runs, as with kill -9
        return real(job, *rest)

    monkeypatch.setattr(fitting, "train_step", killed)
    with pytest.raises(Killed):
        runs.train(settings(), path)
    monkeypatch.undo()
    info = json.loads((path / "run.json").read_text())
    assert info["status"] == "running"
    info["owner"]["process"] = 1  # alive, as another process
    (path / "run.json").write_text(json.dumps(info))
    with (path / "steps.csv").open("a") as file:
        file.write("8,1.2")  # cut off in the middle of a line
    run = Run.open(path)
    assert run.status == "interrupted"
    assert len(run.steps["step"]) == 8
    runs.resume(path)
    assert np.array_equal(Run.open(path).snapshot(12).W, Run.open(finished).snapshot(12).W)
    assert Run.open(path).steps["step"].tolist() == list(range(12))


def test_damaged_run_folders_are_named(finished, tmp_path):
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json is missing or damaged"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text('{"x": 1}')
    with pytest.raises(InputError, match="'config' is missing"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="exists already"):
        Run.create(finished, {}, {})
    run = Run.open(finished)
    with pytest.raises(InputError, match="no snapshot of step 5"):
        run.snapshot(5)
    for name, read in [
        ("results.json", lambda r: r.results),
        ("steps.csv", lambda r: r.steps),
        ("split.json", lambda r: r.split),
        ("curves.npz", lambda r: r.curves),
        ("events.jsonl", lambda r: r.events),
    ]:
        broken = Run(tmp_path, run.info)
        (tmp_path / name).write_bytes(b"\x00{[\n")
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read(broken)


def test_a_checkpoint_of_another_network_changes_nothing(finished, tmp_path):
    job = Job.start(settings(dim=4), 8, 16)
    before = weights(job)
    with pytest.raises(InputError, match="another backbone"):
        checkpoint.load(job, finished / runs.CHECKPOINT)
    (tmp_path / "cut.safetensors").write_bytes((finished / runs.CHECKPOINT).read_bytes()[:999])
    with pytest.raises(InputError, match=r"cut\.safetensors is missing or damaged"):
        checkpoint.load(job, tmp_path / "cut.safetensors")
    assert torch.equal(before, weights(job))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(InputError, match=r"cannot write to .*No space left"):
        runs.train(settings(), tmp_path / "run")


def test_nothing_half_written_is_left(tmp_path):
    run = Run.create(tmp_path / "run", {"config": {}}, {})
    with pytest.raises(ValueError, match="could not"):
        run.add_snapshot(Snapshot(1, np.zeros((2, 2)), np.zeros(2), np.array(["could not"]), {}))
    assert list((tmp_path / "run" / "snapshots").iterdir()) == []


def test_nan_names_step_and_tensor_and_saves_the_run(tmp_path, monkeypatch):
    real = fitting.train_step

    def poisoned(job, *rest):
        if job.step == 7:
            with torch.no_grad():
                next(job.backbone.parameters()).fill_(float("nan"))
        return real(job, *rest)

    monkeypatch.setattr(fitting, "train_step", poisoned)
    with pytest.raises(TrainingFault, match=r"step 7: the embeddings are not finite; '0\.0\.weight' of the network"):
        runs.train(settings(), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.status.startswith("failed: step 7")
    assert len(run.steps["step"]) == 7
