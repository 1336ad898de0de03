"""Selection of the classes in a snapshot of very many classes: those that the probes need, and random ones."""

import torch
from torch import Tensor

from workbench.centers.bank import sample_others
from workbench.core.geometry import full, unit

CENTERS_KEPT = 20_000  # classes in a snapshot; more only if the probes need more
TILE = 1 << 22  # cosines in memory at a time


def kept_classes(x: Tensor, y: Tensor, W: Tensor, sub: int, rng: torch.Generator) -> Tensor:
    """At most CENTERS_KEPT classes of W (C sub, D), ascending: those that the probes of a sample need, and random ones.

    The probes need the classes y (n,) of the sample's embeddings x (n, D), the nearest other class of each embedding
    and of each center of those classes, among
    all C. A probe of the sample with the kept centers then has the value that all centers give.
    """
    own = y.unique()
    rows = W.unflatten(0, (-1, sub))[own.to(W.device)].flatten(0, 1).to(x)
    near = nearest_others(torch.cat([x, rows]), torch.cat([y, own.repeat_interleave(sub)]), W, sub)
    needed = torch.cat([own, near]).unique()
    return torch.cat([needed, sample_others(len(W) // sub, CENTERS_KEPT - len(needed), needed, rng)]).sort().values


def nearest_others(x: Tensor, own: Tensor, W: Tensor, sub: int = 1) -> Tensor:
    """The class (n,) other than own (n,) whose center (one of its `sub`) in W (C sub, D) is nearest to x (n, D).

    By cosine, in tiles of classes: O(n + TILE) memory beside W.
    """
    classes, x = len(W) // sub, unit(full(x))[0]
    best, nearest = torch.full((len(x),), -torch.inf, dtype=x.dtype), own.clone()
    width = max(1, TILE // (len(x) * sub))
    for start in range(0, classes, width):
        tile = unit(full(W[start * sub : (start + width) * sub]).to(x))[0]
        cos = (x @ tile.T).unflatten(1, (-1, sub)).amax(dim=2)
        here = ((own >= start) & (own < start + cos.shape[1])).nonzero().squeeze(1)
        cos[here, own[here] - start] = -torch.inf
        top, at = cos.max(dim=1)
        nearest = torch.where(top > best, at + start, nearest)
        best = torch.maximum(best, top)
    return nearest
