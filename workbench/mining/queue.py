"""The hard negatives that every class keeps: ids, cosines and ages, C x K, on the CPU; 8 bytes an entry.

K = 32 for a million classes is 256 MB. Batches bring candidates (`merge`); a search over all centers makes a new queue
(`rebuild`) while the old one stays in use, so that refreshing can happen beside the training.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.random import generator
from workbench.mining.index import directions, exact, nearest
from workbench.mining.measures import recall, shared

OLDEST = torch.iinfo(torch.int16).max


class HardNegativeQueue:
    """K hard-negative classes of each of C classes, the hardest first.

    ids (C, K) int32, -1 where empty; scores (C, K) float16, cosines, -inf where empty; ages (C, K) int16: how many
    merges of the class ago the score was taken. rebuilt: how a rebuild found them, in words; "" if there was none.
    Raises InputError where there is no room for a queue.
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
        return self.ids.shape[1]

    @property
    def filled(self) -> float:
        """The share of entries that hold a class; 0 where K = 0."""
        return float((self.ids >= 0).float().mean()) if self.K else 0.0

    def of(self, classes: Tensor) -> Tensor:
        """The queues (P, K) int32 of classes (P,), -1 where empty."""
        return self.ids[classes]

    def merge(
        self,
        classes: Tensor,
        candidates: Tensor,
        scores: Tensor,
        conflict: float | None = None,
        max_age: int | None = None,
    ) -> None:
        """Offer candidates (P, M) with cosines scores (P, M) to the queues of classes (P,), each named once.

        The best K by score stay, distinct and never the class itself; a tie takes the smaller id. What is offered
        replaces an older score of the same class and has age 0; the rest grow one merge older. Entries older than
        max_age, or with a cosine above conflict (two names of one person, probably), are dropped. Candidates of -1 or
        without a finite score are not offers. Scores count as the float16 that is stored.
        """
        self._check_offer(classes, candidates, scores)
        own = classes[:, None]
        ids = torch.cat([self.ids[classes].long(), candidates.long()], 1)
        cos = torch.cat([self.scores[classes], scores.to(torch.float16)], 1).float()
        ages = torch.zeros_like(ids)
        ages[:, : self.K] = (self.ages[classes].long() + 1).clamp_max(OLDEST)
        old = torch.zeros_like(ids, dtype=torch.bool)
        old[:, : self.K] = True
        cos = cos.masked_fill((ids < 0) | (ids == own) | ~cos.isfinite(), float("-inf"))
        old |= cos.isneginf()  # what is no offer does not replace a score either

        # Equal ids side by side, offers before old ones, the better score before the worse: the first of each stays.
        order = cos.argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, (2 * ids + old).gather(1, order).argsort(dim=1, stable=True))
        ids, cos, ages = (a.gather(1, order) for a in (ids, cos, ages))
        gone = torch.zeros_like(old)
        gone[:, 1:] = ids[:, 1:] == ids[:, :-1]
        if conflict is not None:
            gone |= cos > conflict
        if max_age is not None:
            gone |= ages > max_age
        cos = cos.masked_fill(gone, float("-inf"))

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
        """A new queue with the nearest other centers of W (C, D), for any thread; this one stays as it is.

        index to seed: as of `nearest`, whose Stopped and InputError pass through. conflict:
        its `above`. `rebuilt` of the new queue says how it was found, and its recall.
        """
        if len(W) != len(self.ids):
            raise InputError(f"W has {len(W)} centers; the queue holds {len(self.ids)} classes")
        if not self.K:
            return HardNegativeQueue(len(self.ids), 0)
        options = {"chunk": chunk, "progress": progress, "stop": stop, "seed": seed}
        found = nearest(W, self.K, index, device, above=conflict, dtype=torch.float16, **options)
        new = HardNegativeQueue(
            len(self.ids), 0
        )  # its tensors are those that were found: a million classes have 256 MB
        new.ids, new.scores, new.ages = found.ids, found.cosines, torch.zeros_like(found.ids, dtype=torch.int16)
        new.rebuilt = f"{found.kind} ({found.why}), recall {found.recall:.3f} on a sample"
        return new

    def recall(self, W: Tensor, sample: int = 256, seed: int = 0) -> float:
        """recall@K against the exact neighbours in W (C, D), on a sample of classes drawn from the seed."""
        if not self.K:
            return float("nan")
        classes = torch.randperm(len(self.ids), generator=generator(seed, "queue recall"))[:sample]
        W = W.detach()
        truth = exact(directions(W, classes), W, self.K, classes)[0]
        return recall(self.ids[classes], truth.cpu())

    def churn(self, other: "HardNegativeQueue") -> float:
        """The share of this queue's entries that `other` does not hold for the same class; 0 where it has none."""
        if self.ids.shape[0] != other.ids.shape[0]:
            raise InputError(f"queues of {len(self.ids)} and {len(other.ids)} classes cannot be compared")
        held = int((self.ids >= 0).sum())
        return 1 - int(shared(self.ids, other.ids).sum()) / held if held else 0.0

    def age_histogram(self) -> Tensor:
        """How many entries have age 0, 1, ...: (oldest + 1,) long."""
        return torch.bincount(self.ages[self.ids >= 0].long(), minlength=1)

    def state_dict(self) -> dict[str, Tensor]:
        """The three tensors themselves, not copies."""
        return {"ids": self.ids, "scores": self.scores, "ages": self.ages}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the three tensors of a state_dict, copied. InputError where one is missing or does not fit."""
        for name, mine in self.state_dict().items():
            theirs = state.get(name)
            if theirs is None or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
                found = "missing" if theirs is None else f"{theirs.dtype} {tuple(theirs.shape)}"
                raise InputError(f"queue state '{name}' is {found}; it must be {mine.dtype} {tuple(mine.shape)}")
        for name, mine in self.state_dict().items():
            mine.copy_(state[name])

    def _check_offer(self, classes: Tensor, candidates: Tensor, scores: Tensor) -> None:
        if candidates.shape != scores.shape or candidates.dim() != 2 or classes.shape != candidates.shape[:1]:
            shapes = ", ".join(str(tuple(a.shape)) for a in (classes, candidates, scores))
            raise InputError(f"classes, candidates, scores have shapes {shapes}; (P,), (P, M), (P, M) are needed")
        C = len(self.ids)
        for name, a, low in (("classes", classes, 0), ("candidates", candidates, -1)):
            if a.numel() and not low <= int(a.min()) <= int(a.max()) < C:
                raise InputError(f"{name} {int(a.min())}..{int(a.max())} are not in {low}..{C - 1}")
        if len(classes.unique()) != len(classes):
            raise InputError("classes name one class twice; each may be given once")
