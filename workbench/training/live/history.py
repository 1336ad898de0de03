"""History of a live session: the log of its changes, undo and redo, and named checkpoints."""

from dataclasses import dataclass
from typing import Any

from workbench.training.events import Event
from workbench.training.live.trainer import Checkpoint
from workbench.training.live.tuning import Tuning

Changes = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One action of the user, after `at` steps of the session, when the job was at step `step`.

    do: set, snapshot (take a checkpoint), restore or reset_weights; asked: its arguments; events: the parameters that
    it changed; note: its effect on the class centers and the margin's state, or the step it went back to.
    """

    at: int
    step: int
    do: str
    asked: Changes
    events: tuple[Event, ...] = ()
    note: str = ""


class History:
    """log: the actions in order; checkpoints: by name."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.checkpoints: dict[str, Checkpoint] = {}
        self._undo: list[tuple[Changes, Changes]] = []  # the changes of each `set`: backward, forward
        self._redo: list[tuple[Changes, Changes]] = []

    def add_change(self, old: Tuning, new: Tuning) -> None:
        """Make the change from one tuning to another undoable. Nothing can be redone after it."""
        self._undo.append((old.differences(new), new.differences(old)))
        self._redo.clear()

    def undo(self, tuning: Tuning) -> Tuning | None:
        """The tuning without the last change; None if there is none."""
        return self._move(self._undo, self._redo, 0, tuning)

    def redo(self, tuning: Tuning) -> Tuning | None:
        """The tuning with the change that was undone last; None if there is none."""
        return self._move(self._redo, self._undo, 1, tuning)

    def _move(self, source: list, target: list, direction: int, tuning: Tuning) -> Tuning | None:
        if not source:
            return None
        target.append(source.pop())
        return tuning.with_changes(**target[-1][direction])
