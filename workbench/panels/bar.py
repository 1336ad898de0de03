"""RunBar: the controls of a session (buttons, keys, lists), its status line and its error message."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from workbench.core.errors import InputError
from workbench.losses.criteria import WEIGHTINGS
from workbench.panels.kit.controls import button, dropdown, problem_html, state_html
from workbench.panels.scenes import scenes_for
from workbench.training.live.session import LiveSession

CHOOSE = "choose…"  # the entry of a list that selects nothing

# Keyboard shortcuts: key -> command.
KEYS = {"Space": "toggle", "n": "step", "r": "run", "z": "undo", "y": "redo", "s": "snapshot"}
COMMANDS = (
    ("toggle", "Play", "Train until paused (Space)."),
    ("step", "Step", "Train for 1 step (n)."),
    ("run", "Run 100", "Train for 100 steps (r)."),
    ("undo", "Undo", "Undo the last parameter change (z)."),
    ("redo", "Redo", "Redo the parameter change (y)."),
    ("snapshot", "Snapshot", "Save the training state in memory, to restore it later (s)."),
    ("reset_weights", "Reset weights", "Initialize the network again from the same seed. Parameters are kept."),
    ("reset_parameters", "Reset parameters", "Restore the initial parameters. Weights are kept."),
)


class Keys(anywidget.AnyWidget):
    """Invisible; reports which of the keys `key_names` is pressed in the lab that contains it."""

    _esm = Path(__file__).parent.joinpath("js", "keys.js").read_text(encoding="utf-8")
    key_names = traitlets.List(traitlets.Unicode()).tag(sync=True)


class RunBar(widgets.VBox):
    """Buttons; lists of methods, presets, weightings, snapshots and scenes; status line and error message.

    session: returns the present session, which may be replaced; on_command: called after each command; play_scene:
    called with the title of the scene to start. Widgets: choices (lists by name), status, message, description.
    """

    def __init__(
        self,
        session: Callable[[], LiveSession],
        on_command: Callable[[], None],
        play_scene: Callable[[str], None],
    ) -> None:
        self._session, self._on_command, self._play_scene = session, on_command, play_scene
        self._scenes = scenes_for(session().images.classes)
        self._filling = False  # the lists are being updated: ignore their events
        self._buttons = {
            name: button(text, tip, lambda name=name: self.run_command(name)) for name, text, tip in COMMANDS
        }
        lists = {
            "method": ("Method", [(m.title, key) for key, m in session().known.items()]),
            "preset": ("Preset", []),
            "weighting": ("Sample weighting", list(WEIGHTINGS)),
            "restore": ("Restore", []),
            "scene": ("Scene", [CHOOSE, *self._scenes]),
        }
        self.choices = {
            name: dropdown(
                text, options, lambda value, name=name: self._on_choice(name, value), description_width="initial"
            )
            for name, (text, options) in lists.items()
        }
        self.status, self.description, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        keys = Keys(key_names=list(KEYS))
        keys.on_msg(lambda _, content, __: self.run_command(KEYS[content["key"]]))
        buttons, choices = widgets.HBox(list(self._buttons.values())), widgets.HBox(list(self.choices.values()))
        for box in (buttons, choices):
            box.add_class("workbench-bar")
        super().__init__([buttons, choices, self.description, self.status, self.message, keys])

    def run_command(self, command: str, *arguments: Any) -> None:
        """Run a command: one of COMMANDS, or another method of the session. Errors are reported in the page."""
        session = self._session()
        actions: dict[str, Callable[[], Any]] = {
            "toggle": session.pause if session.status == "playing" else session.play,
            "run": lambda: session.run(100),
        }
        try:
            actions.get(command, lambda: getattr(session, command)(*arguments))()
        except (InputError, RuntimeError) as error:
            self.report(str(error))
        else:
            self.report("")
        self._on_command()

    def report(self, text: str, traceback: str = "") -> None:
        """Show an error message with its traceback, collapsed. An empty text clears the message."""
        details = f"<details><summary>Traceback</summary><pre>{escape(traceback)}</pre></details>" if traceback else ""
        self.message.value = problem_html(text) + details

    def show(self, lag: float, dropped: int, shown: int) -> None:
        """Update the status. lag: seconds from sending a frame to its drawing; dropped, shown: numbers of frames."""
        session = self._session()
        rate = f"{session.steps_per_second:.1f} steps/s" if session.at else "no steps yet"
        frames = f"lag {1000 * lag:.0f} ms, {dropped:,} of {dropped + shown:,} frames dropped" if shown else "no viewer"
        device = session.job.device.type.upper()
        self.status.value = state_html(session.status, f"step {session.job.step:,}", rate, device, frames)
        if session.failure:
            stopped = f"Training stopped: {session.failure}. Restore a snapshot to continue."
            self.report(stopped, session.traceback)
        self._buttons["toggle"].description = "Pause" if session.status == "playing" else "Play"
        self._fill(session)

    def _fill(self, session: LiveSession) -> None:
        """Write the present options and values to the lists."""
        self._filling = True
        try:
            tuning = session.tuning
            method = session.known[tuning.method]
            for name, options in (("preset", list(method.presets)), ("restore", [CHOOSE, *session.snapshots])):
                if list(self.choices[name].options) != options:
                    self.choices[name].options = options
            for name in ("method", "preset", "weighting"):
                self.choices[name].value = getattr(tuning, name)
            self.choices["restore"].value = CHOOSE
            self.choices["weighting"].disabled = not method.has_logits
        finally:
            self._filling = False

    def _on_choice(self, name: str, value: Any) -> None:
        if self._filling or value in (None, CHOOSE):
            return
        if name == "restore":
            self.run_command("restore", value)
        elif name == "scene":
            self._play_scene(value)
            self.description.value = f'<div class="workbench-scene">{escape(self._scenes[value].description)}</div>'
        else:
            self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        """Set method, preset or weighting of the session."""
        try:
            self._session().set(**{name: value})
            self.report("")
        except InputError as error:
            self.report(f"Not possible: {error}")
        self._on_command()
