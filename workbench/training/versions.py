"""Versions of what a run depends on besides its configuration."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from workbench import __version__

PACKAGES = ("torch", "numpy", "pillow", "scikit-learn")
DECODERS = ("pillow", "scikit-learn")  # what turns files into pixels


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def versions(where: torch.device) -> dict[str, str]:
    """What a run depends on beside its configuration."""
    found = {"workbench": __version__, "python": platform.python_version(), "system": platform.platform()}
    found |= {name: package_version(name) for name in PACKAGES}
    hardware = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return found | {"device": f"{where.type}: {hardware}"}


def changed_decoders(info: Mapping[str, Any]) -> str:
    """In words, which libraries that decode images are of another version than when `info` was recorded; "": none."""
    then = info.get("versions") or {}
    pairs = [(name, then[name], package_version(name)) for name in DECODERS if name in then]
    return ", ".join(f"{name} {old} then, {new} now" for name, old, new in pairs if old != new)
