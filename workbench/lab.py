"""Starting JupyterLab as the workbench wants it: on 127.0.0.1, with a token, widget state never saved."""

import json
import os
import sys
import tempfile
from pathlib import Path

from workbench.errors import InputError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
OVERRIDES = {
    # Saved widget state puts 5 MB of JavaScript into a notebook for every figure.
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": False},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


def settings_folder() -> Path:
    """A folder with JupyterLab's default settings changed as above; for --LabApp.app_settings_dir."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-lab-"))
    (folder / "overrides.json").write_text(json.dumps(OVERRIDES), encoding="utf-8")
    return folder


def command(port: int = 8888, browser: bool = True) -> list[str]:
    """The command line that starts JupyterLab in the notebooks' parent folder, at the index."""
    if not (NOTEBOOKS / "00_index.ipynb").is_file():
        raise InputError(f"no notebooks at {NOTEBOOKS}: they come with a clone of the repository")
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={NOTEBOOKS.parent}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.open_browser={browser}",
        f"--LabApp.default_url=/lab/tree/{NOTEBOOKS.name}/00_index.ipynb",
        f"--LabApp.app_settings_dir={settings_folder()}",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),  # containers
    ]
