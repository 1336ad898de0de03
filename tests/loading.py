"""Which modules a fresh interpreter has loaded after some statements."""

import subprocess
import sys


def loaded_after(statements: str, whole: bool = False) -> set[str]:
    """The names of the loaded modules; not `whole`: of their top-level packages only."""
    code = f"import sys\n{statements}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = done.stdout.rpartition("loaded:")[2].split()
    return set(names) if whole else {name.split(".")[0] for name in names}
