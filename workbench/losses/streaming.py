"""Row statistics without B x C memory: the same sums as DenseRows, accumulated over tiles of classes, and exact.

The forward pass keeps O(B) numbers; the backward pass recomputes each tile and differentiates the margin's own N inside
it, so there is no second formula. N has no gradient into its context (see `Margin.N`), so one pass is enough: the
context of the tiles is computed once, from the target cosines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from workbench.centers.base import ActiveClasses
from workbench.centers.similarity import Cosine
from workbench.core.geometry import full
from workbench.losses.compilation import evaluator
from workbench.losses.rows import cached_property, next_largest
from workbench.losses.tiles import slopes, sums, without_target
from workbench.margins.base import Context, Margin, State
from workbench.margins.source import called, explained

TILE = 1 << 20  # cosines in a tile: what is made of them stays in the cache
ADDED = ("N", "softplus", "weight", "hard")  # the sums that add up over tiles
STATISTICS = ("logsumexp", "N_sum", "softplus_sum", "hard_weight", "hard_mean")


@dataclass(frozen=True)
class Tile:
    """The active classes from `start` to `end`: their rows W and bias, and the target columns y (B, 1)."""

    W: Tensor
    bias: Tensor | None
    start: int
    end: int
    y: Tensor
    similarity: Cosine
    bf16: bool

    @cached_property
    def scale(self) -> Tensor | None:
        """(n,): 1 / |w_j|, which turns products into cosines; None where the similarity prepares the rows itself.

        This saves the passes that would normalize the rows, and those of its backward.
        """
        return full(self.W).norm(dim=1).reciprocal() if type(self.similarity) is Cosine else None

    @property
    def column(self) -> Tensor:
        """The target's column in this tile (B, 1); out of range where the target is in another tile."""
        return (self.y - self.start).to(torch.int32)

    def products(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The similarities (B, n) of prepared embeddings x to the tile's rows W, without their `scale`."""
        prepared = self.similarity.prepare(W) if self.scale is None else full(W)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.similarity.compare(x, prepared, bias)

    def cosines(self, x: Tensor) -> Tensor:
        """The similarities (B, n) of prepared embeddings x to the tile."""
        products = self.products(x, self.W, self.bias)
        return products if self.scale is None else products * self.scale


@dataclass(frozen=True)
class Tiling:
    """What both passes need beside the embeddings: the margin, its parameters and state, and the active classes.

    It holds no result of a pass, so that a batch is freed with its loss.
    """

    margin: Margin
    active: ActiveClasses
    similarity: Cosine
    params: dict[str, Tensor]
    state: State
    bf16: bool = False

    @property
    def classes(self) -> int:
        """The number of active classes."""
        return self.active.W.shape[0] // self.similarity.rows

    def tiles(self, batch: int) -> Iterator[Tile]:
        """The active classes, in tiles of about TILE cosines."""
        parts, k = -(-self.classes // max(64, TILE // batch)), self.similarity.rows
        W, bias = self.active.W.detach(), None if self.active.bias is None else self.active.bias.detach()
        for part in range(parts):  # of nearly equal size
            start, end = self.classes * part // parts, self.classes * (part + 1) // parts
            rows = W[start * k : end * k]
            yield Tile(
                rows,
                None if bias is None else bias[start:end],
                start,
                end,
                self.active.y[:, None],
                self.similarity,
                self.bf16,
            )

    def context(self, x: Tensor, pos: Tensor, norm: Tensor) -> Context:
        """The margin's context for these target cosines and lengths; a tau of the K largest takes one more pass."""
        try:
            ctx = self.margin.context(pos, norm, self.active.on_all_ranks[0][:, None], self.params, self.state)
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
            best = torch.cat([best, without_target(tile.cosines(x), tile.column, -torch.inf)], dim=1)
            best = best.topk(min(K + 1, best.shape[1]), dim=1).values
        return next_largest(self.all_best(best), K)

    def target(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The target cosines (B, 1), 0 where the target is not among the active classes."""
        y, n = self.active.y, self.classes
        return torch.where((y < n)[:, None], self.similarity.target(x, W, bias, y.clamp_max(n - 1)), 0)

    def all_pos(self, pos: Tensor) -> Tensor:
        """The target cosines over all ranks."""
        return pos

    def all_best(self, best: Tensor) -> Tensor:
        """The largest cosines of each sample over all ranks."""
        return best


@dataclass
class StreamingRows:
    """DenseRows without its B x C arrays. x (B, D): prepared embeddings, norm (B, 1): lengths, s: the scale.

    criterion: which reads the rows, beside the margin's T.
    """

    tiling: Tiling
    x: Tensor
    norm: Tensor
    criterion: Any
    s: float | Tensor = 1.0

    @property
    def params(self) -> dict[str, Tensor]:
        """The learned parameters of the active classes."""
        return self.tiling.params

    @property
    def classes(self) -> int:
        """The number of active classes, the target included."""
        return self.tiling.classes

    @cached_property
    def _sums(self) -> tuple[Tensor, ...]:
        active, wanted = self.tiling.active, used_statistics(self.tiling.margin, self.criterion)
        s = torch.as_tensor(self.s, dtype=full(self.x[:0]).dtype, device=self.x.device)
        b = self.params["b"] if "softplus_sum" in wanted else None
        return Sums.apply(self.x, active.W, active.bias, s, b, self.norm.detach(), self.tiling, wanted)

    @property
    def pos(self) -> Tensor:
        """cos(theta_y); without the pass over all classes where no gradient is needed."""
        if torch.is_grad_enabled():
            return self._sums[0]
        return self.tiling.target(self.x, self.tiling.active.W, self.tiling.active.bias)

    @cached_property
    def ctx(self) -> Context:
        """The margin's context, with the gradient that T may have into it."""
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

    def softplus_sum(self, b: Tensor, clipped: bool = False) -> Tensor:
        """sum_{j != y} log(1 + exp(s N(cos_j) - b)), b and clipped exponents as in the criterion."""
        return self._sums[3]

    @property
    def hard_weight(self) -> Tensor:
        """sum_j M_ij: the number of hard negatives of the sample."""
        return self._sums[4]

    @property
    def hard_mean(self) -> Tensor:
        """The mean cosine of the sample's hard negatives, 0 where it has none; a constant (NPCFace Eq. 11)."""
        return self._sums[5] / self.hard_weight.clamp_min(1e-12)


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
        pos = tiling.target(x, W, bias)
        margin, margin_ctx = tiling.margin, tiling.context(x, tiling.all_pos(pos), norm)
        over = evaluator(sums, margin, margin_ctx, x, tiling.classes)
        given = (s.detach(), None if b is None else b.detach(), wanted)
        lse, added = torch.full_like(pos, -torch.inf), [torch.zeros_like(pos) for _ in ADDED]
        for tile in tiling.tiles(len(x)):
            tile_lse, result = over(tile.products(x, tile.W, tile.bias), tile.scale, tile.column, *given)
            lse = torch.logaddexp(lse, tile_lse)
            for total, name in zip(added, ADDED, strict=True):
                if name in result:
                    total += result[name]
        N_sum, soft, weight, hard_sum = added
        ctx.tiling, ctx.margin_ctx, ctx.wanted = tiling, margin_ctx, wanted
        ctx.save_for_backward(x, W, bias, s, b, lse)
        ctx.mark_non_differentiable(weight, hard_sum)
        return pos, lse, N_sum, soft, weight, hard_sum

    @staticmethod
    def backward(ctx: Any, g_pos: Tensor, g_lse: Tensor, g_sum: Tensor, g_soft: Tensor, *_: Any) -> tuple[Any, ...]:
        x, W, bias, s, b, lse = ctx.saved_tensors
        tiling, k = ctx.tiling, ctx.tiling.similarity.rows
        over = evaluator(slopes, tiling.margin, ctx.margin_ctx, x, tiling.classes)
        known = s.detach(), None if b is None else b.detach()
        needs = g_sum if "N_sum" in ctx.wanted else None, g_soft, s.requires_grad, "clipped" in ctx.wanted
        given = (*known, lse.detach(), g_lse, *needs)
        dx, dW = torch.zeros_like(full(x)), torch.empty_like(W)
        d_bias = None if bias is None else torch.empty_like(bias)
        ds, db = torch.zeros_like(lse), torch.zeros_like(lse)
        for tile in tiling.tiles(len(x)):
            with torch.enable_grad():
                leaves = [v.detach().requires_grad_() for v in (x, tile.W, tile.bias) if v is not None]
                products = tile.products(leaves[0], leaves[1], leaves[2] if bias is not None else None)
            slope, radial, tile_ds, tile_db = over(products.detach(), tile.scale, tile.column, *given)
            result = torch.autograd.grad(products, leaves, slope)
            dx += result[0]
            at_rows = dW[tile.start * k : tile.end * k]
            if radial is None:
                at_rows.copy_(result[1])
            else:
                torch.addcmul(result[1], tile.W, (radial * tile.scale.square())[:, None], value=-1, out=at_rows)
            if bias is not None:
                d_bias[tile.start : tile.end] = result[2]
            ds = ds if tile_ds is None else ds + tile_ds
            db = db if tile_db is None else db + tile_db
        add_target_gradient(tiling, g_pos, x, W, bias, dx, dW, d_bias)
        ds = ds.sum() if s.ndim == 0 else ds
        return dx.to(x.dtype), dW, d_bias, ds, None if b is None else db.sum(), None, None, None


def add_target_gradient(
    tiling: Tiling,
    g_pos: Tensor,
    x: Tensor,
    W: Tensor,
    bias: Tensor | None,
    dx: Tensor,
    dW: Tensor,
    d_bias: Tensor | None,
) -> None:
    """Add the gradients of the target cosines, which reach only the rows of the batch's own classes."""
    y, k = tiling.active.y.clamp_max(tiling.classes - 1), tiling.similarity.rows
    g_pos = torch.where((tiling.active.y < tiling.classes)[:, None], g_pos, 0)
    own, at = y.unique(return_inverse=True)
    rows = (own[:, None] * k + torch.arange(k, device=y.device)).flatten()
    with torch.enable_grad():
        leaves = [
            v.detach().requires_grad_() for v in (x, W[rows], None if bias is None else bias[own]) if v is not None
        ]
        pos = tiling.similarity.target(leaves[0], leaves[1], leaves[2] if bias is not None else None, at)
    result = torch.autograd.grad(pos, leaves, g_pos)
    dx += result[0]
    dW.index_add_(0, rows, result[1])
    if d_bias is not None:
        d_bias.index_add_(0, own, result[2])


class StatisticsProbe:
    """Records which statistics of its rows are read."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.s = 1.0
        self.classes = 2
        self.T = torch.zeros(1, 1)

    def __getattr__(self, name: str) -> Any:
        if name not in STATISTICS:
            raise AttributeError(f"rows have no statistic '{name}'; they have {', '.join(STATISTICS)}")
        self.names.add(name)
        return self.softplus if name == "softplus_sum" else torch.zeros(1, 1)

    def softplus(self, b: Tensor, clipped: bool = False) -> Tensor:
        """Records also whether the exponents are clipped."""
        self.names |= {"clipped"} if clipped else set()
        return torch.zeros(1, 1)


@lru_cache(maxsize=64)
def used_statistics(margin: Margin, criterion: Any) -> frozenset[str]:
    """The row statistics that a margin's T and a criterion read, found by calling them once."""
    rows, y = StatisticsProbe(), torch.zeros(1, 1, dtype=torch.long)
    params = margin.learned(2, 2) | criterion.learned(2)
    one = torch.full((1, 1), 0.5)
    margin_ctx = margin.context(one, one, y, params, margin.init(2, 2))
    margin.T(one, margin_ctx, rows)
    criterion(rows, params)
    return frozenset(rows.names)
