"""MarginSoftmax: similarity, margin, scale, criterion, weighting and extra terms composed into the loss of a training.

Reading (forward, margin_logits, from_cosines) never changes anything; `observe` advances the state; `step` does both on
one comparison of the batch with the centers; `replace` is the one way to change a parameter.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.centers.base import ClassSet, Selected
from workbench.core.distributed import once, processes
from workbench.core.errors import InputError, unknown
from workbench.core.geometry import full
from workbench.core.parameters import Declared
from workbench.losses.criteria import CrossEntropy, Mean
from workbench.losses.rows import DenseRows
from workbench.losses.scales import Fixed, Scale
from workbench.losses.sharded import ShardedDense, ShardedStreaming, ShardedTiling
from workbench.losses.streaming import StreamingRows, Tiling
from workbench.losses.tiles import LARGE, way
from workbench.margins.base import Margin, State

PARTS = ("scale", "margin", "criterion", "weighting")


class Loss(NamedTuple):
    """total: what to differentiate, a scalar; per_sample (B,); terms: the named parts of the total."""

    total: Tensor
    per_sample: Tensor
    terms: dict[str, Tensor]


COMPUTE = ("auto", "dense", "streaming")
PRECISION = ("fp32", "bf16")
MANY = LARGE  # cosines in a batch from which tiles, then compiled, are the faster way (`workbench bench heads`)


class Compared(NamedTuple):
    """A batch beside the centers: embeddings x (B, D), the classes met, lengths norm (B, 1), similarities cos (B, n).

    cos is None where the classes are met tile by tile, x where only cosines were given.
    """

    x: Tensor | None
    met: Selected
    norm: Tensor
    cos: Tensor | None


class MarginSoftmax(nn.Module):
    """A loss over margined similarities; with the defaults -log(e^{sT} / (e^{sT} + sum_j e^{sN_j}))   (NPCFace Eq. 13).

    Each argument is one axis: the logit transform, the class set (with its similarity), the scale, the criterion, the
    weighting of samples, the extra terms. compute: "dense" compares the batch with all its classes at once, "streaming"
    tile by tile; precision: "bf16" does the matrix products of streaming in bfloat16. Embeddings x (B, D) come
    un-normalised, labels y (B,) as long. `learned` holds what margin and criterion give to the optimiser. Raises
    InputError for shapes that do not fit, labels outside 0..C-1 and embeddings of norm 0. `build` and `replace` warn
    where parameters break a condition of the paper.
    """

    def __init__(
        self,
        margin: Margin,
        centers: ClassSet,
        scale: Scale = Fixed(),  # noqa: B008
        criterion: CrossEntropy = CrossEntropy(),  # noqa: B008
        weighting: Mean = Mean(),  # noqa: B008
        terms: tuple[Any, ...] = (),
        seed: int = 0,
        compute: str = "dense",
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        for option, value, known in (("compute", compute, COMPUTE), ("precision", precision, PRECISION)):
            if value not in known:
                raise unknown(option, value, known)
        self.compute, self.precision = compute, precision
        self.margin, self.centers, self.scale = margin, centers, scale
        self.criterion, self.weighting, self.terms = criterion, weighting, terms
        classes, dim = centers.classes, centers.dim
        for part in (margin, scale, *terms):
            for name, value in part.init(classes, dim, seed).items():
                self.register_buffer(f"state_{name}", value)
        own = margin.learned(classes, dim, seed) | criterion.learned(classes)
        self.learned = nn.ParameterDict({name: nn.Parameter(value) for name, value in own.items()})

    @property
    def state(self) -> State:
        """A copy of the state: what survives between batches, by name."""
        return {name: value.clone() for name, value in self._state().items()}

    @property
    def s(self) -> float:
        """The scale now; NaN where each sample has its own."""
        value = self.scale.value(torch.full((1, 1), torch.nan), self._state())
        return float(value)

    def parameters_now(self) -> dict[str, Any]:
        """The value of every parameter, by name; `replace` changes those."""
        return {
            name: getattr(part, name)
            for part in (*self._parts(), self.centers.similarity)
            for name in part.parameters()
        }

    def replace(self, **changes: Any) -> None:
        """Change parameters by name; the state stays. All or nothing: a bad value changes none. Warns of a caution."""
        self.change(changes)
        warn_of(self, stacklevel=3)

    def change(self, changes: Mapping[str, Any]) -> None:
        """What `replace` does, for a training: a thread of its own has nobody to warn."""
        known = self.parameters_now()
        fixed = self.centers.similarity.parameters()
        for name, value in changes.items():
            if name not in known:
                raise unknown(f"parameter of {type(self.margin).__name__}", name, known)
            if name in fixed and value != known[name]:
                raise InputError(f"{name} = {value}: it is {known[name]:g} and cannot change once the centers are made")
        made = [replaced(part, changes) for part in self._parts()]
        self.scale, self.margin, self.criterion, self.weighting, *terms = made
        self.terms = tuple(terms)

    @torch.no_grad()
    def settle(self, lr: float) -> None:
        """After the optimiser's step at rate lr: what moves by itself moves, what has a range is put into it."""
        self.centers.settle(lr)
        self.margin.project(self.learned)

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        """The loss of a batch; reads only."""
        x, y = self.centers.batch(x, y)
        return self._loss(self._compare(x, y), x, y)

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Advance the state by a batch."""
        x, y = self.centers.batch(x, y)
        self._advance(self._compare(x, y), x, y)

    def step(self, x: Tensor, y: Tensor) -> Loss:
        """Observe the batch, then its loss: what training calls (released code also updates before use)."""
        x, y = self.centers.batch(x, y)
        seen = self._compare(x, y)
        self._advance(seen, x, y)
        return self._loss(seen, x, y)

    def margin_logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B, C) before scale: T in the target column, N elsewhere; of the classes met, where not all are."""
        x, y = self.centers.batch(x, y)
        check_batch(x, y, self.centers.classes, self.centers.dim)
        met = self.centers.select(y)
        cos = self.centers.similarity(x, met.W, met.bias)
        with torch.autocast(x.device.type, enabled=False):
            norm = full(x).norm(dim=1, keepdim=True)
            return self._rows(Compared(x, met, norm, cos), self._state()).logits

    def from_cosines(self, cos: Tensor, y: Tensor, norm: Tensor | None = None) -> Loss:
        """The loss of given similarities cos (B, C) with targets y (B,) and embedding lengths norm (B, 1) (1 if None).

        Reads only. Extra terms, which need the embeddings themselves, are left out.
        """
        norm = torch.ones_like(cos[:, :1]) if norm is None else norm
        return self._reduce(Compared(None, Selected(self.centers.weight, None, y), norm, cos))

    def streams(self, batch: int, rows: int | None = None) -> bool:
        """Whether a batch meets its classes tile by tile; rows: of the weight that it meets, None: all of them."""
        if self.compute != "auto":
            return self.compute == "streaming"
        return not self.centers.wants_cosines and batch * (rows or len(self.centers.weight)) > MANY

    def how(self, batch: int) -> str:
        """In a sentence, how a batch of this size is compared with all classes, and why."""
        size = f"{batch:,} x {len(self.centers.weight):,} cosines"
        chosen = "streaming" if self.streams(batch) else "dense"
        tiles = ""
        if chosen == "streaming" and (said := way(self.margin, batch, self.centers.classes)) != "eager":
            tiles = f"; tiles {said}"
        if self.compute != "auto":
            return f"{chosen}, as asked: {size}{tiles}"
        if chosen == "dense":
            return f"dense: {size} are few enough ({MANY:,}) to be held at once"
        megabytes = batch * len(self.centers.weight) * 4 / 2**20
        return f"streaming: {size} would take {megabytes:,.0f} MiB an array; above {MANY:,} tiles are faster{tiles}"

    def _parts(self) -> tuple[Declared, ...]:
        return (self.scale, self.margin, self.criterion, self.weighting, *self.terms)

    def _state(self) -> State:
        """The buffers by name; scalars copied, since a later batch writes them while a gradient may still need them."""
        found = {name: value for name, value in self.named_buffers(recurse=False) if name.startswith("state_")}
        return {
            name.removeprefix("state_"): value.clone() if value.ndim == 0 else value for name, value in found.items()
        }

    def _compare(self, x: Tensor, y: Tensor) -> Compared:
        check_batch(x, y, self.centers.classes, self.centers.dim)
        met = self.centers.select(y)
        # processes must agree, whose numbers of rows may differ by a few
        rows = len(met.W) if met.whole is None else met.whole.classes * self.centers.sub // processes()
        cos = None if self.streams(len(x), rows) else self.centers.similarity(x, met.W, met.bias)
        return Compared(x, met, full(x).norm(dim=1, keepdim=True), cos)

    def _rows(self, seen: Compared, state: State, s: float | Tensor = 1.0) -> DenseRows | StreamingRows:
        """The row statistics of a batch; what is learned for each class comes with the classes it met."""
        met, learned = seen.met, dict(self.learned)
        _, ids = met.everywhere
        if ids is not None:
            learned = {name: v[ids] if v.ndim else v for name, v in learned.items()}
        if seen.cos is not None:
            given = (self.margin, seen.cos, seen.norm, met.y[:, None], learned, state, s)
            return DenseRows(*given) if met.whole is None else ShardedDense(*given, met.whole)
        tiling, rows = (Tiling, StreamingRows) if met.whole is None else (ShardedTiling, ShardedStreaming)
        tiling = tiling(self.margin, met, self.centers.similarity, learned, state, self.precision == "bf16")
        return rows(tiling, self.centers.similarity.prepare(seen.x), seen.norm, self.criterion, s)

    @torch.no_grad()
    def _advance(self, seen: Compared, x: Tensor, y: Tensor) -> None:
        state = self._state()
        with torch.autocast(x.device.type, enabled=False):
            rows = self._rows(seen, state, self.scale.value(seen.norm, state))
            new = self.margin.observe(rows.pos, seen.norm, self.centers.weight, state)
            new = new | self.scale.observe(rows.pos, rows, state)
            for term in self.terms:
                new = new | term.observe(full(x), y, state)
            self.centers.observe(y, seen.met.ids, seen.cos, full(x))
        for name, value in new.items():
            self.get_buffer(f"state_{name}").copy_(value)

    def _reduce(self, seen: Compared) -> Loss:
        state = self._state()
        with torch.autocast(seen.norm.device.type, enabled=False):  # margin arithmetic stays in float32
            rows = self._rows(seen, state, self.scale.value(seen.norm, state))
            per_sample = self.criterion(rows, rows.params).squeeze(1)
            terms = {self.criterion.name: self.weighting(per_sample)}
            penalty = self.margin.penalty(rows.ctx, rows.params)
        if penalty is not None:
            terms["penalty"] = penalty
        return Loss(sum(terms.values()), per_sample, terms)

    def _loss(self, seen: Compared, x: Tensor, y: Tensor) -> Loss:
        loss = self._reduce(seen)
        if self.terms:
            state = self._state()
            with torch.autocast(x.device.type, enabled=False):
                extra = {term.name: term(full(x), y, state) for term in self.terms}
            loss = Loss(loss.total + sum(extra.values()), loss.per_sample, loss.terms | extra)
        return loss if seen.met.whole is None else loss._replace(total=once(loss.total))


