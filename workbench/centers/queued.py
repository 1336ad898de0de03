"""QueuedCenters: every batch meets its own classes, the hard negatives queued for them, and a random few.

After the abstract of MutualFace (Chen et al. 2026): a reconstruction. The abstract speaks of a dynamic repository of
hard negative centers per class and of a mutual interaction of samples and centers; everything below that is a reading.
"""

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from workbench.centers.sampled import SampledCenters
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError, unknown
from workbench.core.geometry import add_angle, full, unit
from workbench.core.parameters import Param
from workbench.core.random import generator
from workbench.mining.exact import compressed
from workbench.mining.queue import HardNegativeQueue

UPDATES = ("mutual", "positive", "ema", "none")
CRITERIA = ("hardest", "misclassified")


class QueuedCenters(SampledCenters):
    """Partial FC with a part of its random negatives replaced by hard ones: P, H and R, `most` classes together.

    P  the batch's own classes
    H  what is in the queues of P, the highest scores first, in at most 1 - explore of the room that P leaves
    R  random others in all the room left: exploration, and the whole of it before `warmup` steps and with K = 0

    All samples meet all of them (shared negatives; own negatives for each sample are left out). center_update:
    mutual    every row met moves by its full gradient, as positive and as negative, as in a full classifier
    positive  only the batch's own classes move
    ema       they move towards their samples' mean direction, W_y <- (1 - beta) W_y + beta mean(x / |x|), at length 1
    none      nothing moves

    The queues are fed by observe, after warm-up: for each class of the batch the K classes met that its samples are
    nearest to (criterion "hardest": by cosine; "misclassified": by how far past cos(theta_y + margin), and only those
    past it), scored by the cosine of the two centers. Classes nearer than `conflict` are taken for one person twice and
    not used as hard negatives. max_age: visits of a class after which an entry not seen again is dropped.

    refresh_every > 0: every so many steps after warm-up the queues are rebuilt from all centers (mining.index `index`),
    in a thread, from a copy of the centers at step k, a byte a number, and adopted at step k + refresh_delay, waiting
    if late: a replay gives the same bits wherever the index does. A checkpoint made in between waits for the new queues
    and holds them. A million classes take some minutes of two cores: a refresh_delay of fewer steps is waited for.

    The bank stays in the CPU's memory, or in a scratch file in `folder`. See SampledCenters for the rest.
    """

    HOST = True
    LIVE: ClassVar[dict[str, Param]] = {
        "most": Param("most", "classes that a batch meets", low=2, high=1e9),
        "explore": Param("explore", "share of the room that random classes get", low=0, high=1),
        "conflict": Param("conflict", "cosine of two centers above which they are one person", low=-1, high=1),
        "max_age": Param("max_age", "visits after which an entry not seen again is dropped", low=1, high=10_000),
    }
    wants_cosines = True

    def __init__(
        self,
        classes: int,
        dim: int,
        seed: int = 0,
        similarity: Cosine = Cosine(),  # noqa: B008
        K: int = 32,
        most: int = 8192,
        explore: float = 0.25,
        warmup: int = 0,
        center_update: str = "mutual",
        criterion: str = "hardest",
        margin: float = 0.5,
        conflict: float | None = 0.8,
        max_age: int | None = 30,
        beta: float = 0.1,
        refresh_every: int = 0,
        refresh_delay: int = 100,
        index: str = "auto",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        nesterov: bool = False,
        renormalise: bool = False,
        precision: str = "fp16",
        folder: str | os.PathLike | None = None,
    ) -> None:
        for option, value, known in (("center_update", center_update, UPDATES), ("criterion", criterion, CRITERIA)):
            if value not in known:
                raise unknown(option, value, known)
        for option, value, low, high in (("explore", explore, 0, 1), ("beta", beta, 0, 1), ("K", K, 0, classes - 1)):
            if not low <= value <= high:
                raise InputError(f"{option} = {value:g} is outside {low}..{high}")
        for option, value in (("warmup", warmup), ("refresh_every", refresh_every)):
            if value < 0:
                raise InputError(f"{option} = {value}: at least 0")
        if refresh_every and not 0 < refresh_delay <= refresh_every:
            raise InputError(f"refresh_delay = {refresh_delay} is outside 1..{refresh_every} (refresh_every)")
        if refresh_every and similarity.rows > 1:
            raise InputError(f"refresh_every = {refresh_every}: with sub-centers the queues are fed by batches only")
        moved = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov, "renormalise": renormalise}
        super().__init__(classes, dim, seed, similarity, most=most, precision=precision, folder=folder, **moved)
        self.K, self.explore, self.warmup = K, explore, warmup
        self.center_update, self.criterion, self.margin = center_update, criterion, margin
        self.conflict, self.max_age, self.beta = conflict, max_age, beta
        self.refresh_every, self.refresh_delay, self.index = refresh_every if K else 0, refresh_delay, index
        self.queue = HardNegativeQueue(classes, K) if K else None
        self.rebuild: Rebuild | None = None
        self.register_buffer("adopt", torch.tensor(-1))  # the step before which the latest rebuild is adopted
        self._means: tuple[Tensor, Tensor] | None = None

    def tune(self, name: str, value: float) -> None:
        super().tune(name, value)
        self.most, self.max_age = min(self.classes, int(self.most)), None if self.max_age is None else int(self.max_age)

    def observe(self, y: Tensor, ids: Tensor, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Feed the queues from a batch, start and adopt rebuilds, advance the step.

        x (B, D): its embeddings, needed where center_update is ema. Raises InputError where what it needs is missing.
        """
        if cos is None and self.queue is not None:
            raise InputError("queued centers need the cosines of the classes met: compute = dense")
        if self.center_update == "ema":
            self._means = self._mean_directions(y, x)
        if self.queue is not None and int(self.step) >= self.warmup and len(y):  # a share may have none of the classes
            self._feed(y, ids, cos.detach())
        super().observe(y, ids, cos)
        self._refresh(int(self.step))

    def settle(self, lr: float) -> None:
        """Move the rows that gradients have reached since the last settle, or that ema moves, and no others."""
        super().settle(lr)
        if self._means is not None:
            (met, means), self._means = self._means, None
            rows = unit(self.bank.gather(met))[0]
            rows = torch.lerp(rows, means[:, None].to(rows), self.beta)
            self.bank.write(met, unit(rows)[0], generator(self.seed, f"rounding {int(self.step)}"))

    def hard(self, met: Tensor, most: int) -> Tensor:
        """The classes (h,) queued for the classes met (P,), themselves left out: the `most` of the highest scores."""
        if self.queue is None or int(self.step) < self.warmup:
            return met[:0]
        ids, scores = self.queue.of(met).long().flatten(), self.queue.scores[met].float().flatten()
        good = (ids >= 0) & ~torch.isin(ids, met)
        ids, place = ids[good].unique(return_inverse=True)
        best = torch.full((len(ids),), -torch.inf).scatter_reduce_(0, place, scores[good], "amax")
        return ids[best.argsort(descending=True, stable=True)[:most]]

    def _taken(self, met: Tensor) -> Tensor:
        room = max(0, self.most - len(met))
        return torch.cat([met, self.hard(met, round((1 - self.explore) * room))]).sort().values

    def _moving(self, ids: Tensor, met: Tensor) -> Tensor | slice | None:
        if self.center_update == "mutual":
            return super()._moving(ids, met)
        return torch.searchsorted(ids, met) if self.center_update == "positive" else None

    def _mean_directions(self, y: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
        """The classes (P,) of a batch and the mean directions (P, D) of their samples."""
        if x is None:
            raise InputError("center_update = ema: observe needs the embeddings x as well")
        met, place = y.cpu().unique(return_inverse=True)
        sums = torch.zeros(len(met), x.shape[1], dtype=full(x).dtype).index_add_(0, place, unit(full(x).cpu())[0])
        return met, unit(sums)[0]

    def _feed(self, y: Tensor, ids: Tensor, cos: Tensor) -> None:
        """Merge into the queues of the batch's classes the classes met that their samples found hardest."""
        met, place = y.unique(return_inverse=True)
        own = torch.searchsorted(ids, met)
        if self.criterion == "misclassified":
            cos = cos - add_angle(cos.gather(1, own[place][:, None]), self.margin)
        best = by_class(cos, place, len(met)).scatter_(1, own[:, None], -torch.inf)
        top = best.topk(min(self.K, len(ids) - 1), dim=1)
        met, candidates = met.cpu(), ids[top.indices].cpu()
        scores = self._between(met, candidates)
        if self.criterion == "misclassified":
            candidates = candidates.masked_fill(top.values.cpu() <= 0, -1)  # which is no offer
        self.queue.merge(met, candidates, scores, conflict=self.conflict, max_age=self.max_age)

    def _between(self, met: Tensor, candidates: Tensor) -> Tensor:
        """Cosines (P, M) of the centers of classes met (P,) to those of candidates (P, M); of the best sub-centers."""
        own, other = unit(self.bank.gather(met))[0], unit(self.bank.gather(candidates.flatten()))[0]
        other = other.view(*candidates.shape, *other.shape[1:])
        return torch.einsum("psd,pmtd->pmst", own, other).amax(dim=(2, 3))

    def _refresh(self, step: int) -> None:
        """Adopt the rebuild that is due before step `step`, and start the next where it is time."""
        if int(self.adopt) == step:
            self.queue, self.rebuild = self.rebuild.result(), None
        if self.refresh_every and step >= self.warmup and (step - self.warmup) % self.refresh_every == 0:
            make = partial(self.queue.rebuild, compressed(self.weight), self.index, conflict=self.conflict)
            self.rebuild = Rebuild(make)
            self.adopt.fill_(step + self.refresh_delay)

    def _queues(self) -> dict[str, HardNegativeQueue]:
        """The queues that a checkpoint holds, by name: the one in use and, where there are rebuilds, the next one."""
        found = {"queue": self.queue} if self.queue is not None else {}
        if self.refresh_every:
            found["next"] = self.rebuild.result() if self.rebuild else HardNegativeQueue(self.classes, self.K)
        return found

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, queue in self._queues().items():
            destination.update({f"{prefix}{name}.{key}": value for key, value in queue.state_dict().items()})

    def _load_from_state_dict(self, state: dict, prefix: str, meta: dict, strict: bool, missing: list, *rest) -> None:
        self.rebuild = None
        for name, queue in self._queues().items():
            saved = {key: state.pop(f"{prefix}{name}.{key}", None) for key in queue.state_dict()}
            missing += [f"{prefix}{name}.{key}" for key, value in saved.items() if value is None]
            if None not in saved.values():
                queue.load_state_dict(saved)
            if name == "next":
                self.rebuild = Rebuild(lambda stop, made=queue: made)
        super()._load_from_state_dict(state, prefix, meta, strict, missing, *rest)


class Rebuild:
    """New queues in the making, in a thread of its own that is told to stop when nobody wants them any more.

    make is called with stop=, a function that says whether to stop.
    """

    def __init__(self, make: Callable[..., HardNegativeQueue]) -> None:
        stop, self._made = threading.Event(), Future()
        thread = threading.Thread(target=fulfil, args=(self._made, make, stop.is_set), daemon=True)
        thread.start()
        weakref.finalize(self, end, thread, stop)  # when it is dropped, and before the process ends

    def result(self) -> HardNegativeQueue:
        """The new queues, waiting until they are made; raises what went wrong in making them."""
        return self._made.result()


def fulfil(promise: Future, make: Callable[..., HardNegativeQueue], stop: Callable[[], bool]) -> None:
    """Make what was promised, or hand on why not."""
    try:
        promise.set_result(make(stop=stop))
    except Exception as error:
        promise.set_exception(error)


def end(thread: threading.Thread, stop: threading.Event) -> None:
    """Have a thread stop, and wait for it: a process that ends with one inside torch aborts."""
    stop.set()
    if thread is not threading.current_thread():
        thread.join()


def by_class(values: Tensor, place: Tensor, classes: int) -> Tensor:
    """The largest of the values (B, n) of each class's samples, (classes, n); place (B,): the class of each sample."""
    order, count = place.argsort(stable=True), place.bincount(minlength=classes)
    first = count.cumsum(0) - count
    best = values[order[first]]
    for i in range(1, int(count.max())):  # scatter_reduce says the same in 20 times the time
        more = (count > i).nonzero()[:, 0]
        best[more] = torch.maximum(best[more], values[order[first[more] + i]])
    return best
