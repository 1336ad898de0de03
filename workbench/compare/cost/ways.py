"""The ways of computing a loss over all classes that `workbench bench heads` measures side by side.

floor        the matrix products alone: three for a way that holds all cosines, four for one that makes its tiles twice
plain        torch's linear and cross_entropy: no directions, no margin
eager        the loss as a person writes it with torch alone
dense, streaming, streaming bf16   this workbench's
pml          pytorch-metric-learning's, where it has the loss and is installed (extra `bench`)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.compare.cost.measure import Run
from workbench.compare.cost.tables import FLOOR, PLAIN
from workbench.core.errors import InputError, unknown
from workbench.core.random import generator
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.methods import METHODS, build

S = 64.0
WRITTEN = ("cosface", "arcface", "mv_arc", "curricularface", "npcface")  # `eager` knows them
PML = {"arcface": ("ArcFaceLoss", 28.6), "cosface": ("CosFaceLoss", 0.35)}  # degrees and a cosine, as it counts
ABSENT = "not installed: pip install 'hypersphere-workbench[bench]'"
BF16 = "npcface"  # whose products are also measured in bfloat16


@dataclass(eq=False)
class Batch:
    """Embeddings x (B, D) and labels y (B,), centers W (C, D); learned: everything whose gradient a way may make."""

    x: Tensor
    y: Tensor
    W: nn.Parameter
    learned: list[Tensor] = field(default_factory=list)

    @classmethod
    def drawn(cls, classes: int, batch: int, dim: int) -> "Batch":
        own = generator(0, "heads")
        x = torch.randn(batch, dim, generator=own).requires_grad_()
        W = nn.Parameter(torch.randn(classes, dim, generator=own) / dim**0.5)
        return cls(x, torch.randint(0, classes, (batch,), generator=own), W, [x, W])

    def clear(self) -> None:
        """Forget all gradients."""
        for leaf in self.learned:
            leaf.grad = None

    @property
    def gradients(self) -> int:
        """The bytes of the gradients that are there."""
        return sum(leaf.grad.nbytes for leaf in self.learned if leaf.grad is not None)


def checked(methods: Sequence[str]) -> list[str]:
    """The methods, `all` spelled out; InputError for one that is unknown or has no classes."""
    if list(methods) == ["all"]:
        return [name for name, method in METHODS.items() if method.has_logits]
    for name in methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
        if not METHODS[name].has_logits:
            raise InputError(f"method {name}: it compares samples with samples and has no classes to measure")
    return list(methods)


class Way(NamedTuple):
    """One way of computing a loss: run is a forward and backward, None where it is not installed; note: what to say."""

    name: str
    run: Run | None
    note: Callable[[], str] = str


def ways(batch: Batch, methods: Sequence[str]) -> Iterator[Way]:
    """What is measured, in the order of the table."""
    x, y, W = batch.x, batch.y, batch.W
    yield Way("floor, 3 products", lambda: products(x.detach(), W.detach(), 3))
    yield Way(FLOOR, lambda: products(x.detach(), W.detach(), 4))
    yield Way(PLAIN, lambda: F.cross_entropy(F.linear(x, W), y).backward())
    for method in methods:
        if method in WRITTEN:
            yield Way(f"{method} eager", lambda method=method: eager(method, x, W, y).backward())
        if method in PML:
            yield Way(f"{method} pml", foreign(method, batch))
        objective = composed(method, batch)
        yield Way(f"{method} dense", stepped(objective, batch, "dense"))
        yield Way(f"{method} streaming", stepped(objective, batch, "streaming"))
        if method == BF16:
            run = stepped(objective, batch, "streaming", "bf16")
            yield Way(f"{method} streaming bf16", run, lambda objective=objective: bf16_error(objective, batch))


def products(x: Tensor, W: Tensor, times: int) -> None:
    """The cosines' product `times` - 2 times, then those of the two gradients."""
    for _ in range(times - 2):
        cos = x @ W.T
    cos @ W, cos.T @ x


def eager(method: str, x: Tensor, W: Tensor, y: Tensor) -> Tensor:
    """The loss as a person writes it with torch alone, with the papers' values."""
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


def composed(method: str, batch: Batch) -> MarginSoftmax:
    """The workbench's objective over the batch's own centers, or over its own where it has several a class."""
    scale = {"s": S} if "s" in METHODS[method].parameters() else {}
    objective = build(method, *batch.W.shape, **scale)
    if objective.centers.weight.shape == batch.W.shape:
        objective.centers.weight = batch.W
    batch.learned += [leaf for leaf in objective.parameters() if leaf is not batch.W]
    return objective


def stepped(objective: MarginSoftmax, batch: Batch, compute: str, precision: str = "fp32") -> Run:
    def run() -> None:
        objective.compute, objective.precision = compute, precision
        objective.step(batch.x, batch.y).total.backward()

    return run


def foreign(method: str, batch: Batch) -> Run | None:
    """pytorch-metric-learning's loss, whose centers are (D, C); None where it is not installed."""
    try:
        from pytorch_metric_learning import losses
    except ImportError:
        return None
    kind, margin = PML[method]
    loss: Any = getattr(losses, kind)(*batch.W.shape, margin=margin, scale=S)
    loss.W = nn.Parameter(batch.W.detach().T.contiguous())
    batch.learned.append(loss.W)
    return lambda: loss(batch.x, batch.y).backward()


def bf16_error(objective: MarginSoftmax, batch: Batch) -> str:
    """How far loss and gradients in bfloat16 are from those in float32, relative (of tensors: by their lengths)."""
    found = []
    for precision in ("fp32", "bf16"):
        batch.clear()
        objective.compute, objective.precision = "streaming", precision
        loss = objective.loss(batch.x, batch.y).total
        loss.backward()
        found.append((loss.detach(), batch.x.grad, batch.W.grad))
    errors = [float((b - a).norm() / a.norm()) for a, b in zip(*found, strict=True)]
    said = ", ".join(f"{name} {error:.1e}" for name, error in zip(("loss", "dx", "dW"), errors, strict=True))
    return f"relative error against float32: {said}"
