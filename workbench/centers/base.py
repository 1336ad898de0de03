"""What a class set is: it says which classes a batch is compared with, owns their centers, moves what it owns itself.

select   the classes a batch meets: rows of the weight, and where the batch's labels are among them
settle   after the optimiser's step: the class set moves the rows that no optimiser owns
observe  after a batch was compared: what it remembers of it (queues); the only method that changes its state
"""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from workbench.centers.similarity import Cosine
from workbench.core.parameters import Param


class Whole(NamedTuple):
    """What all processes meet together: `classes` of them; y (B,) the labels' places among ids, None: every class."""

    y: Tensor
    ids: Tensor | None
    classes: int


class Selected(NamedTuple):
    """The classes a batch meets: W (n sub, D) their rows, bias (n,) or None, y (B,) the labels' places among them.

    ids (n,): the classes, in the order of the rows; None where every class is met, in its own order. whole: where they
    are a part of what several processes meet; then y is n for a label that another process meets.
    """

    W: Tensor
    bias: Tensor | None
    y: Tensor
    ids: Tensor | None = None
    whole: Whole | None = None

    @property
    def everywhere(self) -> tuple[Tensor, Tensor | None]:
        """The labels' places among all classes met on any process, and those classes (None: every class)."""
        return (self.y, self.ids) if self.whole is None else (self.whole.y, self.whole.ids)


class ClassSet(nn.Module):
    """The base of all class sets. `weight` (C sub, D) holds every center; similarity says how it is compared."""

    weight: Tensor
    similarity: Cosine
    wants_cosines: ClassVar[bool] = False  # whether observe looks at them, so that they must be there at once
    LIVE: ClassVar[dict[str, Param]] = {}  # the options that may change while it trains

    def tune(self, name: str, value: float) -> None:
        """Change one of the options in LIVE from the next batch on. InputError for a value out of its range."""
        setattr(self, name, self.LIVE[name].check(type(self).__name__, name, value))

    @property
    def sub(self) -> int:
        """How many rows of the weight each class has."""
        return self.similarity.rows

    @property
    def classes(self) -> int:
        return self.weight.shape[0] // self.sub

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    def batch(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings and labels of the whole batch, of which each process brings its share; alone: themselves."""
        return x, y

    def select(self, y: Tensor) -> Selected:
        """The classes that a batch with labels y (B,) is compared with. Reads only: asked twice, it says the same."""
        raise NotImplementedError

    def observe(self, y: Tensor, ids: Tensor | None, cos: Tensor | None, x: Tensor | None = None) -> None:
        """Remember a batch: labels y (B,), classes met ids (n,), cosines cos (B, n) (None in tiles), embeddings x."""

    def settle(self, lr: float) -> None:
        """Move the rows that no optimiser owns by their gradients at learning rate lr; nothing by default."""
