"""What is computed from a tile of cosines: the sums over its classes, and the gradient of the loss by its cosines.

Each is one function of the margin's own N, differentiated inside the tile; `compilation` compiles it for large batches.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.margins.base import Context, Margin
from workbench.margins.source import evaluate


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
    """Log-sum-exp (B, 1) of s N over a tile's classes, and the other sums (B, 1) in `wanted` by name.

    The cosines are products (B, n) times scale (n,) if a scale is given; column (B, 1): the target's column in this
    tile, out of range if it is in another one. "softplus" is computed if b is given; "clipped": with its exponents
    clamped to [-s, s].
    """
    cos = products if scale is None else products * scale
    N = evaluate(margin, "N", cos, ctx)
    sN = without_target(s * N, column, -torch.inf)
    result = {}
    if "N_sum" in wanted:
        result["N"] = without_target(N.clone(), column, 0).sum(dim=1, keepdim=True)
    if b is not None:
        result["softplus"] = without_target(-logsigmoid(-exponent(N, s, b, "clipped" in wanted)), column, 0).sum(
            dim=1, keepdim=True
        )
    if "hard_mean" in wanted or "hard_weight" in wanted:
        M = without_target(evaluate(margin, "hard", cos, ctx).to(cos.dtype), column, 0)
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
    s_requires_grad: bool,
    clipped: bool = False,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """dL/dproducts (B, n); radial (n,) if a scale is given, ds (B, 1) if s requires grad, db (B, 1) if b is given.

    lse (B, 1): the log-sum-exp over all classes; g_lse, g_sum, g_soft (B, 1): gradients of the loss by the three sums.
    radial_j = sum_i dL/dcos_ij cos_ij: the component of the gradient along row j.
    """
    cos = products if scale is None else products * scale
    N, vjp = vjp_of_N(margin, ctx, cos)
    sN = s * N
    dL_dsN = g_lse * (sN - lse).exp()
    ds = db = radial = None
    if b is not None:
        through_b = g_soft * exponent(N, s, b, clipped).sigmoid()
        through_b = without_target(torch.where((sN - b).abs() > s, 0, through_b) if clipped else through_b, column, 0)
        dL_dsN, db = dL_dsN + through_b, -through_b.sum(dim=1, keepdim=True)
    if s_requires_grad:
        ds = without_target(dL_dsN * N, column, 0).sum(dim=1, keepdim=True)
    dL_dN = s * dL_dsN if g_sum is None else s * dL_dsN + g_sum
    (result,) = vjp(without_target(dL_dN, column, 0))
    if scale is not None:
        radial, result = (result * cos).sum(dim=0), result * scale
    return result, radial, ds, db


def exponent(N: Tensor, s: float | Tensor, b: float | Tensor, clipped: bool) -> Tensor:
    """s N - b, clamped to [-s, s] if `clipped` (UniFace's released code)."""
    result = s * N - b
    return result.clamp(-s, s) if clipped else result


def vjp_of_N(margin: Margin, ctx: Context, cos: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """N of the cosines, and its vector-Jacobian product: from a gradient by N to the gradient by the cosines."""
    if torch.compiler.is_compiling():
        return torch.func.vjp(lambda c: margin.N(c, ctx), cos)
    with torch.enable_grad():
        cos = cos.detach().requires_grad_()
        N = evaluate(margin, "N", cos, ctx)
    return N.detach(), partial(torch.autograd.grad, N, cos)


def without_target(values: Tensor, column: Tensor, filler: float) -> Tensor:
    """values (B, n) with `filler` in the target's column, if it is in the tile; eager code writes in place."""
    n = values.shape[1]
    if torch.compiler.is_compiling():  # a comparison can be fused, a scatter cannot
        return torch.where(torch.arange(n, device=values.device, dtype=column.dtype) == column, filler, values)
    inside = (column >= 0) & (column < n)
    column = column.clamp(0, n - 1).long()
    return values.scatter_(1, column, torch.where(inside, filler, values.gather(1, column)))
