"""`workbench bench`: what a training will cost, estimated before it is started or measured here."""

from workbench.bench.command import bench_app, memory

__all__ = ["bench_app", "memory"]
