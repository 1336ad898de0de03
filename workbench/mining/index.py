"""Nearest other classes of every class, by cosine: an exhaustive search, or an index with measured recall.

exact  torch, tile by tile: the oracle, the fallback without FAISS, and fast on a GPU (one matrix product)
flat   FAISS, exhaustive
cells  the nearest cells of classes, compared cell by cell (cells.py); also for quantized centers
ivf    FAISS, inverted file (nprobe cells per query); copies the centers in float32
hnsw   FAISS, neighbor graph; not deterministic: its links depend on the order of threads
pq     FAISS, inverted file with product quantization (one byte per 8 or so dimensions); 4 K candidates are re-ranked

The number of cells or links to visit is not an option: it is doubled until the recall on a sample of classes is
sufficient; the recall is then measured on a second, disjoint sample. Centers without structure (random directions) need
an exhaustive search, which `auto` falls back to.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.core.device import resolve_device
from workbench.core.errors import InputError, unknown
from workbench.core.geometry import full
from workbench.core.progress import Progress
from workbench.mining.cells import Cells
from workbench.mining.exact import TILE, Search, Source, Stop
from workbench.mining.measures import recall

KINDS = ("auto", "exact", "flat", "cells", "ivf", "hnsw", "pq")
CANDIDATES = 4  # candidates of pq per neighbor, re-ranked with the true centers
SAMPLE = 256  # classes in each of the two samples
SMALL = 20_000  # classes up to which an exhaustive search takes seconds on two cores
AFFORDABLE = {"cpu": 5e13, "cuda": 5e15}  # operations of an exhaustive search of some minutes
TRAINING = 40  # training centers per FAISS cell (minimum 39)
ITERATIONS = 8  # of k-means in FAISS


class Neighbors(NamedTuple):
    """Nearest other classes: ids (C, K) int32, nearest first, -1 if there are fewer; cosines (C, K), -inf if -1.

    kind: the search used; reason: why; recall: recall@K on a sample of classes, 1 for an exhaustive search.
    """

    ids: Tensor
    cosines: Tensor
    kind: str
    reason: str
    recall: float


def nearest_neighbors(
    W: Tensor,
    K: int,
    kind: str = "auto",
    device: str = "auto",
    min_recall: float = 0.98,
    chunk: int = 2048,
    progress: Progress | None = None,
    stop: Stop | None = None,
    seed: int = 0,
    max_cosine: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Neighbors:
    """The K nearest other classes of every row of W (C, D), of any floating-point type or from `quantize`.

    Lengths are ignored; W may be memory-mapped. kind: one of KINDS. min_recall: target recall of an approximate search.
    chunk: classes between calls of progress(done, C) and stop(); `cells` uses larger chunks and calls stop() within.
    seed: of the samples and cells; bitwise reproducible except for `hnsw`. max_cosine: classes with a larger cosine are
    not neighbors. dtype: of the cosines.

    Raises InputError for invalid arguments, a row that is zero or not finite, or a kind that needs FAISS if it is not
    installed; StopSearch if stop() returns true.
    """
    W = _check_arguments(W, K, kind, min_recall, chunk)
    source = Source(W, resolve_device(device), stop or (lambda: False), seed, max_cosine)
    index = _choose_index(source, K, kind, min_recall)
    ids = torch.full((len(W), K), -1, dtype=torch.int32)
    cosines = torch.full((len(W), K), float("-inf"), dtype=dtype)
    for rows in source.chunks(max(chunk, index.batch)):
        ids[rows], cosines[rows] = index.search(torch.arange(rows.start, rows.stop), K)
        if progress:
            progress(rows.stop, len(W))
    return Neighbors(ids, cosines, index.kind, index.reason, index.recall)


class _Index(NamedTuple):
    """A search, its kind, why it is used, its recall on a sample, and the minimum classes per call."""

    search: Search
    kind: str
    reason: str
    recall: float = 1.0
    batch: int = 1


def _choose_index(source: Source, K: int, kind: str, min_recall: float) -> _Index:
    """The index of the given kind; for "auto", chosen by the number of classes and the recall on a sample."""
    C, D = source.W.shape
    affordable = AFFORDABLE[source.device.type] >= 2.0 * C * C * D
    if kind != "auto":
        return _build_index(source, K, kind, min_recall, "asked for")
    if source.device.type == "cuda" and affordable:
        return _Index(source.exact_search(), "exact", f"{C:,} classes are one matrix product on the GPU")
    exhaustive, without = ("flat", "") if _import_faiss() is not None else ("exact", "; FAISS is not installed")
    if C <= SMALL:
        reason = f"{C:,} classes are few: an exhaustive search takes seconds{without}"
        return _build_index(source, K, exhaustive, min_recall, reason)
    index = _build_index(source, K, "cells", min_recall, f"{C:,} classes are many")
    if index.recall >= min_recall or not affordable:
        return index
    reason = f"cells have a recall of {index.recall:.2f} only (centers without families), so the search is exhaustive"
    return _build_index(source, K, exhaustive, min_recall, reason + without)


def _build_index(source: Source, K: int, kind: str, min_recall: float, reason: str) -> _Index:
    """An index of this kind; if approximate, tuned on one sample of classes and measured on another."""
    if kind == "exact":
        return _Index(source.exact_search(), kind, reason)
    if kind == "cells":
        cells = Cells(source)
        owner, efforts, name, search = cells, cells.efforts, "visits", cells.search
    else:
        faiss = _import_faiss()
        if faiss is None:
            raise InputError(f"kind '{kind}' needs FAISS, which is not installed (faiss-cpu); 'exact' does without it")
        index, efforts = _train_faiss(faiss, source, kind)
        for rows in source.chunks(TILE):
            index.add(source.rows(rows).numpy())
        search = _faiss_search(index, source, CANDIDATES if kind == "pq" else 1)
        owner, name = (index.hnsw, "efSearch") if kind == "hnsw" else (index, "nprobe")
    if kind == "flat":
        return _Index(search, kind, reason)
    both = source.sample(2 * SAMPLE, "recall")
    tuning, measuring = both[::2], both[1::2] if len(both) > 1 else both
    oracle = source.exact_search()
    truth = oracle(tuning, K)[0]
    for effort in efforts:
        setattr(owner, name, effort)
        if recall(search(tuning, K)[0], truth) >= min_recall + (1 - min_recall) / 4:  # samples differ
            break
    reached = recall(search(measuring, K)[0], oracle(measuring, K)[0])
    reason = f"{reason}; {name} {effort} of at most {efforts[-1]}"
    return _Index(search, kind, reason, reached, Cells.batch if kind == "cells" else 1)


def _train_faiss(faiss: Any, source: Source, kind: str) -> tuple[Any, list[int]]:
    """A trained FAISS index without centers, and the efforts to try: powers of two."""
    C, D = source.W.shape
    if kind == "flat":
        return _move_to_gpu(faiss, faiss.IndexFlatIP(D), source.device), []
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
        bits = min(8, max(1, int(C // 39).bit_length() - 1))  # a codebook needs 39 training centers per entry
        index = faiss.IndexIVFPQ(coarse, D, cells, parts, bits, faiss.METRIC_INNER_PRODUCT)
    for means in (index.cp, index.pq.cp) if kind == "pq" else (index.cp,):
        means.seed, means.niter, means.max_points_per_centroid = source.seed % 2**31, ITERATIONS, TRAINING
    index.train(source.training_rows(TRAINING * max(cells, 256)).numpy())
    most = max(1, cells // 8)  # with more than an eighth of the cells an exhaustive search is as fast
    return _move_to_gpu(faiss, index, source.device), [1 << i for i in range(most.bit_length())]


def _move_to_gpu(faiss: Any, index: Any, device: torch.device) -> Any:
    """The index on the GPU if the device is one and FAISS supports it, else the index itself."""
    if device.type != "cuda" or not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return index
    options = faiss.GpuClonerOptions()
    options.useFloat16 = isinstance(index, faiss.IndexIVFPQ)  # its float32 tables exceed a GPU's shared memory
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), device.index or 0, index, options)


def _faiss_search(index: Any, source: Source, candidates: int) -> Search:
    """Search with a FAISS index, without the class itself; candidates > 1: re-rank `candidates` K classes."""

    def search(classes: Tensor, K: int, wide: int | None = None) -> tuple[Tensor, Tensor]:
        x = source.rows(classes)
        wide = min(wide or candidates * K + 1, len(source.W))
        cos, ids = map(torch.from_numpy, index.search(x.numpy(), wide))
        if candidates > 1:
            cos = torch.cat([_true_cosines(source, x[i : i + 64], ids[i : i + 64]) for i in range(0, len(x), 64)])
        valid = (ids >= 0) & (ids != classes[:, None])
        near = valid if source.max_cosine is None else valid & (cos <= source.max_cosine)
        cos, order = cos.masked_fill(~near, float("-inf")).topk(min(K, cos.shape[1]), dim=1)
        missing = (0, K - cos.shape[1])
        cos = torch.nn.functional.pad(cos, missing, value=float("-inf"))
        ids = torch.nn.functional.pad(ids.gather(1, order), missing, value=-1).masked_fill(cos.isneginf(), -1).int()
        # Where fewer than K remain because of max_cosine, search twice as many.
        short = ((valid & ~near).any(dim=1) & (ids[:, -1] < 0)).nonzero()[:, 0]
        if len(short) and wide < len(source.W):
            ids[short], cos[short] = search(classes[short], K, 2 * wide)
        return ids, cos

    return search


def _true_cosines(source: Source, x: Tensor, ids: Tensor) -> Tensor:
    """Cosines (n, M) of directions x (n, D) to the centers ids (n, M); arbitrary where an id is -1."""
    W = full(source.W[ids.clamp_min(0).flatten()]).float().view(*ids.shape, -1)
    return torch.bmm(W, x[:, :, None])[:, :, 0] / W.norm(dim=-1)


def _check_arguments(W: Tensor, K: int, kind: str, min_recall: float, chunk: int) -> Tensor:
    if kind not in KINDS:
        raise unknown("kind of index", kind, KINDS)
    if W.dim() != 2 or len(W) < 2 or not W.shape[1] or not (W.is_floating_point() or W.dtype == torch.int8):
        raise InputError(f"W is {W.dtype} {tuple(W.shape)}: floating-point centers (C, D) with C >= 2 are needed")
    if len(W) >= 2**31:
        raise InputError(f"W has {len(W)} classes: ids are 32 bits, so at most {2**31 - 1}")
    for name, value in (("K", K), ("chunk", chunk)):
        if value < 1:
            raise InputError(f"{name} = {value}: at least 1")
    if not 0 < min_recall <= 1:
        raise InputError(f"min_recall = {min_recall}: a recall in (0, 1]")
    return W.detach()


def _import_faiss() -> Any | None:
    """FAISS, or None if it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss
