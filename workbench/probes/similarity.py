"""Similarity: does a low cosine to the own center give a misclassified sample away? (NPCFace, section IV-D, Fig. 4)"""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.probes.hardness import checked_cosines, clipped


@dataclass(frozen=True, eq=False)
class Similarity:
    """Where the cosines to the own center lie, for well-classified and for misclassified samples.

    edges: (bins + 1,) from -1 to 1; well, mis: (bins,) histograms, each of sum 1, or zeros where the group is empty;
    overlap: in [0, 1], nan where a group is empty; n_well, n_mis: samples in each group.
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
    """Histogram the cosine to the own center, for well-classified and for misclassified samples.

    cos (n, C): cosine of each sample to every center; y (n,): its class. A sample is misclassified when arg max cosine
    is not y. The bins are equal on [-1, 1] and each histogram sums to 1.
    overlap = sum over bins of min(well, mis): 1 where the two groups look the same, 0 where a cosine tells them apart
    (NPCFace, Fig. 4 b). An empty group has a histogram of zeros, and overlap is nan.

    Raises InputError for values that are not cosines, labels that do not fit, and fewer than one bin.
    """
    if bins < 1:
        raise InputError(f"bins is {bins}; a histogram needs at least one")
    cos, y = checked_cosines(cos, y)
    own = clipped(cos[np.arange(len(y)), y])
    misclassified = cos.argmax(axis=1) != y
    edges = np.linspace(-1.0, 1.0, bins + 1)
    groups = own[~misclassified], own[misclassified]
    well, mis = (np.histogram(group, edges)[0] / max(len(group), 1) for group in groups)
    n_well, n_mis = map(len, groups)
    overlap = float(np.minimum(well, mis).sum()) if n_well and n_mis else float("nan")
    return Similarity(edges=edges, well=well, mis=mis, overlap=overlap, n_well=n_well, n_mis=n_mis)
