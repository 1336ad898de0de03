"""How good a set of negatives is: recall against an exact search, and the softmax mass that it holds."""

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import full

ROWS = 4096  # rows compared at once: their K x K comparisons are held in memory


def shared(a: Tensor, b: Tensor) -> Tensor:
    """How many of the ids in each row of a (n, K) are also in that row of b (n, M): (n,) long. -1 is no id."""
    blocks = zip(a.split(ROWS), b.split(ROWS), strict=True)
    return torch.cat([((p[:, :, None] == q[:, None, :]).any(2) & (p >= 0)).sum(1) for p, q in blocks])


def recall(ids: Tensor, exact: Tensor) -> float:
    """recall@K: the share of the exact neighbours (n, K) that are among ids (n, M). NaN where there are none."""
    wanted = int((exact >= 0).sum())
    return int(shared(exact, ids).sum()) / wanted if wanted else float("nan")


def captured_mass(cos: Tensor, y: Tensor, active: Tensor, s: float = 64.0) -> Tensor:
    """The share (B,) of each sample's negative softmax mass that the active classes hold: sum_A p / sum_{j != y} p.

    cos (B, C): cosines, or the margin's non-target logits before scale; y (B,): labels; active: a boolean mask (C,) or
    (B, C), or ids (B, K) with -1 for none. s: scale. The target never counts. Exact: it needs the whole rows.
    Raises InputError where the shapes do not fit.
    """
    if active.dtype != torch.bool:
        if active.dim() != 2 or len(active) != len(cos):
            raise InputError(f"active ids have shape {tuple(active.shape)}; (B, K) with B = {len(cos)} is needed")
        ids = active.long()
        padded = torch.zeros(len(cos), cos.shape[1] + 1, dtype=torch.bool, device=cos.device)
        active = padded.scatter_(1, torch.where(ids < 0, cos.shape[1], ids), True)[:, :-1]
    if active.shape[-1] != cos.shape[1]:
        raise InputError(f"active is a mask of {active.shape[-1]} classes; cos has {cos.shape[1]}")
    negative = (s * full(cos)).scatter(1, y[:, None], float("-inf"))
    held = negative.masked_fill(~active, float("-inf")).logsumexp(1)
    return (held - negative.logsumexp(1)).exp()
