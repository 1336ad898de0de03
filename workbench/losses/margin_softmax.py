"""MarginSoftmax: similarity, margin, scale, criterion, weighting and extra terms, composed into one loss.

Reading (loss, margin_logits, from_cosines) changes nothing; `observe` advances the state; `forward` in train mode and
`step` do both on one comparison of the batch with the centers; `replace` changes a parameter.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.centers.base import ActiveClasses, ClassSet
from workbench.core.distributed import divide_gradient, processes
from workbench.core.errors import InputError, unknown
from workbench.core.geometry import full
from workbench.core.parameters import Declared
from workbench.losses.base import IGNORE_INDEX, Loss, Objective
from workbench.losses.compilation import LARGE, way
from workbench.losses.criteria import CrossEntropy, Mean
from workbench.losses.link import register
from workbench.losses.rows import DenseRows
from workbench.losses.scales import Fixed, Scale
from workbench.losses.sharded import ShardedDense, ShardedStreaming, ShardedTiling
from workbench.losses.streaming import StreamingRows, Tiling
from workbench.margins.base import Margin, State

COMPUTE = ("auto", "dense", "streaming")
PRECISION = ("fp32", "bf16")
MANY = LARGE  # cosines in a batch above which compute="auto" streams them in tiles (`workbench bench heads`)


class Batch(NamedTuple):
    """A batch and what it is compared with: x (B, D), active classes, norm (B, 1) = |x|, cos (B, n).

    cos is None where the classes are streamed in tiles; x and y are None where only cosines were given.
    """

    x: Tensor | None
    y: Tensor | None
    active: ActiveClasses
    norm: Tensor
    cos: Tensor | None


class MarginSoftmax(Objective):
    """Softmax loss with margins; with the defaults -log(e^{sT} / (e^{sT} + sum_{j != y} e^{sN_j}))   (NPCFace Eq. 13).

    Each argument is one part: the margin, the class set (with its similarity), the scale, the criterion, the weighting
    of samples, the extra terms. compute: "dense" holds all cosines of a batch at once, "streaming" computes them in
    tiles; precision: "bf16" does the matrix products of streaming in bfloat16. Embeddings x (B, D) are not normalized;
    rows with the label `ignore_index` are left out. `build` and `replace` warn where parameters violate a condition of
    the paper. Raises InputError as `Objective` does.
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
        ignore_index: int = IGNORE_INDEX,
    ) -> None:
        super().__init__(ignore_index)
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
        learned = margin.learned(classes, dim, seed) | criterion.learned(classes)
        self.learned = nn.ParameterDict({name: nn.Parameter(value) for name, value in learned.items()})
        if type(margin).project is not Margin.project:
            register(self)  # the step of an optimizer is followed by a projection, also of compiled code

    @property
    def s(self) -> float:
        """The current scale; NaN where each sample has its own."""
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
        """Change parameters by name; the state is kept. An invalid value changes none. Warns as `build` does."""
        self.change(changes)
        warn_of(self, stacklevel=3)

    def change(self, changes: Mapping[str, Any]) -> None:
        """`replace` without its warnings."""
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
    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        self.centers.apply_updates(lr, scale)
        self.margin.project(self.learned)

    def _loss(self, x: Tensor, y: Tensor, advance: bool = False, again: bool = False) -> Loss:
        batch = self._compare(x, y, again)  # the active classes W, |x| and cos(x, W)
        if advance:
            self._observe(batch)  # t, mu, sigma, s, class means: before the batch uses them
        return self._reduce(batch)

    def _reduce(self, batch: Batch) -> Loss:
        """L = weighting(L_1, ..., L_B) + penalty + extra terms,  T_i = T(cos_iy), N_ij = N(cos_ij)

        L_i = -log( e^{s T_i} / (e^{s T_i} + sum_{j != y} e^{s N_ij}) )      (NPCFace Eq. 13)
        """
        state = self._state()
        with torch.autocast(batch.norm.device.type, enabled=False):  # margin arithmetic stays in float32
            s = self.scale.value(batch.norm, state)
            rows = self._rows(batch, state, s)  # T_i and log sum_{j != y} e^{s N_ij}
            per_sample = self.criterion(rows, rows.params).squeeze(1)  # L_i
            terms = {self.criterion.name: self.weighting(per_sample)}
            penalty = self.margin.penalty(rows.ctx, rows.params)
            terms |= {} if penalty is None else {"penalty": penalty}
            if batch.x is not None:
                terms |= {term.name: term(full(batch.x), batch.y, state) for term in self.terms}
        total = sum(terms.values())
        return Loss(total if batch.active.ranks is None else divide_gradient(total), per_sample, terms)

    def margin_logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B, n) before scale: T in the target column, N elsewhere; n: the active classes. Reads only."""
        x, y = self._sharded(*self.check(x, y))
        active = self.centers.select(y)
        cos = self.centers.similarity(x, active.W, active.bias)
        with torch.autocast(x.device.type, enabled=False):
            norm = full(x).norm(dim=1, keepdim=True)
            return self._rows(Batch(x, y, active, norm, cos), self._state()).logits

    def from_cosines(self, cos: Tensor, y: Tensor, norm: Tensor | None = None) -> Loss:
        """The loss of given similarities cos (B, C) with targets y (B,) and embedding lengths norm (B, 1) (1 if None).

        Reads only. Extra terms, which need the embeddings themselves, are left out.
        """
        norm = torch.ones_like(cos[:, :1]) if norm is None else norm
        return self._reduce(Batch(None, None, ActiveClasses(self.centers.weight, None, y), norm, cos))

    def streams(self, batch: int, rows: int | None = None) -> bool:
        """Whether the cosines of a batch are computed in tiles; rows: active rows of the weight, None: all of them."""
        if self.compute != "auto":
            return self.compute == "streaming"
        return not self.centers.wants_cosines and batch * (rows or len(self.centers.weight)) > MANY

    def how(self, batch: int) -> str:
        """A sentence: how the cosines of a batch of this size are computed, and why."""
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
        """The state by name; scalars are copies, since a later batch changes them before a gradient may need them."""
        found = {name: value for name, value in self._buffers.items() if name.startswith("state_")}
        return {
            name.removeprefix("state_"): value.clone() if value.ndim == 0 else value for name, value in found.items()
        }

    def _compare(self, x: Tensor, y: Tensor, again: bool = False) -> Batch:
        """The active classes of a batch, its lengths and, unless they are streamed, its cosines."""
        active = self.centers.select(y, again)
        # ranks must agree, although their numbers of active rows may differ by a few
        rows = len(active.W) if active.ranks is None else active.ranks.classes * self.centers.sub // processes()
        cos = None if self.streams(len(x), rows) else self.centers.similarity(x, active.W, active.bias)
        return Batch(x, y, active, full(x).norm(dim=1, keepdim=True), cos)

    def _rows(self, batch: Batch, state: State, s: float | Tensor = 1.0) -> DenseRows | StreamingRows:
        """The row statistics of a batch; parameters learned per class are those of its active classes."""
        active, learned = batch.active, dict(self.learned.items())
        _, ids = active.on_all_ranks
        if ids is not None:
            learned = {name: v[ids] if v.ndim else v for name, v in learned.items()}
        if batch.cos is not None:
            given = (self.margin, batch.cos, batch.norm, active.y[:, None], learned, state, s)
            return DenseRows(*given) if active.ranks is None else ShardedDense(*given, active.ranks)
        tiling, rows = (Tiling, StreamingRows) if active.ranks is None else (ShardedTiling, ShardedStreaming)
        tiling = tiling(self.margin, active, self.centers.similarity, learned, state, self.precision == "bf16")
        return rows(tiling, self.centers.similarity.prepare(batch.x), batch.norm, self.criterion, s)

    def _advance(self, x: Tensor, y: Tensor) -> None:
        self._observe(self._compare(x, y))

    @torch.no_grad()
    def _observe(self, batch: Batch) -> None:
        """Advance the state of margin, scale, terms and class set by a batch."""
        x, y, norm, state = full(batch.x), batch.y, batch.norm, self._state()
        with torch.autocast(x.device.type, enabled=False):
            rows = self._rows(batch, state, self.scale.value(norm, state))
            W = self.centers.of_all_ranks(self.margin.reads_centers(state))
            new = self.margin.observe(rows.pos, norm, W, state)
            new = new | self.scale.observe(rows.pos, rows, state)
            for term in self.terms:
                new = new | term.observe(x, y, state)
            self.centers.observe(y, batch.active.ids, batch.cos, x)
        for name, value in new.items():
            self.get_buffer(f"state_{name}").copy_(value)


def warn_of(objective: MarginSoftmax, stacklevel: int) -> None:
    """Warn where parameters violate a condition of the paper."""
    caution = objective.margin.caution(objective.s)
    if caution:
        warnings.warn(caution, stacklevel=stacklevel)


def replaced(part: Declared, changes: Mapping[str, Any]) -> Declared:
    """The part with those of the changes that are its own."""
    own = {name: value for name, value in changes.items() if name in part.parameters()}
    return dataclasses.replace(part, **own) if own else part
