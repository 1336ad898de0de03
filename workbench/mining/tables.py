"""Findings of mining as CSV files."""

import math
from collections.abc import Iterable
from pathlib import Path

from workbench.core.tables import write_csv
from workbench.mining.audit import ClassPairs, MiningResult
from workbench.mining.dataset import MiningData


def write_tables(data: MiningData, result: MiningResult, out: Path, pairs: int) -> None:
    """Write pairs.csv (the hardest `pairs`), duplicates.csv and, with labels, label_errors.csv into a folder."""
    head = ("class_a", "class_b", "cosine", "angle_degrees")
    write_csv(out / "pairs.csv", [head, *pair_rows(data, result.pairs, pairs)])
    write_csv(out / "duplicates.csv", [head, *pair_rows(data, result.duplicates)])
    if result.errors is not None:
        head = ("sample", "label", "nearer", "own_cosine", "nearer_cosine", "gap")
        head = head if data.paths is None else (*head, "path")
        write_csv(out / "label_errors.csv", [head, *error_rows(data, result)])


def pair_rows(data: MiningData, pairs: ClassPairs, limit: int | None = None) -> Iterable[tuple[str, str, str, str]]:
    """Names, cosine and angle (degrees) of the first `limit` pairs of classes."""
    for a, b, cos in zip(pairs.a[:limit], pairs.b[:limit], pairs.cosine[:limit], strict=True):
        angle = math.degrees(math.acos(min(1.0, max(-1.0, float(cos)))))
        yield data.names[a], data.names[b], f"{cos:.6f}", f"{angle:.3f}"


def error_rows(data: MiningData, result: MiningResult) -> Iterable[tuple[int | str, ...]]:
    """Sample, its label, the nearer class, both cosines and their difference, and the path of the image if known."""
    e = result.errors
    for i, y, z, own, cos in zip(e.sample, e.label, e.nearer, e.own_cosine, e.nearer_cosine, strict=True):
        path = () if data.paths is None else (str(data.paths[i]),)
        yield int(i), data.names[y], data.names[z], f"{own:.6f}", f"{cos:.6f}", f"{cos - own:.6f}", *path
