"""The data set `heads`: images of synthetic faces, embedded in the package or rendered on demand."""

from workbench.data.heads.archive import load_heads, render

__all__ = ["load_heads", "render"]
