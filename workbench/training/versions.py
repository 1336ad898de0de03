"""Versions of the software that a run depends on besides its configuration."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from workbench import __version__

PACKAGES = ("torch", "numpy", "pillow", "scikit-learn")
DECODERS = ("pillow", "scikit-learn")  # packages that decode images


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def versions(device: torch.device) -> dict[str, str]:
    """Versions of the workbench, Python, the system, the packages, and the name of the device."""
    python = {"workbench": __version__, "python": platform.python_version(), "system": platform.platform()}
    packages = {name: package_version(name) for name in PACKAGES}
    gpu = device.type == "cuda"
    threads = torch.get_num_threads()
    hardware = torch.cuda.get_device_name(device) if gpu else f"{threads} CPU thread{'s' if threads > 1 else ''}"
    return python | packages | {"device": f"{device.type}: {hardware}"}


def decoder_changes(info: Mapping[str, Any]) -> str:
    """In words, the packages that decode images and have another version than recorded in `info`; "" for none."""
    then = info.get("versions") or {}
    pairs = [(name, then[name], package_version(name)) for name in DECODERS if name in then]
    return ", ".join(f"{name} {old} then, {new} now" for name, old, new in pairs if old != new)
