"""What a comparison could lose: two owners of one folder, a full disk, signals."""

import os
import signal
import sys

import pytest
import torch
from trainings import contents, cut_run, send_in_call, short

from workbench.compare import engine, plan
from workbench.compare.variants import Variant
from workbench.core.errors import InputError
from workbench.core.locks import lock_folder
from workbench.core.record import Run
from workbench.training.run import CHECKPOINT


def comparison(out, **changes):
    return plan.prepare([Variant("ArcFace", "arcface")], 1, short(**changes), out)


def test_a_comparison_has_one_owner_and_removes_nothing(tmp_path):
    made = comparison(tmp_path / "c")
    with lock_folder(tmp_path / "c", ""):
        before = contents(tmp_path / "c")
        for call in (lambda: engine.execute(made, 1), lambda: comparison(tmp_path / "c")):
            with pytest.raises(InputError, match="is being trained by another process"):
                call()
        assert contents(tmp_path / "c") == before
    made.tasks[0].path.mkdir(parents=True)
    (made.tasks[0].path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        engine.execute(made, 1)
    assert (made.tasks[0].path / "notes.txt").read_text() == "mine"


def test_a_run_of_a_comparison_that_met_a_full_disk_goes_on(tmp_path):
    made = comparison(tmp_path / "c")
    cut_run(made.tasks[0].path)
    found = Run.open(made.tasks[0].path)
    found.finish("failed: cannot write to c: No space left on device, step 7")
    assert not engine.is_finished(made.tasks[0])
    found.finish("failed: step 7: the loss is nan")
    assert engine.is_finished(made.tasks[0])


def test_ctrl_c_within_a_step_of_a_comparison_keeps_the_bits(tmp_path, monkeypatch):
    whole, cut = comparison(tmp_path / "whole"), comparison(tmp_path / "cut")
    engine.execute(whole, 1)
    send_in_call(monkeypatch, (torch.optim.SGD, "step"), 6, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        engine.execute(cut, 1)
    monkeypatch.undo()
    engine.execute(cut, 1)
    a, b = ((one.tasks[0].path / CHECKPOINT).read_bytes() for one in (whole, cut))
    assert a == b


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_ctrl_c_while_workers_train_leaves_every_run_whole(tmp_path, monkeypatch):
    whole, cut = (comparison(tmp_path / name, steps=400) for name in ("whole", "cut"))
    monkeypatch.setattr(engine, "POLL", 0.01)  # s; far less than the 395 steps after the signal take
    engine.execute(whole, 1)
    sent = []

    def stop(done, total, what):
        if done >= 5 and not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        engine.run_parallel(cut.tasks, 1, 1, engine.StepCounter(0, 1, 400, stop))
    assert Run.open(cut.tasks[0].path).status.startswith("stopped by hand at step ")
    engine.execute(cut, 1)
    a, b = ((one.tasks[0].path / CHECKPOINT).read_bytes() for one in (whole, cut))
    assert a == b
