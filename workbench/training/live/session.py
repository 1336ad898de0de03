"""LiveSession: training in a background thread whose loss can be changed at any time.

    session = LiveSession(method="npcface", data="digits", dim=3)
    session.play()
    session.set(m0=0.3)            # from the next step on; an entry of the log
    session.pause(); session.step(); session.run(200, block=True)
    other = session.fork()         # an independent copy from here on

A session is determined by its configuration, its seed and its log: `workbench.training.live.replay` reproduces it
bitwise from these. There are no widgets here; panels read `tuning`, `steps`, `log` and `frame()` and call the methods.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from workbench.core.errors import InputError, quote, unknown
from workbench.core.record import Snapshot
from workbench.core.schema import Integer
from workbench.data.images import ImageSet, load
from workbench.data.sampling import stratified_sample
from workbench.margins.base import Margin
from workbench.methods import METHODS
from workbench.methods.method import as_method
from workbench.training.config import Config
from workbench.training.events import Event
from workbench.training.fit import snapshot
from workbench.training.live.history import Entry, History
from workbench.training.live.throttle import SnapshotThrottle
from workbench.training.live.trainer import Checkpoint, Trainer
from workbench.training.live.tuning import Tuning
from workbench.training.live.worker import Worker

KEEP = 50  # steps between two automatic checkpoints, to which `restore` returns after a fault
GOOD = "last good"  # the name of the automatic checkpoint
SAMPLE = 512  # images of a frame

_SESSIONS: dict[str, "LiveSession"] = {}
_REGISTRY = threading.Lock()


class LiveSession:
    """Training under interactive control. settings: fields of Config, such as method, data, dim, seed.

    images: a loaded ImageSet instead of `data`; margin: a margin of one's own instead of `method`. name: a new session
    stops an older one of the same name, so that running a notebook cell again leaves one training thread. sample: the
    number of images of a frame. threads: CPU threads of torch; one is fastest for a small network and keeps the page
    responsive. Training does not end: the learning rate rises over 30 steps and stays. The recipe's warm-up of the
    margin applies to each parameter until it is set by hand. Raises InputError for invalid settings.

    job: the network, the loss and the optimizer; read it inside `between` while the session plays. steps: all that were
    taken, including those before a restore. log: the user's actions. notes: remarks on the training's health. sample:
    positions of a frame's images among `images`. agrees: after a replay, whether it is bitwise equal to the recording.
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
        if not Integer(1, 1024).accepts(threads):
            raise InputError(f"threads = {quote(threads)}: a whole number from 1 to 1024 is needed")
        own = [as_method(margin)] if margin is not None else []
        self.known = METHODS | {method.key: method for method in own}
        self.config = config or Config(**({"method": "norm_softmax"} if own else {}) | settings)
        self.margin, self.name, self.threads = margin, name, threads
        key, preset = (own[0].key, "given") if own else (self.config.method, self.config.preset)
        self.start = Tuning.of(self.known, self.config, key, preset).with_changes(**self.config.parameters)
        self.images = images if images is not None else load(self.config.data, self.config.size)
        self.sample = stratified_sample(self.images.labels, sample, seed=self.config.seed)
        self.agrees: bool | None = None
        self._tuning = self.start
        self._trainer, self._history = Trainer(self.config, self.images, self.start), History()
        self.job, self.steps, self.notes = self._trainer.job, self._trainer.steps, self._trainer.notes
        self.log = self._history.log
        shown = self.images.images[self.sample], self.images.labels[self.sample]
        self._frames = SnapshotThrottle(lambda: snapshot(self.job, *shown))
        self._worker = Worker(name, lambda: torch.set_num_threads(threads), self._advance, self._between, self._due)
        self._warm()
        self._history.checkpoints[GOOD] = self._trainer.checkpoint()
        with _REGISTRY:
            old, _SESSIONS[name] = _SESSIONS.get(name), self
        if old is not None:
            old.stop()

    # State.

    @property
    def tuning(self) -> Tuning:
        """The tuning of the next step."""
        return self._tuning

    @property
    def at(self) -> int:
        """The number of steps taken, including steps before a restore."""
        return len(self.steps)

    @property
    def events(self) -> list[Event]:
        """Every change of a parameter so far: (step, name, new, old)."""
        return [event for entry in self.log for event in entry.events]

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The names of the checkpoints that can be restored."""
        return tuple(self._history.checkpoints)

    @property
    def status(self) -> str:
        """playing, paused, failed or stopped."""
        if self._worker.stopped:
            return "stopped"
        return "failed" if self.failure else "playing" if self._worker.playing else "paused"

    @property
    def superseded(self) -> bool:
        """Whether a newer session of the same name has stopped this one."""
        with _REGISTRY:
            return _SESSIONS.get(self.name) is not self

    @property
    def failure(self) -> str | None:
        """The error of the last step, or None. `restore()` goes back to a checkpoint before it."""
        return self._worker.failure

    @property
    def traceback(self) -> str:
        """The traceback of the last error."""
        return self._worker.trace

    @property
    def steps_per_second(self) -> float:
        """Over about the last second, without the time of frames."""
        return self._trainer.steps_per_second

    def __repr__(self) -> str:
        return f"LiveSession '{self.name}': {self.tuning.method}, step {self.job.step}, {self.status}"

    def frame(self) -> Snapshot | None:
        """The newest snapshot of the sample, without waiting; requests the next one."""
        if not self._worker.stopped:
            self._frames.requested = True
            self._worker.wake()
        return self._frames.newest

    # Control.

    def play(self) -> None:
        """Train until `pause`."""
        self._check_sound()
        self._worker.take()

    def pause(self) -> None:
        """Pause after the current step."""
        self._worker.take(0)

    def step(self) -> None:
        """Take one step, and wait for it."""
        self.run(1, block=True)

    def run(self, steps: int, block: bool = False) -> None:
        """Take this number of steps; block: wait for them. Raises RuntimeError where a step fails."""
        if steps < 1:
            raise InputError(f"steps = {steps}: at least 1")
        self._check_sound()
        self._worker.take(steps)
        if block:
            self.wait()

    def wait(self) -> None:
        """Wait until the requested steps are taken; RuntimeError where a step failed.

        Ctrl-C (an interrupted cell) pauses the session after the current step.
        """
        self._worker.wait()
        if self.failure:
            raise RuntimeError(self.failure)

    def set(self, **changes: Any) -> Tuning:
        """Change method, preset, weighting, lr, class_set or parameters of the loss, from the next step on.

        All changes or none: InputError for an unknown name or an invalid value. Returns the new tuning.
        """
        with self._worker.lock:
            old, new = self._tuning, self._tuning.with_changes(**changes)
            if new != old:
                self._history.add_change(old, new)
                self._request(new)
            return new

    def undo(self) -> bool:
        """Undo the last `set`; False if there is none."""
        with self._worker.lock:
            return self._request(self._history.undo(self._tuning))

    def redo(self) -> bool:
        """Redo the `set` that was undone last; False if there is none."""
        with self._worker.lock:
            return self._request(self._history.redo(self._tuning))

    def reset_parameters(self) -> None:
        """Set every parameter to its value at the start; the weights stay."""
        self.set(**self.start.differences(self._tuning))

    def reset_weights(self) -> None:
        """Start again at step 0 with the initial network and centers of the seed; parameters stay."""
        self._worker.ask(lambda: self._do("reset_weights", {}))

    def snapshot(self, name: str | None = None) -> str:
        """Keep the whole training state in memory under a name (default: the step), and return the name."""
        return self._worker.ask(lambda: self._do("snapshot", {"name": name or f"step {self.job.step}"}))

    def restore(self, name: str = GOOD) -> None:
        """Return to a checkpoint: weights, momentum, state, parameters, step. InputError for an unknown name."""
        if name not in self._history.checkpoints:
            raise unknown("snapshot", name, self._history.checkpoints)
        self._worker.ask(lambda: self._do("restore", {"name": name}))

    def fork(self, name: str | None = None) -> "LiveSession":
        """An independent session with the same past; paused."""
        options = {"images": self.images, "margin": self.margin, "sample": len(self.sample), "threads": self.threads}
        other = LiveSession(self.config, name=name or f"{self.name}, fork", **options)
        self._worker.ask(lambda: other._inherit(self))
        return other

    def between(self, read: Callable[[], Any]) -> Any:
        """Call a function, which may read the job, between two steps, and return its result."""
        return self._worker.ask(read)

    def repeat(self, entry: Entry) -> None:
        """Repeat a log entry, and wait until it is done."""
        if entry.do == "set":
            self.set(**entry.asked)
            self.between(lambda: None)
        else:
            self._worker.ask(lambda: self._do(entry.do, entry.asked))

    def stop(self) -> None:
        """End the training thread, and wait for it. A stopped session does not start again."""
        self._worker.stop()

    def _check_sound(self) -> None:
        if self.failure:
            raise InputError(f"session '{self.name}' failed: {self.failure}. restore() goes back to before it")

    def _request(self, tuning: Tuning | None) -> bool:
        """Make a tuning that of the next step; False without one."""
        if tuning is not None:
            self._tuning = tuning
            self._worker.wake()
        return tuning is not None

    # In the worker's thread.

    def _due(self) -> bool:
        return self._tuning is not self._trainer.tuning or self._frames.due(self._worker.playing)

    def _between(self) -> None:
        """Apply the newest tuning, and take a frame if one is due."""
        tuning = self._tuning
        if tuning is not self._trainer.tuning:
            if asked := tuning.differences(self._trainer.tuning):
                self._log("set", asked, *self._trainer.apply(tuning))
                self._frames.stale = True
            self._trainer.tuning = tuning
        if self._frames.due(self._worker.playing):
            self._frames.refresh()

    def _advance(self) -> None:
        """Take one step, after the changes of the warm-up that are due."""
        self._warm()
        self._trainer.step()
        self._frames.stale = True
        if self.at % KEEP == 0:
            self._history.checkpoints[GOOD] = self._trainer.checkpoint()

    def _warm(self) -> None:
        """Apply the warm-up to the job, and to a tuning that the user has chosen meanwhile."""
        old = self._trainer.tuning
        if not (due := self._trainer.warm()):
            return
        with self._worker.lock:
            if self._tuning is old:
                self._tuning = self._trainer.tuning
            else:
                with suppress(InputError):  # another method may lack these parameters
                    self._tuning = self._tuning.with_changes(**due)

    def _do(self, do: str, asked: dict[str, Any]) -> str:
        """Take a checkpoint, restore one, or reset the weights; log it. Returns the checkpoint's name."""
        name, note = asked.get("name", ""), ""
        if do == "snapshot":
            self._history.checkpoints[name] = self._trainer.checkpoint()
        else:
            reset = do == "reset_weights"
            self._restore(self._trainer.initial_checkpoint() if reset else self._history.checkpoints[name])
            note = f"back at step {self.job.step}"
        self._log(do, asked, (), note)
        return name

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._trainer.restore(checkpoint)
        with self._worker.lock:
            self._tuning, self._worker.failure = checkpoint.tuning, None
        self._frames.stale = True

    def _log(self, do: str, asked: dict[str, Any], events: tuple[Event, ...], note: str) -> None:
        self.log.append(Entry(self.at, self.job.step, do, asked, events, note))

    def _inherit(self, parent: "LiveSession") -> None:
        """Take over the past of another session, whose thread calls this."""
        self._restore(parent._trainer.checkpoint())
        self.steps.extend(parent.steps)
        self.notes.extend(parent.notes)
        self.log.extend(parent.log)
        self._history.checkpoints.update(parent._history.checkpoints)
