"""Which classes receive gradient from a batch, and how much: a full classifier against sampled or queued class sets.

By autograd on the training loss, as in `workbench.curves.supervision` for a single sample. `queue_mass`: the fraction
of the negatives' softmax mass in queues of several lengths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import full, unit
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.mining.exact import exact_neighbors
from workbench.mining.measures import captured_mass


@dataclass(frozen=True, eq=False)
class QueueMass:
    """Fraction of a sample's negative softmax mass in a subset of the classes, the mean over samples.

    K (k,): queue lengths, ascending; queue (k,): mass in the K centers nearest to the sample's own center: an exact,
    up-to-date queue; random: mass in a random fraction `share` of all classes.
    """

    K: np.ndarray
    queue: np.ndarray
    share: float
    random: float

    def summary(self) -> dict[str, float]:
        return {f"K = {K}": float(mass) for K, mass in zip(self.K, self.queue, strict=True)} | {"random": self.random}


def queue_mass(
    W: Tensor, x: Tensor, y: Tensor, K: Sequence[int], share: float = 0.1, s: float = 64.0, seed: int = 0
) -> QueueMass:
    """Negative softmax mass in queues of lengths K, for samples x (n, D) of classes y (n,) and centers W (C, D); N =
    cos.

    share: fraction of the classes in the random subset. Raises InputError unless 1 <= K <= C - 1.
    """
    if not 1 <= min(K) <= max(K) < len(W):
        raise InputError(f"K = {list(K)}: lengths from 1 to {len(W) - 1} are needed, one less than the centers")
    x, W = unit(full(x))[0], unit(full(W))[0]
    cos, K = x @ W.T, sorted(K)
    ids = exact_neighbors(W[y], W, K[-1], y)[0]
    queue = [captured_mass(cos, y, ids[:, :k], s).mean().item() for k in K]
    random = torch.randperm(len(W), generator=generator(seed, "captured"))[: round(share * len(W))]
    mask = torch.zeros(len(W), dtype=torch.bool).index_fill_(0, random, True)
    return QueueMass(np.array(K), np.array(queue), share, captured_mass(cos, y, mask, s).mean().item())


@dataclass(frozen=True, eq=False)
class Interaction:
    """Gradients of the losses L_i of B samples with respect to the cosines to C classes.

    active (C,): whether the class set includes the class; pull (B,): -dL_i/dcos of the own class; push (B, C):
    dL_i/dcos_j of the other classes, 0 for the own class and for inactive ones.
    """

    active: np.ndarray
    pull: np.ndarray
    push: np.ndarray

    def summary(self) -> dict[str, float]:
        """Active classes and their share, mean pull, and the classes that get more than 1 % of a sample's push."""
        return {
            "active": float(self.active.sum()),
            "share": float(self.active.mean()),
            "pull": float(self.pull.mean()),
            "pushed": float((self.push > 0.01 * self.push.sum(axis=1, keepdims=True)).any(axis=0).sum()),
        }


def interaction(objective: MarginSoftmax, x: Tensor, y: Tensor) -> Interaction:
    """Gradients of an objective for embeddings x (B, D) with labels y (B,); changes nothing.

    Raises InputError for a loss with learned per-class parameters, whose gradient is not all in the cosines.
    """
    if any(value.ndim for value in objective.learned.values()):
        raise InputError(
            f"{type(objective.margin).__name__} has learned per-class parameters; use a loss without such parameters"
        )
    centers = objective.centers
    with torch.no_grad():
        active = centers.select(y)
        cos = centers.similarity(x, active.W, active.bias)
    cos.requires_grad_()
    objective.from_cosines(cos, active.y, full(x).norm(dim=1, keepdim=True)).per_sample.sum().backward()
    ids = torch.arange(centers.classes) if active.ids is None else active.ids
    gradient = torch.zeros(len(x), centers.classes, dtype=cos.dtype).index_copy_(1, ids, cos.grad)
    own = y[:, None]
    return Interaction(
        np.isin(np.arange(centers.classes), ids.numpy()),
        -gradient.gather(1, own)[:, 0].numpy(),
        gradient.scatter(1, own, 0).numpy(),
    )


@dataclass(frozen=True, eq=False)
class Reach:
    """Cumulative share of a full classifier's push over its negatives, the hardest first; means over samples.

    rank (C - 1,): 1 for the negative with the largest push of the full classifier; full (C - 1,): share of the push up
    to this rank; parts: the same for each class set by name, counting active classes only: the last value is the
    captured share of the push.
    """

    rank: np.ndarray
    full: np.ndarray
    parts: dict[str, np.ndarray]

    def summary(self) -> dict[str, float]:
        """The share of the push that each class set captures."""
        return {name: float(part[-1]) for name, part in self.parts.items()}

    def rank_at(self, share: float = 0.9) -> int:
        """The number of hardest negatives that receive this share of the push, on average over samples."""
        return int(self.rank[min(np.searchsorted(self.full, share), len(self.rank) - 1)])


def reach(full_: Interaction, parts: Mapping[str, Interaction]) -> Reach:
    """The share of a full classifier's push that remains if only the active classes of the parts count."""
    order = np.argsort(-full_.push, axis=1, kind="stable")[:, :-1]  # the own class, with push 0, is among the last
    push = np.take_along_axis(full_.push, order, axis=1).astype(np.float64)
    push /= push.sum(axis=1, keepdims=True)
    captured = {name: (push * part.active[order]).cumsum(axis=1).mean(axis=0) for name, part in parts.items()}
    return Reach(np.arange(1, push.shape[1] + 1), push.cumsum(axis=1).mean(axis=0), captured)
