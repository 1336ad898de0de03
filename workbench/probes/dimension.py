"""Are hard negatives more similar in higher embedding dimensions? (NPCFace, section IV-E and Fig. 5)"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.probes.hardness import check_cosines, clip_cosines, cosine_histogram


@dataclass(frozen=True, eq=False)
class DimensionSimilarity:
    """Cosine of misclassified samples to the nearest other center, for several embedding dimensions.

    dims (K,): the dimensions D, ascending; edges (bins + 1,) from -1 to 1; nearest (K, bins): normalized histograms of
    the cosine, zeros without misclassified samples; mean (K,): mean cosine, nan without; count, samples (K,): numbers
    of misclassified and of all samples; overlap: of all the histograms, in [0, 1], nan where one is empty.
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
        """Fraction (K,) of the samples that is misclassified."""
        return self.count / self.samples

    def summary(self) -> dict[str, float]:
        columns = {"mean": self.mean, "share": self.share, "count": self.count}
        values = {f"{name}@{D}": float(column[k]) for k, D in enumerate(self.dims) for name, column in columns.items()}
        return {"overlap": self.overlap, **values}


def dimension(data: Mapping[int, Snapshot | tuple[np.ndarray, np.ndarray]], bins: int = 50) -> DimensionSimilarity:
    """Histogram of the misclassified samples' cosine to the nearest other center, for each embedding dimension D.

    data: {D: snapshot with D-dimensional embeddings, or (cos (n, C), y (n,))}. A sample is misclassified if arg max
    cosine is not y; the arg max is then the nearest other center. The bins are equal on [-1, 1]; each histogram sums to
    1, or is zeros without misclassified samples. overlap = sum over bins of the minimum of all histograms: 1 where the
    dimension makes no difference (NPCFace, Fig. 5), nan where one of them is empty.

    Raises InputError without dimensions, for fewer than one bin, a snapshot of another dimension, values that are not
    cosines, and mismatched labels.
    """
    if not data:
        raise InputError("data is empty; at least one embedding dimension is needed")
    dims = sorted(data)
    samples, nearest = zip(*(nearest_other(dim, data[dim]) for dim in dims), strict=True)
    histograms = [cosine_histogram(values, bins) for values in nearest]
    counts = np.array([len(values) for values in nearest])
    shares = np.array([shares for _, shares in histograms])
    return DimensionSimilarity(
        dims=np.array(dims),
        edges=histograms[0][0],
        nearest=shares,
        mean=np.array([values.mean() if len(values) else np.nan for values in nearest]),
        count=counts,
        samples=np.array(samples),
        overlap=float(shares.min(axis=0).sum()) if counts.all() else float("nan"),
    )


def nearest_other(dim: int, data: Snapshot | tuple[np.ndarray, np.ndarray]) -> tuple[int, np.ndarray]:
    """The number of samples, and the misclassified ones' cosines to the nearest other center."""
    if isinstance(data, Snapshot) and data.W.shape[1] != dim:
        raise InputError(f"the snapshot for D = {dim} has embedding dimension {data.W.shape[1]}")
    cos, y = check_cosines(*((data.cos, data.y) if isinstance(data, Snapshot) else data))
    return len(y), clip_cosines(cos.max(axis=1)[cos.argmax(axis=1) != y])
