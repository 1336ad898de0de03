"""MarginSoftmax: softmax loss of a margin, a class set, a scale, a criterion, a weighting of samples and extra terms.

The loss is computed in `MarginSoftmax._loss`. `loss`, `margin_logits` and `from_cosines` do not change the state;
`observe` advances it; `forward` in train mode and `step` do both and compute the cosines once; `replace` changes
parameters.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.centers.base import ActiveClasses, ClassSet
from workbench.core.distributed import processes, scale_gradient
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
MANY = LARGE  # cosines in a batch above which compute="auto" chooses streaming (`workbench bench heads`)


class ComparedBatch(NamedTuple):
    """A batch compared with the class centers: x (B, D), labels y (B,), active classes, norm (B, 1) = |x|, cos (B, n).

    cos is None with streaming; x and y are None if only cosines were given.
    """

    x: Tensor | None
    y: Tensor | None
    active: ActiveClasses
    norm: Tensor
    cos: Tensor | None


class MarginSoftmax(Objective):
    """Softmax loss with margins; by default -log(e^{sT} / (e^{sT} + sum_{j != y} e^{sN_j}))   (NPCFace Eq. 13).

    margin, centers (with their similarity), scale, criterion, weighting, terms: the parts of the loss. compute: "dense"
    holds all cosines of a batch in memory, "streaming" computes them in tiles, "auto" chooses by size; precision:
    "bf16" computes the matrix products of streaming in bfloat16. Embeddings x (B, D) are not normalized; rows with the
    label `ignore_index` are ignored. `build` and `replace` warn if parameters violate a condition of the paper. Raises
    InputError for an unknown compute or precision, and as `Objective` does.
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
        learned = margin.learned_parameters(classes, dim, seed) | criterion.learned_parameters(classes)
        self.learned = nn.ParameterDict({name: nn.Parameter(value) for name, value in learned.items()})
        if type(margin).project is not Margin.project:
            register(self)  # an optimizer's step is followed by the projection, also with compiled code

    @property
    def s(self) -> float:
        """The current scale; NaN if it differs between samples."""
        value = self.scale.value(torch.full((1, 1), torch.nan), self._state())
        return float(value)

    def parameters_now(self) -> dict[str, Any]:
        parts = (*self._parts(), self.centers.similarity)
        return {name: getattr(part, name) for part in parts for name in part.parameters()}

    def replace(self, **changes: Any) -> None:
        """Change parameters by name; the state is kept. An invalid value changes nothing. Warns as `build` does."""
        self.change(changes)
        warn_caution(self, stacklevel=3)

    def change(self, changes: Mapping[str, Any]) -> None:
        known = self.parameters_now()
        fixed = self.centers.similarity.parameters()
        for name, value in changes.items():
            if name not in known:
                raise unknown(f"parameter of {type(self.margin).__name__}", name, known)
            if name in fixed and value != known[name]:
                raise InputError(f"{name} = {value}: it is {known[name]:g} and cannot change once the centers are made")
        self.scale, self.margin, self.criterion, self.weighting, *terms = [
            replace_fields(part, changes) for part in self._parts()
        ]
        self.terms = tuple(terms)

    @torch.no_grad()
    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        self.centers.apply_updates(lr, scale)
        self.margin.project(self.learned)

    def _compare(self, x: Tensor, y: Tensor, again: bool = False) -> ComparedBatch:
        """Active classes, embedding lengths and, unless streaming, cosines of a batch."""
        active = self.centers.select(y, again)
        # the same decision on all ranks, although their numbers of active rows may differ
        rows = len(active.W) if active.ranks is None else active.ranks.classes * self.centers.sub // processes()
        cos = None if self.streams(len(x), rows) else self.centers.similarity(x, active.W, active.bias)
        return ComparedBatch(x, y, active, full(x).norm(dim=1, keepdim=True), cos)

    def _loss(self, batch: ComparedBatch, advance: bool = False) -> Loss:
        """L = weighting(L_1, ..., L_B) + penalty + extra terms

        L_i = -log( e^{s T_i} / (e^{s T_i} + sum_{j != y} e^{s N_ij}) )      (NPCFace Eq. 13)
        T_i = T(cos(theta_iy)),  N_ij = N(cos(theta_ij)):  the functions T and N of the margin
        """
        if advance:
            self._observe(batch)  # t, mu, sigma, ...: before this batch uses them
        state = self._state()
        with torch.autocast(batch.norm.device.type, enabled=False):  # in float32 at least
            s = self.scale.value(batch.norm, state)
            rows = self._rows(batch, state, s)  # T_i and log sum_{j != y} e^{s N_ij}
            per_sample = self.criterion(rows, rows.params).squeeze(1)  # L_i
            terms = {self.criterion.name: self.weighting(per_sample), **self._extra_terms(batch, rows, state)}
        total = sum(terms.values())
        total = total if batch.active.ranks is None else scale_gradient(total, over=processes())
        return Loss(total, per_sample, terms)

    def _extra_terms(self, batch: ComparedBatch, rows: DenseRows | StreamingRows, state: State) -> dict[str, Tensor]:
        """The margin's penalty and the extra terms, by name."""
        penalty = self.margin.penalty(rows.ctx, rows.params)
        terms = {} if penalty is None else {"penalty": penalty}
        if batch.x is not None:
            terms |= {term.name: term(full(batch.x), batch.y, state) for term in self.terms}
        return terms

    def _rows(self, batch: ComparedBatch, state: State, s: float | Tensor = 1.0) -> DenseRows | StreamingRows:
        """The row statistics of a batch; parameters learned per class are those of the active classes."""
        active, learned = batch.active, dict(self.learned.items())
        _, ids = active.on_all_ranks
        if ids is not None:
            learned = {name: v[ids] if v.ndim else v for name, v in learned.items()}
        if batch.cos is not None:
            arguments = (self.margin, batch.cos, batch.norm, active.y[:, None], learned, state, s)
            return DenseRows(*arguments) if active.ranks is None else ShardedDense(*arguments, active.ranks)
        tiling, rows = (Tiling, StreamingRows) if active.ranks is None else (ShardedTiling, ShardedStreaming)
        tiling = tiling(self.margin, active, self.centers.similarity, learned, state, self.precision == "bf16")
        return rows(tiling, self.centers.similarity.prepare(batch.x), batch.norm, self.criterion, s)

    @torch.no_grad()
    def _observe(self, batch: ComparedBatch) -> None:
        """Advance the state of margin, scale, terms and class set by a batch."""
        x, y, norm, state = full(batch.x), batch.y, batch.norm, self._state()
        with torch.autocast(x.device.type, enabled=False):
            rows = self._rows(batch, state, self.scale.value(norm, state))
            W = self.centers.weight_of_all_ranks(self.margin.reads_centers(state))
            new = self.margin.observe(rows.pos, norm, W, state)
            new = new | self.scale.observe(rows.pos, rows, state)
            for term in self.terms:
                new = new | term.observe(x, y, state)
            self.centers.observe(y, batch.active.ids, batch.cos, x)
        for name, value in new.items():
            self.get_buffer(f"state_{name}").copy_(value)

    def margin_logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B, n) of the n active classes before scale: T in the target column, N elsewhere; state unchanged."""
        x, y = self._gather(*self.check(x, y))
        active = self.centers.select(y)
        cos = self.centers.similarity(x, active.W, active.bias)
        with torch.autocast(x.device.type, enabled=False):
            norm = full(x).norm(dim=1, keepdim=True)
            return self._rows(ComparedBatch(x, y, active, norm, cos), self._state()).logits

    def from_cosines(self, cos: Tensor, y: Tensor, norm: Tensor | None = None) -> Loss:
        """The loss of similarities cos (B, C) with targets y (B,) and embedding lengths norm (B, 1) (default: 1).

        The state does not change. Extra terms, which need embeddings, are left out.
        """
        norm = torch.ones_like(cos[:, :1]) if norm is None else norm
        return self._loss(ComparedBatch(None, None, ActiveClasses(self.centers.weight, None, y), norm, cos))

    def streams(self, batch: int, rows: int | None = None) -> bool:
        """Whether the cosines of a batch are computed in tiles. rows: active rows of the weight (default: all)."""
        if self.compute != "auto":
            return self.compute == "streaming"
        return not self.centers.wants_cosines and batch * (rows or len(self.centers.weight)) > MANY

    def how(self, batch: int) -> str:
        """How the cosines of a batch of this size are computed, and why, in one sentence."""
        size = f"{batch:,} x {len(self.centers.weight):,} cosines"
        chosen = "streaming" if self.streams(batch) else "dense"
        tiles = ""
        if chosen == "streaming" and (mode := way(self.margin, batch, self.centers.classes)) != "eager":
            tiles = f"; tiles {mode}"
        if self.compute != "auto":
            return f"{chosen}, as requested: {size}{tiles}"
        if chosen == "dense":
            return f"dense: {size} are few enough ({MANY:,}) to be held at once"
        megabytes = batch * len(self.centers.weight) * 4 / 2**20
        return f"streaming: {size} would take {megabytes:,.0f} MiB an array; above {MANY:,} tiles are faster{tiles}"

    def _parts(self) -> tuple[Declared, ...]:
        return (self.scale, self.margin, self.criterion, self.weighting, *self.terms)

    def _state(self) -> State:
        """The state by name; scalars are copied, since the backward pass may follow a later batch's update of them."""
        return {name: v.clone() if v.ndim == 0 else v for name, v in self._state_buffers().items()}


def warn_caution(objective: MarginSoftmax, stacklevel: int) -> None:
    """Warn if parameters violate a condition of the paper."""
    caution = objective.margin.caution(objective.s)
    if caution:
        warnings.warn(caution, stacklevel=stacklevel)


def replace_fields(part: Declared, changes: Mapping[str, Any]) -> Declared:
    """A part of the loss with those changes that name its fields."""
    values = {name: value for name, value in changes.items() if name in part.parameters()}
    return dataclasses.replace(part, **values) if values else part
