"""The nearest other classes of every class, by cosine: exact, or through a FAISS index whose recall is measured.

exact  torch, tile by tile: the oracle, the fallback without FAISS, and the fast one on a GPU (one matrix product)
flat   FAISS's exhaustive search: exact
ivf    only the cells whose centroid is nearest (nprobe of them); holds the centers in float32
hnsw   a graph of neighbours; its links depend on how threads meet, so equal seeds need not give equal bits
pq     cells of compressed centers (one byte for 8 or so numbers), 4 K candidates re-scored with the true centers

How many cells or links are visited is not a setting: it is doubled until a sample of classes reaches the wanted recall,
and a second sample, disjoint from the first, says what was reached. Centers without structure (random directions) have
no cells worth probing; there only an exhaustive search finds the neighbours, and `auto` falls back to it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.errors import InputError, unknown
from workbench.mining.measures import recall
from workbench.seeds import generator
from workbench.sphere import full, unit

KINDS = ("auto", "exact", "flat", "ivf", "hnsw", "pq")
TILE = 16_384  # centers compared at once in the exact search
RESCORED = 4  # candidates of a compressed index re-scored with true centers, times K
SAMPLE = 256  # classes in each of the two samples that tune and measure
SMALL = 20_000  # classes up to which an exhaustive search takes seconds on two cores
AFFORDABLE = {"cpu": 5e13, "cuda": 5e15}  # operations of an exhaustive search taken for some minutes
PLAIN_BYTES = 1 << 30  # an index of plain float32 centers up to here, compressed above
TRAINING = 40  # centers for each cell that train the cells; FAISS wants 39
ROUNDS = 8  # of k-means

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]
Search = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # classes (n,), K -> ids (n, K), cosines (n, K)


class Stopped(Exception):
    """The search was asked to stop."""


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
) -> Neighbours:
    """The K nearest other classes of every row of W (C, D), any float type, lengths ignored; memory-mapped is fine.

    kind: one of KINDS. wanted: the recall that an approximate search is tuned for. chunk: classes searched between two
    calls of progress(done, C) and stop(). seed: of the samples and of the cells; equal seeds give equal bits but for
    hnsw. Raises InputError for bad arguments, a row without direction or a kind that needs FAISS where there is none;
    Stopped when stop() says so.
    """
    W = _checked(W, K, kind, wanted, chunk)
    place = _place(device)
    source = _Source(W, place, stop or (lambda: False), seed)
    found = _chosen(source, K, kind, wanted)
    ids = torch.full((len(W), K), -1, dtype=torch.int32)
    cosines = torch.full((len(W), K), float("-inf"))
    for rows in source.chunks(chunk):
        ids[rows], cosines[rows] = found.search(torch.arange(rows.start, rows.stop), K)
        if progress:
            progress(rows.stop, len(W))
    return Neighbours(ids, cosines, found.kind, found.why, found.recall)


def exact(queries: Tensor, W: Tensor, K: int, own: Tensor) -> tuple[Tensor, Tensor]:
    """ids (n, K) int32 and cosines (n, K) of the rows of W (C, D) nearest to queries (n, D) of length one.

    own (n,): the row of W that each query must not find. Where W has fewer than K others: -1 and -inf. Holds n x TILE
    cosines at a time; W may be of any float type and its rows of any length.
    """
    own = own.to(queries.device)
    best = queries.new_full((len(queries), K), float("-inf"))
    ids = torch.full((len(queries), K), -1, device=queries.device)
    for start in range(0, len(W), TILE):
        cos = queries @ directions(W, slice(start, start + TILE)).to(queries.device).T
        inside = ((own >= start) & (own < start + cos.shape[1])).nonzero()[:, 0]
        cos[inside, own[inside] - start] = float("-inf")
        tile, columns = cos.topk(min(K, cos.shape[1]), dim=1)
        best, order = torch.cat([best, tile], 1).topk(K, dim=1)
        ids = torch.cat([ids, columns + start], 1).gather(1, order)
    return ids.masked_fill(best.isneginf(), -1).int(), best


def directions(W: Tensor, rows: slice | Tensor) -> Tensor:
    """Rows of W in float32 with length one. InputError names the first that has no direction."""
    x, norm = unit(full(W[rows]).float())
    if not bool((norm.isfinite() & (norm > 0)).all()):
        bad = int((~(norm.isfinite() & (norm > 0))).flatten().nonzero()[0, 0])
        row = bad + (rows.start or 0) if isinstance(rows, slice) else int(rows.flatten()[bad])
        raise InputError(
            f"center {row} has length {float(norm.flatten()[bad]):g}: a direction needs a finite one above 0"
        )
    return x


@dataclass(frozen=True)
class _Source:
    """The centers, where the search runs, and what may end it."""

    W: Tensor
    device: torch.device
    stop: Stop
    seed: int

    def chunks(self, size: int) -> Iterator[slice]:
        """Consecutive rows; Stopped between two of them when the caller wants it."""
        for start in range(0, len(self.W), size):
            if self.stop():
                raise Stopped
            yield slice(start, min(start + size, len(self.W)))

    def rows(self, rows: slice | Tensor) -> Tensor:
        return directions(self.W, rows)

    def sample(self, size: int, purpose: str) -> Tensor:
        """Classes (<= size,) drawn from the seed, in order."""
        return torch.randperm(len(self.W), generator=generator(self.seed, purpose))[:size].sort().values

    def training(self, size: int) -> Tensor:
        """Directions (<= size, D) of a sample that trains an index; made piece by piece, since it may be large."""
        sample = self.sample(size, "cells")
        x = torch.empty(len(sample), self.W.shape[1])
        for start in range(0, len(sample), TILE):
            x[start : start + TILE] = self.rows(sample[start : start + TILE])
        return x

    def exact(self) -> Search:
        W = self.W.to(self.device)

        def search(classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
            ids, cos = exact(self.rows(classes).to(self.device), W, K, classes)
            return ids.cpu(), cos.cpu()

        return search


class _Found(NamedTuple):
    """A search that is ready, what it is, why it was taken, and its recall on a sample."""

    search: Search
    kind: str
    why: str
    recall: float


def _chosen(source: _Source, K: int, kind: str, wanted: float) -> _Found:
    """The search of this kind, or the one that the number of classes and the recall on a sample speak for."""
    faiss = _faiss()
    C, D = source.W.shape
    if kind == "exact":
        return _Found(source.exact(), "exact", "asked for", 1.0)
    if kind != "auto":
        if faiss is None:
            raise InputError(f"kind '{kind}' needs FAISS, which is not installed (faiss-cpu); 'exact' does without it")
        return _built(faiss, source, K, kind, wanted, "asked for")
    if faiss is None:
        return _Found(source.exact(), "exact", "FAISS is not installed", 1.0)
    work = 2.0 * C * C * D
    affordable = work <= AFFORDABLE[source.device.type]
    if source.device.type == "cuda" and affordable:
        return _Found(source.exact(), "exact", f"{C:,} classes are one matrix product on the GPU", 1.0)
    if C <= SMALL:
        return _built(faiss, source, K, "flat", wanted, f"{C:,} classes are few: an exhaustive search takes seconds")
    plain = 4 * C * D <= PLAIN_BYTES
    size = f"{C:,} x {D} in float32 take {4 * C * D / 2**30:.2g} GiB"
    why = f"{size}, {'which fits' if plain else 'so they are compressed'}"
    found = _built(faiss, source, K, "ivf" if plain else "pq", wanted, why)
    if found.recall >= wanted or not affordable:
        return found
    why = f"cells reach a recall of {found.recall:.2f} only (centers without families), so all are compared"
    del found  # its copy of the centers
    return _built(faiss, source, K, "flat", wanted, why)


def _built(faiss: Any, source: _Source, K: int, kind: str, wanted: float, why: str) -> _Found:
    """A FAISS index over all centers, tuned on one sample of classes and measured on another."""
    index, efforts = _empty(faiss, source, kind)
    for rows in source.chunks(TILE):
        index.add(source.rows(rows).numpy())
    search = _searcher(index, source, RESCORED if kind == "pq" else 1)
    if kind == "flat":
        return _Found(search, kind, why, 1.0)
    both = source.sample(2 * SAMPLE, "recall")
    tuning, measuring = both[::2], both[1::2] if len(both) > 1 else both
    oracle = source.exact()
    truth = oracle(tuning, K)[0]
    name = "nprobe" if kind != "hnsw" else "efSearch"
    for effort in efforts:
        setattr(index.hnsw if kind == "hnsw" else index, name, effort)
        if recall(search(tuning, K)[0], truth) >= wanted + (1 - wanted) / 4:  # a little above: the next sample differs
            break
    reached = recall(search(measuring, K)[0], oracle(measuring, K)[0])
    return _Found(search, kind, f"{why}; {name} {effort} of at most {efforts[-1]}", reached)


def _empty(faiss: Any, source: _Source, kind: str) -> tuple[Any, list[int]]:
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


def _searcher(index: Any, source: _Source, candidates: int) -> Search:
    """Search through a FAISS index: the class itself left out, `candidates` K of them re-scored if more than one."""

    def search(classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
        x = source.rows(classes)
        cos, ids = map(torch.from_numpy, index.search(x.numpy(), min(candidates * K + 1, len(source.W))))
        if candidates > 1:
            cos = torch.cat([_rescored(source, x[i : i + 64], ids[i : i + 64]) for i in range(0, len(x), 64)])
        cos = cos.masked_fill((ids < 0) | (ids == classes[:, None]), float("-inf"))
        cos, order = cos.topk(min(K, cos.shape[1]), dim=1)
        ids = ids.gather(1, order).masked_fill(cos.isneginf(), -1).int()
        missing = (0, K - ids.shape[1])
        return (
            torch.nn.functional.pad(ids, missing, value=-1),
            torch.nn.functional.pad(cos, missing, value=float("-inf")),
        )

    return search


def _rescored(source: _Source, x: Tensor, ids: Tensor) -> Tensor:
    """Cosines (n, M) of directions x (n, D) to the true centers ids (n, M); those of -1 mean nothing."""
    W = full(source.W[ids.clamp_min(0).flatten()]).float().view(*ids.shape, -1)
    return torch.bmm(W, x[:, :, None])[:, :, 0] / W.norm(dim=-1)


def _checked(W: Tensor, K: int, kind: str, wanted: float, chunk: int) -> Tensor:
    if kind not in KINDS:
        raise unknown("kind of index", kind, KINDS)
    if W.dim() != 2 or len(W) < 2 or not W.shape[1] or not W.is_floating_point():
        raise InputError(f"W is {W.dtype} {tuple(W.shape)}: floating-point centers (C, D), C at least 2, are needed")
    if len(W) >= 2**31:
        raise InputError(f"W has {len(W)} classes: ids are 32 bits, so at most {2**31 - 1}")
    for name, value in (("K", K), ("chunk", chunk)):
        if value < 1:
            raise InputError(f"{name} = {value}: at least 1")
    if not 0 < wanted <= 1:
        raise InputError(f"wanted = {wanted}: a recall in (0, 1]")
    return W.detach()


def _place(device: str) -> torch.device:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device = '{device}' is not one of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = 'cuda': no GPU is usable here; cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _faiss() -> Any | None:
    """FAISS, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss
