"""The nearest other classes of every class, by cosine: exact, or through an index whose recall is measured.

exact  torch, tile by tile: the oracle, the fallback without FAISS, and the fast one on a GPU (one matrix product)
flat   FAISS's exhaustive search: exact
cells  only the nearest cells of classes, compared cell by cell where the centers lie (cells.py); takes bytes as well
ivf    the same in FAISS, query by query (nprobe cells); holds the centers again, in float32
hnsw   a graph of neighbours; its links depend on how threads meet, so equal seeds need not give equal bits
pq     FAISS's cells of compressed centers (one byte for 8 or so numbers), 4 K candidates compared with the true centers

How many cells or links are visited is not a setting: it is doubled until a sample of classes reaches the wanted recall,
and a second sample, disjoint from the first, says what was reached. Centers without structure (random directions) have
no cells worth probing; there only an exhaustive search finds the neighbours, and `auto` falls back to it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.core.device import resolve_device
from workbench.core.errors import InputError, unknown
from workbench.core.geometry import full
from workbench.core.progress import Progress
from workbench.mining.cells import Cells
from workbench.mining.exact import TILE, Search, Source, Stop, Stopped, directions, exact
from workbench.mining.measures import recall

__all__ = ["KINDS", "Neighbours", "Stopped", "directions", "exact", "nearest"]

KINDS = ("auto", "exact", "flat", "cells", "ivf", "hnsw", "pq")
RESCORED = 4  # candidates of pq compared with the true centers, times K
SAMPLE = 256  # classes in each of the two samples that tune and measure
SMALL = 20_000  # classes up to which an exhaustive search takes seconds on two cores
AFFORDABLE = {"cpu": 5e13, "cuda": 5e15}  # operations of an exhaustive search taken for some minutes
TRAINING = 40  # centers for each of FAISS's cells that train them; it wants 39
ROUNDS = 8  # of its k-means


class Neighbours(NamedTuple):
    """The nearest other classes: ids (C, K) int32, nearest first, -1 where there are no more; cosines (C, K) float32.

    cosines are -inf where ids are -1. kind: the search used; why: in words; recall: recall@K against the exact search
    on a sample of classes, 1 where the search is exact.
    """

    ids: Tensor
    cosines: Tensor
    kind: str
    why: str
    recall: float


def nearest(
    W: Tensor,
    K: int,
    kind: str = "auto",
    device: str = "auto",
    wanted: float = 0.98,
    chunk: int = 2048,
    progress: Progress | None = None,
    stop: Stop | None = None,
    seed: int = 0,
    above: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Neighbours:
    """The K nearest other classes of every row of W (C, D), any float type or `compressed`, lengths ignored.

    W may be memory-mapped. kind: one of KINDS. wanted: the recall that an approximate search is tuned for. chunk:
    classes searched between two calls of progress(done, C) and stop(); cells take many more and ask stop() themselves.
    seed: of the samples and of the cells; equal seeds give equal bits but for hnsw. above: classes with a cosine above
    this are no neighbours. dtype: of the cosines returned. Raises InputError for bad arguments, a row without direction
    or a kind that needs FAISS where there is none; Stopped when stop() says so.
    """
    W = _checked(W, K, kind, wanted, chunk)
    source = Source(W, resolve_device(device), stop or (lambda: False), seed, above)
    found = _chosen(source, K, kind, wanted)
    ids = torch.full((len(W), K), -1, dtype=torch.int32)
    cosines = torch.full((len(W), K), float("-inf"), dtype=dtype)
    for rows in source.chunks(max(chunk, found.together)):
        ids[rows], cosines[rows] = found.search(torch.arange(rows.start, rows.stop), K)
        if progress:
            progress(rows.stop, len(W))
    return Neighbours(ids, cosines, found.kind, found.why, found.recall)


class _Found(NamedTuple):
    """A search that is ready, what it is, why it was taken, its recall on a sample; together: classes worth a call."""

    search: Search
    kind: str
    why: str
    recall: float = 1.0
    together: int = 1


def _chosen(source: Source, K: int, kind: str, wanted: float) -> _Found:
    """The search of this kind, or the one that the number of classes and the recall on a sample speak for."""
    C, D = source.W.shape
    work = 2.0 * C * C * D
    affordable = work <= AFFORDABLE[source.device.type]
    if kind != "auto":
        return _made(source, K, kind, wanted, "asked for")
    if source.device.type == "cuda" and affordable:
        return _Found(source.exact(), "exact", f"{C:,} classes are one matrix product on the GPU")
    exhaustive, without = ("flat", "") if _faiss() is not None else ("exact", "; FAISS is not installed")
    if C <= SMALL:
        why = f"{C:,} classes are few: an exhaustive search takes seconds{without}"
        return _made(source, K, exhaustive, wanted, why)
    found = _made(source, K, "cells", wanted, f"{C:,} classes are many")
    if found.recall >= wanted or not affordable:
        return found
    why = f"cells reach a recall of {found.recall:.2f} only (centers without families), so all are compared{without}"
    return _made(source, K, exhaustive, wanted, why)


def _made(source: Source, K: int, kind: str, wanted: float, why: str) -> _Found:
    """A search of this kind, tuned on one sample of classes and measured on another where it is not exhaustive."""
    if kind == "exact":
        return _Found(source.exact(), kind, why)
    if kind == "cells":
        cells = Cells(source)
        turn, efforts, name, search = cells, cells.efforts, "visits", cells.search
    else:
        faiss = _faiss()
        if faiss is None:
            raise InputError(f"kind '{kind}' needs FAISS, which is not installed (faiss-cpu); 'exact' does without it")
        index, efforts = _empty(faiss, source, kind)
        for rows in source.chunks(TILE):
            index.add(source.rows(rows).numpy())
        search = _searcher(index, source, RESCORED if kind == "pq" else 1)
        turn, name = (index.hnsw, "efSearch") if kind == "hnsw" else (index, "nprobe")
    if kind == "flat":
        return _Found(search, kind, why)
    both = source.sample(2 * SAMPLE, "recall")
    tuning, measuring = both[::2], both[1::2] if len(both) > 1 else both
    oracle = source.exact()
    truth = oracle(tuning, K)[0]
    for effort in efforts:
        setattr(turn, name, effort)
        if recall(search(tuning, K)[0], truth) >= wanted + (1 - wanted) / 4:  # a little above: the next sample differs
            break
    reached = recall(search(measuring, K)[0], oracle(measuring, K)[0])
    why = f"{why}; {name} {effort} of at most {efforts[-1]}"
    return _Found(search, kind, why, reached, Cells.together if kind == "cells" else 1)


def _empty(faiss: Any, source: Source, kind: str) -> tuple[Any, list[int]]:
    """An index without centers, its cells trained, and the efforts worth trying, each twice the last."""
    C, D = source.W.shape
    if kind == "flat":
        return _on_gpu(faiss, faiss.IndexFlatIP(D), source.device), []
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(D, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        return index, [64 << i for i in range(5)]
    cells = min(max(1, int(4 * C**0.5)), max(1, C // 39), 4096)
    coarse = faiss.IndexFlatIP(D)
    if kind == "ivf":
        index = faiss.IndexIVFFlat(coarse, D, cells, faiss.METRIC_INNER_PRODUCT)
    else:
        parts = max(m for m in range(1, min(64, D) + 1) if D % m == 0)
        bits = min(8, max(1, int(C // 39).bit_length() - 1))  # each part's codebook needs 39 centers a word
        index = faiss.IndexIVFPQ(coarse, D, cells, parts, bits, faiss.METRIC_INNER_PRODUCT)
    for means in (index.cp, index.pq.cp) if kind == "pq" else (index.cp,):
        means.seed, means.niter, means.max_points_per_centroid = source.seed % 2**31, ROUNDS, TRAINING
    index.train(source.training(TRAINING * max(cells, 256)).numpy())
    most = max(1, cells // 8)  # beyond an eighth of the cells an exhaustive search is as fast
    return _on_gpu(faiss, index, source.device), [1 << i for i in range(most.bit_length())]


def _on_gpu(faiss: Any, index: Any, device: torch.device) -> Any:
    """The index on the GPU, where the search runs there and this FAISS can; else as it is."""
    if device.type != "cuda" or not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return index
    options = faiss.GpuClonerOptions()
    options.useFloat16 = isinstance(index, faiss.IndexIVFPQ)  # its tables would not fit a GPU's shared memory otherwise
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), device.index or 0, index, options)


def _searcher(index: Any, source: Source, candidates: int) -> Search:
    """Search through a FAISS index: the class itself left out, `candidates` K of them re-scored if more than one."""

    def search(classes: Tensor, K: int, wide: int | None = None) -> tuple[Tensor, Tensor]:
        x = source.rows(classes)
        wide = min(wide or candidates * K + 1, len(source.W))
        cos, ids = map(torch.from_numpy, index.search(x.numpy(), wide))
        if candidates > 1:
            cos = torch.cat([_rescored(source, x[i : i + 64], ids[i : i + 64]) for i in range(0, len(x), 64)])
        good = (ids >= 0) & (ids != classes[:, None])
        near = good if source.above is None else good & (cos <= source.above)
        cos, order = cos.masked_fill(~near, float("-inf")).topk(min(K, cos.shape[1]), dim=1)
        missing = (0, K - cos.shape[1])
        cos = torch.nn.functional.pad(cos, missing, value=float("-inf"))
        ids = torch.nn.functional.pad(ids.gather(1, order), missing, value=-1).masked_fill(cos.isneginf(), -1).int()
        # Where those above the limit left no room for K others, look twice as far.
        short = ((good & ~near).any(dim=1) & (ids[:, -1] < 0)).nonzero()[:, 0]
        if len(short) and wide < len(source.W):
            ids[short], cos[short] = search(classes[short], K, 2 * wide)
        return ids, cos

    return search


def _rescored(source: Source, x: Tensor, ids: Tensor) -> Tensor:
    """Cosines (n, M) of directions x (n, D) to the true centers ids (n, M); those of -1 mean nothing."""
    W = full(source.W[ids.clamp_min(0).flatten()]).float().view(*ids.shape, -1)
    return torch.bmm(W, x[:, :, None])[:, :, 0] / W.norm(dim=-1)


def _checked(W: Tensor, K: int, kind: str, wanted: float, chunk: int) -> Tensor:
    if kind not in KINDS:
        raise unknown("kind of index", kind, KINDS)
    if W.dim() != 2 or len(W) < 2 or not W.shape[1] or not (W.is_floating_point() or W.dtype == torch.int8):
        raise InputError(f"W is {W.dtype} {tuple(W.shape)}: floating-point centers (C, D), C at least 2, are needed")
    if len(W) >= 2**31:
        raise InputError(f"W has {len(W)} classes: ids are 32 bits, so at most {2**31 - 1}")
    for name, value in (("K", K), ("chunk", chunk)):
        if value < 1:
            raise InputError(f"{name} = {value}: at least 1")
    if not 0 < wanted <= 1:
        raise InputError(f"wanted = {wanted}: a recall in (0, 1]")
    return W.detach()


def _faiss() -> Any | None:
    """FAISS, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss
