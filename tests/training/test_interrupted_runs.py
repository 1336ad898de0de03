"""What a training run could lose: signals, two owners of one folder, torn files, a full disk."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import SHORT_STEPS, contents, cut_run, send_in_call, short

from workbench.core.errors import InputError
from workbench.core.locks import LOCK, lock_folder, lock_state, this_owner
from workbench.core.record import Run, Step
from workbench.training import batches, checkpoint, fit, run
from workbench.training.interrupts import Aborted, stop_requests
from workbench.training.live.session import LiveSession
from workbench.training.run import CHECKPOINT, resume, train

KINDS = {
    "dense": {},
    "streaming": {"compute": "streaming"},
    "sampled": {"centers": "sampled", "class_set": {"max_active": 5}},
}
TARGETS = {
    "forward": (batches, "normalize"),
    "backward": (torch.Tensor, "backward"),
    "optimizer": (torch.optim.SGD, "step"),
    "log": (Run, "add_step"),
    "checkpoint": (checkpoint, "save"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The last checkpoint of undisturbed trainings, by kind."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("whole") / kind
            train(short(**KINDS[kind]), made[kind])
        return (made[kind] / CHECKPOINT).read_bytes()

    return of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", TARGETS)
def test_ctrl_c_within_a_step_is_served_after_it_and_the_bits_stay(kind, place, whole, tmp_path, monkeypatch):
    path = tmp_path / "cut"
    at = 2 if place == "checkpoint" else 6
    send_in_call(monkeypatch, TARGETS[place], at, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(short(**KINDS[kind]), path)
    monkeypatch.undo()
    assert Run.open(path).status.startswith("stopped by hand at step ")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resume(path)
    assert (path / CHECKPOINT).read_bytes() == whole(kind)
    assert Run.open(path).steps["step"].tolist() == list(range(SHORT_STEPS))


def test_sigterm_is_served_between_steps_as_well(whole, tmp_path, monkeypatch):
    send_in_call(monkeypatch, TARGETS["optimizer"], 7, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(short(), tmp_path / "cut")
    monkeypatch.undo()
    assert Run.open(tmp_path / "cut").status == "stopped by hand at step 7"
    resume(tmp_path / "cut")
    assert (tmp_path / "cut" / CHECKPOINT).read_bytes() == whole("dense")


def test_a_launcher_that_repeats_a_signal_does_not_abort():
    def repeat():
        with stop_requests(parent=True) as asked:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            assert asked()

    with pytest.raises(KeyboardInterrupt) as stopped:
        repeat()
    assert not isinstance(stopped.value, Aborted)


def test_a_second_ctrl_c_stops_at_once_and_saves_nothing(whole, tmp_path, monkeypatch):
    path = tmp_path / "cut"
    send_in_call(monkeypatch, TARGETS["backward"], 8, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(short(), path)
    monkeypatch.undo()
    found = Run.open(path)
    assert found.status == "interrupted"
    assert len(found.steps["step"]) == 7
    resume(path)
    assert (path / CHECKPOINT).read_bytes() == whole("dense")


def test_ctrl_c_at_the_last_step_is_not_lost(tmp_path, monkeypatch):
    send_in_call(monkeypatch, (Run, "finish"), 1, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(short(), tmp_path / "run")
    assert Run.open(tmp_path / "run").status == "finished"


def test_a_run_without_a_finite_loss_keeps_its_last_whole_checkpoint(tmp_path, monkeypatch):
    real, path = fit.train_step, tmp_path / "run"

    def spoiled(job, pixels, *rest):
        return real(job, pixels * float("nan") if job.step == 7 else pixels, *rest)

    monkeypatch.setattr(fit, "train_step", spoiled)
    with pytest.raises(fit.TrainingFault, match="step 7"):
        train(short(), path)
    assert Run.open(path).status.startswith("failed: step 7")
    saved = run.load_job(Run.open(path), short(), False, print)[0]
    assert saved.step in run.snapshot_steps(SHORT_STEPS, 3)
    assert all(torch.isfinite(value).all() for value in saved.backbone.state_dict().values())


def test_a_second_owner_is_refused_in_a_line_and_writes_nothing(tmp_path):
    path = cut_run(tmp_path / "run")
    before = contents(path)
    with lock_folder(path, ""):
        assert Run.open(path).status == "running"
        with pytest.raises(InputError, match=f"is running: process {os.getpid()} on .* trains it since") as refused:
            resume(path, take_over=True)
        assert "\n" not in str(refused.value)
        with pytest.raises(InputError, match="exists already"):
            train(short(), path)
    assert contents(path) == before
    assert Run.open(path).status == "interrupted"


def test_a_process_number_that_lives_again_blocks_nothing(tmp_path):
    path = cut_run(tmp_path / "run")
    info = json.loads((path / "run.json").read_text())
    assert info["owner"].keys() == {"host", "process", "started"}
    info["owner"]["process"] = 1
    (path / "run.json").write_text(json.dumps(info))
    assert Run.open(path).status == "interrupted"
    assert resume(path).status == "finished"


def test_a_run_of_another_host_asks_for_take_over_where_its_lock_cannot_be_judged(tmp_path, monkeypatch):
    path = cut_run(tmp_path / "run")
    info = json.loads((path / "run.json").read_text())
    info["owner"]["host"] = "node-17"
    (path / "run.json").write_text(json.dumps(info))
    monkeypatch.setattr("workbench.core.record.is_local_disk", lambda folder: False)
    assert Run.open(path).status == "interrupted on node-17 or still running there"
    before = contents(path)
    with pytest.raises(InputError, match=r"interrupted on node-17 or still running there; .* --take-over resumes it"):
        resume(path)
    assert contents(path) == before
    resume(path, take_over=True)
    assert Run.open(path).owner["host"] == this_owner()["host"]


def test_a_lock_is_read_without_writing(tmp_path):
    assert lock_state(tmp_path) == "free"
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path, "busy"):
        assert lock_state(tmp_path) == "held"
        with pytest.raises(InputError, match="busy"), lock_folder(tmp_path, "busy"):
            pass
    assert lock_state(tmp_path) == "free"


def test_a_torn_last_line_is_dropped_and_other_damage_is_named(whole, tmp_path):
    path = cut_run(tmp_path / "run")
    for name in ("steps.csv", "events.jsonl"):
        with (path / name).open("ab") as file:
            file.write(b"7,1.2\0\0\0\0")
    assert len(Run.open(path).steps["step"]) == 7
    assert Run.open(path).events
    resume(path)
    assert (path / CHECKPOINT).read_bytes() == whole("dense")


@pytest.mark.parametrize(("name", "line"), [("steps.csv", 3), ("events.jsonl", 2)])
@pytest.mark.parametrize("damage", [b"\0\0\0\0", b"[" * 5000, b"\xff\xfe", b"", b"1,2"])
def test_damage_within_a_file_is_named_with_its_line(name, line, damage, tmp_path, finished_log):
    target = finished_log(tmp_path)
    lines = (target.path / name).read_bytes().split(b"\n")
    lines[line - 1] = damage
    (target.path / name).write_bytes(b"\n".join(lines))
    read = {"steps.csv": lambda: target.steps, "events.jsonl": lambda: target.events}[name]
    for call in (read, lambda: target.rewind(6)):
        before = contents(target.path)
        with pytest.raises(InputError, match=rf"{name}.* is damaged: line {line}: ") as said:
            call()
        assert "\n" not in str(said.value)
        assert len(str(said.value)) < 300
        assert contents(target.path) == before


@pytest.fixture
def finished_log():
    def make(folder):
        made = Run.create(folder / "run", {"config": {}}, {})
        for step in range(8):
            made.add_step(Step(step, 1.0, 0.1, 0.01, 1.0, 0.5))
            made.add_event({"step": step, "name": "m", "new": 0.1, "old": None})
        return made

    return make


def test_lines_that_are_missing_before_the_checkpoint_are_told(tmp_path, finished_log):
    made = finished_log(tmp_path)
    assert made.rewind(8) == []
    assert made.rewind(10) == ["steps.csv lacks the completed steps 8..9"]


@pytest.mark.parametrize("first", [True, False])
def test_a_disk_that_fills_while_training_is_one_line_and_a_status(first, whole, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    path, real, calls = tmp_path / "run", checkpoint.save_file, []

    def full(tensors, place, metadata):
        calls.append(1)
        if len(calls) == (1 if first else 2):
            place.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        real(tensors, place, metadata)

    monkeypatch.setattr(checkpoint, "save_file", full)
    words = "nothing was saved" if first else "the last checkpoint is whole"
    with pytest.raises(InputError, match=f"cannot write to .*No space left on device.*{words}") as stopped:
        train(short(), path)
    assert isinstance(stopped.value, run.WriteFault) is not first
    assert Run.open(path).status.startswith("failed: cannot write to ")
    assert not [p for p in path.iterdir() if p.name.startswith(".") and p.name != LOCK]
    resume(path)
    assert (path / CHECKPOINT).read_bytes() == whole("dense")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file/run"):
        train(short(), tmp_path / "file" / "run")


def test_what_was_cut_off_before_step_0_counts_as_nothing_and_other_files_stay(tmp_path):
    path = tmp_path / "run"
    Run.create(path, {"config": {}}, {})
    with lock_folder(path, ""):
        pass
    (path / "run.json").unlink()
    train(short(steps=2), path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="exists already"):
        train(short(), other)
    assert (other / "thesis.tex").exists()


def test_ctrl_c_pauses_a_session_after_its_step(monkeypatch):
    session = LiveSession(replace(short(), steps=None, method="arcface"), name="interrupted")
    try:
        session.run(2, block=True)
        send_in_call(monkeypatch, ("workbench.training.live.trainer", "train_step"), 3, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            session.run(100_000, block=True)
        session.between(lambda: None)
        assert session.status == "paused"
        assert session.at == session.job.step
        session.step()
        assert session.at == session.job.step
        assert np.isfinite([step.loss for step in session.steps]).all()
    finally:
        session.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_trainings_killed_at_random_moments_resume_to_the_same_bits():
    script = Path(__file__).parents[2] / "benchmarks" / "kill_runs.py"
    done = subprocess.run(
        [sys.executable, script, "--count", "6", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])},
    )
    assert "6 of 6 resumed to bitwise equal checkpoints" in done.stdout, done.stdout + done.stderr
