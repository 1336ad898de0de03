"""Row statistics without B x C: the same sums as DenseRows, gathered tile by tile over the classes, and exact.

Forward keeps O(B) numbers; backward computes each tile again and differentiates the margin's own N inside it, so there
is no second formula. N sends no gradient into its context (`Margin.N` says so), which is what makes one pass enough:
the context of the tiles is computed once, from the target cosines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.centers.base import Selected
from workbench.centers.similarity import Cosine
from workbench.formula import called, explained
from workbench.margins.base import Context, Margin, State
from workbench.sphere import full

TILE = 1 << 20  # cosines in a tile: what is made of them stays in the cache
STATISTICS = ("logsumexp", "N_sum", "softplus_sum", "hard_weight", "hard_mean")


@dataclass(frozen=True)
class Tile:
    """A stretch of the classes met, from `start` to `end`: their rows W and bias, and what is compared with them."""

    W: Tensor
    bias: Tensor | None
    start: int
    end: int
    y: Tensor
    similarity: Cosine
    bf16: bool

    def cosines(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The similarities (B, n) of prepared embeddings x to the tile, or to other values of its rows."""
        prepared = self.similarity.prepare(W)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.similarity.compare(x, prepared, bias)

    def without_target(self, values: Tensor, filler: float) -> Tensor:
        """values (B, n), written into: `filler` in the target's column, where the tile has it."""
        place = self.y - self.start
        inside = (place >= 0) & (place < self.end - self.start)
        place = place.clamp(0, self.end - self.start - 1)
        return values.scatter_(1, place, torch.where(inside, filler, values.gather(1, place)))


@dataclass(frozen=True)
class Tiling:
    """What both passes need beside the embeddings: the margin and what it knows, and the classes met.

    It holds nothing that came out of a pass, so that a batch is freed with its loss.
    """

    margin: Margin
    met: Selected
    similarity: Cosine
    params: dict[str, Tensor]
    state: State
    bf16: bool = False

    @property
    def classes(self) -> int:
        """How many classes were met."""
        return self.met.W.shape[0] // self.similarity.rows

    def tiles(self, batch: int) -> Iterator[Tile]:
        """The classes met, in stretches of about TILE cosines."""
        width, k = max(64, TILE // batch), self.similarity.rows
        W, bias = self.met.W.detach(), None if self.met.bias is None else self.met.bias.detach()
        for start in range(0, self.classes, width):
            end = min(start + width, self.classes)
            rows = W[start * k : end * k]
            yield Tile(
                rows,
                None if bias is None else bias[start:end],
                start,
                end,
                self.met.y[:, None],
                self.similarity,
                self.bf16,
            )

    def context(self, x: Tensor, pos: Tensor, norm: Tensor) -> Context:
        """The margin's context for these target cosines and lengths; a selection's tau takes a pass of its own."""
        try:
            ctx = self.margin.context(pos, norm, self.met.y[:, None], self.params, self.state)
        except Exception as error:
            raise explained(self.margin, error) from error
        if self.margin.selects:
            ctx.tau = self.below_the_largest(x.detach(), self.margin.selects)
        return ctx

    @torch.no_grad()
    def below_the_largest(self, x: Tensor, K: int) -> Tensor:
        """A threshold just below the K largest non-target cosines: the next one, or below all of them."""
        best = full(x.new_empty(len(x), 0))
        for tile in self.tiles(len(x)):
            best = torch.cat([best, tile.without_target(tile.cosines(x, tile.W, tile.bias), -torch.inf)], dim=1)
            best = best.topk(min(K + 1, best.shape[1]), dim=1).values
        return torch.full_like(best[:, :1], -torch.inf) if self.classes <= K + 1 else best[:, -1:]


@dataclass
class StreamingRows:
    """What DenseRows is, without its B x C arrays. x (B, D): prepared embeddings, norm (B, 1): lengths, s: the scale.

    criterion: what will ask the rows, beside the margin's T.
    """

    tiling: Tiling
    x: Tensor
    norm: Tensor
    criterion: Any
    s: float | Tensor = 1.0

    @property
    def params(self) -> dict[str, Tensor]:
        """What was learned, for the classes met."""
        return self.tiling.params

    @property
    def classes(self) -> int:
        """How many classes were met, the target included."""
        return self.tiling.classes

    @cached_property
    def _sums(self) -> tuple[Tensor, ...]:
        met, wanted = self.tiling.met, asked(self.tiling.margin, self.criterion)
        s = torch.as_tensor(self.s, dtype=full(self.x[:0]).dtype, device=self.x.device)
        b = self.params["b"] if "softplus_sum" in wanted else None
        return Sums.apply(self.x, met.W, met.bias, s, b, self.norm.detach(), self.tiling, wanted)

    @property
    def pos(self) -> Tensor:
        """cos(theta_y); without the pass over all classes where no gradient is wanted."""
        if torch.is_grad_enabled():
            return self._sums[0]
        met = self.tiling.met
        return self.tiling.similarity.own(self.x, met.W, met.bias, met.y)

    @cached_property
    def ctx(self) -> Context:
        """The margin's context, with the gradient that T may send into it."""
        return self.tiling.context(self.x, self.pos, self.norm)

    @cached_property
    def T(self) -> Tensor:
        """The target's logit, before scale."""
        return called(self.tiling.margin, "T", self.pos, self.ctx, self)

    @property
    def logsumexp(self) -> Tensor:
        """log sum_{j != y} exp(s N(cos_j))."""
        return self._sums[1]

    @property
    def N_sum(self) -> Tensor:
        """sum_{j != y} N(cos_j)."""
        return self._sums[2]

    def softplus_sum(self, b: Tensor) -> Tensor:
        """sum_{j != y} log(1 + exp(s N(cos_j) - b)), b the criterion's own."""
        return self._sums[3]

    @property
    def hard_weight(self) -> Tensor:
        """sum_j M_ij: how many hard negatives the sample has."""
        return self._sums[4]

    @property
    def hard_mean(self) -> Tensor:
        """The mean cosine of the sample's hard negatives, 0 where it has none; a constant (NPCFace Eq. 11)."""
        return self._sums[5] / self._sums[4].clamp_min(1e-12)


class Sums(torch.autograd.Function):
    """The target cosines and all sums over the other classes, with their gradients by x, W, bias, s and b."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        W: Tensor,
        bias: Tensor | None,
        s: Tensor,
        b: Tensor | None,
        norm: Tensor,
        tiling: Tiling,
        wanted: frozenset[str],
    ) -> tuple[Tensor, ...]:
        pos = tiling.similarity.own(x, W, bias, tiling.met.y)
        margin, margin_ctx = tiling.margin, tiling.context(x, pos, norm)
        none = torch.zeros_like(pos)
        lse, N_sum, soft = torch.full_like(pos, -torch.inf), none.clone(), none.clone()
        weight, hard_sum = none.clone(), none.clone()
        for tile in tiling.tiles(len(x)):
            cos = tile.cosines(x, tile.W, tile.bias)
            N = called(margin, "N", cos, margin_ctx)
            sN = tile.without_target(s * N, -torch.inf)
            lse = torch.logaddexp(lse, sN.logsumexp(dim=1, keepdim=True))
            if "N_sum" in wanted:
                N_sum += tile.without_target(N.clone(), 0).sum(dim=1, keepdim=True)
            if b is not None:
                soft -= logsigmoid(b - sN).sum(dim=1, keepdim=True)
            if "hard_mean" in wanted or "hard_weight" in wanted:
                M = tile.without_target(called(margin, "hard", cos, margin_ctx).to(cos.dtype), 0)
                weight += M.sum(dim=1, keepdim=True)
                hard_sum += torch.linalg.vecdot(cos, M)[:, None]
        ctx.tiling, ctx.margin_ctx, ctx.wanted = tiling, margin_ctx, wanted
        ctx.save_for_backward(x, W, bias, s, b, lse)
        ctx.mark_non_differentiable(weight, hard_sum)
        return pos, lse, N_sum, soft, weight, hard_sum

    @staticmethod
    def backward(ctx: Any, g_pos: Tensor, g_lse: Tensor, g_sum: Tensor, g_soft: Tensor, *_: Any) -> tuple[Any, ...]:
        x, W, bias, s, b, lse = ctx.saved_tensors
        tiling, wanted, margin = ctx.tiling, ctx.wanted, ctx.tiling.margin
        dx, dW = torch.zeros_like(full(x)), torch.empty_like(W)
        d_bias = None if bias is None else torch.empty_like(bias)
        ds, db = torch.zeros_like(lse), torch.zeros_like(lse)
        k = tiling.similarity.rows
        for tile in tiling.tiles(len(x)):
            with torch.enable_grad():
                leaves = [v.detach().requires_grad_() for v in (x, tile.W, tile.bias) if v is not None]
                cos = tile.cosines(leaves[0], leaves[1], leaves[2] if bias is not None else None)
                N = called(margin, "N", cos, ctx.margin_ctx)
            sN = s * N.detach()
            dL_dsN = g_lse * (sN - lse).exp()
            if b is not None:
                sigma = (sN - b).sigmoid()
                dL_dsN = dL_dsN + g_soft * sigma
                db -= tile.without_target(g_soft * sigma, 0).sum(dim=1, keepdim=True)
            if s.requires_grad:
                ds += tile.without_target(dL_dsN * N.detach(), 0).sum(dim=1, keepdim=True)
            dL_dN = s * dL_dsN + g_sum if "N_sum" in wanted else s * dL_dsN
            found = torch.autograd.grad(N, leaves, tile.without_target(dL_dN, 0))
            dx += found[0]
            dW[tile.start * k : tile.end * k] = found[1]
            if bias is not None:
                d_bias[tile.start : tile.end] = found[2]
        add_own(tiling, g_pos, x, W, bias, dx, dW, d_bias)
        ds = ds.sum() if s.ndim == 0 else ds
        return dx.to(x.dtype), dW, d_bias, ds, None if b is None else db.sum(), None, None, None


def add_own(
    tiling: Tiling,
    g_pos: Tensor,
    x: Tensor,
    W: Tensor,
    bias: Tensor | None,
    dx: Tensor,
    dW: Tensor,
    d_bias: Tensor | None,
) -> None:
    """Add the gradients of the target cosines, which touch only the rows of the batch's own classes."""
    y, k = tiling.met.y, tiling.similarity.rows
    own, place = y.unique(return_inverse=True)
    at = (own[:, None] * k + torch.arange(k, device=y.device)).flatten()
    with torch.enable_grad():
        leaves = [v.detach().requires_grad_() for v in (x, W[at], None if bias is None else bias[own]) if v is not None]
        pos = tiling.similarity.own(leaves[0], leaves[1], leaves[2] if bias is not None else None, place)
    found = torch.autograd.grad(pos, leaves, g_pos)
    dx += found[0]
    dW.index_add_(0, at, found[1])
    if d_bias is not None:
        d_bias.index_add_(0, own, found[2])


class Asked:
    """Stands for the rows of one sample and notes which statistics it is asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.s = 1.0
        self.classes = 2
        self.T = torch.zeros(1, 1)

    def __getattr__(self, name: str) -> Any:
        if name not in STATISTICS:
            raise AttributeError(f"rows have no statistic '{name}'; they have {', '.join(STATISTICS)}")
        self.names.add(name)
        return (lambda b: torch.zeros(1, 1)) if name == "softplus_sum" else torch.zeros(1, 1)


@lru_cache(maxsize=64)
def asked(margin: Margin, criterion: Any) -> frozenset[str]:
    """The row statistics that a margin's T and a criterion use, found by asking them once."""
    rows, y = Asked(), torch.zeros(1, 1, dtype=torch.long)
    params = margin.learned(2, 2) | criterion.learned(2)
    one = torch.full((1, 1), 0.5)
    margin_ctx = margin.context(one, one, y, params, margin.init(2, 2))
    margin.T(one, margin_ctx, rows)
    criterion(rows, params)
    return frozenset(rows.names)
