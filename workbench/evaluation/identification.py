"""Identification: whose image is this? A gallery of known people and probes -> rank-k, CMC, and DIR at FPIR.

An identity's score for a probe is the largest cosine over that identity's gallery entries.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import as_array, chunks, unit_rows
from workbench.core.errors import InputError
from workbench.evaluation.verification import numbers


@dataclass(frozen=True, eq=False)
class Identification:
    """How often a probe finds its identity in the gallery.

    rank: {k: share of probes whose identity is among the k best}; cmc: (identities,), the same share for k = 1, 2, ...;
    dir: {FPIR: DIR}, empty where no unknown probes were given.
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
    """Rank the gallery's identities for each probe, and see where its own identity comes.

    gallery (g, D), probes (n, D) and unknown (m, D) are embeddings that need not be normalised; gallery_ids (g,) and
    probe_ids (n,) name their people, by number or by text; unknown are probes of people outside the gallery.

    rank = 1 + the number of other identities with score >= the own score: a tie counts against the probe.
    CMC at k: share of probes with rank <= k; a k beyond the number of identities gives 1.
    DIR at FPIR: share of probes ranked first and scoring above t (strictly), where t is the linear (1 - FPIR) quantile
    of the unknown probes' best score.

    Raises InputError for a probe whose identity is not in the gallery, a row that has no direction, arrays that do not
    fit together, a rank below 1, and an FPIR outside (0, 1).
    """
    gallery, probes = unit_rows(gallery, "gallery"), unit_rows(probes, "probes")
    _check_dimensions("probes", probes, gallery)
    gallery_ids, probe_ids = _checked_ids(gallery_ids, "gallery", gallery), _checked_ids(probe_ids, "probe", probes)
    ranks, fpirs = numbers(ranks, "ranks"), numbers(fpirs, "fpirs")
    _check_targets(ranks, fpirs)
    ranks = [int(k) for k in ranks]

    identities, owner, entries = np.unique(gallery_ids, return_inverse=True, return_counts=True)
    gallery = gallery[np.argsort(owner, kind="stable")]
    starts = np.cumsum(entries) - entries
    column = _columns(identities, probe_ids)

    rank, own = np.empty(len(probes), dtype=np.int64), np.empty(len(probes))
    for rows, scores in _identity_scores(probes, gallery, starts):
        own_score = scores[np.arange(len(scores)), column[rows]]
        rank[rows] = (scores >= own_score[:, None]).sum(axis=1)  # the own score is one of them, hence no 1 +
        own[rows] = own_score
    cmc = np.cumsum(np.bincount(rank, minlength=len(identities) + 1)[1:]) / len(probes)

    dir = {}
    if unknown is not None:
        unknown = unit_rows(unknown, "unknown")
        _check_dimensions("unknown", unknown, gallery)
        best = np.concatenate([scores.max(axis=1) for _, scores in _identity_scores(unknown, gallery, starts)])
        for fpir in fpirs:
            t = np.quantile(best.astype(np.float64), 1.0 - fpir)
            dir[fpir] = float(np.mean((rank == 1) & (own > t)))
    return Identification(rank={k: float(cmc[min(k, len(cmc)) - 1]) for k in ranks}, cmc=cmc, dir=dir)


def _identity_scores(probes: np.ndarray, gallery: np.ndarray, starts: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of the probes with their scores (rows, identities), for a gallery sorted by identity from `starts` on."""
    for rows in chunks(len(probes), len(gallery)):
        yield rows, np.maximum.reduceat(probes[rows] @ gallery.T, starts, axis=1)


def _columns(identities: np.ndarray, probe_ids: np.ndarray) -> np.ndarray:
    """Position of each probe's identity among the gallery's."""
    position = {identity: j for j, identity in enumerate(identities.tolist())}
    columns = [position.get(identity) for identity in probe_ids.tolist()]
    if None in columns:
        i = columns.index(None)
        raise InputError(
            f"probe {i} is identity {probe_ids[i]!s}, which the gallery does not hold; enrol it or pass it in unknown"
        )
    return np.array(columns)


def _checked_ids(ids: np.ndarray, name: str, embeddings: np.ndarray) -> np.ndarray:
    ids = as_array(ids)
    if ids.shape != (len(embeddings),):
        raise InputError(f"{name}_ids has shape {ids.shape}; {len(embeddings)} embeddings need one identity each")
    return ids


def _check_dimensions(name: str, embeddings: np.ndarray, gallery: np.ndarray) -> None:
    if embeddings.shape[1] != gallery.shape[1]:
        raise InputError(f"{name} has {embeddings.shape[1]} dimensions and gallery {gallery.shape[1]}; they must agree")


def _check_targets(ranks: list[float], fpirs: list[float]) -> None:
    for k in ranks:
        if not (k >= 1 and k == k // 1):
            raise InputError(f"ranks holds {k:g}; a whole number is needed, the best rank is 1")
    for fpir in fpirs:
        if not 0 < fpir < 1:
            raise InputError(f"fpirs holds {fpir}; a target FPIR lies between 0 and 1, both excluded")
