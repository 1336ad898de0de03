"""Selection: the selected samples and classes, shared by all live views. Brushing in a view, or Python, sets it."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import traitlets


class Selection(traitlets.HasTraits):
    """samples: positions in the sample of the snapshot; classes: ids; both ascending. Empty: no selection."""

    samples = traitlets.Tuple()
    classes = traitlets.Tuple()

    @traitlets.validate("samples", "classes")
    def _sort(self, proposal: dict) -> tuple[int, ...]:
        return tuple(sorted({int(i) for i in proposal["value"]}))

    def unobserve(self, *handler: Any, **named: Any) -> None:
        """Same as traitlets', but idempotent: a view is closed explicitly and again when it is deleted."""
        with suppress(ValueError):
            super().unobserve(*handler, **named)

    def clear(self) -> None:
        """Clear the selection."""
        with self.hold_trait_notifications():
            self.samples, self.classes = (), ()

    def select_classes(self, y: np.ndarray, classes: Iterable[int]) -> None:
        """Select classes and all their samples. y (n,): labels of the sample."""
        ids = sorted(set(classes))
        with self.hold_trait_notifications():
            self.classes, self.samples = tuple(ids), tuple(np.flatnonzero(np.isin(y, ids)).tolist())
