"""Optional packages of the tests: skip without them, except in CI, where all of them are installed."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def skip_without(package):
    """Import a package; skip where it is not installed, except in CI, where all of them are."""
    if importlib.util.find_spec(package) is None and not os.environ.get("CI"):
        pytest.skip(f"{package} is not installed")
    declare_torchvision_operators()
    importlib.import_module(package)


def declare_torchvision_operators():
    """Make torchvision importable, which timm needs for its transforms, where its library is built for CUDA only."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or "torchvision" in sys.modules:
        return
    try:
        torch.ops.load_library(Path(spec.origin).parent / "_C.so")
    except OSError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
