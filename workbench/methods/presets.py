"""Preset values that several entries of the catalogue share."""

import math
from collections.abc import Mapping
from typing import Any

ARC, PML_RAD = {"s": 64, "m": 0.5}, math.radians(28.6)
NPC = {"s": 64, "m0": 0.40, "m1": 0.20, "t": 1.1, "alpha": 0.25, "m_mask": 0.5}
NPC_ZOO = NPC | {"alpha": 0.20, "guard": "easy"}


def elastic_presets(values: Mapping[str, float], sigma_plus: float) -> dict[str, Mapping[str, Any]]:
    """The presets of ElasticFace-Arc or -Cos: values (s, m), and sigma of the plus form."""
    paper = {**values, "sigma": 0.05}
    plus = {**values, "sigma": sigma_plus}
    return {
        "paper": paper,
        "paper_plus": plus | {"plus": "matched"},
        "elasticface_repo": {**values, "sigma": 0.0125},
        "elasticface_repo_config": paper,
        "elasticface_repo_config_plus": plus | {"plus": "repo"},
    }


def mv_presets(positive: str, m: float, facexzoo_guard: str) -> dict[str, Mapping[str, Any]]:
    """The presets of MV-softmax with an AM or Arc margin m of the paper."""
    values = {"s": 32, "m": m, "t": 1.2, "positive": positive}
    return {
        "paper": values,
        "fixed": values | {"form": "fixed"},
        "svx": values | {"m": 0.35, "guard": "easy"},
        "facexzoo": values | {"m": 0.35, "t": 1.12, "guard": facexzoo_guard},
    }
