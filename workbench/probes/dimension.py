"""Dimension: do hard negatives come closer where embeddings have more numbers? (NPCFace, section IV-E and Fig. 5)"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.hardness import checked_cosines, clipped

Measured = Snapshot | tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class DimensionSimilarity:
    """How near the nearest other center of misclassified samples is, for embeddings of several dimensions.

    dims (K,): the dimensions D, in rising order; edges (bins + 1,) from -1 to 1; nearest (K, bins): histograms of the
    cosine, each of sum 1, or zeros where D has none; mean (K,): of the cosines, nan where there are none; count,
    samples (K,): misclassified samples, and all; overlap: of all the histograms, in [0, 1], nan where one is empty.
    """

    dims: np.ndarray
    edges: np.ndarray
    nearest: np.ndarray
    mean: np.ndarray
    count: np.ndarray
    samples: np.ndarray
    overlap: float

    @property
    def share(self) -> np.ndarray:
        """Share of the samples that is misclassified, (K,)."""
        return self.count / self.samples

    def summary(self) -> dict[str, float]:
        columns = {"mean": self.mean, "share": self.share, "count": self.count}
        each = {
            f"{name}@{dim}": float(column[k]) for k, dim in enumerate(self.dims) for name, column in columns.items()
        }
        return {"overlap": self.overlap, **each}


def dimension(measured: Mapping[int, Measured], bins: int = 50) -> DimensionSimilarity:
    """Histogram the misclassified samples' cosine to the nearest other center, for each embedding dimension D.

    measured: {D: snapshot of a training in D dimensions, or (cos (n, C), y (n,))}. A sample is misclassified when
    arg max cosine is not y, so its arg max is the nearest other center. The bins are equal on [-1, 1]; each histogram
    sums to 1, or is zeros where D has no misclassified samples. overlap = sum over bins of the smallest of all the
    histograms: 1 where the dimension makes no difference (NPCFace, Fig. 5), nan where one of them is empty.

    Raises InputError for no dimension, fewer than one bin, a snapshot of another dimension, values that are not
    cosines, and labels that do not fit.
    """
    if not measured:
        raise InputError("nothing is measured; at least one dimension is needed")
    if bins < 1:
        raise InputError(f"bins is {bins}; a histogram needs at least one")
    dims = sorted(measured)
    samples, nearest = zip(*(nearest_other(dim, measured[dim]) for dim in dims), strict=True)
    edges = np.linspace(-1.0, 1.0, bins + 1)
    counts = np.array([len(values) for values in nearest])
    shares = np.array([np.histogram(values, edges)[0] / max(len(values), 1) for values in nearest])
    return DimensionSimilarity(
        dims=np.array(dims),
        edges=edges,
        nearest=shares,
        mean=np.array([values.mean() if len(values) else np.nan for values in nearest]),
        count=counts,
        samples=np.array(samples),
        overlap=float(shares.min(axis=0).sum()) if counts.all() else float("nan"),
    )


def nearest_other(dim: int, given: Measured) -> tuple[int, np.ndarray]:
    """The number of samples, and the misclassified ones' cosines to their nearest other center."""
    if isinstance(given, Snapshot) and given.W.shape[1] != dim:
        raise InputError(f"the snapshot given for D = {dim} is of a training in {given.W.shape[1]} dimensions")
    cos, y = checked_cosines(*((given.cos, given.y) if isinstance(given, Snapshot) else given))
    return len(y), clipped(cos.max(axis=1)[cos.argmax(axis=1) != y])
