"""`workbench lab`: JupyterLab on 127.0.0.1 with a token; widget state is never saved."""

import json
import os
import sys
import tempfile
from pathlib import Path

from workbench.cli import options as opt
from workbench.core.errors import InputError
from workbench.core.files import check_writable

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
OVERRIDES = {
    # Saved widget state puts 5 MB of JavaScript into a notebook for every figure.
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": False},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


def lab(port: opt.Port = 8888, browser: opt.Browser = True) -> None:
    """Start JupyterLab with the notebooks.

    The server listens on 127.0.0.1 with a token and opens notebooks/00_index.ipynb.
    """
    arguments = lab_command(port, browser)
    os.execv(arguments[0], arguments)


def lab_command(port: int = 8888, browser: bool = True) -> list[str]:
    """The command line that starts JupyterLab in the parent folder of the notebooks, at the index.

    Raises InputError for a port out of range, where there are no notebooks, and where Jupyter's folders cannot be
    written.
    """
    check_port(port)
    if not (NOTEBOOKS / "00_index.ipynb").is_file():
        raise InputError(f"no notebooks at {NOTEBOOKS}: they are part of a clone of the repository")
    from jupyter_core.paths import jupyter_data_dir, jupyter_runtime_dir

    for folder in (jupyter_data_dir(), jupyter_runtime_dir()):
        check_writable(folder, "the folder of Jupyter (JUPYTER_DATA_DIR, JUPYTER_RUNTIME_DIR)")
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={NOTEBOOKS.parent}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.open_browser={browser}",
        f"--LabApp.default_url=/lab/tree/{NOTEBOOKS.name}/00_index.ipynb",
        f"--LabApp.app_settings_dir={make_settings_folder()}",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),  # containers
    ]


def check_port(port: int) -> None:
    """Raise InputError for a number that is no TCP port."""
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port}: expected a number from 1 to 65535")


def make_settings_folder() -> Path:
    """A folder with OVERRIDES of JupyterLab's default settings, for --LabApp.app_settings_dir."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-lab-"))
    (folder / "overrides.json").write_text(json.dumps(OVERRIDES), encoding="utf-8")
    return folder
