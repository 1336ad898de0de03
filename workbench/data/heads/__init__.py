"""The data set `heads`: synthetic faces, embedded in the package or rendered on demand; no real person."""

from workbench.data.heads.archive import load_heads, render

__all__ = ["load_heads", "render"]
