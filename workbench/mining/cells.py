"""Cells: an inverted file whose entries are its own queries, so that they are compared cell by cell, not one by one.

FAISS takes query after query and visits the cells around it. Here every class asks: all that visit a cell are compared
with its members in one matrix product, straight from where the centers lie, in any float type or compressed to bytes
(IVF-SQ8, then). Nothing is held beside them but which cells are near each class, some 50 bytes.

A cell lies around one of the centers. Means of many (k-means) miss the families of similar classes that no mean began
in: with a million classes in families of 50, half of them. So the centers are chosen in PARTS, each among those that
the parts before left the farthest from any.
"""

import torch
from torch import Tensor

from workbench.core.geometry import full
from workbench.core.random import generator
from workbench.mining.exact import Source, Stopped

CELLS = (1 << 15) - 1  # at most: their numbers are 16 bits
MEMBERS = 16  # classes a cell, where there are fewer cells
PARTS = 4
ROWS = 2048  # classes compared at once with the middles of a part
VISITED = 32  # cells that a class visits at most


class Cells:
    """Every class in the cell whose middle is nearest; `search` compares it with those in the `visits` nearest ones."""

    together = 1 << 18  # classes that search at a time: each time all centers are read once

    def __init__(self, source: Source) -> None:
        C = len(source.W)
        self.source, self.visits, self.count = source, 1, max(1, min(C // MEMBERS, CELLS))
        self.near = torch.zeros(C, min(VISITED, self.count), dtype=torch.int16)  # cells, the nearest first
        self.scale = torch.empty(C)
        for rows in source.chunks(ROWS):
            self.scale[rows] = 1 / full(source.W[rows]).float().norm(dim=1)
        self._place()
        self.order = self.near[:, 0].argsort(stable=True)  # the classes, cell after cell
        self.end = self.near[:, 0].long().bincount(minlength=self.count).cumsum(0).tolist()

    @property
    def efforts(self) -> list[int]:
        """Numbers of cells to visit that are worth trying, each twice the last."""
        return [1 << i for i in range(self.near.shape[1].bit_length())]

    def search(self, classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
        """ids (n, K) int32 and cosines (n, K) of the nearest other classes of classes (n,), as `exact` gives them."""
        ids = torch.full((len(classes), K), -1, dtype=torch.int32)
        best = torch.full((len(classes), K), float("-inf"))
        cells = self.near[classes, : self.visits].flatten()
        visitors = cells.argsort(stable=True).div_(self.visits, rounding_mode="floor")
        visitors = visitors.split(cells.long().bincount(minlength=self.count).tolist())
        for asking, start, end in zip(visitors, [0, *self.end], self.end, strict=False):
            if self.source.stop():
                raise Stopped
            if len(asking) and start < end:
                members = self.order[start:end]
                cos, place = self._cosines(classes[asking], members).topk(min(K, len(members)), dim=1)
                cos, kept = torch.cat([best[asking], cos], 1).topk(K, dim=1)
                ids[asking] = torch.cat([ids[asking], members.int()[place]], 1).gather(1, kept)
                best[asking] = cos
        return ids.masked_fill_(best.isneginf(), -1), best

    def _cosines(self, classes: Tensor, members: Tensor) -> Tensor:
        """Cosines (n, m) of classes (n,) to others (m,); -inf to themselves and where they are above the limit."""
        x, W = (full(self.source.W.index_select(0, rows)).float() for rows in (classes, members))
        cos = (x @ W.T).mul_(self.scale[members]).mul_(self.scale[classes, None])
        cos.masked_fill_(classes[:, None] == members, float("-inf"))
        return cos if self.source.above is None else cos.masked_fill_(cos > self.source.above, float("-inf"))

    def _place(self) -> None:
        """Choose the middles of the cells, and find those near each class.

        In bfloat16: a third of the time, or less, and which cell is nearer matters little where they are about as near.
        """
        source, C = self.source, len(self.source.W)
        nearness = torch.full(self.near.shape, float("-inf"), dtype=torch.bfloat16)
        for numbers in torch.arange(self.count).chunk(PARTS):
            n, own = len(numbers), generator(source.seed, f"cells {int(numbers[0])}")
            far = nearness[:, 0].float().topk(min(4 * n, C), largest=False).indices if numbers[0] else torch.arange(C)
            middles = source.rows(far[torch.randperm(len(far), generator=own)[:n]]).to(source.device).bfloat16()
            for rows in source.chunks(ROWS):
                cos = source.rows(rows).to(source.device).bfloat16() @ middles.T
                cos, place = cos.topk(min(n, self.near.shape[1]), dim=1)
                nearness[rows], kept = torch.cat([nearness[rows], cos.cpu()], 1).topk(self.near.shape[1], dim=1)
                self.near[rows] = torch.cat([self.near[rows], numbers[place.cpu()].short()], 1).gather(1, kept)
