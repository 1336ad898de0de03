"""Exhaustive search for the nearest centers by cosine, and int8 quantization of centers.

Every search ignores the lengths of centers and takes them in any floating-point type or quantized.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import full, unit
from workbench.core.random import generator

TILE = 16_384  # centers converted or compared at once

Stop = Callable[[], bool]
Search = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # classes (n,), K -> ids (n, K), cosines (n, K)


class StopSearch(Exception):
    """Raised by a search after its `stop` callback returned true."""


def exact_neighbors(
    queries: Tensor, W: Tensor, K: int, exclude: Tensor, max_cosine: float | None = None
) -> tuple[Tensor, Tensor]:
    """ids (n, K) int32 and cosines (n, K) of the rows of W (C, D) nearest to unit queries (n, D).

    exclude (n,): for each query, a row of W that is not a neighbor. max_cosine: rows with a larger cosine are not
    neighbors either. If W has fewer than K others: -1 and -inf. W: any type of `Source`. Memory: n x TILE cosines.
    """
    exclude = exclude.to(queries.device)
    best = queries.new_full((len(queries), K), float("-inf"))
    ids = torch.full((len(queries), K), -1, device=queries.device)
    for start in range(0, len(W), TILE):
        cos = queries @ directions(W, slice(start, start + TILE)).to(queries.device).T
        inside = ((exclude >= start) & (exclude < start + cos.shape[1])).nonzero()[:, 0]
        cos[inside, exclude[inside] - start] = float("-inf")
        if max_cosine is not None:
            cos.masked_fill_(cos > max_cosine, float("-inf"))
        tile, columns = cos.topk(min(K, cos.shape[1]), dim=1)
        best, order = torch.cat([best, tile], 1).topk(K, dim=1)
        ids = torch.cat([ids, columns + start], 1).gather(1, order)
    return ids.masked_fill(best.isneginf(), -1).int(), best


def directions(W: Tensor, rows: slice | Tensor) -> Tensor:
    """Rows of W at unit length, float32. Raises InputError for the first row that is zero or not finite."""
    x, norm = unit(full(W[rows] if isinstance(rows, slice) else W.index_select(0, rows)).float())
    if not bool((norm.isfinite() & (norm > 0)).all()):
        bad = int((~(norm.isfinite() & (norm > 0))).flatten().nonzero()[0, 0])
        row = bad + (rows.start or 0) if isinstance(rows, slice) else int(rows.flatten()[bad])
        raise InputError(f"center {row} has length {float(norm.flatten()[bad]):g}; it must be finite and above 0")
    return x


def quantize(W: Tensor) -> Tensor:
    """Codes (C, D) int8 of the directions of W (C, D): round(127 w / max|w|), row by row.

    The error of the cosine of two centers is about 0.0005 for D = 512. Memory beyond the codes does not depend on C.
    Raises InputError for a row that is zero or not finite.
    """
    codes = torch.empty(W.shape, dtype=torch.int8, device=W.device)
    for start in range(0, len(W), TILE):
        x = directions(W, slice(start, start + TILE))
        codes[start : start + TILE] = x.mul_(127 / x.abs().amax(dim=1, keepdim=True)).round_()
    return codes


@dataclass(frozen=True)
class Source:
    """Centers W (C, D) to search, floating-point or from `quantize`, and options of the search.

    device: of the search. stop: callback that ends the search. seed: of the samples. max_cosine: see `exact_neighbors`.
    """

    W: Tensor
    device: torch.device
    stop: Stop
    seed: int
    max_cosine: float | None = None

    def chunks(self, size: int) -> Iterator[slice]:
        """Slices of `size` consecutive rows. Raises StopSearch if `stop` returns true before one."""
        for start in range(0, len(self.W), size):
            if self.stop():
                raise StopSearch
            yield slice(start, min(start + size, len(self.W)))

    def rows(self, rows: slice | Tensor) -> Tensor:
        """Directions (n, D) of rows of W."""
        return directions(self.W, rows)

    def sample(self, size: int, purpose: str) -> Tensor:
        """Random classes (<= size,), sorted."""
        return torch.randperm(len(self.W), generator=generator(self.seed, purpose))[:size].sort().values

    def training_rows(self, size: int) -> Tensor:
        """Directions (<= size, D) of random classes, for the training of an index."""
        sample = self.sample(size, "cells")
        x = torch.empty(len(sample), self.W.shape[1])
        for start in range(0, len(sample), TILE):
            x[start : start + TILE] = self.rows(sample[start : start + TILE])
        return x

    def exact_search(self) -> Search:
        """The exhaustive search, on the device."""
        W = self.W.to(self.device)

        def search(classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
            ids, cos = exact_neighbors(self.rows(classes).to(self.device), W, K, classes, self.max_cosine)
            return ids.cpu(), cos.cpu()

        return search
