"""What is computed from a tile of cosines: the sums over its classes, and the gradient of the loss by its cosines.

Each is one function of the margin's own N, differentiated inside the tile. Where the work is large it is compiled
(torch.compile): all passes over the tile become one. Eager code is the same function, used where N cannot be
compiled or no C++ compiler is found. Which of the two runs depends on sizes, margin and machine alone, never on time.
"""

import copy
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.margins.base import Context, Margin
from workbench.margins.source import called

LARGE = 1 << 24  # cosines in a batch from which compiling, a few seconds once, is repaid within some hundred batches


def sums(
    margin: Margin,
    ctx: Context,
    products: Tensor,
    scale: Tensor | None,
    column: Tensor,
    s: Tensor,
    b: Tensor | None,
    wanted: frozenset[str],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Log-sum-exp (B, 1) of s N over a tile's classes, and by name the other sums (B, 1) in `wanted`.

    The cosines are products (B, n) times scale (n,), or the products themselves; column (B, 1): the target's column in
    this tile, or out of range. "softplus" is computed where b is given.
    """
    cos = products if scale is None else products * scale
    N = transformed(margin, "N", cos, ctx)
    sN = without_target(s * N, column, -torch.inf)
    result = {}
    if "N_sum" in wanted:
        result["N"] = without_target(N.clone(), column, 0).sum(dim=1, keepdim=True)
    if b is not None:
        result["softplus"] = -logsigmoid(b - sN).sum(dim=1, keepdim=True)
    if "hard_mean" in wanted or "hard_weight" in wanted:
        M = without_target(transformed(margin, "hard", cos, ctx).to(cos.dtype), column, 0)
        result["weight"] = M.sum(dim=1, keepdim=True)
        result["hard"] = torch.linalg.vecdot(cos, M)[:, None]
    return sN.logsumexp(dim=1, keepdim=True), result


def slopes(
    margin: Margin,
    ctx: Context,
    products: Tensor,
    scale: Tensor | None,
    column: Tensor,
    s: Tensor,
    b: Tensor | None,
    lse: Tensor,
    g_lse: Tensor,
    g_sum: Tensor | None,
    g_soft: Tensor,
    learns_s: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """dL/dproducts (B, n), and radial (n,), ds (B, 1), db (B, 1) where there is a scale, s is learned, there is a b.

    lse (B, 1): the log-sum-exp over all classes; g_lse, g_sum, g_soft (B, 1): the loss's gradients by the three sums.
    radial_j = sum_i dL/dcos_ij cos_ij: the share of the gradient that points along class j's own row.
    """
    cos = products if scale is None else products * scale
    N, pull = differentiated(margin, ctx, cos)
    sN = s * N
    dL_dsN = g_lse * (sN - lse).exp()
    ds = db = radial = None
    if b is not None:
        through_b = without_target(g_soft * (sN - b).sigmoid(), column, 0)
        dL_dsN, db = dL_dsN + through_b, -through_b.sum(dim=1, keepdim=True)
    if learns_s:
        ds = without_target(dL_dsN * N, column, 0).sum(dim=1, keepdim=True)
    dL_dN = s * dL_dsN if g_sum is None else s * dL_dsN + g_sum
    (result,) = pull(without_target(dL_dN, column, 0))
    if scale is not None:
        radial, result = (result * cos).sum(dim=0), result * scale
    return result, radial, ds, db


def transformed(margin: Margin, method: str, cos: Tensor, ctx: Context) -> Tensor:
    """margin.N or margin.hard of the cosines; eager code checks the results of the formula."""
    if torch.compiler.is_compiling():
        return getattr(margin, method)(cos, ctx)
    return called(margin, method, cos, ctx)


def differentiated(margin: Margin, ctx: Context, cos: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """N of the cosines, and the function that takes a gradient by N to one by the cosines."""
    if torch.compiler.is_compiling():
        return torch.func.vjp(lambda c: margin.N(c, ctx), cos)
    with torch.enable_grad():
        cos = cos.detach().requires_grad_()
        N = called(margin, "N", cos, ctx)
    return N.detach(), partial(torch.autograd.grad, N, cos)


def without_target(values: Tensor, column: Tensor, filler: float) -> Tensor:
    """values (B, n) with `filler` in the target's column, where the tile has it; eager code writes in place."""
    n = values.shape[1]
    if torch.compiler.is_compiling():  # a comparison fuses with other elementwise operations, a scatter does not
        return torch.where(torch.arange(n, device=values.device, dtype=column.dtype) == column, filler, values)
    inside = (column >= 0) & (column < n)
    column = column.clamp(0, n - 1).long()
    return values.scatter_(1, column, torch.where(inside, filler, values.gather(1, column)))


def evaluator(
    function: Callable[..., Any], margin: Margin, ctx: Context, like: Tensor, classes: int
) -> Callable[..., Any]:
    """`sums` or `slopes` of a margin and its context, for tiles of a batch like (B, D) and `classes` active classes."""
    eager = partial(function, margin, ctx)
    quick = compiled(function, margin) if len(like) * classes >= LARGE else None
    if quick is None:
        return eager
    for method in ("N", "hard"):  # errors of a formula that compiled code would not notice
        called(margin, method, like.new_zeros(len(like), 2), ctx)
    given = moving(margin, like), moving(ctx, like)
    return lambda *tile: quick(eager, *given, *tile)


def way(margin: Margin, batch: int, classes: int) -> str:
    """How the tiles of a batch are computed: 'compiled' or 'eager', with the reason for large batches."""
    if batch * classes < LARGE:
        return "eager"
    quick = [compiled(function, margin) for function in (sums, slopes)]
    if None in quick:
        return f"eager: {type(margin).__name__} has a field that cannot be hashed"
    return next((f"eager: {each.failed}" for each in quick if each.failed), "compiled")


def compiled(function: Callable[..., Any], margin: Margin) -> "Compiled | None":
    """The compiled `sums` or `slopes` of a margin class with its choices, for any values of its numbers."""
    fixed = tuple((name, value) for name, value in vars(margin).items() if not isinstance(value, float))
    try:
        return Compiled.of(function, type(margin), fixed)
    except TypeError:  # a custom margin with a field that cannot be hashed
        return None


class Compiled:
    """A function compiled at its first call; where that fails, the eager one is used from then on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        # torch counts recompilations by code object: a copy of it gives each margin class its own count
        own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
        self.run = torch.compile(own, dynamic=True, fullgraph=True)
        self.made, self.failed = False, ""  # whether it was compiled, and why not

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, function: Callable[..., Any], kind: type[Margin], fixed: tuple[Any, ...]) -> "Compiled":
        """The one for a kind of margin and its fixed fields."""
        return cls(function)

    def __call__(self, eager: Callable[..., Any], margin: Margin, ctx: Context, *tile: Any) -> Any:
        if not self.failed:
            try:
                return self.run(margin, ctx, *tile) if self.made else self.first(margin, ctx, *tile)
            except Exception as error:  # no compiler, or a formula that cannot be traced: eager code
                self.failed = f"{type(error).__name__}: {error}".splitlines()[0]
        return eager(*tile)

    def first(self, *given: Any) -> Any:
        """The first call, which compiles, without the deprecation warnings of the compiler's own modules."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = self.run(*given)
        self.made = True
        return result


def moving(part: Any, like: Tensor) -> Any:
    """A margin or context whose numbers are tensors, so that one compiled function serves all their values."""
    made = copy.copy(part)
    for name, value in vars(part).items():
        if isinstance(value, Tensor):
            object.__setattr__(made, name, value.detach())
        elif isinstance(value, float):
            object.__setattr__(made, name, torch.tensor(value, dtype=like.dtype, device=like.device))
    return made
