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

from workbench.centers.base import Selected
from workbench.centers.similarity import Cosine
from workbench.core.geometry import full
from workbench.losses.rows import next_largest
from workbench.losses.tiles import evaluator, slopes, sums, without_target
from workbench.margins.base import Context, Margin, State
from workbench.margins.source import called, explained

TILE = 1 << 20  # cosines in a tile: what is made of them stays in the cache
ADDED = ("N", "softplus", "weight", "hard")  # the sums that add up over tiles
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

    @cached_property
    def scale(self) -> Tensor | None:
        """(n,): what the products become cosines by, 1 / |w_j|; None where the similarity prepares the rows itself.

        That saves all passes over the rows which would make directions of them, and of the gradient what belongs to it.
        """
        return full(self.W).norm(dim=1).reciprocal() if type(self.similarity) is Cosine else None

    @property
    def place(self) -> Tensor:
        """The target's column in this tile (B, 1); one that it does not have where the target is elsewhere."""
        return (self.y - self.start).to(torch.int32)

    def products(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The similarities (B, n) of prepared embeddings x to the tile's rows W, but for their `scale`."""
        prepared = self.similarity.prepare(W) if self.scale is None else full(W)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.similarity.compare(x, prepared, bias)

    def cosines(self, x: Tensor) -> Tensor:
        """The similarities (B, n) of prepared embeddings x to the tile."""
        products = self.products(x, self.W, self.bias)
        return products if self.scale is None else products * self.scale


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
        parts, k = -(-self.classes // max(64, TILE // batch)), self.similarity.rows
        W, bias = self.met.W.detach(), None if self.met.bias is None else self.met.bias.detach()
        for part in range(parts):  # none of them much smaller than the others
            start, end = self.classes * part // parts, self.classes * (part + 1) // parts
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
            ctx = self.margin.context(pos, norm, self.met.everywhere[0][:, None], self.params, self.state)
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
            best = torch.cat([best, without_target(tile.cosines(x), tile.place, -torch.inf)], dim=1)
            best = best.topk(min(K + 1, best.shape[1]), dim=1).values
        return next_largest(self.all_best(best), K)

    def own(self, x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
        """The target cosines (B, 1), 0 where the target is not among the classes met here."""
        y, n = self.met.y, self.classes
        return torch.where((y < n)[:, None], self.similarity.own(x, W, bias, y.clamp_max(n - 1)), 0)

    def all_pos(self, pos: Tensor) -> Tensor:
        """The target cosines, where those found here are a part of them."""
        return pos

    def all_best(self, best: Tensor) -> Tensor:
        """The largest cosines of each sample, where those found here are a part of them."""
        return best


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
        return self.tiling.own(self.x, self.tiling.met.W, self.tiling.met.bias)

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
        pos = tiling.own(x, W, bias)
        margin, margin_ctx = tiling.margin, tiling.context(x, tiling.all_pos(pos), norm)
        over = evaluator(sums, margin, margin_ctx, x, tiling.classes)
        given = (s.detach(), None if b is None else b.detach(), wanted)
        lse, added = torch.full_like(pos, -torch.inf), [torch.zeros_like(pos) for _ in ADDED]
        for tile in tiling.tiles(len(x)):
            tile_lse, found = over(tile.products(x, tile.W, tile.bias), tile.scale, tile.place, *given)
            lse = torch.logaddexp(lse, tile_lse)
            for total, name in zip(added, ADDED, strict=True):
                if name in found:
                    total += found[name]
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
        given = (*known, lse.detach(), g_lse, g_sum if "N_sum" in ctx.wanted else None, g_soft, s.requires_grad)
        dx, dW = torch.zeros_like(full(x)), torch.empty_like(W)
        d_bias = None if bias is None else torch.empty_like(bias)
        ds, db = torch.zeros_like(lse), torch.zeros_like(lse)
        for tile in tiling.tiles(len(x)):
            with torch.enable_grad():
                leaves = [v.detach().requires_grad_() for v in (x, tile.W, tile.bias) if v is not None]
                products = tile.products(leaves[0], leaves[1], leaves[2] if bias is not None else None)
            slope, radial, tile_ds, tile_db = over(products.detach(), tile.scale, tile.place, *given)
            found = torch.autograd.grad(products, leaves, slope)
            dx += found[0]
            at_rows = dW[tile.start * k : tile.end * k]
            if radial is None:
                at_rows.copy_(found[1])
            else:
                torch.addcmul(found[1], tile.W, (radial * tile.scale.square())[:, None], value=-1, out=at_rows)
            if bias is not None:
                d_bias[tile.start : tile.end] = found[2]
            ds = ds if tile_ds is None else ds + tile_ds
            db = db if tile_db is None else db + tile_db
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
    y, k = tiling.met.y.clamp_max(tiling.classes - 1), tiling.similarity.rows
    g_pos = torch.where((tiling.met.y < tiling.classes)[:, None], g_pos, 0)
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
