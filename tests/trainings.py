"""Small trainings for tests: configurations, images, and interruptions."""

import numpy as np
from PIL import Image

from workbench.training.config import Config


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
