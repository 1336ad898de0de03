"""JupyterLab in a headless Chromium, for the browser tests and the benchmarks of the panels."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WAIT = 60  # timeout in seconds for the start of the server and for running a notebook
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # requests to other hosts fail
]

# The server remembers the theme of the previous page.
LIGHT = """async () => {
  if (document.body.dataset.jpThemeLight === "false") {
    await window.jupyterapp.commands.execute("apputils:change-theme", { theme: "JupyterLab Light" });
  }
}"""


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def launch_chromium(path: str) -> Iterator[Any]:
    """A headless Playwright browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class JupyterServer:
    """A running JupyterLab: its address, its token, and the folder it serves."""

    url: str
    token: str
    folder: Path


@contextmanager
def run_jupyterlab(home: Path) -> Iterator[JupyterServer]:
    """JupyterLab with settings of its own under the empty folder home, on a random local port, with a token."""
    folder, config, runtime = (home / name for name in ("notebooks", "config", "runtime"))
    for new in (folder, config / "labconfig", runtime):
        new.mkdir(parents=True)
    page_config = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page_config))
    folders = {"JUPYTER_CONFIG_DIR": config, "JUPYTER_RUNTIME_DIR": runtime, "JUPYTER_DATA_DIR": home / "data"}
    folders |= {"IPYTHONDIR": home / "ipython", "JUPYTERLAB_SETTINGS_DIR": home / "settings"}
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    options += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=folder,
            env=os.environ | {name: str(path) for name, path in folders.items()},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + WAIT
        while not (address := [f for f in runtime.glob("jpserver-*.json") if f.stat().st_size]):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        found = json.loads(address[0].read_text())
        yield JupyterServer(f"http://127.0.0.1:{found['port']}", found["token"], folder)
    finally:
        server.terminate()
        server.wait(timeout=20)


@dataclass
class Notebooks:
    """Opens notebooks of a JupyterServer in a browser context; `wrong` collects errors of their pages."""

    context: Any
    server: JupyterServer
    wrong: list[str] = field(default_factory=list)

    def open(self, cells: list[str]) -> Any:
        """The Playwright page of a new notebook in which all these code cells have run without an error."""
        name = f"{len(list(self.server.folder.glob('*.ipynb')))}.ipynb"
        blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"cells": [blank | {"source": cell} for cell in cells], "metadata": {"kernelspec": kernel}}
        (self.server.folder / name).write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 4}))
        page = self.context.new_page()
        page.on("console", lambda message: message.type == "error" and self.wrong.append(f"logged: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"thrown: {error}"))
        page.on("request", self._check_request)
        page.goto(f"{self.server.url}/lab/tree/{name}?token={self.server.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=WAIT * 1000)
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready")
        page.evaluate(LIGHT)
        # Do not wait for the promise of the command; it may never resolve.
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        prompt = page.locator(".jp-CodeCell .jp-InputArea-prompt").last
        prompt.get_by_text(f"[{len(cells)}]:").wait_for(timeout=WAIT * 1000)
        failed = page.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert failed.count() == 0, failed.first.inner_text()
        return page

    def _check_request(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme.startswith(("http", "ws")) and address.hostname != "127.0.0.1":
            self.wrong.append(f"requested: {request.url}")
