"""ClassSet: which classes are active in a batch, their centers, and how centers that no optimizer owns are updated.

select          the active classes of a batch: rows of the weight, and the positions of the labels among them
observe         after a batch was compared: what it remembers of it (queues); advances its state
apply_updates   after the optimizer's step: moves the rows that no optimizer owns
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

    ids (n,): class indices in the order of the rows; None: every class, in order. ranks: where these are the active
    classes of one of several ranks; then y is n for a label that another rank owns.
    """

    W: Tensor
    bias: Tensor | None
    y: Tensor
    ids: Tensor | None = None
    ranks: GlobalActive | None = None

    @property
    def on_all_ranks(self) -> tuple[Tensor, Tensor | None]:
        """Positions of the labels among the classes active on any rank, and those classes (None: every class)."""
        return (self.y, self.ids) if self.ranks is None else (self.ranks.y, self.ranks.ids)


class ClassSet(nn.Module):
    """The base of all class sets. `weight` (C sub, D) holds every center; similarity compares it with embeddings.

    partial: a batch is compared with a part of the classes, whose rows no optimizer owns; handle: the parameter that
    stands for those rows in an optimizer (`workbench.losses.link`), else None; sharded: each rank owns a part of
    the classes; wants_cosines: `observe` needs the cosines of a batch, so that they cannot be streamed.
    """

    weight: Tensor
    similarity: Cosine
    partial: ClassVar[bool] = False
    sharded: ClassVar[bool] = False
    wants_cosines: ClassVar[bool] = False
    handle: nn.Parameter | None
    Options: ClassVar[type[ClassSetOptions]] = ClassSetOptions

    def tune(self, name: str, value: float) -> None:
        """Change an option that is declared live, from the next batch on. InputError for a value out of range."""
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

    def of_all_ranks(self, read: bool) -> Tensor:
        """The weight (C sub, D) of every class on every rank. Sharded and not `read`: a view of NaN of that shape."""
        return self.weight

    def select(self, y: Tensor, again: bool = False) -> ActiveClasses:
        """The active classes of a batch with labels y (B,); reads only. again: those of the batch observed last."""
        raise NotImplementedError

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Remember a batch: labels y (B,), active classes ids (n,), cosines cos (B, n) or None if streamed, and x."""

    def apply_updates(self, lr: float, scale: Tensor | None = None) -> None:
        """Move the rows that no optimizer owns by their gradients, times scale (1,), at learning rate lr."""

    @property
    def pending(self) -> bool:
        """Whether rows that no optimizer owns have gradients that wait for `apply_updates`."""
        return False

    def discard_updates(self) -> None:
        """Forget the gradients of rows that no optimizer owns, as zero_grad does for parameters."""