def warn_of(objective: MarginSoftmax, stacklevel: int) -> None:
    """Warn, as the caller's caller, where parameters break a condition of the paper."""
    if said := objective.margin.caution(objective.s):
        warnings.warn(said, stacklevel=stacklevel)


def replaced(part: Declared, changes: Mapping[str, Any]) -> Declared:
    """The part with those of the changes that are its own."""
    own = {name: value for name, value in changes.items() if name in part.parameters()}
    return dataclasses.replace(part, **own) if own else part


def check_batch(x: Tensor, y: Tensor, classes: int, dim: int) -> None:
    """One clear line for a batch that does not fit. On a GPU the values are not read here: that would wait for it."""
    if x.ndim != 2 or x.shape[1] != dim or len(x) == 0:
        raise InputError(f"embeddings have shape {tuple(x.shape)}; expected (B, {dim}) with B of at least 1")
    if y.shape != x.shape[:1] or y.dtype != torch.long:
        raise InputError(f"labels have shape {tuple(y.shape)} and type {y.dtype}; expected ({len(x)},) and torch.int64")
    if x.device.type != "cpu":
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise InputError(f"label {low if low < 0 else high} is outside 0..{classes - 1} ({classes} classes)")
    zero = (x.detach() == 0).all(dim=1)
    if zero.any():
        raise InputError(f"the embedding of sample {int(zero.nonzero()[0])} of the batch has norm 0, so no direction")
