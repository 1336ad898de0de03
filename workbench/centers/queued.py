"""QueuedCenters: active are the classes of the batch, hard negatives from per-class queues, and random others.

A reconstruction from the abstract of MutualFace (Chen et al. 2026), which describes a dynamic repository of hard
negative centers per class and a mutual interaction of samples and centers; everything else is an interpretation.
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
    """Partial FC with hard negatives in place of a part of the random ones: P, H and R, `max_active` classes in total.

    P  the classes of the batch
    H  classes from the queues of P with the highest scores, at most a share 1 - explore of the remaining classes
    R  random others (exploration): the rest; before `warmup` steps and with K = 0, H is empty

    All samples are compared with all active classes (shared negatives). center_update:
    mutual    every active row is updated by its full gradient, as in a full classifier
    positive  only the classes of the batch are updated
    ema       they move towards the mean direction of their samples, W_y <- (1 - beta) W_y + beta mean(x / |x|), and are
              normalized
    none      no row is updated

    observe fills the queues after warm-up: for each class of the batch, with the K active classes nearest to its
    samples, scored by the cosine of the two centers (criterion "hardest": nearest by cosine; "misclassified": by the
    cosine minus cos(theta_y + margin), where that is positive). Classes nearer than `conflict` are treated as one
    identity and not used as hard negatives. max_age: visits of a class after which an unseen entry is dropped.

    refresh_every > 0: every refresh_every steps after warm-up, a thread rebuilds the queues from an int8 copy of all
    centers at step k (mining.index `index`). They are used from step k + refresh_delay on; training waits if the
    rebuild is late, so a replay is bitwise identical if the index is deterministic. A checkpoint in between waits for
    the new queues and contains them. A million classes take some minutes on two cores.

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
        self.register_buffer("adopt", torch.tensor(-1))  # the step from which on the latest rebuild is used
        self._means: tuple[Tensor, Tensor] | None = None

    def observe(self, y: Tensor, ids: Tensor, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Fill the queues from a batch, start rebuilds and use their results, advance the step.

        x (B, D): embeddings, needed for center_update = ema. Raises InputError if x or cos is needed and missing.
        """
        if cos is None and self.queue is not None:
            raise InputError("queued centers need the cosines of the active classes: compute = dense")
        if self.options.center_update == "ema":
            self._means = self._mean_directions(y, x)
        if self.queue is not None and int(self.step) >= self.options.warmup and len(y):  # a shard may own no label
            self._fill_queues(y, ids, cos.detach())
        super().observe(y, ids, cos)
        self._refresh(int(self.step))

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Update the rows that have received gradients since the last call, or that ema updates, and no others."""
        super().apply_updates(lr, scale)
        if self._means is not None:
            (present, means), self._means = self._means, None
            rows = unit(self.bank.gather(present))[0]
            rows = torch.lerp(rows, means[:, None].to(rows), self.options.beta)
            self.bank.write(present, unit(rows)[0], generator(self.seed, f"rounding {int(self.step)}"))

    def hard_negatives(self, present: Tensor, limit: int) -> Tensor:
        """At most `limit` classes (h,) from the queues of classes present (P,), highest scores first, without P."""
        if self.queue is None or int(self.step) < self.options.warmup:
            return present[:0]
        ids, scores = self.queue.of(present).long().flatten(), self.queue.scores[present].float().flatten()
        usable = (ids >= 0) & ~torch.isin(ids, present)
        ids, at = ids[usable].unique(return_inverse=True)
        best = scores.new_full((len(ids),), -torch.inf).scatter_reduce_(0, at, scores[usable], "amax")
        return ids[best.argsort(descending=True, stable=True)[:limit]]

    def _required_classes(self, present: Tensor) -> Tensor:
        room = max(0, self.max_active - len(present))
        hard = self.hard_negatives(present, round((1 - self.options.explore) * room))
        return torch.cat([present, hard]).sort().values

    def _update_positions(self, ids: Tensor, present: Tensor) -> Tensor | slice | None:
        if self.options.center_update == "mutual":
            return super()._update_positions(ids, present)
        return torch.searchsorted(ids, present) if self.options.center_update == "positive" else None

    def _mean_directions(self, y: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
        """The classes (P,) of a batch and the mean directions (P, D) of their samples."""
        if x is None:
            raise InputError("center_update = ema: observe needs the embeddings x as well")
        present, at = y.cpu().unique(return_inverse=True)
        sums = torch.zeros(len(present), x.shape[1], dtype=full(x).dtype).index_add_(0, at, unit(full(x).cpu())[0])
        return present, unit(sums)[0]

    def _fill_queues(self, y: Tensor, ids: Tensor, cos: Tensor) -> None:
        """Merge the active classes that are hardest for the samples of a class into its queue."""
        options = self.options
        present, at = y.unique(return_inverse=True)
        columns = torch.searchsorted(ids, present)
        if options.criterion == "misclassified":
            cos = cos - add_angle(cos.gather(1, columns[at][:, None]), options.margin)
        best = max_by_class(cos, at, len(present)).scatter_(1, columns[:, None], -torch.inf)
        top = best.topk(min(options.K, len(ids) - 1), dim=1)
        present, candidates = present.cpu(), ids[top.indices].cpu()
        scores = self._center_cosines(present, candidates)
        if options.criterion == "misclassified":
            candidates = candidates.masked_fill(top.values.cpu() <= 0, -1)  # -1: no candidate
        self.queue.merge(present, candidates, scores, conflict=options.conflict, max_age=options.max_age)

    def _center_cosines(self, present: Tensor, candidates: Tensor) -> Tensor:
        """Cosines (P, M) of the centers of classes present (P,) and candidates (P, M); the largest over sub-centers."""
        W, other = unit(self.bank.gather(present))[0], unit(self.bank.gather(candidates.flatten()))[0]
        other = other.view(*candidates.shape, *other.shape[1:])
        return torch.einsum("psd,pmtd->pmst", W, other).amax(dim=(2, 3))

    def _refresh(self, step: int) -> None:
        """Use the result of the rebuild that is due before step `step`, and start the next rebuild if it is due."""
        options = self.options
        if int(self.adopt) == step:
            self.queue, self.rebuild = self.rebuild.result(), None
        since = step - options.warmup
        if self.refresh_every and since >= 0 and since % self.refresh_every == 0:
            make = partial(self.queue.rebuild, quantize(self.weight), options.index, conflict=options.conflict)
            self.rebuild = Rebuild(make)
            self.adopt.fill_(step + options.refresh_delay)

    def _queues(self) -> dict[str, HardNegativeQueue]:
        """The queues of a checkpoint by name: those in use and, with rebuilds, the next ones."""
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
                self.rebuild = Rebuild(lambda stop, result=queue: result)
        super()._load_from_state_dict(state, prefix, meta, strict, missing, *rest)

    def __deepcopy__(self, memo: dict[int, Any]) -> "QueuedCenters":
        """A copy without registered updates; a running rebuild is shared, and both use its result."""
        return copy_without(self, memo, _updates={}, rebuild=self.rebuild)


class Rebuild:
    """Builds new queues in a thread, which is stopped when this object is garbage-collected.

    make: called with stop=, a function that returns whether to stop.
    """

    def __init__(self, make: Callable[..., HardNegativeQueue]) -> None:
        stop, self._future = threading.Event(), Future()
        thread = threading.Thread(target=set_result, args=(self._future, make, stop.is_set), daemon=True)
        thread.start()
        weakref.finalize(self, stop_thread, thread, stop)  # at garbage collection, and before the process exits

    def result(self) -> HardNegativeQueue:
        """The new queues; waits for the thread and raises its error."""
        return self._future.result()


def set_result(future: Future, make: Callable[..., HardNegativeQueue], stop: Callable[[], bool]) -> None:
    """Set the result of a future, or its exception."""
    try:
        future.set_result(make(stop=stop))
    except Exception as error:
        future.set_exception(error)


def stop_thread(thread: threading.Thread, stop: threading.Event) -> None:
    """Stop a thread and wait for it: a process that exits while a thread is inside torch aborts."""
    stop.set()
    if thread is not threading.current_thread():
        thread.join()


def max_by_class(values: Tensor, at: Tensor, classes: int) -> Tensor:
    """Maximum (classes, n) of values (B, n) over the samples of each class; at (B,): the class of each sample."""
    order, count = at.argsort(stable=True), at.bincount(minlength=classes)
    first = count.cumsum(0) - count
    best = values[order[first]]
    for i in range(1, int(count.max())):  # scatter_reduce is 20 times slower
        more = (count > i).nonzero()[:, 0]
        best[more] = torch.maximum(best[more], values[order[first[more] + i]])
    return best
