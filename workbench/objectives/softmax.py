"""MarginSoftmax: a margin, a scale and a class set composed into the loss that training minimises.

Reading (forward, margin_logits) never changes anything; `observe` advances the margin's state; `step` does both on one
comparison of the batch with the centers; `replace` is the one way to change a parameter.
"""

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from workbench.centers.full import FullCenters
from workbench.errors import InputError, unknown
from workbench.margins.base import Margin, Param, State
from workbench.objectives.rows import logits, transform
from workbench.sphere import cosines

SCALE = Param("s", "scale: how sharply the softmax tells cosines apart", low=0.1, high=1000)


class Loss(NamedTuple):
    """total: what to differentiate, a scalar; per_sample (B,); terms: the named parts of the total."""

    total: Tensor
    per_sample: Tensor
    terms: dict[str, Tensor]


class Compared(NamedTuple):
    """A batch beside the centers: cos (B, C), norm (B, 1), y (B, 1), pos = cos(theta_y) (B, 1), W (C, D)."""

    cos: Tensor
    norm: Tensor
    y: Tensor
    pos: Tensor
    W: Tensor


class MarginSoftmax(nn.Module):
    """Softmax cross-entropy over margined cosines: -log(e^{sT} / (e^{sT} + sum_j e^{sN_j}))   (NPCFace Eq. 13).

    margin: the logit transform; centers: the class set; s: the scale. Embeddings x (B, D) come un-normalised, labels y
    (B,) as long. Raises InputError for shapes that do not fit, labels outside 0..C-1 and embeddings of norm 0.
    """

    def __init__(self, margin: Margin, centers: FullCenters, s: float) -> None:
        super().__init__()
        self.margin = margin
        self.centers = centers
        self.s = SCALE.check("scale", "s", s)
        for name, value in margin.init(centers.classes, centers.dim).items():
            self.register_buffer(f"state_{name}", value)

    @property
    def state(self) -> State:
        """A copy of the margin's state: what survives between batches."""
        return {name: self.get_buffer(f"state_{name}").clone() for name in self.margin.states}

    def parameters_now(self) -> dict[str, Any]:
        """The value of every parameter that `replace` changes."""
        return {"s": self.s} | {name: getattr(self.margin, name) for name in self.margin.parameters()}

    def replace(self, **changes: Any) -> None:
        """Change the scale `s` or fields of the margin; the state stays. All or nothing: a bad value changes none."""
        for name in changes:
            if name not in self.parameters_now():
                raise unknown(f"parameter of {type(self.margin).__name__}", name, self.parameters_now())
        s = SCALE.check("scale", "s", changes.pop("s", self.s))
        self.margin = dataclasses.replace(self.margin, **changes)
        self.s = s

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        """The loss of a batch; reads only."""
        return self._loss(self._compare(x, y))

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Advance the margin's state by a batch."""
        self._advance(self._compare(x, y))

    def step(self, x: Tensor, y: Tensor) -> Loss:
        """Observe the batch, then its loss: what training calls (released code also updates before use)."""
        seen = self._compare(x, y)
        self._advance(seen)
        return self._loss(seen)

    def margin_logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B, C) before scale: T in the target column, N elsewhere."""
        seen = self._compare(x, y)
        with torch.autocast(x.device.type, enabled=False):
            return logits(self.margin, seen.cos, seen.norm, seen.y, {}, self.state)[0]

    def _compare(self, x: Tensor, y: Tensor) -> Compared:
        check_batch(x, y, self.centers.classes, self.centers.dim)
        W, local = self.centers.select(y)
        cos, rows = cosines(x, W), local[:, None]
        return Compared(cos, x.norm(dim=1, keepdim=True), rows, cos.gather(1, rows), W)

    @torch.no_grad()
    def _advance(self, seen: Compared) -> None:
        with torch.autocast(seen.cos.device.type, enabled=False):
            state = self.margin.observe(seen.pos, seen.norm, seen.W, self.state)
        for name, value in state.items():
            self.get_buffer(f"state_{name}").copy_(value)

    def _loss(self, seen: Compared) -> Loss:
        with torch.autocast(seen.cos.device.type, enabled=False):  # margin arithmetic stays in float32
            T, rows = transform(self.margin, seen.cos, seen.norm, seen.y, {}, self.state, self.s)
            per_sample = -logsigmoid(self.s * T - rows.logsumexp).squeeze(1)
        softmax = per_sample.mean()
        return Loss(softmax, per_sample, {"softmax": softmax})


def check_batch(x: Tensor, y: Tensor, classes: int, dim: int) -> None:
    """One clear line for a batch that does not fit. On a GPU the values are not read here: that would wait for it."""
    if x.ndim != 2 or x.shape[1] != dim or len(x) == 0:
        raise InputError(f"embeddings have shape {tuple(x.shape)}; expected (B, {dim}) with B of at least 1")
    if y.shape != x.shape[:1] or y.dtype != torch.long:
        raise InputError(f"labels have shape {tuple(y.shape)} and type {y.dtype}; expected ({len(x)},) and torch.int64")
    if x.device.type != "cpu":
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise InputError(f"label {low if low < 0 else high} is outside 0..{classes - 1} ({classes} classes)")
    zero = (x.detach() == 0).all(dim=1)
    if zero.any():
        raise InputError(f"the embedding of sample {int(zero.nonzero()[0])} of the batch has norm 0, so no direction")
