"""Shared fixtures: optional test data outside the repository, Chromium, Node, and JupyterLab in a browser."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread is faster for small tensors

import hypothesis
import pytest
from browsing import JupyterServer, Notebooks, find_chromium, launch_chromium, run_jupyterlab

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell that runs the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no deadline, because the computer may be busy.
hypothesis.settings.register_profile("workbench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("workbench")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data():
    """path(name): a file of the optional test data; the test is skipped if it does not exist."""

    def path(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"test data {name} is not available")
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
    """A headless Chromium (Playwright Browser). If there is none, the test fails in CI and is skipped elsewhere."""
    path = find_chromium()
    if path is None:
        missing = "no Chromium in PATH (chromium, chromium-browser or google-chrome): the browser tests cannot run"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with launch_chromium(path) as browser:
        yield browser


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node. If there is none, the test fails in CI and is skipped elsewhere."""
    path = shutil.which("node")
    if path is None:
        missing = "no node in PATH: the JavaScript tests cannot run"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return path


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory) -> Iterator[JupyterServer]:
    """A JupyterLab server of its own: url, token, folder."""
    with run_jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def open_notebook(chromium, lab) -> Iterator[Callable]:
    """open_notebook(cells): run a JupyterLab notebook with these code cells and return its Playwright page.

    The test fails if a page logs or throws an error, or requests another host than the server.
    """
    notebooks = Notebooks(chromium.new_context(viewport={"width": 1400, "height": 1000}), lab)
    yield notebooks.open
    notebooks.context.close()
    assert notebooks.wrong == []
