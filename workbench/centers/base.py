"""ClassSet: the active classes of a batch, their centers, and the updates of centers that no optimizer owns.

select          active classes of a batch: rows of the weight, and positions of the labels among them
observe         after the forward pass: advances the state of the class set (step, queues)
apply_updates   after the optimizer's step: updates the rows that no optimizer owns
"""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from workbench.centers.options import ClassSetOptions
from workbench.centers.similarity import Cosine
from workbench.core.errors import InputError


class GlobalActive(NamedTuple):
    """Classes active on any rank. classes: their number; ids: class indices (None: all); y (B,): positions in ids."""

    y: Tensor
    ids: Tensor | None
    classes: int


class ActiveClasses(NamedTuple):
    """The active classes of a batch: rows W (n sub, D), bias (n,) or None, y (B,) positions of the labels among them.

    ids (n,): class indices in the order of the rows; None: every class, in order. ranks: with sharded centers, the
    active classes of all ranks; then W, bias and ids are those of this rank, and y is n for labels of other ranks.
    """

    W: Tensor
    bias: Tensor | None
    y: Tensor
    ids: Tensor | None = None
    ranks: GlobalActive | None = None

    @property
    def on_all_ranks(self) -> tuple[Tensor, Tensor | None]:
        """Positions of the labels among the classes active on any rank, and their indices (None: every class)."""
        return (self.y, self.ids) if self.ranks is None else (self.ranks.y, self.ranks.ids)


class ClassSet(nn.Module):
    """Base class of all class sets. `weight` (C sub, D): all centers; `similarity`: compares them with embeddings.

    partial: only some classes are active in a batch, and no optimizer owns their rows; handle: the parameter that
    represents those rows in an optimizer (`workbench.losses.link`), else None; sharded: each rank owns a part of the
    classes; wants_cosines: `observe` needs the cosines of a batch, so streaming is not possible.
    """

    weight: Tensor
    similarity: Cosine
    partial: ClassVar[bool] = False
    sharded: ClassVar[bool] = False
    wants_cosines: ClassVar[bool] = False
    handle: nn.Parameter | None
    Options: ClassVar[type[ClassSetOptions]] = ClassSetOptions

    def tune(self, name: str, value: float) -> None:
        """Change a live option from the next batch on. Raises InputError for other options and invalid values."""
        raise InputError(f"{type(self).__name__}: no option may change during training ({name} = {value})")

    @property
    def sub(self) -> int:
        """Rows of the weight per class."""
        return self.similarity.rows

    @property
    def classes(self) -> int:
        return self.weight.shape[0] // self.sub

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    def weight_of_all_ranks(self, read: bool) -> Tensor:
        """The weight (C sub, D) of the classes of all ranks, on every rank. NaN if it is sharded and not `read`."""
        return self.weight

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        """The active classes of a batch with labels y (B,); no change of state. again: those of the last batch."""
        raise NotImplementedError

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Advance the state by a batch: labels y (B,), active classes ids (n,), cosines cos (B, n), embeddings x.

        cos is None with streaming.
        """

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Update the rows that no optimizer owns by their gradients times scale (1,), at learning rate lr."""

    @property
    def pending(self) -> bool:
        """Whether rows that no optimizer owns have gradients for the next `apply_updates`."""
        return False

    def discard_updates(self) -> None:
        """Drop the gradients of rows that no optimizer owns, like zero_grad."""
