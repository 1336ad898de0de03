"""Shared fixtures: real test data that a user's clone does not have, and a real JupyterLab in a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: on tiny tensors a second thread costs more than it gives

import hypothesis
import pytest
from browsing import JupyterServer, Notebooks, find_chromium, launch_chromium, run_jupyterlab

# The same examples in each run, and no limit of time: sound code is slow on a busy computer.
hypothesis.settings.register_profile("workbench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("workbench")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data():
    """The path of a file of the shared test data; skips with a reason where it is absent (a user's clone)."""

    def path(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"test data {name} is not on this computer")
        return SHARED / name

    return path


@pytest.fixture
def artefacts() -> Path:
    """The folder for screenshots, which git ignores."""
    folder = Path(__file__).parent / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium driven by Playwright (a Browser). Without one: a failure in CI, a skip elsewhere."""
    path = find_chromium()
    if path is None:
        missing = "no Chromium in PATH (chromium, chromium-browser or google-chrome): the browser tests cannot run"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with launch_chromium(path) as browser:
        yield browser


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node, for the tests of the scripts. Without it: a failure in CI, a skip elsewhere."""
    path = shutil.which("node")
    if path is None:
        missing = "no node in PATH: the tests of the scripts cannot run"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return path


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory) -> Iterator[JupyterServer]:
    """A JupyterLab server of its own: url, token, folder."""
    with run_jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def open_notebook(chromium, lab) -> Iterator[Callable]:
    """open_notebook(cells) -> the Playwright page of a JupyterLab notebook in which all these code cells have run.

    The test fails where a page logs an error, throws one, or asks any address but the server's.
    """
    notebooks = Notebooks(chromium.new_context(viewport={"width": 1400, "height": 1000}), lab)
    yield notebooks.open
    notebooks.context.close()
    assert notebooks.wrong == []
