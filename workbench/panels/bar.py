"""RunBar: the controls of a running session, its keys, and the line that says how it stands."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from workbench.core.errors import InputError
from workbench.losses.criteria import WEIGHTINGS
from workbench.panels.scenes import scenes_for
from workbench.training.live.session import LiveSession

CHOOSE = "choose…"

# What a key does, by the name of the method of RunBar that does it.
KEYS = {"Space": "toggle", "n": "step", "r": "run", "z": "undo", "y": "redo", "s": "snapshot"}
COMMANDS = (
    ("toggle", "Play", "train without end, or pause (Space)"),
    ("step", "Step", "one step (n)"),
    ("run", "Run 100", "a hundred steps (r)"),
    ("undo", "Undo", "take back the last change of a parameter (z)"),
    ("redo", "Redo", "do it again (y)"),
    ("snapshot", "Snapshot", "keep the whole state, to come back to (s)"),
    ("reset_weights", "Reset weights", "a fresh network from the same seed; parameters stay"),
    ("reset_parameters", "Reset parameters", "every parameter as it was at the start; weights stay"),
)


class Keys(anywidget.AnyWidget):
    """Shows nothing; tells which of the keys `keys` for was pressed in the lab around it."""

    _esm = Path(__file__).parent.joinpath("js", "keys.js").read_text(encoding="utf-8")
    key_names = traitlets.List(traitlets.Unicode()).tag(sync=True)


class RunBar(widgets.VBox):
    """Buttons, choices of method, preset and weighting, the state line and what went wrong.

    session: a function that returns the session steered now, which may be exchanged; changed: called after a command;
    scene: called with the title of the scene to start.
    """

    def __init__(
        self, session: Callable[[], LiveSession], changed: Callable[[], None], scene: Callable[[str], None]
    ) -> None:
        self._session, self._on_command, self._scene = session, changed, scene
        self._scenes = scenes_for(session().images.classes)
        self._filling = False  # choices are being written: nobody chose them
        self._buttons = {name: self._button(name, text, tip) for name, text, tip in COMMANDS}
        self._choices = {
            "method": self._choice("method", "Method", [(m.title, key) for key, m in session().known.items()]),
            "preset": self._choice("preset", "Preset", []),
            "weighting": self._choice("weighting", "Weighting of samples", list(WEIGHTINGS)),
            "restore": self._choice("restore", "Restore", []),
            "scene": self._choice("scene", "Scene", [CHOOSE, *self._scenes]),
        }
        self._state = widgets.HTML()
        self._description = widgets.HTML()
        self._problem = widgets.HTML()
        keys = Keys(key_names=list(KEYS))
        keys.on_msg(lambda _, content, __: self.do(KEYS[content["key"]]))
        buttons = widgets.HBox(list(self._buttons.values()))
        choices = widgets.HBox(list(self._choices.values()))
        for box in (buttons, choices):
            box.add_class("workbench-bar")
        super().__init__([buttons, choices, self._description, self._state, self._problem, keys])

    def do(self, command: str, *given: Any) -> None:
        """Do what a button or key stands for; what cannot be done is said."""
        session = self._session()
        actions: dict[str, Callable[[], Any]] = {
            "toggle": session.pause if session.status == "playing" else session.play,
            "run": lambda: session.run(100),
        }
        try:
            actions.get(command, lambda: getattr(session, command)(*given))()
        except (InputError, RuntimeError) as error:
            self.problem(str(error))
        else:
            self.problem("")
        self._on_command()

    def problem(self, text: str, traceback: str = "") -> None:
        """Say what could not be done, and where in the code, folded; nothing: forget it."""
        where = f"<details><summary>Traceback</summary><pre>{escape(traceback)}</pre></details>" if traceback else ""
        said = f'<div class="workbench-problem" role="alert">{escape(text)}</div>{where}' if text else ""
        self._set_value(self._problem, said)

    def show(self, lag: float, dropped: int, shown: int) -> None:
        """How the session stands; lag in seconds between a frame and its drawing; frames dropped, and drawn."""
        session = self._session()
        step = session.job.step
        rate = f"{session.steps_per_second:.1f} steps/s" if session.at else "no steps yet"
        frames = f"lag {1000 * lag:.0f} ms, {dropped:,} of {dropped + shown:,} frames dropped" if shown else "no viewer"
        parts = (session.status, f"step {step:,}", rate, session.job.device.type.upper(), frames)
        self._set_value(
            self._state, f'<div class="workbench-state" role="status">{" · ".join(map(escape, parts))}</div>'
        )
        if session.failure:
            stopped = f"Training stopped: {session.failure}. Restore a snapshot to go on from before."
            self.problem(stopped, session.traceback)
        self._buttons["toggle"].description = "Pause" if session.status == "playing" else "Play"
        self._fill(session)

    def _fill(self, session: LiveSession) -> None:
        """Write what holds now into the choices."""
        self._filling = True
        try:
            tuning = session.tuning
            own = session.known[tuning.method]
            for name, options in (("preset", list(own.presets)), ("restore", [CHOOSE, *session.snapshots])):
                if list(self._choices[name].options) != options:
                    self._choices[name].options = options
            for name in ("method", "preset", "weighting"):
                if self._choices[name].value != getattr(tuning, name):
                    self._choices[name].value = getattr(tuning, name)
            self._choices["restore"].value = CHOOSE
            self._choices["weighting"].disabled = not own.has_logits
        finally:
            self._filling = False

    def _on_choice(self, name: str, value: Any) -> None:
        if self._filling or value is None:
            return
        if name in ("restore", "scene"):
            if value != CHOOSE:
                self.do("restore", value) if name == "restore" else self._play(value)
            return
        try:
            self._session().set(**{name: value})
            self.problem("")
        except InputError as error:
            self.problem(f"Not possible: {error}")
        self._on_command()

    def _play(self, title: str) -> None:
        """Start a scene, and say what to look for."""
        self._scene(title)
        self._description.value = f'<div class="workbench-scene">{escape(self._scenes[title].description)}</div>'

    def _button(self, name: str, text: str, tip: str) -> widgets.Button:
        widget = widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width="auto"))
        widget.on_click(lambda _: self.do(name))
        return widget

    def _choice(self, name: str, text: str, options: list[Any]) -> widgets.Dropdown:
        widget = widgets.Dropdown(options=options, description=text, style={"description_width": "initial"})
        widget.observe(lambda change: self._on_choice(name, change["new"]), "value")
        return widget

    @staticmethod
    def _set_value(widget: widgets.HTML, value: str) -> None:
        if widget.value != value:
            widget.value = value
