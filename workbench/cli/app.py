"""`workbench app`: the live lab as a web page, served by Voila on 127.0.0.1 with a token."""

import importlib.util
import json
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from typer import Option, echo

from workbench.cli import options as opt
from workbench.cli.lab import check_port
from workbench.core.errors import InputError
from workbench.core.ports import free_port


def live_app(
    method: opt.Method = "npcface",
    data: opt.Data = "digits",
    dim: Annotated[int, Option(help="Embedding dimension; 2 and 3 are shown without projection.")] = 3,
    size: opt.Size = None,
    seed: opt.Seed = 0,
    port: opt.Port = 8866,
    browser: opt.Browser = True,
) -> None:
    """Serve the live lab as a web page.

    The server (Voila) listens on 127.0.0.1 with a token. It needs pip install -e '.[app]'.
    """
    settings = {"method": method, "data": data, "dim": dim, "size": size, "seed": seed}
    arguments, address = app_command(settings, port, browser)
    echo(f"The live lab: {address}")
    os.execv(arguments[0], arguments)


def app_command(settings: dict[str, Any], port: int = 8866, browser: bool = True) -> tuple[list[str], str]:
    """The command line that serves the live lab by Voila, and the address of the page. settings: of a LiveSession.

    Raises InputError where Voila is not installed, for invalid settings, and where no port is free.
    """
    if importlib.util.find_spec("voila") is None:
        raise InputError("workbench app needs Voila: pip install -c constraints.txt -e '.[app]'")
    check_port(port)
    from workbench.training.config import Config

    Config(**settings)
    notebook = Path(tempfile.mkdtemp(prefix="workbench-app-")) / "live_lab.ipynb"
    notebook.write_text(json.dumps(lab_notebook(settings)), encoding="utf-8")
    token, port = secrets.token_hex(24), free_port(port)
    arguments = [
        sys.executable,
        "-m",
        "voila",
        str(notebook),
        "--Voila.ip=127.0.0.1",
        f"--port={port}",
        f"--token={token}",
        f"--Voila.open_browser={browser}",
    ]
    return arguments, f"http://127.0.0.1:{port}/?token={token}"


def lab_notebook(settings: dict[str, Any]) -> dict[str, Any]:
    """A notebook of one cell that shows the live lab."""
    call = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    source = f"from workbench.panels.lab import Lab\n\nLab({call})"
    cell = {"cell_type": "code", "id": "lab", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
