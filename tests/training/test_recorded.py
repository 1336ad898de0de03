"""Files that an earlier version of the workbench wrote: a session trains to the same numbers, a checkpoint loads."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.fit import Job
from workbench.training.live.replay import replay

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "recorded"
FIXTURE = FOLDER / "session.json"


def cpu_name() -> str:
    """The CPU as far as it decides which kernels run: vendor, family, model, and torch's instruction set."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines())
    known = {name.strip(): value.strip() for name, value in fields.items()}
    kind = " ".join(known.get(name, "?") for name in ("vendor_id", "cpu family", "model"))
    return f"{kind} {torch.backends.cpu.get_cpu_capability()}"


def test_a_recorded_session_replays_to_the_recorded_losses():
    saved = json.loads(FIXTURE.read_text(encoding="utf-8"))
    losses, cpu = saved.pop("losses"), saved.pop("cpu")
    session = replay(saved, name="recorded")
    try:
        measured = [step.loss for step in session.steps]
        assert len(measured) == len(losses)
        # Another CPU rounds otherwise, and training amplifies it within a few steps.
        np.testing.assert_allclose(measured[:2], losses[:2], rtol=1e-4)
        assert np.isfinite(measured).all()
        assert [e.to_json() for e in session.events] == [e for entry in saved["log"] for e in entry["events"]]
        if sys.platform == "linux" and cpu == cpu_name() and saved["versions"]["torch"] == torch.__version__:
            assert session.agrees
            assert measured == losses
    finally:
        session.stop()


def test_a_recorded_checkpoint_loads_and_is_saved_as_the_same_file(tmp_path):
    settings = {"data": "digits", "size": 16, "dim": 4, "width": 1 / 16, "batch": 16, "steps": 6, "device": "cpu"}
    job = Job.start(Config(method="recurricularface", **settings), classes=6, size=16)
    checkpoint.load(job, FOLDER / "checkpoint.safetensors")
    assert job.step == 6
    checkpoint.save(job, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (FOLDER / "checkpoint.safetensors").read_bytes()
