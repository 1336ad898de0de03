"""Interaction: which classes a batch moves, and how strongly. A full classifier moves all; a class set, those it meets.

By autograd on the training loss, as in `workbench.curves.supervision`, there for the classes of one sample, here for a
batch.
`captured` asks the same of queues alone: how much of the push would stay in queues of any length?
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
from workbench.mining.index import exact
from workbench.mining.measures import captured_mass


@dataclass(frozen=True, eq=False)
class Interaction:
    """Who receives gradient from a batch of B samples among C classes.

    met (C,): whether the batch meets the class; pull (B,): -dL_i/dcos, on the cosine to the own center; push (B, C):
    dL_i/dcos_j on that to every other one, 0 for the own class and for those not met. L_i: the loss of sample i alone.
    """

    met: np.ndarray
    pull: np.ndarray
    push: np.ndarray

    def summary(self) -> dict[str, float]:
        """Classes met and their share, the mean pull, and the classes pushed by more than 1 % of a sample's push."""
        return {
            "met": float(self.met.sum()),
            "share": float(self.met.mean()),
            "pull": float(self.pull.mean()),
            "pushed": float((self.push > 0.01 * self.push.sum(axis=1, keepdims=True)).any(axis=0).sum()),
        }


@dataclass(frozen=True, eq=False)
class Reach:
    """How much of a full classifier's push a part of the classes passes on, negative by negative.

    rank (C - 1,): the negatives of a sample in the order of the full classifier's push, 1 the hardest; full (C - 1,):
    the share of the push in the first so many, the mean over samples; parts: the same for each class set by its name,
    where only the classes that it met count, so that the last value is the captured share of the push.
    """

    rank: np.ndarray
    full: np.ndarray
    parts: dict[str, np.ndarray]

    def summary(self) -> dict[str, float]:
        """The share that each class set captures."""
        return {name: float(part[-1]) for name, part in self.parts.items()}

    def needed(self, share: float = 0.9) -> int:
        """How many of the hardest negatives hold this share of the push, on average over samples."""
        return int(self.rank[min(np.searchsorted(self.full, share), len(self.rank) - 1)])


@dataclass(frozen=True, eq=False)
class Captured:
    """The share of a sample's negative softmax mass that a part of the classes holds, the mean over samples.

    K (k,): lengths of queues, in rising order; queue (k,): the mass in the K centers nearest to the own one, of which
    an exact and up-to-date queue would consist; random: the mass in a random `share` of all classes.
    """

    K: np.ndarray
    queue: np.ndarray
    share: float
    random: float

    def summary(self) -> dict[str, float]:
        return {f"K = {K}": float(mass) for K, mass in zip(self.K, self.queue, strict=True)} | {"random": self.random}


def captured(
    W: Tensor, x: Tensor, y: Tensor, K: Sequence[int], share: float = 0.1, s: float = 64.0, seed: int = 0
) -> Captured:
    """What queues of the lengths K hold for samples x (n, D) of classes y (n,) among centers W (C, D); N = cos.

    share: of the classes that a random choice takes. Raises InputError for lengths that C centers do not fill.
    """
    if not 1 <= min(K) <= max(K) < len(W):
        raise InputError(f"K = {list(K)}: lengths from 1 to {len(W) - 1} are needed, one less than the centers")
    x, W = unit(full(x))[0], unit(full(W))[0]
    cos, K = x @ W.T, sorted(K)
    ids = exact(W[y], W, K[-1], y)[0]
    queue = [captured_mass(cos, y, ids[:, :k], s).mean().item() for k in K]
    drawn = torch.randperm(len(W), generator=generator(seed, "captured"))[: round(share * len(W))]
    mask = torch.zeros(len(W), dtype=torch.bool).index_fill_(0, drawn, True)
    return Captured(np.array(K), np.array(queue), share, captured_mass(cos, y, mask, s).mean().item())


def interaction(objective: MarginSoftmax, x: Tensor, y: Tensor) -> Interaction:
    """What embeddings x (B, D) with labels y (B,) do to the centers of an objective; reads only.

    Raises InputError for a loss that learns a number for each class, whose gradient is not all in the cosines.
    """
    if any(value.ndim for value in objective.learned.values()):
        raise InputError(f"{type(objective.margin).__name__} learns a number for each class; losses without one can do")
    centers = objective.centers
    with torch.no_grad():
        active = centers.select(y)
        cos = centers.similarity(x, active.W, active.bias)
    cos.requires_grad_()
    objective.from_cosines(cos, active.y, full(x).norm(dim=1, keepdim=True)).per_sample.sum().backward()
    ids = torch.arange(centers.classes) if active.ids is None else active.ids
    every = torch.zeros(len(x), centers.classes, dtype=cos.dtype).index_copy_(1, ids, cos.grad)
    own = y[:, None]
    return Interaction(
        np.isin(np.arange(centers.classes), ids.numpy()),
        -every.gather(1, own)[:, 0].numpy(),
        every.scatter(1, own, 0).numpy(),
    )


def reach(all_: Interaction, parts: Mapping[str, Interaction]) -> Reach:
    """How much of the push of a batch that meets all classes is left where only those met by the parts count."""
    order = np.argsort(-all_.push, axis=1, kind="stable")[:, :-1]  # the own class, without push, is among the last
    push = np.take_along_axis(all_.push, order, axis=1).astype(np.float64)
    push /= push.sum(axis=1, keepdims=True)
    kept = {name: (push * part.met[order]).cumsum(axis=1).mean(axis=0) for name, part in parts.items()}
    return Reach(np.arange(1, push.shape[1] + 1), push.cumsum(axis=1).mean(axis=0), kept)
