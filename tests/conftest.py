"""Shared fixtures: real test data that is absent from a user's clone, and a Chromium that may be."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: waking a second thread costs more than it gives

import pytest  # noqa: E402: torch reads the variable when it is first imported

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data():
    """The path of a file of the shared test data; skips with a reason where it is absent (a user's clone)."""

    def path(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"test data {name} is not on this computer")
        return SHARED / name

    return path
