"""LiveSession: a training that runs in a thread of its own while a person changes its loss.

    session = LiveSession(method="npcface", data="digits", dim=3)
    session.play()
    session.set(m0=0.3)            # before the next step, and an entry of the log
    session.pause(); session.step(); session.run(200, block=True)
    other = session.fork()         # goes its own way from here

A session is its configuration, its seed and its log: `workbench.training.live.replay` makes the same bits of the
three. No
widgets here: panels read `tuning`, `steps`, `log` and `frame()`, and call what is above.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.errors import InputError, quote, unknown
from workbench.core.record import Snapshot, Step
from workbench.core.schema import Whole
from workbench.data.images import ImageSet, load
from workbench.data.pairs import stratified
from workbench.margins.base import Margin
from workbench.methods import METHODS
from workbench.methods.method import as_method
from workbench.training.config import RECIPES, SMALL_WARM_UP, Config
from workbench.training.events import Event, warm_up
from workbench.training.fit import snapshot, train_step
from workbench.training.health import Health
from workbench.training.live import switching
from workbench.training.live.frames import Frames
from workbench.training.live.tuning import Tuning
from workbench.training.live.worker import Worker

RAMP = 30  # steps over which the learning rate rises to what was chosen
KEEP = 50  # steps between two snapshots that the session takes by itself, to come back to after a fault
GOOD = "last good"
SAMPLE = 512  # images that a frame shows

_SESSIONS: dict[str, "LiveSession"] = {}
_REGISTRY = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """One thing that a person did: after `at` steps of the session, when the job had done `step`.

    do: set, snapshot, restore or reset_weights; asked: its arguments; events: what it changed; note: what else is to be
    known.
    """

    at: int
    step: int
    do: str
    asked: dict[str, Any]
    events: tuple[Event, ...] = ()
    note: str = ""


class LiveSession:
    """A training that a person steers. settings: fields of Config, such as method, data, dim, seed; margin: one's own.

    images: a loaded ImageSet in the place of `data`; name: a second session of the same name ends the first, so that
    running a cell again leaves one trainer; sample: how many images a frame shows; threads: CPU threads for torch (a
    small network is faster with one, and the page answers sooner). Training has no end: the learning rate rises over 30
    steps and stays; the recipe's warm-up of the margin goes on until a hand changes a parameter of it. Raises
    InputError for settings and values that cannot be.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        images: ImageSet | None = None,
        margin: Margin | None = None,
        name: str = "live",
        sample: int = SAMPLE,
        threads: int = 1,
        **settings: Any,
    ) -> None:
        if not Whole(1, 1024).accepts(threads):
            raise InputError(f"threads = {quote(threads)}: a whole number from 1 to 1024 is needed")
        own = [as_method(margin)] if margin is not None else []
        self.known = METHODS | {method.key: method for method in own}
        self.config = config or Config(**({"method": "norm_softmax"} if own else {}) | settings)
        self.margin, self.name, self.threads = margin, name, threads
        key, preset = (own[0].key, "given") if own else (self.config.method, self.config.preset)
        self.start = Tuning.of(self.known, self.config, key, preset).changed(**self.config.parameters)
        self.images = images if images is not None else load(self.config.data, self.config.size)
        self.sample = stratified(self.images.labels, sample, sample, self.config.seed)  # places of what frames show
        self.log: list[Entry] = []
        self.steps: list[Step] = []
        self.notes: list[str] = []  # about the training's health
        self.agrees: bool | None = None  # of a replay: whether it came to the same bits
        self._saved: dict[str, switching.Captured] = {}
        self._undo: list[tuple[dict[str, Any], dict[str, Any]]] = []  # what each `set` changed: back, and forth
        self._redo: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._frames = Frames(self._picture)
        self._rate = 0.0
        self._worker = Worker(name, lambda: torch.set_num_threads(threads), self._advance, self._between, self._due)
        self._lock = self._worker.lock
        self._begin()
        with _REGISTRY:
            old, _SESSIONS[name] = _SESSIONS.get(name), self
        if old is not None:
            old.stop()

    # What is read.

    @property
    def tuning(self) -> Tuning:
        """What the next step will train with."""
        return self._tuning

    @property
    def at(self) -> int:
        """How many steps the session has taken in all, those before a restore included."""
        return len(self.steps)

    @property
    def status(self) -> str:
        """playing, paused, failed or stopped."""
        if self._worker.stopped:
            return "stopped"
        return "failed" if self.failure else "playing" if self._worker.playing else "paused"

    @property
    def superseded(self) -> bool:
        """Whether another session has taken its name, and ended it."""
        with _REGISTRY:
            return _SESSIONS.get(self.name) is not self

    @property
    def failure(self) -> str | None:
        """What went wrong in the last step, if anything: `restore()` goes back to before it."""
        return self._worker.failure

    @property
    def traceback(self) -> str:
        """Where in the code it went wrong."""
        return self._worker.trace

    @property
    def steps_per_second(self) -> float:
        """Of the last second or so, without the time that frames took."""
        return self._rate

    @property
    def events(self) -> list[Event]:
        """Every change of a parameter so far: (step, name, new, old)."""
        return [event for entry in self.log for event in entry.events]

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The names of the snapshots that can be restored."""
        return tuple(self._saved)

    def __repr__(self) -> str:
        return f"LiveSession '{self.name}': {self.tuning.method}, step {self.job.step}, {self.status}"

    def frame(self) -> Snapshot | None:
        """The newest picture of the sphere that there is, without waiting; asks the trainer for the next one."""
        if not self._worker.stopped:
            self._frames.wanted = True
            self._worker.wake()
        return self._frames.newest

    # What a person does.

    def play(self) -> None:
        """Train until told otherwise."""
        self._sound()
        self._worker.take()

    def pause(self) -> None:
        """Take no step more after the present one."""
        self._worker.take(0)

    def step(self) -> None:
        """Take one step, and wait for it."""
        self.run(1, block=True)

    def run(self, steps: int, block: bool = False) -> None:
        """Take so many steps; block: wait for them. Raises RuntimeError where one of them fails."""
        if steps < 1:
            raise InputError(f"steps = {steps}: at least 1")
        self._sound()
        self._worker.take(steps)
        if block:
            self.wait()

    def wait(self) -> None:
        """Until the steps that are to be taken are taken; raises RuntimeError where one of them failed.

        Ctrl-C (an interrupted cell) pauses the session after the present step.
        """
        self._worker.wait()
        if self.failure:
            raise RuntimeError(self.failure)

    def set(self, **changes: Any) -> Tuning:
        """Change method, preset, weighting, lr, class_set and parameters of the loss, from the next step on.

        All of it or nothing: InputError for an unknown name and a bad value. Returns the tuning that will hold.
        """
        with self._lock:
            old, new = self._tuning, self._tuning.changed(**changes)
            if new != old:
                self._undo, self._redo = [*self._undo, (old.differences(new), new.differences(old))], []
                self._swap(new)
            return new

    def undo(self) -> bool:
        """Take back the last `set`; False where there is none."""
        with self._lock:
            if not self._undo:
                return False
            back, forth = self._undo.pop()
            self._redo.append((back, forth))
            self._swap(self._tuning.changed(**back))
            return True

    def redo(self) -> bool:
        """Do again what was taken back last; False where there is nothing."""
        with self._lock:
            if not self._redo:
                return False
            back, forth = self._redo.pop()
            self._undo.append((back, forth))
            self._swap(self._tuning.changed(**forth))
            return True

    def reset_parameters(self) -> None:
        """Every parameter as the session was asked for; the weights stay."""
        self.set(**self.start.differences(self._tuning))

    def reset_weights(self) -> None:
        """A fresh network and fresh centers from the same seed, at step 0; parameters stay as they are."""
        self._worker.ask(lambda: self._order("reset_weights", {}))

    def snapshot(self, name: str | None = None) -> str:
        """Keep the whole state under a name (default: the step), to come back to; returns the name."""
        return self._worker.ask(lambda: self._order("snapshot", {"name": name or f"step {self.job.step}"}))

    def restore(self, name: str = GOOD) -> None:
        """Back to a snapshot: weights, momentum, state, parameters, step. InputError for a name that is not there."""
        if name not in self._saved:
            raise unknown("snapshot", name, self._saved)
        self._worker.ask(lambda: self._order("restore", {"name": name}))

    def fork(self, name: str | None = None) -> "LiveSession":
        """A session that has the same past and goes its own way from here; paused."""
        made = {"images": self.images, "margin": self.margin, "sample": len(self.sample), "threads": self.threads}
        other = LiveSession(self.config, name=name or f"{self.name}, fork", **made)
        self._worker.ask(lambda: other._inherit(self))
        return other

    def between(self, what: Callable[[], Any]) -> Any:
        """What a function returns that reads the job, called between two steps."""
        return self._worker.ask(what)

    def repeat(self, entry: Entry) -> None:
        """Do again what an entry of a log says, and wait until it holds."""
        if entry.do == "set":
            self.set(**entry.asked)
            self.between(lambda: None)
        else:
            self._worker.ask(lambda: self._order(entry.do, entry.asked))

    def stop(self) -> None:
        """End the thread, for good, and wait for it."""
        self._worker.stop()

    # The trainer's side: all of it runs in the worker's thread, but for the beginning.

    def _begin(self) -> None:
        """A fresh job with the tuning that the session starts with."""
        self.job, self._feed = switching.started(self.config, self.start, self.images)
        self._tuning = self._applied = self.start
        self._by_hand: frozenset[str] = frozenset()  # what the warm-up leaves alone from now on
        margin = self.start.composed.margin_of(self.start.values)
        length = math.ceil((self.config.steps or RECIPES["small"].steps) * SMALL_WARM_UP)
        self._schedule = warm_up(margin, length) if self.config.warmed else ()
        self._watch_health(self.start.method)
        self._warm()
        self._keep(GOOD)

    def _watch_health(self, method: str) -> None:
        self._health = Health(self.job.objective, method, self.images.labels, self.config.batch)

    def _sound(self) -> None:
        if self.failure:
            raise InputError(f"session '{self.name}' failed: {self.failure}. restore() goes back to before it")

    def _swap(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._worker.wake()

    def _due(self) -> bool:
        return self._tuning is not self._applied or self._frames.due(self._worker.playing)

    def _between(self) -> None:
        """The newest tuning, and a frame if one is wanted and it is time."""
        wanted = self._tuning
        if wanted is not self._applied:
            self._apply(wanted)
        if self._frames.due(self._worker.playing):
            self._frames.refresh()

    def _advance(self) -> None:
        """One step, with the warm-up that is due before it."""
        self._warm()
        began = time.perf_counter()
        lr = self.job.lr * min(1.0, (self.job.step + 1) / RAMP)
        step = train_step(self.job, *self._feed(self.job.step), lr, began)
        self.steps.append(step)
        self._frames.stale = True
        if said := self._health.watch(step):
            self.notes.append(said)
        if self.at % KEEP == 0:
            self._keep(GOOD)
        self._rate += (1 / step.seconds - self._rate) * min(1.0, step.seconds)

    def _warm(self) -> None:
        """Apply what the warm-up has for this step, but for what a hand has changed."""
        due = {e.name: e.new for e in self._schedule if e.step == self.job.step and e.name not in self._by_hand}
        if not due or self._applied.method != self.start.method:
            return
        self.job.change(due)
        old, self._applied = self._applied, self._applied.changed(**due)
        with self._lock:
            if self._tuning is old:
                self._tuning = self._applied
            else:  # somebody chose another one meanwhile, which may not know these parameters
                with suppress(InputError):
                    self._tuning = self._tuning.changed(**due)

    def _apply(self, wanted: Tuning) -> None:
        """Train with another tuning from here on; the log says what changed."""
        asked = wanted.differences(self._applied)
        if asked:
            events, note, self._feed = switching.applied(self.job, self._applied, wanted, self.images, self._feed)
            self._by_hand |= asked.keys()
            self._log("set", asked, events, note)
            self._watch_health(wanted.method)
            self._frames.stale = True
        self._applied = wanted

    def _order(self, do: str, asked: dict[str, Any]) -> str:
        """A snapshot, a restore or a reset of the weights, and its entry in the log."""
        note = ""
        if do == "snapshot":
            self._keep(asked["name"])
        else:
            self._restore(self._fresh() if do == "reset_weights" else self._saved[asked["name"]])
            note = f"back at step {self.job.step}"
        self._log(do, asked, (), note)
        return asked.get("name", "")

    def _fresh(self) -> switching.Captured:
        """The state at step 0 under the present tuning, which no warm-up changes."""
        job, _ = switching.started(self.config, self._applied, self.images)
        return switching.captured(job, self._applied, frozenset(self._applied.values))

    def _restore(self, kept: switching.Captured) -> None:
        self._feed = switching.put_back(self.job, self._applied, kept, self.images, self._feed)
        with self._lock:
            self._applied = self._tuning = kept.tuning
            self._by_hand, self._worker.failure = kept.by_hand, None
        self._watch_health(kept.tuning.method)
        self._frames.stale = True

    def _keep(self, name: str) -> None:
        self._saved[name] = switching.captured(self.job, self._applied, self._by_hand)

    def _log(self, do: str, asked: dict[str, Any], events: tuple[Event, ...] = (), note: str = "") -> None:
        self.log = [*self.log, Entry(self.at, self.job.step, do, asked, events, note)]

    def _picture(self) -> Snapshot:
        return snapshot(self.job, self.images.images[self.sample], self.images.labels[self.sample])

    def _inherit(self, parent: "LiveSession") -> None:
        """The past of another session, whose thread calls this."""
        self._restore(switching.captured(parent.job, parent._applied, parent._by_hand))
        self.steps, self.log, self.notes = list(parent.steps), list(parent.log), list(parent.notes)
        self._saved = dict(parent._saved)
