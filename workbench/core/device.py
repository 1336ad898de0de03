"""Where to compute: the one reading of `device = auto | cpu | cuda`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workbench.core.errors import InputError


def device(name: str = "auto") -> torch.device:
    """The device of this name; "auto" is CUDA where there is one. InputError if CUDA is asked for and missing."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device = '{name}' is not one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device = cuda: no CUDA device is to be had here; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def float32_default() -> Iterator[None]:
    """Make networks and losses in float32 where another default type is set for the process; also a decorator."""
    before = torch.get_default_dtype()
    if before == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
