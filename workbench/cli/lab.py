"""Starting JupyterLab, or the live lab as a page of its own: on 127.0.0.1, with a token, widget state never saved."""

import importlib.util
import json
import os
import secrets
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError
from workbench.core.files import check_writable

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
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
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port}: a number from 1 to 65535")
    if not (NOTEBOOKS / "00_index.ipynb").is_file():
        raise InputError(f"no notebooks at {NOTEBOOKS}: they come with a clone of the repository")
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
        f"--LabApp.app_settings_dir={settings_folder()}",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),  # containers
    ]


def app_command(settings: dict[str, Any], port: int = 8866, browser: bool = True) -> tuple[list[str], str]:
    """The command line that serves the live lab with these settings of a LiveSession by Voila, and the page's address.

    Raises InputError where Voila is not installed, and for settings that cannot be.
    """
    if importlib.util.find_spec("voila") is None:
        raise InputError("workbench app needs Voila: pip install -c constraints.txt -e '.[app]'")
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port}: a number from 1 to 65535")
    from workbench.training.config import Config

    Config(**settings)
    folder = Path(tempfile.mkdtemp(prefix="workbench-app-"))
    call = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    source = f"from workbench.panels.lab import Lab\n\nLab({call})"
    cell = {"cell_type": "code", "id": "lab", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "live_lab.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    token, port = secrets.token_hex(24), free_port(port)
    arguments = [
        sys.executable,
        "-m",
        "voila",
        str(folder / "live_lab.ipynb"),
        "--Voila.ip=127.0.0.1",
        f"--port={port}",
        f"--token={token}",
        f"--Voila.open_browser={browser}",
    ]
    return arguments, f"http://127.0.0.1:{port}/?token={token}"


def free_port(wanted: int) -> int:
    """The first port from `wanted` on that nothing on 127.0.0.1 listens on; InputError if none of 50 is free."""
    for port in range(wanted, min(wanted + 50, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise InputError(f"--port {wanted}: it and the next 49 ports are in use, or no ports (1 to 65535)")
