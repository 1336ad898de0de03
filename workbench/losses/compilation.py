"""Compiled tiles: `sums` and `slopes` as one pass over a tile where the batch is large (torch.compile).

Eager code is the same function. It is used where N cannot be compiled or no C++ compiler is found, and where compiled
code differs from it on a small tile, which is compared at the first use. Which of the two runs depends on sizes,
margin and machine alone, never on time.
"""

import copy
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from workbench.losses.tiles import slopes, sums
from workbench.margins.base import Context, Margin
from workbench.margins.source import evaluate

LARGE = 1 << 24  # cosines in a batch from which compiling, a few seconds once, is repaid within some hundred batches
CHECK_SHAPE = 37, 83  # samples and classes of the tile that is compared: full vectors and a remainder at any SIMD width


def evaluator(
    function: Callable[..., Any], margin: Margin, ctx: Context, like: Tensor, classes: int
) -> Callable[..., Any]:
    """`sums` or `slopes` of a margin and its context, for tiles of a batch like (B, D) and `classes` active classes."""
    eager = partial(function, margin, ctx)
    quick = compiled_function(function, margin) if len(like) * classes >= LARGE else None
    if quick is None:
        return eager
    for method in ("N", "hard"):  # errors of a formula that compiled code would not notice
        evaluate(margin, method, like.new_zeros(len(like), 2), ctx)
    given = moving(margin, like), moving(ctx, like)
    return lambda *tile: quick(eager, *given, *tile)


def way(margin: Margin, batch: int, classes: int) -> str:
    """How the tiles of a batch are computed: 'compiled' or 'eager', with the reason for large batches."""
    if batch * classes < LARGE:
        return "eager"
    quick = [compiled_function(function, margin) for function in (sums, slopes)]
    if None in quick:
        return f"eager: {type(margin).__name__} has a field that cannot be hashed"
    return next((f"eager: {each.failed}" for each in quick if each.failed), "compiled")


def compiled_function(function: Callable[..., Any], margin: Margin) -> "Compiled | None":
    """The compiled `sums` or `slopes` of a margin class with its choices, for any values of its numbers."""
    fixed = tuple((name, value) for name, value in vars(margin).items() if not isinstance(value, float))
    try:
        return Compiled.of(function, type(margin), fixed)
    except TypeError:  # a custom margin with a field that cannot be hashed
        return None


