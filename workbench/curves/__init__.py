"""Curves of N and T, and the boundaries between two centers, computed with the training code."""

from workbench.curves.slice import Curve, boundaries, curve, ideal_boundaries

__all__ = ["Curve", "boundaries", "curve", "ideal_boundaries"]
