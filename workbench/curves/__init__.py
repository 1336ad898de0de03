"""T and N of a margin along an arc, decision boundaries, and gradients, all computed with the training code."""

from workbench.curves.slice import Curve, boundaries, curve, ideal_boundaries

__all__ = ["Curve", "boundaries", "curve", "ideal_boundaries"]
