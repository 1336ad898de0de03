"""A session that an earlier version of the workbench saved still trains to the same numbers."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from workbench.training.live.replay import replay

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "recorded" / "session.json"


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
