"""Hypersphere Workbench: margin losses of face recognition, trained, measured and drawn.

The names below are imported on first use: `import workbench` loads neither torch nor plotly.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "margins": "AdaFace AdaptiveFace ArcFace ArcNegFace Circle CombinedMargin CosFace CurricularFace ElasticArc "
    "ElasticCos MVSoftmax MagFace Margin NPCFace NormSoftmax ReCurricularFace Softmax SphereFace SphereFaceR param",
    "methods": "METHODS build",
    "curves": "boundaries curve ideal_boundaries",
    "curves.check": "check_margin",
    "data.images": "load",
    "training.config": "Config",
    "training.embedding": "embed",
    "training.fit": "Job embed_images fit",
    "training.own": "train_margin",
    "training.live.session": "LiveSession",
    "training.live.replay": "replay",
    "evaluation.verification": "verify",
    "evaluation.identification": "identify",
    "probes.hardness": "hardness",
    "probes.similarity": "similarity",
    "panels.lab": "Lab",
    "panels.versus": "Versus",
    "panels.explorer": "Explorer",
    "panels.margin": "MarginPanel",
    "panels.gradient": "GradientPanel",
    "core.errors": "InputError",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [*_MODULE, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value = getattr(import_module(f"workbench.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
