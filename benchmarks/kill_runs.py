"""Kill small trainings at random moments, resume them, and compare the bits with undisturbed ones.

python benchmarks/kill_runs.py --count 20 --seed 0: SIGKILL, SIGINT and SIGTERM in turn, over full and sampled centers,
dense and streaming. Prints a line for each and, last, how many resumed to the same bits; exit status 1 unless all did.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice, product
from pathlib import Path

import torch

from workbench.core.record import Run
from workbench.training.config import Config
from workbench.training.run import CHECKPOINT, resume, train

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
SAMPLED = {"centers": "sampled", "class_set": {"most": 5}}
KINDS = {
    f"{centers}, {compute}": {"compute": compute} | (SAMPLED if centers == "sampled" else {})
    for centers, compute in product(("full", "sampled"), ("dense", "streaming"))
}
STEPS = 60


def settings(kind: str, seed: int) -> Config:
    """A training of digits that takes about a second."""
    small = {"data": "digits", "size": 16, "dim": 8, "width": 0.25, "batch": 16, "test": 0.4, "device": "cpu"}
    return Config(**small, steps=STEPS, snapshots=6, seed=seed, **KINDS[kind])


def command(config: Config, out: Path) -> list[str]:
    """The command line of a training."""
    names = ("data", "size", "dim", "width", "batch", "test", "device", "steps", "snapshots", "seed")
    options = [word for name in (*names, "compute", "centers") for word in (f"--{name}", str(getattr(config, name)))]
    options += [word for name, value in config.class_set.items() for word in ("--class-set", f"{name}={value}")]
    return [sys.executable, "-m", "workbench.cli", "train", "--out", str(out), "--threads", "1", *options]


def interrupt(config: Config, out: Path, number: signal.Signals, after: int, delay: float) -> int:
    """Start a training, and send it a signal `delay` s after its step `after`; the steps it has on record."""
    process = subprocess.Popen(command(config, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = out / "steps.csv"
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > after):
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)
    process.wait()
    return len(Run.open(out).steps["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20, help="trainings to disturb")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng, right = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        whole: dict[str, bytes] = {}
        turns = [(kind, number) for number in SIGNALS for kind in KINDS]
        rng.shuffle(turns)
        for i, (kind, number) in enumerate(islice(cycle(turns), given.count)):
            config, out = settings(kind, given.seed), Path(folder) / f"cut-{i}"
            if kind not in whole:
                undisturbed = Path(folder) / f"whole-{len(whole)}"
                train(config, undisturbed)
                whole[kind] = (undisturbed / CHECKPOINT).read_bytes()
            after, delay = rng.randrange(STEPS - 20), rng.random() / 50
            done = interrupt(config, out, number, after, delay)
            status = Run.open(out).status
            if status != "finished":
                resume(out)
            same = (out / CHECKPOINT).read_bytes() == whole[kind]
            right += same
            print(f"{number.name} at step {done}, {kind}: {status}; {'the same bits' if same else 'OTHER BITS'}")
    print(f"{right} of {given.count} resumed to the same bits")
    sys.exit(right != given.count)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
