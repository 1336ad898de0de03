"""Small trainings for tests: configurations, images, and interruptions."""

import importlib
import os
from contextlib import suppress

import numpy as np
from PIL import Image

from workbench.data.images import ImageSet
from workbench.training.config import Config
from workbench.training.live.replay import fingerprint
from workbench.training.run import train


def tiny(**changes):
    """A configuration of a training that takes a few milliseconds a step."""
    return Config(**{"data": "digits", "size": 16, "dim": 8, "snapshots": 3, "device": "cpu"} | changes)


def noisy_images(n=60, classes=6, size=16, seed=0):
    """Images (n, size, size, 3) uint8, a random pattern with noise for each class, and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    patterns = rng.integers(0, 256, (classes, size, size, 3))
    return np.clip(patterns[labels] + rng.normal(0, 30, (n, size, size, 3)), 0, 255).astype(np.uint8), labels


def write_person(root, name, seed, images=4, size=16):
    """Write a folder of random images of an identity."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(images):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def stop_at(step, error=KeyboardInterrupt):
    """A progress function that raises an error after this many steps."""

    def progress(done, total, what):
        if what.startswith("loss") and done == step:
            raise error

    return progress


SHORT_STEPS = 10


def short(**changes):
    """A configuration of SHORT_STEPS steps on digits."""
    return tiny(**{"width": 0.25, "steps": SHORT_STEPS, "batch": 16, "test": 0.4} | changes)


def cut_run(path):
    """Train into a folder and kill the training after 7 steps: the status stays what it was. Returns the folder."""

    class Killed(BaseException):
        pass

    with suppress(Killed):
        train(short(), path, stop_at(7, Killed))
    return path


def send_in_call(monkeypatch, target, at, *signals):
    """Send signals to this process at the end of call number `at` of a function, target: (owner, name)."""
    owner, name = target
    owner = importlib.import_module(owner) if isinstance(owner, str) else owner
    real, calls = getattr(owner, name), []

    def sends(*args, **given):
        result = real(*args, **given)
        calls.append(1)
        if len(calls) == at:
            for number in signals:
                os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(owner, name, sends)


def contents(path):
    """The bytes of every file in a folder, by relative path."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def session_images(classes=6, seed=0):
    """48 images of at most 6 identities."""
    return ImageSet(*noisy_images(48, classes, seed=seed), tuple("abcdef"[:classes]), "noise")


def session_config(**changes):
    """A configuration for a session with `session_images`."""
    values = {"method": "npcface", "batch": 16, "dim": 4, "lr": 0.1, "steps": 60, "device": "cpu"}
    return Config(**values | changes)


def bits(session):
    """The fingerprint of a session's job, between two steps."""
    return session.between(lambda: fingerprint(session.job))
