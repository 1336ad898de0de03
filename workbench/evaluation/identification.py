"""Face identification (1:N): rank-k rate, CMC, and open-set DIR at FPIR from a gallery and probes.

The score of an identity for a probe is the largest cosine over the gallery entries of that identity.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import as_array, chunks, unit_rows
from workbench.core.errors import InputError
from workbench.evaluation.verification import as_floats


@dataclass(frozen=True, eq=False)
class Identification:
    """Identification metrics.

    rank: {k: fraction of probes whose identity is among the k best}; cmc (identities,): the same for k = 1, 2, ...;
    dir: {FPIR: DIR}, empty without unknown probes.
    """

    rank: dict[int, float]
    cmc: np.ndarray
    dir: dict[float, float]

    def summary(self) -> dict[str, float]:
        return {
            **{f"rank-{k}": rate for k, rate in self.rank.items()},
            **{f"dir@{fpir:g}": rate for fpir, rate in self.dir.items()},
        }


def identify(
    gallery: np.ndarray,
    gallery_ids: np.ndarray,
    probes: np.ndarray,
    probe_ids: np.ndarray,
    unknown: np.ndarray | None = None,
    ranks: Iterable[int] = (1, 5),
    fpirs: Iterable[float] = (0.01, 0.1),
) -> Identification:
    """Identification metrics of probes against a gallery.

    gallery (g, D), probes (n, D), unknown (m, D): embeddings, normalized here; gallery_ids (g,), probe_ids (n,):
    identities, integers or text; unknown: probes of identities outside the gallery.

    rank = 1 + the number of other identities with score >= the score of the correct one: ties count against the probe.
    CMC at k: fraction of probes with rank <= k; 1 for k above the number of identities.
    DIR at FPIR: fraction of probes with rank 1 and score > t, t the lowest best score of an unknown probe such that at
    most the fraction FPIR of the unknown probes has a best score > t; none for fewer than 1 / FPIR unknown probes.

    Raises InputError for a probe identity outside the gallery, a zero or non-finite row, mismatched shapes, a rank
    below 1, and an FPIR outside (0, 1).
    """
    gallery, probes = unit_rows(gallery, "gallery"), unit_rows(probes, "probes")
    _check_dimensions("probes", probes, gallery)
    gallery_ids, probe_ids = _check_ids(gallery_ids, "gallery", gallery), _check_ids(probe_ids, "probe", probes)
    ranks, fpirs = as_floats(ranks, "ranks"), as_floats(fpirs, "fpirs")
    _check_targets(ranks, fpirs)
    ranks = [int(k) for k in ranks]

    identities, owner, entries = np.unique(gallery_ids, return_inverse=True, return_counts=True)
    gallery = gallery[np.argsort(owner, kind="stable")]
    starts = np.cumsum(entries) - entries
    column = _columns(identities, probe_ids)

    rank, own = np.empty(len(probes), dtype=np.int64), np.empty(len(probes))
    for rows, scores in _identity_scores(probes, gallery, starts):
        own_score = scores[np.arange(len(scores)), column[rows]]
        rank[rows] = (scores >= own_score[:, None]).sum(axis=1)  # includes the correct identity, hence no 1 +
        own[rows] = own_score
    cmc = np.cumsum(np.bincount(rank, minlength=len(identities) + 1)[1:]) / len(probes)

    dir = {}
    if unknown is not None:
        unknown = unit_rows(unknown, "unknown")
        _check_dimensions("unknown", unknown, gallery)
        best = np.concatenate([scores.max(axis=1) for _, scores in _identity_scores(unknown, gallery, starts)])
        for fpir in fpirs:
            t = np.sort(best)[-1 - int(fpir * len(best) + 1e-9)]
            dir[fpir] = float(np.mean((rank == 1) & (own > t)))
    return Identification(rank={k: float(cmc[min(k, len(cmc)) - 1]) for k in ranks}, cmc=cmc, dir=dir)


def _identity_scores(probes: np.ndarray, gallery: np.ndarray, starts: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of the probes and their scores (rows, identities). The gallery is sorted by identity."""
    for rows in chunks(len(probes), len(gallery)):
        yield rows, np.maximum.reduceat(probes[rows] @ gallery.T, starts, axis=1)


def _columns(identities: np.ndarray, probe_ids: np.ndarray) -> np.ndarray:
    """Index (n,) of each probe's identity among the gallery's."""
    position = {identity: j for j, identity in enumerate(identities.tolist())}
    columns = [position.get(identity) for identity in probe_ids.tolist()]
    if None in columns:
        i = columns.index(None)
        raise InputError(
            f"probe {i} has identity {probe_ids[i]!s}, which is not in the gallery; enroll it or pass it in unknown"
        )
    return np.array(columns)


def _check_ids(ids: np.ndarray, name: str, embeddings: np.ndarray) -> np.ndarray:
    ids = as_array(ids)
    if ids.shape != (len(embeddings),):
        raise InputError(
            f"{name}_ids has shape {ids.shape}; it must be ({len(embeddings)},), one identity per embedding"
        )
    return ids


def _check_dimensions(name: str, embeddings: np.ndarray, gallery: np.ndarray) -> None:
    if embeddings.shape[1] != gallery.shape[1]:
        raise InputError(f"{name} has {embeddings.shape[1]} dimensions and gallery {gallery.shape[1]}; they must agree")


def _check_targets(ranks: list[float], fpirs: list[float]) -> None:
    for k in ranks:
        if not (k >= 1 and k == k // 1):
            raise InputError(f"ranks contains {k:g}; integers >= 1 are needed")
    for fpir in fpirs:
        if not 0 < fpir < 1:
            raise InputError(f"fpirs contains {fpir}; a target FPIR must be in (0, 1)")
