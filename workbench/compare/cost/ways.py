"""The ways of computing a loss over all classes that `workbench bench heads` compares.

floor        the matrix products alone: three if all cosines are stored, four if tiles are computed twice
plain        torch's linear and cross_entropy: no normalization, no margin
eager        a direct implementation of the loss in torch
dense, streaming, streaming bf16   this workbench
pml          pytorch-metric-learning, if it has the loss and is installed (extra `bench`)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.compare.cost.results import Run
from workbench.compare.cost.tables import FLOOR, PLAIN
from workbench.core.errors import InputError, unknown
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS, build

S = 64.0
EAGER = ("cosface", "arcface", "mv_arc", "curricularface", "npcface")  # implemented by `eager_loss`
PML = {"arcface": ("ArcFaceLoss", 28.6), "cosface": ("CosFaceLoss", 0.35)}  # margins in degrees, as a cosine
NOT_INSTALLED = "not installed: pip install 'hypersphere-workbench[bench]'"
BF16 = "npcface"  # also measured with bfloat16 products


@dataclass(eq=False)
class Inputs:
    """Embeddings x (B, D) and labels y (B,), centers W (C, D); learned: all tensors that get gradients."""

    x: Tensor
    y: Tensor
    W: nn.Parameter
    learned: list[Tensor] = field(default_factory=list)

    @classmethod
    def random(cls, classes: int, batch: int, dim: int) -> "Inputs":
        """A batch of random embeddings and labels, the same for equal sizes."""
        rng = generator(0, "heads")
        x = torch.randn(batch, dim, generator=rng).requires_grad_()
        W = nn.Parameter(torch.randn(classes, dim, generator=rng) / dim**0.5)
        return cls(x, torch.randint(0, classes, (batch,), generator=rng), W, [x, W])

    def clear(self) -> None:
        """Delete all gradients."""
        for leaf in self.learned:
            leaf.grad = None

    @property
    def gradients(self) -> int:
        """The bytes of all gradients."""
        return sum(leaf.grad.nbytes for leaf in self.learned if leaf.grad is not None)


def check_methods(methods: Sequence[str]) -> list[str]:
    """The methods, with `all` replaced by their keys. Raises InputError for one that is unknown or has no classes."""
    if list(methods) == ["all"]:
        return [name for name, method in METHODS.items() if method.has_logits]
    for name in methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
        if not METHODS[name].has_logits:
            raise InputError(f"method {name}: it compares samples with samples and has no classes to measure")
    return list(methods)


class Way(NamedTuple):
    """One way of computing a loss. run: a forward and backward pass, None if not installed; note: a remark after it."""

    name: str
    run: Run | None
    note: Callable[[], str] = str


def ways(batch: Inputs, methods: Sequence[str]) -> Iterator[Way]:
    """All ways, in the order of the table."""
    x, y, W = batch.x, batch.y, batch.W
    yield Way("floor, 3 products", lambda: products(x.detach(), W.detach(), 3))
    yield Way(FLOOR, lambda: products(x.detach(), W.detach(), 4))
    yield Way(PLAIN, lambda: F.cross_entropy(F.linear(x, W), y).backward())
    for method in methods:
        if method in EAGER:
            yield Way(f"{method} eager", lambda method=method: eager_loss(method, x, W, y).backward())
        if method in PML:
            yield Way(f"{method} pml", pml_run(method, batch))
        objective = build_objective(method, batch)
        yield Way(f"{method} dense", objective_run(objective, batch, "dense"))
        yield Way(f"{method} streaming", objective_run(objective, batch, "streaming"))
        if method == BF16:
            run = objective_run(objective, batch, "streaming", "bf16")
            yield Way(f"{method} streaming bf16", run, lambda objective=objective: bf16_error(objective, batch))


def products(x: Tensor, W: Tensor, times: int) -> None:
    """The product of the cosines `times` - 2 times, and those of the two gradients."""
    for _ in range(times - 2):
        cos = x @ W.T
    cos @ W, cos.T @ x


def eager_loss(method: str, x: Tensor, W: Tensor, y: Tensor) -> Tensor:
    """The loss implemented directly in torch, with the papers' values."""
    i, m = torch.arange(len(x)), 0.5
    cos = F.linear(F.normalize(x), F.normalize(W)).clamp(-1, 1)
    pos = cos[i, y][:, None]
    sin = (1 - pos**2).clamp(min=1e-12).sqrt()
    T, N = pos * math.cos(m) - sin * math.sin(m), cos
    if method == "cosface":
        T = pos - 0.35
    elif method != "arcface":
        hard = cos > T.detach()
        hard[i, y] = False
        if method == "mv_arc":
            N = torch.where(hard, 1.2 * cos + 0.2, cos)
        elif method == "curricularface":
            N = torch.where(hard, cos * (0.01 * pos.detach().mean() + cos), cos)
        else:
            with torch.no_grad():
                tilde = 0.4 + 0.2 * (cos * hard).sum(1, keepdim=True) / hard.sum(1, keepdim=True).clamp(min=1)
            T, N = pos * tilde.cos() - sin * tilde.sin(), torch.where(hard, 1.1 * cos + 0.25, cos)
    return F.cross_entropy(S * N.scatter(1, y[:, None], T), y)


def build_objective(method: str, batch: Inputs) -> MarginSoftmax:
    """The workbench's objective with the centers of the batch, or its own if it has several centers per class."""
    scale = {"s": S} if "s" in METHODS[method].parameters() else {}
    objective = build(method, *batch.W.shape, **scale)
    if objective.centers.weight.shape == batch.W.shape:
        objective.centers.weight = batch.W
    batch.learned += [leaf for leaf in objective.parameters() if leaf is not batch.W]
    return objective


def objective_run(objective: MarginSoftmax, batch: Inputs, compute: str, precision: str = "fp32") -> Run:
    """A forward and backward pass of an objective."""

    def run() -> None:
        objective.compute, objective.precision = compute, precision
        objective.step(batch.x, batch.y).total.backward()

    return run


def pml_run(method: str, batch: Inputs) -> Run | None:
    """A pass of pytorch-metric-learning's loss, whose centers are (D, C); None if it is not installed."""
    try:
        from pytorch_metric_learning import losses
    except ImportError:
        return None
    kind, margin = PML[method]
    loss: Any = getattr(losses, kind)(*batch.W.shape, margin=margin, scale=S)
    loss.W = nn.Parameter(batch.W.detach().T.contiguous())
    batch.learned.append(loss.W)
    return lambda: loss(batch.x, batch.y).backward()


def bf16_error(objective: MarginSoftmax, batch: Inputs) -> str:
    """The relative error of loss and gradients in bfloat16 against float32 (of tensors: by norms)."""
    results = []
    for precision in ("fp32", "bf16"):
        batch.clear()
        objective.compute, objective.precision = "streaming", precision
        loss = objective.loss(batch.x, batch.y).total
        loss.backward()
        results.append((loss.detach(), batch.x.grad, batch.W.grad))
    errors = [float((b - a).norm() / a.norm()) for a, b in zip(*results, strict=True)]
    text = ", ".join(f"{name} {error:.1e}" for name, error in zip(("loss", "dx", "dW"), errors, strict=True))
    return f"relative error against float32: {text}"
