"""Quality of a set of negative classes: recall against an exact search, and captured softmax mass."""

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import full

ROWS = 4096  # rows compared at once, for their K x K comparisons in memory


def count_shared(a: Tensor, b: Tensor) -> Tensor:
    """Number (n,) of ids in each row of a (n, K) that are also in the same row of b (n, M); -1 is not an id."""
    blocks = zip(a.split(ROWS), b.split(ROWS), strict=True)
    return torch.cat([((p[:, :, None] == q[:, None, :]).any(2) & (p >= 0)).sum(1) for p, q in blocks])


def recall(ids: Tensor, exact: Tensor) -> float:
    """recall@K: fraction of the exact neighbors (n, K) that are among ids (n, M); NaN if there are none."""
    total = int((exact >= 0).sum())
    return int(count_shared(exact, ids).sum()) / total if total else float("nan")


def captured_mass(cos: Tensor, y: Tensor, active: Tensor, s: float = 64.0) -> Tensor:
    """Fraction (B,) of the negative softmax mass of each sample on the active classes A: sum_A p / sum_{j != y} p.

    cos (B, C): cosines, or the margin's non-target logits before scale; y (B,): labels; active: a boolean mask (C,) or
    (B, C), or ids (B, K) with -1 for none; s: scale. The target class is excluded from both sums. Raises InputError for
    shapes that do not match.
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
    active_mass = negative.masked_fill(~active, float("-inf")).logsumexp(1)
    return (active_mass - negative.logsumexp(1)).exp()
