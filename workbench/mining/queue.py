"""Hard-negative queues: K classes per class with cosines and ages, (C, K) on the CPU, 8 bytes per entry.

K = 32 for a million classes takes 256 MB. Batches add candidates (`merge`). A search over all centers makes a new queue
(`rebuild`) while the old one stays in use, so it can run in another thread during training.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.random import generator
from workbench.mining.exact import directions, exact_neighbors
from workbench.mining.index import nearest_neighbors
from workbench.mining.measures import recall

MAX_AGE = torch.iinfo(torch.int16).max


class HardNegativeQueue:
    """K hard-negative classes of each of C classes, in descending order of cosine.

    ids (C, K) int32, -1 if empty; scores (C, K) float16: cosines, -inf if empty; ages (C, K) int16: number of merges of
    the class since the score was computed. rebuilt: description of the search of `rebuild`, or "". Raises InputError
    for an invalid number of classes or K.
    """

    def __init__(self, classes: int, K: int) -> None:
        if not 2 <= classes < 2**31:
            raise InputError(f"classes = {classes}: a queue needs 2 to {2**31 - 1}")
        if K < 0:
            raise InputError(f"K = {K}: at least 0")
        self.ids = torch.full((classes, K), -1, dtype=torch.int32)
        self.scores = torch.full((classes, K), float("-inf"), dtype=torch.float16)
        self.ages = torch.zeros((classes, K), dtype=torch.int16)
        self.rebuilt = ""

    @property
    def K(self) -> int:
        """Length of each queue."""
        return self.ids.shape[1]

    def of(self, classes: Tensor) -> Tensor:
        """The queues (P, K) int32 of classes (P,), -1 if empty."""
        return self.ids[classes]

    def merge(
        self,
        classes: Tensor,
        candidates: Tensor,
        scores: Tensor,
        conflict: float | None = None,
        max_age: int | None = None,
    ) -> None:
        """Merge candidates (P, M) with cosines scores (P, M) into the queues of distinct classes (P,).

        The K highest scores are kept, of distinct classes other than the class itself; ties prefer the smaller id. A
        candidate replaces an older score of the same class and has age 0; other entries age by one. Entries older than
        max_age, or with a cosine above conflict (probably the same person), are dropped. Candidates of -1 or with a
        score that is not finite are ignored. Scores are compared as float16. Raises InputError for invalid arguments.
        """
        self._check_candidates(classes, candidates, scores)
        own = classes[:, None]
        ids = torch.cat([self.ids[classes].long(), candidates.long()], 1)
        cos = torch.cat([self.scores[classes], scores.to(torch.float16)], 1).float()
        ages = torch.zeros_like(ids)
        ages[:, : self.K] = (self.ages[classes].long() + 1).clamp_max(MAX_AGE)
        old = torch.zeros_like(ids, dtype=torch.bool)
        old[:, : self.K] = True
        cos = cos.masked_fill((ids < 0) | (ids == own) | ~cos.isfinite(), float("-inf"))
        old |= cos.isneginf()  # an ignored candidate does not replace a score

        # Sort equal ids together: candidates before old entries, higher scores first. Keep the first of each id.
        order = cos.argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, (2 * ids + old).gather(1, order).argsort(dim=1, stable=True))
        ids, cos, ages = (a.gather(1, order) for a in (ids, cos, ages))
        drop = torch.zeros_like(old)
        drop[:, 1:] = ids[:, 1:] == ids[:, :-1]
        if conflict is not None:
            drop |= cos > conflict
        if max_age is not None:
            drop |= ages > max_age
        cos = cos.masked_fill(drop, float("-inf"))

        order = cos.argsort(dim=1, descending=True, stable=True)[:, : self.K]
        ids, cos, ages = (a.gather(1, order) for a in (ids, cos, ages))
        empty = cos.isneginf()
        self.ids[classes] = ids.masked_fill(empty, -1).int()
        self.scores[classes] = cos.half()
        self.ages[classes] = ages.masked_fill(empty, 0).short()

    def rebuild(
        self,
        W: Tensor,
        index: str = "auto",
        device: str = "auto",
        conflict: float | None = None,
        chunk: int = 2048,
        stop: Callable[[], bool] | None = None,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> "HardNegativeQueue":
        """A new queue with the nearest other centers of W (C, D), from any thread; this one is unchanged.

        conflict: cosine above which classes are excluded. index: `kind` of `nearest_neighbors`. It describes the other
        arguments and the errors.
        """
        if len(W) != len(self.ids):
            raise InputError(f"W has {len(W)} centers; the queue holds {len(self.ids)} classes")
        new = HardNegativeQueue(len(self.ids), 0)
        if not self.K:
            return new
        options = {"chunk": chunk, "progress": progress, "stop": stop, "seed": seed}
        result = nearest_neighbors(W, self.K, index, device, max_cosine=conflict, dtype=torch.float16, **options)
        new.ids, new.scores = result.ids, result.cosines  # without a copy: 256 MB for a million classes
        new.ages = torch.zeros_like(result.ids, dtype=torch.int16)
        new.rebuilt = f"{result.kind} ({result.reason}), recall {result.recall:.3f} on a sample"
        return new

    def recall(self, W: Tensor, sample: int = 256, seed: int = 0) -> float:
        """recall@K against the exact neighbors in W (C, D), on a random sample of classes; NaN for K = 0."""
        if not self.K:
            return float("nan")
        classes = torch.randperm(len(self.ids), generator=generator(seed, "queue recall"))[:sample]
        W = W.detach()
        truth = exact_neighbors(directions(W, classes), W, self.K, classes)[0]
        return recall(self.ids[classes], truth.cpu())

    def state_dict(self) -> dict[str, Tensor]:
        """The three tensors, without copies."""
        return {"ids": self.ids, "scores": self.scores, "ages": self.ages}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy the tensors of a state_dict. Raises InputError if one is missing or of another shape or type."""
        for name, tensor in self.state_dict().items():
            other = state.get(name)
            if other is None or other.shape != tensor.shape or other.dtype != tensor.dtype:
                form = "missing" if other is None else f"{other.dtype} {tuple(other.shape)}"
                raise InputError(f"queue state '{name}' is {form}; it must be {tensor.dtype} {tuple(tensor.shape)}")
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    def _check_candidates(self, classes: Tensor, candidates: Tensor, scores: Tensor) -> None:
        if candidates.shape != scores.shape or candidates.dim() != 2 or classes.shape != candidates.shape[:1]:
            shapes = ", ".join(str(tuple(a.shape)) for a in (classes, candidates, scores))
            raise InputError(f"classes, candidates, scores have shapes {shapes}; (P,), (P, M), (P, M) are needed")
        C = len(self.ids)
        for name, a, low in (("classes", classes, 0), ("candidates", candidates, -1)):
            if a.numel() and not low <= int(a.min()) <= int(a.max()) < C:
                raise InputError(f"{name} {int(a.min())}..{int(a.max())} are not in {low}..{C - 1}")
        if len(classes.unique()) != len(classes):
            raise InputError("classes has a class twice; each may occur once")
