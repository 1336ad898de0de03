"""QueuedCenters: active are the batch's own classes, hard negatives from per-class queues, and random others.

After the abstract of MutualFace (Chen et al. 2026): a reconstruction. The abstract describes a dynamic repository of
hard negative centers per class and a mutual interaction of samples and centers; everything else is an interpretation.
"""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workbench.centers.options import QueuedOptions
from workbench.centers.sampled import SampledCenters, copy_without
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError
from workbench.core.geometry import add_angle, full, unit
from workbench.core.random import generator
from workbench.mining.exact import quantize
from workbench.mining.queue import HardNegativeQueue


class QueuedCenters(SampledCenters):
    """Partial FC with a part of its random negatives replaced by hard ones: P, H and R, `max_active` classes in all.

    P  the batch's own classes
    H  classes in the queues of P, the highest scores first, at most 1 - explore of the places that P leaves
    R  random others in the places left: exploration; all of them before `warmup` steps and with K = 0

    All samples are compared with all of them (shared negatives). center_update:
    mutual    every active row moves by its full gradient, as positive and as negative, as in a full classifier
    positive  only the batch's own classes move
    ema       they move towards their samples' mean direction, W_y <- (1 - beta) W_y + beta mean(x / |x|), at length 1
    none      nothing moves

    The queues are filled by observe, after warm-up: for each class of the batch the K active classes nearest to its
    samples (criterion "hardest": by cosine; "misclassified": by how far past cos(theta_y + margin), and only those past
    it), scored by the cosine of the two centers. Classes nearer than `conflict` count as one identity and are not used
    as hard negatives. max_age: visits of a class after which an entry that was not seen again is dropped.

    refresh_every > 0: every refresh_every steps after warm-up the queues are rebuilt from all centers (mining.index
    `index`), in a thread, from an int8 copy of the centers at step k, and adopted at step k + refresh_delay; training
    waits if the rebuild is late, so a replay gives the same bits wherever the index does. A checkpoint made in between
    waits for the new queues and contains them. A million classes take some minutes on two cores.

    The bank stays in CPU memory, or in a scratch file in `folder`. See SampledCenters for the rest and QueuedOptions
    for the options.
    """

    HOST = True
    Options = QueuedOptions
    wants_cosines = True

    def __init__(
        self,
        classes: int,
        dim: int,
        seed: int = 0,
        similarity: Cosine = Cosine(),  # noqa: B008
        **options: Any,
    ) -> None:
        super().__init__(classes, dim, seed, similarity, **options)
        o = self.options
        if classes <= o.K:
            raise InputError(f"queued centers: K = {o.K} is outside [0, {classes - 1}] ({classes} classes)")
        if o.refresh_every and o.refresh_delay > o.refresh_every:
            raise InputError(f"refresh_delay = {o.refresh_delay} is outside [1, {o.refresh_every}] (refresh_every)")
        if o.refresh_every and similarity.rows > 1:
            raise InputError(f"refresh_every = {o.refresh_every}: queues of sub-centers are filled by batches only")
        self.refresh_every = o.refresh_every if o.K else 0
        self.queue = HardNegativeQueue(classes, o.K) if o.K else None
        self.rebuild: Rebuild | None = None
        self.register_buffer("adopt", torch.tensor(-1))  # the step before which the latest rebuild is adopted
        self._means: tuple[Tensor, Tensor] | None = None

    def observe(self, y: Tensor, ids: Tensor, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Fill the queues from a batch, start and adopt rebuilds, advance the step.

        x (B, D): its embeddings, needed where center_update is ema. Raises InputError where x or cos is missing.
        """
        if cos is None and self.queue is not None:
            raise InputError("queued centers need the cosines of the active classes: compute = dense")
        if self.options.center_update == "ema":
            self._means = self._mean_directions(y, x)
        if self.queue is not None and int(self.step) >= self.options.warmup and len(y):  # a shard may own none
            self._feed(y, ids, cos.detach())
        super().observe(y, ids, cos)
        self._refresh(int(self.step))

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Move the rows that gradients have reached since the last call, or that ema moves, and no others."""
        super().apply_updates(lr, scale)
        if self._means is not None:
            (own, means), self._means = self._means, None
            rows = unit(self.bank.gather(own))[0]
            rows = torch.lerp(rows, means[:, None].to(rows), self.options.beta)
            self.bank.write(own, unit(rows)[0], generator(self.seed, f"rounding {int(self.step)}"))

    def hard(self, own: Tensor, limit: int) -> Tensor:
        """The classes (h,) in the queues of the classes own (P,), without those themselves: the `limit` best scores."""
        if self.queue is None or int(self.step) < self.options.warmup:
            return own[:0]
        ids, scores = self.queue.of(own).long().flatten(), self.queue.scores[own].float().flatten()
        good = (ids >= 0) & ~torch.isin(ids, own)
        ids, at = ids[good].unique(return_inverse=True)
        best = scores.new_full((len(ids),), -torch.inf).scatter_reduce_(0, at, scores[good], "amax")
        return ids[best.argsort(descending=True, stable=True)[:limit]]

    def _certain(self, own: Tensor) -> Tensor:
        room = max(0, self.max_active - len(own))
        return torch.cat([own, self.hard(own, round((1 - self.options.explore) * room))]).sort().values

    def _moving(self, ids: Tensor, own: Tensor) -> Tensor | slice | None:
        if self.options.center_update == "mutual":
            return super()._moving(ids, own)
        return torch.searchsorted(ids, own) if self.options.center_update == "positive" else None

    def _mean_directions(self, y: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
        """The classes (P,) of a batch and the mean directions (P, D) of their samples."""
        if x is None:
            raise InputError("center_update = ema: observe needs the embeddings x as well")
        own, at = y.cpu().unique(return_inverse=True)
        sums = torch.zeros(len(own), x.shape[1], dtype=full(x).dtype).index_add_(0, at, unit(full(x).cpu())[0])
        return own, unit(sums)[0]

    def _feed(self, y: Tensor, ids: Tensor, cos: Tensor) -> None:
        """Merge into the queues of the batch's classes the active classes that are hardest for their samples."""
        options = self.options
        own, at = y.unique(return_inverse=True)
        columns = torch.searchsorted(ids, own)
        if options.criterion == "misclassified":
            cos = cos - add_angle(cos.gather(1, columns[at][:, None]), options.margin)
        best = by_class(cos, at, len(own)).scatter_(1, columns[:, None], -torch.inf)
        top = best.topk(min(options.K, len(ids) - 1), dim=1)
        own, candidates = own.cpu(), ids[top.indices].cpu()
        scores = self._between(own, candidates)
        if options.criterion == "misclassified":
            candidates = candidates.masked_fill(top.values.cpu() <= 0, -1)  # an empty place
        self.queue.merge(own, candidates, scores, conflict=options.conflict, max_age=options.max_age)

    def _between(self, own: Tensor, candidates: Tensor) -> Tensor:
        """Cosines (P, M) of the centers of classes own (P,) and candidates (P, M); the largest over sub-centers."""
        W, other = unit(self.bank.gather(own))[0], unit(self.bank.gather(candidates.flatten()))[0]
        other = other.view(*candidates.shape, *other.shape[1:])
        return torch.einsum("psd,pmtd->pmst", W, other).amax(dim=(2, 3))

    def _refresh(self, step: int) -> None:
        """Adopt the rebuild that is due before step `step`, and start the next one when it is time."""
        options = self.options
        if int(self.adopt) == step:
            self.queue, self.rebuild = self.rebuild.result(), None
        since = step - options.warmup
        if self.refresh_every and since >= 0 and since % self.refresh_every == 0:
            make = partial(self.queue.rebuild, quantize(self.weight), options.index, conflict=options.conflict)
            self.rebuild = Rebuild(make)
            self.adopt.fill_(step + options.refresh_delay)

    def _queues(self) -> dict[str, HardNegativeQueue]:
        """The queues of a checkpoint by name: the one in use and, where there are rebuilds, the next one."""
        queues = {"queue": self.queue} if self.queue is not None else {}
        if self.refresh_every:
            queues["next"] = self.rebuild.result() if self.rebuild else HardNegativeQueue(self.classes, self.options.K)
        return queues

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

    def __deepcopy__(self, memo: dict[int, Any]) -> "QueuedCenters":
        """A copy without waiting gradients; a rebuild under way is shared, and adopted by both."""
        return copy_without(self, memo, _reached={}, rebuild=self.rebuild)


class Rebuild:
    """Builds new queues in a thread, which is stopped when this object is collected.

    make is called with stop=, a function that returns whether to stop.
    """

    def __init__(self, make: Callable[..., HardNegativeQueue]) -> None:
        stop, self._made = threading.Event(), Future()
        thread = threading.Thread(target=fulfil, args=(self._made, make, stop.is_set), daemon=True)
        thread.start()
        weakref.finalize(self, end, thread, stop)  # when it is collected, and before the process exits

    def result(self) -> HardNegativeQueue:
        """The new queues; waits for the thread and raises its error."""
        return self._made.result()


def fulfil(promise: Future, make: Callable[..., HardNegativeQueue], stop: Callable[[], bool]) -> None:
    """Set the result of a future, or the exception."""
    try:
        promise.set_result(make(stop=stop))
    except Exception as error:
        promise.set_exception(error)


def end(thread: threading.Thread, stop: threading.Event) -> None:
    """Stop a thread and wait for it: a process that exits with one inside torch aborts."""
    stop.set()
    if thread is not threading.current_thread():
        thread.join()


def by_class(values: Tensor, at: Tensor, classes: int) -> Tensor:
    """The largest of the values (B, n) of each class's samples, (classes, n); at (B,): the class of each sample."""
    order, count = at.argsort(stable=True), at.bincount(minlength=classes)
    first = count.cumsum(0) - count
    best = values[order[first]]
    for i in range(1, int(count.max())):  # scatter_reduce gives the same 20 times slower
        more = (count > i).nonzero()[:, 0]
        best[more] = torch.maximum(best[more], values[order[first[more] + i]])
    return best
