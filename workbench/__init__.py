"""Hypersphere Workbench: margin losses of face recognition, trained, measured and drawn."""

__version__ = "0.1.0"
