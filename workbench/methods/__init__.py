"""Published losses by name: METHODS and build."""

from workbench.methods.catalogue import METHODS, build

__all__ = ["METHODS", "build"]
