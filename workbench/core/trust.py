"""Trust in code that a file names: a run's record may name a function, but only the user may let it run.

The list is an environment variable, so that processes started from here have it too.
"""

import os

from workbench.core.errors import InputError

VARIABLE = "WORKBENCH_TRUSTED"


def trust(name: str) -> str:
    """Let the function python:MODULE:FUNCTION run in this process and those started from it. Returns the name."""
    names = os.environ.get(VARIABLE, "")
    if name.startswith("python:") and name not in names.split(","):
        os.environ[VARIABLE] = f"{names},{name}".lstrip(",")
    return name


def check_trusted(name: str) -> None:
    """InputError unless the user has trusted the function python:MODULE:FUNCTION."""
    if name not in os.environ.get(VARIABLE, "").split(","):
        raise InputError(f"{name} would run code of that module; if you trust it, set {VARIABLE}={name}")