class Compiled:
    """A function compiled at its first call. Eager code is used from then on where that fails or differs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.runs: dict[str, Callable[..., Any]] = {}  # the compiled function by type of device
        self.checked: set[tuple[Any, ...]] = set()  # the kinds of tiles for which it was compared with eager code
        self.failed = ""  # why eager code is used

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, function: Callable[..., Any], kind: type[Margin], fixed: tuple[Any, ...]) -> "Compiled":
        """The one for a kind of margin and its fixed fields."""
        return cls(function)

    def __call__(self, eager: Callable[..., Any], margin: Margin, ctx: Context, *tile: Any) -> Any:
        if not self.failed:
            try:
                result = self.run(margin, ctx, *tile)
                self.failed = self.mismatch(margin, ctx, *tile)
            except Exception as error:  # no compiler, or a formula that cannot be traced: eager code
                self.failed = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                if not self.failed:
                    return result
                advice = "if torch's compile cache is stale, delete it (TORCHINDUCTOR_CACHE_DIR)"
                warnings.warn(f"{self.failed}; eager code is used instead; {advice}", RuntimeWarning, stacklevel=2)
        return eager(*tile)

    def run(self, margin: Margin, ctx: Context, products: Tensor, *rest: Any) -> Any:
        """The compiled function of a tile. The first call compiles, without the warnings of the compiler's modules."""
        device = products.device.type
        if device in self.runs:
            return self.runs[device](margin, ctx, products, *rest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # torch counts recompilations by code object: a copy of it gives each margin class its own count
            copied = FunctionType(self.function.__code__.replace(), self.function.__globals__, self.function.__name__)
            options = cache_options() if device == "cpu" else None
            run = torch.compile(copied, dynamic=True, fullgraph=True, options=options)
            result = run(margin, ctx, products, *rest)
        self.runs[device] = run
        return result

    def mismatch(self, margin: Margin, ctx: Context, *tile: Any) -> str:
        """How compiled code differs from eager code by more than rounding, "" if not; once for each kind of tile."""
        kind = tuple(map(signature, tile))
        if kind in self.checked:
            return ""
        small = small_tile(margin, ctx, *tile)
        pairs = zip(tensors(self.run(*small)), tensors(self.function(*small)), strict=True)
        error, bound = max(difference(a, b) for a, b in pairs), torch.finfo(tile[0].dtype).eps ** 0.5
        if error > bound:
            name = f"{type(margin).__name__}: compiled code of the {self.function.__name__}"
            return f"{name} differs from eager code by a relative {error:.1e} (rounding stays below {bound:.1e})"
        self.checked.add(kind)
        return ""


def cache_options() -> dict[str, Any] | None:
    """Inductor's options for code on the CPU: the SIMD width it would choose itself, 0 for none.

    Options are part of the key of torch's compile cache, the CPU's capability is not. Without the width, code written
    for 512 bits is taken from the cache where ATEN_CPU_CAPABILITY, or another CPU, allows 256; its loops then leave out
    every second vector. None where the width is unknown: another version of torch, or no compiler.
    """
    try:
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        return {"cpp.simdlen": pick_vec_isa().bit_width()}
    except Exception:
        return None


def signature(value: Any) -> Any:
    """What torch compiles separately for an argument of a tile: the value, or a tensor's kind whatever its size."""
    if not isinstance(value, Tensor):
        return value
    return value.dtype, value.device.type, tuple(size == 1 for size in value.shape)


def small_tile(margin: Margin, ctx: Context, *tile: Any) -> tuple[Any, ...]:
    """Arguments like those of a tile, margin and context first: its first samples, against classes at fixed cosines."""
    products, scale, column, s, b, *more = tile
    batch, rows = len(products), min(len(products), CHECK_SHAPE[0])
    width = 1 if products.shape[1] == 1 else CHECK_SHAPE[1]

    def first(value: Any) -> Any:
        return value[:rows] if isinstance(value, Tensor) and value.ndim == 2 and len(value) == batch else value

    small = copy.copy(ctx)
    for name, value in vars(ctx).items():
        object.__setattr__(small, name, first(value))
    fixed = torch.rand(rows, width, dtype=products.dtype, generator=torch.Generator().manual_seed(0))
    products = (2 * fixed - 1).to(products.device)
    if scale is not None:
        scale = torch.linspace(0.5, 1.5, width).to(scale)
        products = products / scale
    column, s = first(column) % (2 * width), first(s)  # about half of the targets are in the tile
    if len(more) > 1:  # slopes: with the log-sum-exp of this tile nothing overflows; all incoming gradients are 1
        lse = sums(margin, small, products, scale, column, s, None, frozenset())[0]
        more = lse, *(torch.ones_like(first(g)) if isinstance(g, Tensor) else g for g in more[1:])
    return margin, small, products, scale, column, s, b, *more


def tensors(result: tuple[Any, ...]) -> list[Tensor]:
    """The tensors in a result of `sums` or `slopes`."""
    parts = [part.values() if isinstance(part, dict) else [part] for part in result if part is not None]
    return [value for part in parts for value in part]


def difference(result: Tensor, expected: Tensor) -> float:
    """max |result - expected| over max |expected|; equal infinities and NaN do not differ."""
    equal = (result == expected) | (result.isnan() & expected.isnan())
    error = torch.where(equal, 0, (result - expected).abs()).nan_to_num(torch.inf).max()
    size = expected.nan_to_num(0, 0, 0).abs().max()
    return float(error / (size + torch.finfo(expected.dtype).tiny ** 0.5))


def moving(part: Any, like: Tensor) -> Any:
    """A margin or context whose numbers are tensors, so that one compiled function serves all their values."""
    made = copy.copy(part)
    for name, value in vars(part).items():
        if isinstance(value, Tensor):
            object.__setattr__(made, name, value.detach())
        elif isinstance(value, float):
            object.__setattr__(made, name, torch.tensor(value, dtype=like.dtype, device=like.device))
    return made
