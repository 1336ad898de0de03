"""Helpers of the panel tests: threads, node scripts, the theme of a page."""

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "js"


def find_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def join_threads(name: str) -> None:
    """Wait for all threads of this name."""
    for thread in find_threads(name):
        thread.join(30)
        assert not thread.is_alive()


def run_node(node: str, script: str, module: Path, source: str, **environment: str) -> None:
    """Run a test script of tests/js with node; `source` is written to `module`, whose URI is in MODULE."""
    module.write_text(source, encoding="utf-8")
    result = subprocess.run(
        [node, "--test", str(SCRIPTS / script)],
        env=os.environ | {"MODULE": module.as_uri()} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def set_theme(page: Any, theme: str) -> None:
    """Switch JupyterLab to its "Light" or "Dark" theme."""
    page.evaluate(f"void window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
