"""The exhaustive search, and what every search starts from: centers of which only directions count, in any float type
or compressed to one byte a number.
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


class Stopped(Exception):
    """The search was asked to stop."""


def exact(queries: Tensor, W: Tensor, K: int, own: Tensor, above: float | None = None) -> tuple[Tensor, Tensor]:
    """ids (n, K) int32 and cosines (n, K) of the rows of W (C, D) nearest to queries (n, D) of length one.

    own (n,): the row of W that each query must not find; above: nor any with a cosine above this. Where W has fewer
    than K others: -1 and -inf. Holds n x TILE cosines at a time; W as of `nearest`.
    """
    own = own.to(queries.device)
    best = queries.new_full((len(queries), K), float("-inf"))
    ids = torch.full((len(queries), K), -1, device=queries.device)
    for start in range(0, len(W), TILE):
        cos = queries @ directions(W, slice(start, start + TILE)).to(queries.device).T
        inside = ((own >= start) & (own < start + cos.shape[1])).nonzero()[:, 0]
        cos[inside, own[inside] - start] = float("-inf")
        if above is not None:
            cos.masked_fill_(cos > above, float("-inf"))
        tile, columns = cos.topk(min(K, cos.shape[1]), dim=1)
        best, order = torch.cat([best, tile], 1).topk(K, dim=1)
        ids = torch.cat([ids, columns + start], 1).gather(1, order)
    return ids.masked_fill(best.isneginf(), -1).int(), best


def directions(W: Tensor, rows: slice | Tensor) -> Tensor:
    """Rows of W in float32 with length one. InputError names the first that has no direction."""
    x, norm = unit(full(W[rows] if isinstance(rows, slice) else W.index_select(0, rows)).float())
    if not bool((norm.isfinite() & (norm > 0)).all()):
        bad = int((~(norm.isfinite() & (norm > 0))).flatten().nonzero()[0, 0])
        row = bad + (rows.start or 0) if isinstance(rows, slice) else int(rows.flatten()[bad])
        raise InputError(
            f"center {row} has length {float(norm.flatten()[bad]):g}: a direction needs a finite one above 0"
        )
    return x


def compressed(W: Tensor) -> Tensor:
    """Codes (C, D) int8 of the directions of W (C, D), a byte a number: round(127 w / max|w|), row by row.

    A row of codes points where its center does, up to rounding: with D = 512 the cosine of two centers is off by some
    0.0005. Made tile by tile, so that nothing but the codes grows with C. InputError for a row without direction.
    """
    codes = torch.empty(W.shape, dtype=torch.int8, device=W.device)
    for start in range(0, len(W), TILE):
        x = directions(W, slice(start, start + TILE))
        codes[start : start + TILE] = x.mul_(127 / x.abs().amax(dim=1, keepdim=True)).round_()
    return codes


@dataclass(frozen=True)
class Source:
    """The centers W (C, D), where they are searched, and what may end it.

    above: cosines above it are no neighbours; seed: of the samples.
    """

    W: Tensor
    device: torch.device
    stop: Stop
    seed: int
    above: float | None = None

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
            ids, cos = exact(self.rows(classes).to(self.device), W, K, classes, self.above)
            return ids.cpu(), cos.cpu()

        return search
