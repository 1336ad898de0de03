"""The recipe's warm-up of a margin, in a training whose parameters also change by hand."""

from typing import Any

from workbench.training.config import RECIPES, Config
from workbench.training.live.tuning import Tuning


class WarmUp:
    """The scheduled changes of the margin that a session starts with.

    Parameters in `by_hand` were set by the user and are left alone; another method has no warm-up.
    """

    def __init__(self, config: Config, tuning: Tuning) -> None:
        steps = config.steps or RECIPES[config.recipe].steps
        self.method = tuning.method
        self.events = config.warm_up(tuning.composed.margin_of(tuning.values), steps)
        self.by_hand: frozenset[str] = frozenset()

    def due(self, step: int, method: str) -> dict[str, Any]:
        """The values that parameters of the method get before a step."""
        if method != self.method:
            return {}
        return {e.name: e.new for e in self.events if e.step == step and e.name not in self.by_hand}
