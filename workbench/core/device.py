"""Device selection (`device = auto | cpu | cuda`) and the default floating-point type."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workbench.core.errors import InputError


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device of a name; "auto" is CUDA if available. Raises InputError if "cuda" is not available."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device = '{name}' is not one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device = cuda: no CUDA device is available; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def float32_default() -> Iterator[None]:
    """Set the default floating-point type to float32 inside the context. Also usable as a decorator."""
    before = torch.get_default_dtype()
    if before == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
