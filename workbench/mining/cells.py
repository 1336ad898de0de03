"""Approximate search for very many classes: an inverted file (IVF) that is searched cell by cell.

FAISS processes query after query and visits the cells around each. Here all classes are queries: those that visit a
cell are compared with its members in one matrix product, in any floating-point type or quantized (IVF-SQ8), without a
copy of the centers. The index takes about 50 bytes a class.

Cells are Voronoi cells around some of the centers. Means of many centers (k-means) miss families of similar classes in
which no mean was initialized: half of them, for a million classes in families of 50. The cell centers are therefore
chosen in PARTS, each at random among the classes farthest from the cell centers chosen before.
"""

import torch
from torch import Tensor

from workbench.core.geometry import full
from workbench.core.random import generator
from workbench.mining.exact import Source, StopSearch

CELLS = (1 << 15) - 1  # maximum number of cells: int16
MEMBERS = 16  # mean number of classes in a cell, up to CELLS cells
PARTS = 4
ROWS = 2048  # classes compared with cell centers at once
VISITED = 32  # maximum number of cells that a class visits


class Cells:
    """Every class belongs to the cell of the nearest cell center; `search` visits the `visits` nearest cells."""

    batch = 1 << 18  # classes per call of `search`; each call reads all centers once

    def __init__(self, source: Source) -> None:
        C = len(source.W)
        self.source, self.visits, self.count = source, 1, max(1, min(C // MEMBERS, CELLS))
        self.near = torch.zeros(C, min(VISITED, self.count), dtype=torch.int16)  # nearest cells of each class, in order
        self.scale = torch.empty(C)
        for rows in source.chunks(ROWS):
            self.scale[rows] = 1 / full(source.W[rows]).float().norm(dim=1)
        self._assign_cells()
        self.order = self.near[:, 0].argsort(stable=True)  # classes sorted by cell
        self.end = self.near[:, 0].long().bincount(minlength=self.count).cumsum(0).tolist()

    @property
    def efforts(self) -> list[int]:
        """Values of `visits` to try: powers of two."""
        return [1 << i for i in range(self.near.shape[1].bit_length())]

    def search(self, classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
        """ids (n, K) int32 and cosines (n, K) of the nearest other classes of classes (n,)."""
        ids = torch.full((len(classes), K), -1, dtype=torch.int32)
        best = torch.full((len(classes), K), float("-inf"))
        cells = self.near[classes, : self.visits].flatten()
        visitors = cells.argsort(stable=True).div_(self.visits, rounding_mode="floor")
        visitors = visitors.split(cells.long().bincount(minlength=self.count).tolist())
        for queries, start, end in zip(visitors, [0, *self.end], self.end, strict=False):
            if self.source.stop():
                raise StopSearch
            if len(queries) and start < end:
                members = self.order[start:end]
                cos, position = self._cosines(classes[queries], members).topk(min(K, len(members)), dim=1)
                cos, order = torch.cat([best[queries], cos], 1).topk(K, dim=1)
                ids[queries] = torch.cat([ids[queries], members.int()[position]], 1).gather(1, order)
                best[queries] = cos
        return ids.masked_fill_(best.isneginf(), -1), best

    def _cosines(self, classes: Tensor, members: Tensor) -> Tensor:
        """Cosines (n, m) of classes (n,) to members (m,); -inf to itself and above max_cosine."""
        x, W = (full(self.source.W.index_select(0, rows)).float() for rows in (classes, members))
        cos = (x @ W.T).mul_(self.scale[members]).mul_(self.scale[classes, None])
        cos.masked_fill_(classes[:, None] == members, float("-inf"))
        limit = self.source.max_cosine
        return cos if limit is None else cos.masked_fill_(cos > limit, float("-inf"))

    def _assign_cells(self) -> None:
        """Choose the cell centers, and find those nearest to each class.

        In bfloat16, which takes a third of the time or less; the order of nearly equidistant cells is not important.
        """
        source, C = self.source, len(self.source.W)
        nearness = torch.full(self.near.shape, float("-inf"), dtype=torch.bfloat16)
        for cells in torch.arange(self.count).chunk(PARTS):
            n, rng = len(cells), generator(source.seed, f"cells {int(cells[0])}")
            far = nearness[:, 0].float().topk(min(4 * n, C), largest=False).indices if cells[0] else torch.arange(C)
            middles = source.rows(far[torch.randperm(len(far), generator=rng)[:n]]).to(source.device).bfloat16()
            for rows in source.chunks(ROWS):
                cos = source.rows(rows).to(source.device).bfloat16() @ middles.T
                cos, position = cos.topk(min(n, self.near.shape[1]), dim=1)
                nearness[rows], order = torch.cat([nearness[rows], cos.cpu()], 1).topk(self.near.shape[1], dim=1)
                self.near[rows] = torch.cat([self.near[rows], cells[position.cpu()].short()], 1).gather(1, order)
