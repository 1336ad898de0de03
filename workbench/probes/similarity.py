"""Cosines to the own center of well-classified and of misclassified samples (NPCFace, section IV-D and Fig. 4)."""

from dataclasses import dataclass

import numpy as np

from workbench.probes.hardness import check_cosines, clip_cosines, cosine_histogram


@dataclass(frozen=True, eq=False)
class Similarity:
    """Distribution of the cosine to the own center, for well-classified and for misclassified samples.

    edges (bins + 1,) from -1 to 1; well, mis (bins,): normalized histograms, zeros for an empty group; overlap: in
    [0, 1], nan if a group is empty; n_well, n_mis: samples in each group.
    """

    edges: np.ndarray
    well: np.ndarray
    mis: np.ndarray
    overlap: float
    n_well: int
    n_mis: int

    def summary(self) -> dict[str, float]:
        return {"overlap": self.overlap, "n_well": float(self.n_well), "n_mis": float(self.n_mis)}


def similarity(cos: np.ndarray, y: np.ndarray, bins: int = 50) -> Similarity:
    """Histograms of the cosine to the own center, for well-classified and for misclassified samples.

    cos (n, C): cosine of each sample to every center; y (n,): labels. A sample is misclassified if arg max cosine is
    not y. The bins are equal on [-1, 1]; each histogram sums to 1, or is zeros for an empty group. overlap = sum over
    bins of min(well, mis): 1 for equal distributions, 0 for separable ones (NPCFace, Fig. 4 b), nan if a group is
    empty.

    Raises InputError for values that are not cosines, mismatched labels, and fewer than one bin.
    """
    cos, y = check_cosines(cos, y)
    own = clip_cosines(cos[np.arange(len(y)), y])
    misclassified = cos.argmax(axis=1) != y
    groups = own[~misclassified], own[misclassified]
    (edges, well), (_, mis) = (cosine_histogram(group, bins) for group in groups)
    n_well, n_mis = map(len, groups)
    overlap = float(np.minimum(well, mis).sum()) if n_well and n_mis else float("nan")
    return Similarity(edges, well, mis, overlap, n_well, n_mis)
