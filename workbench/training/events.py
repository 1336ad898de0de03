"""Events: every change of a parameter while training, scheduled or by hand, in one form that can be replayed.

A run is its configuration, its seed and its events. A warm-up is nothing but events that were known beforehand.
"""

from dataclasses import asdict, dataclass
from typing import Any

from workbench.core.parameters import Declared


@dataclass(frozen=True)
class Event:
    """Before step `step`, parameter `name` became `new`; `old` is what it was (None while it is only scheduled)."""

    step: int
    name: str
    new: Any
    old: Any = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def weakened(margin: Declared, share: float) -> dict[str, float]:
    """What makes a margin strict, at a share of the way from having no effect (0) to the margin's own values (1)."""
    neutral = {name: p.neutral for name, p in margin.parameters().items() if p.neutral is not None}
    return {name: zero + share * (getattr(margin, name) - zero) for name, zero in neutral.items()}


def warm_up(margin: Declared, steps: int, stages: int = 20) -> tuple[Event, ...]:
    """Events that take a margin from no effect at step 0 to its own values at step `steps`, in equal stages."""
    stages = min(stages, steps)
    return tuple(
        Event(round(stage * steps / stages), name, value)
        for stage in range(stages + 1 if stages else 0)
        for name, value in weakened(margin, stage / stages).items()
    )
