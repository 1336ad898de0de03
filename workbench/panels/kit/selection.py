"""Selection: which samples and classes are looked at, one model that every live view shares.

Brushing in any view sets it, and every view greys out what is not in it; it is read and set from Python all the same.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import traitlets


class Selection(traitlets.HasTraits):
    """samples: places in the sample of the snapshot; classes: ids; both ascending. Empty: nothing is singled out."""

    samples = traitlets.Tuple()
    classes = traitlets.Tuple()

    @traitlets.validate("samples", "classes")
    def _whole(self, proposal: dict) -> tuple[int, ...]:
        return tuple(sorted({int(i) for i in proposal["value"]}))

    def unobserve(self, *handler: Any, **named: Any) -> None:
        """As traitlets do, and again for nothing: a view is closed by hand, and once more when it is deleted."""
        with suppress(ValueError):
            super().unobserve(*handler, **named)

    def clear(self) -> None:
        """Single out nothing."""
        with self.hold_trait_notifications():
            self.samples, self.classes = (), ()

    def of_class(self, y: np.ndarray, classes: Iterable[int]) -> None:
        """Single out classes and all their samples; y (n,): the labels of the sample."""
        wanted = sorted(set(classes))
        with self.hold_trait_notifications():
            self.classes, self.samples = tuple(wanted), tuple(np.flatnonzero(np.isin(y, wanted)).tolist())
