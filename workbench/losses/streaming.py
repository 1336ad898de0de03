"""Row statistics without B x C memory: the same sums as DenseRows, accumulated exactly over tiles of classes.

The forward pass keeps O(B) numbers; the backward pass recomputes each tile and differentiates the margin's N inside it,
so there is no second formula. N has no gradient into its context (see `Margin.N`), so the context is computed once,
from the target cosines, and one backward pass over the tiles is enough.
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
from workbench.margins.source import evaluate, formula_error

TILE = 1 << 20  # cosines in a tile; intermediate results fit into the cache
ADDED = ("N", "softplus", "weight", "hard")  # sums that are added over tiles
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
        """1 / |w_j| (n,), the factor from products to cosines; None if the similarity prepares the rows itself.

        This saves the passes that normalize the rows, and their backward passes.
        """
        return full(self.W).norm(dim=1).reciprocal() if type(self.similarity) is Cosine else None

    @property
    def column(self) -> Tensor:
        """The target's column in this tile (B, 1); out of range if the target is in another tile."""
        return (self.y - self.start).to(torch.int32)

    def products(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """Similarities (B, n) of prepared embeddings x to the tile's rows W, before `scale`."""
        prepared = self.similarity.prepare(W) if self.scale is None else full(W)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.similarity.compare(x, prepared, bias)

    def cosines(self, x: Tensor) -> Tensor:
        """Similarities (B, n) of prepared embeddings x to the tile's classes."""
        products = self.products(x, self.W, self.bias)
        return products if self.scale is None else products * self.scale


@dataclass(frozen=True)
class Tiling:
    """Inputs of the forward and backward pass besides the embeddings: margin, parameters, state and active classes.

    It holds no results, so the memory of a batch is freed with its loss.
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
        """The active classes in tiles of about TILE cosines and nearly equal size."""
        parts, k = -(-self.classes // max(64, TILE // batch)), self.similarity.rows
        W, bias = self.active.W.detach(), None if self.active.bias is None else self.active.bias.detach()
        for part in range(parts):
            start, end = self.classes * part // parts, self.classes * (part + 1) // parts
            rows, tile_bias = W[start * k : end * k], None if bias is None else bias[start:end]
            yield Tile(rows, tile_bias, start, end, self.active.y[:, None], self.similarity, self.bf16)

    def context(self, x: Tensor, pos: Tensor, norm: Tensor) -> Context:
        """The margin's context for target cosines pos and lengths norm; a tau of the K largest needs one more pass."""
        try:
            ctx = self.margin.context(pos, norm, self.active.on_all_ranks[0][:, None], self.params, self.state)
        except Exception as error:
            raise formula_error(self.margin, error) from error
        if self.margin.selects:
            ctx.tau = self.topk_threshold(x.detach(), self.margin.selects)
        return ctx

    @torch.no_grad()
    def topk_threshold(self, x: Tensor, K: int) -> Tensor:
        """A threshold that only the K largest non-target cosines exceed: the next one, or -inf."""
        best = full(x.new_empty(len(x), 0))
        for tile in self.tiles(len(x)):
            best = torch.cat([best, without_target(tile.cosines(x), tile.column, -torch.inf)], dim=1)
            best = best.topk(min(K + 1, best.shape[1]), dim=1).values
        return next_largest(self.reduce_best(best), K)

    def target(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The target cosines (B, 1), 0 if the target is not an active class of this rank."""
        y, n = self.active.y, self.classes
        return torch.where((y < n)[:, None], self.similarity.target(x, W, bias, y.clamp_max(n - 1)), 0)

    def reduce_pos(self, pos: Tensor) -> Tensor:
        """The target cosines, from the ranks that own the targets."""
        return pos

    def reduce_best(self, best: Tensor) -> Tensor:
        """The largest cosines of each sample over all ranks."""
        return best


@dataclass
class StreamingRows:
    """DenseRows without B x C arrays. x (B, D): prepared embeddings; norm (B, 1): lengths; s: the scale.

    Only the statistics that the criterion and the margin's T read are computed.
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
        return TiledSums.apply(self.x, active.W, active.bias, s, b, self.norm.detach(), self.tiling, wanted)

    @property
    def pos(self) -> Tensor:
        """cos(theta_y); without gradients, no pass over the other classes is needed."""
        if torch.is_grad_enabled():
            return self._sums[0]
        return self.tiling.target(self.x, self.tiling.active.W, self.tiling.active.bias)

    @cached_property
    def ctx(self) -> Context:
        """The margin's context; T may have a gradient into it."""
        return self.tiling.context(self.x, self.pos, self.norm)

    @cached_property
    def T(self) -> Tensor:
        """The target's logit, before scale."""
        return evaluate(self.tiling.margin, "T", self.pos, self.ctx, self)

    @property
    def logsumexp(self) -> Tensor:
        """log sum_{j != y} exp(s N(cos_j))."""
        return self._sums[1]

    @property
    def N_sum(self) -> Tensor:
        """sum_{j != y} N(cos_j)."""
        return self._sums[2]

    def softplus_sum(self, b: Tensor, clipped: bool = False) -> Tensor:
        """sum_{j != y} log(1 + exp(s N(cos_j) - b)), with b and the clipping of the criterion."""
        return self._sums[3]

    @property
    def hard_weight(self) -> Tensor:
        """sum_j M_ij: the number of hard negatives of the sample."""
        return self._sums[4]

    @property
    def hard_mean(self) -> Tensor:
        """Mean cosine of the sample's hard negatives, 0 without any; without gradient (NPCFace Eq. 11)."""
        return self._sums[5] / self.hard_weight.clamp_min(1e-12)


class TiledSums(torch.autograd.Function):
    """Target cosines and sums over the other classes, with gradients by x, W, bias, s and b."""

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
        margin, margin_ctx = tiling.margin, tiling.context(x, tiling.reduce_pos(pos), norm)
        compute = evaluator(sums, margin, margin_ctx, x, tiling.classes)
        constants = (s.detach(), None if b is None else b.detach(), wanted)
        lse, added = torch.full_like(pos, -torch.inf), [torch.zeros_like(pos) for _ in ADDED]
        for tile in tiling.tiles(len(x)):
            tile_lse, result = compute(tile.products(x, tile.W, tile.bias), tile.scale, tile.column, *constants)
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
        compute = evaluator(slopes, tiling.margin, ctx.margin_ctx, x, tiling.classes)
        g_sum = g_sum if "N_sum" in ctx.wanted else None
        flags = s.requires_grad, "clipped" in ctx.wanted
        constants = s.detach(), None if b is None else b.detach(), lse.detach(), g_lse, g_sum, g_soft, *flags
        dx, dW = torch.zeros_like(full(x)), torch.empty_like(W)
        d_bias = None if bias is None else torch.empty_like(bias)
        ds, db = torch.zeros_like(lse), torch.zeros_like(lse)
        for tile in tiling.tiles(len(x)):
            with torch.enable_grad():
                leaves = [v.detach().requires_grad_() for v in (x, tile.W, tile.bias) if v is not None]
                products = tile.products(leaves[0], leaves[1], leaves[2] if bias is not None else None)
            gradient, radial, tile_ds, tile_db = compute(products.detach(), tile.scale, tile.column, *constants)
            result = torch.autograd.grad(products, leaves, gradient)
            dx += result[0]
            dW_tile = dW[tile.start * k : tile.end * k]
            if radial is None:
                dW_tile.copy_(result[1])
            else:
                torch.addcmul(result[1], tile.W, (radial * tile.scale.square())[:, None], value=-1, out=dW_tile)
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
    """Add the gradients of the target cosines to dx and to the rows of the batch's classes in dW and d_bias."""
    y, k = tiling.active.y.clamp_max(tiling.classes - 1), tiling.similarity.rows
    g_pos = torch.where((tiling.active.y < tiling.classes)[:, None], g_pos, 0)
    classes, at = y.unique(return_inverse=True)
    rows = (classes[:, None] * k + torch.arange(k, device=y.device)).flatten()
    with torch.enable_grad():
        values = (x, W[rows], None if bias is None else bias[classes])
        leaves = [v.detach().requires_grad_() for v in values if v is not None]
        pos = tiling.similarity.target(leaves[0], leaves[1], leaves[2] if bias is not None else None, at)
    result = torch.autograd.grad(pos, leaves, g_pos)
    dx += result[0]
    dW.index_add_(0, rows, result[1])
    if d_bias is not None:
        d_bias.index_add_(0, classes, result[2])


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
    """The row statistics that a margin's T and a criterion read, detected by one call of each."""
    rows, y = StatisticsProbe(), torch.zeros(1, 1, dtype=torch.long)
    params = margin.learned_parameters(2, 2) | criterion.learned_parameters(2)
    one = torch.full((1, 1), 0.5)
    margin_ctx = margin.context(one, one, y, params, margin.init(2, 2))
    margin.T(one, margin_ctx, rows)
    criterion(rows, params)
    return frozenset(rows.names)
