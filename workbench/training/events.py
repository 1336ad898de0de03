"""Events: changes of parameters during a training, scheduled or by hand. A warm-up is a list of scheduled events.

A run is determined by its configuration, its seed and its events.
"""

from dataclasses import asdict, dataclass
from typing import Any

from workbench.core.parameters import Declared


@dataclass(frozen=True)
class Event:
    """A parameter's change from `old` (None in a schedule) to `new` before step `step`."""

    step: int
    name: str
    new: Any
    old: Any = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def weaken(margin: Declared, share: float) -> dict[str, float]:
    """The margin's parameters that have a neutral value, at a share of the way from neutral (0) to their value (1)."""
    neutral = {name: p.neutral for name, p in margin.parameters().items() if p.neutral is not None}
    return {name: zero + share * (getattr(margin, name) - zero) for name, zero in neutral.items()}


def warm_up(margin: Declared, steps: int, stages: int = 20) -> tuple[Event, ...]:
    """Events that take a margin from no effect at step 0 to its values at step `steps`, in equal stages."""
    stages = min(stages, steps)
    return tuple(
        Event(round(stage * steps / stages), name, value)
        for stage in range(stages + 1 if stages else 0)
        for name, value in weaken(margin, stage / stages).items()
    )
