"""Findings of mining as CSV files."""

import math
from collections.abc import Iterable
from pathlib import Path

from workbench.core.files import write_csv
from workbench.mining.audit import Collection, Findings, Pairs


def write_tables(data: Collection, found: Findings, out: Path, pairs: int) -> None:
    """Write pairs.csv (the hardest `pairs`), duplicates.csv and, with labels, label_errors.csv into a folder."""
    head = ("class_a", "class_b", "cosine", "angle_degrees")
    write_csv(out / "pairs.csv", [head, *pair_rows(data, found.pairs, pairs)])
    write_csv(out / "duplicates.csv", [head, *pair_rows(data, found.duplicates)])
    if found.errors is not None:
        head = ("sample", "label", "nearer", "own_cosine", "nearer_cosine", "gap")
        write_csv(out / "label_errors.csv", [head, *error_rows(data, found)])


def pair_rows(data: Collection, pairs: Pairs, limit: int | None = None) -> Iterable[tuple[str, str, str, str]]:
    """Names, cosine and angle (degrees) of the first `limit` pairs of classes."""
    for a, b, cos in zip(pairs.a[:limit], pairs.b[:limit], pairs.cosine[:limit], strict=True):
        angle = math.degrees(math.acos(min(1.0, max(-1.0, float(cos)))))
        yield data.names[a], data.names[b], f"{cos:.6f}", f"{angle:.3f}"


def error_rows(data: Collection, found: Findings) -> Iterable[tuple[int, str, str, str, str, str]]:
    """Sample, its label, the nearer class, both cosines and their difference."""
    e = found.errors
    for i, y, z, own, cos in zip(e.sample, e.label, e.nearer, e.own_cosine, e.nearer_cosine, strict=True):
        yield int(i), data.names[y], data.names[z], f"{own:.6f}", f"{cos:.6f}", f"{cos - own:.6f}"
