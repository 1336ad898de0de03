"""Kill small trainings at random steps, resume them, and compare the checkpoints; exit status 1 unless all are equal.

Peer: the same training without interruption.
Limit: bitwise equal checkpoints in every case.

    python benchmarks/kill_runs.py --count 20 --seed 0

The signals are SIGKILL, SIGINT and SIGTERM, the trainings have full and sampled centers, dense and streaming.
"""

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
from common import parser

from workbench.core.record import Run
from workbench.training.config import Config
from workbench.training.run import CHECKPOINT, resume, train

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
SAMPLED = {"centers": "sampled", "class_set": {"max_active": 5}}
KINDS = {
    f"{centers}, {compute}": {"compute": compute} | (SAMPLED if centers == "sampled" else {})
    for centers, compute in product(("full", "sampled"), ("dense", "streaming"))
}
STEPS = 60


def settings(kind: str, seed: int) -> Config:
    """A training on digits of about one second."""
    small = {"data": "digits", "size": 16, "dim": 8, "width": 0.25, "batch": 16, "test": 0.4, "device": "cpu"}
    return Config(**small, steps=STEPS, snapshots=6, seed=seed, **KINDS[kind])


def command(config: Config, out: Path) -> list[str]:
    """The command line of a training."""
    names = ("data", "size", "dim", "width", "batch", "test", "device", "steps", "snapshots", "seed")
    options = [word for name in (*names, "compute", "centers") for word in (f"--{name}", str(getattr(config, name)))]
    options += [word for name, value in config.class_set.items() for word in ("--class-set", f"{name}={value}")]
    return [sys.executable, "-m", "workbench.cli", "train", "--out", str(out), "--threads", "1", *options]


def interrupt(config: Config, out: Path, number: signal.Signals, after: int, delay: float) -> int:
    """Start a training, signal it `delay` s after step `after`; returns the number of recorded steps."""
    process = subprocess.Popen(command(config, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = out / "steps.csv"
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > after):
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)
    process.wait()
    return len(Run.open(out).steps["step"])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=20, help="number of trainings")
    arguments.add_argument("--seed", type=int, default=0, help="seed of the trainings and of the steps")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rng, equal = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        whole: dict[str, bytes] = {}
        turns = [(kind, number) for number in SIGNALS for kind in KINDS]
        rng.shuffle(turns)
        for i, (kind, number) in enumerate(islice(cycle(turns), options.count)):
            config, out = settings(kind, options.seed), Path(folder) / f"cut-{i}"
            if kind not in whole:
                reference = Path(folder) / f"whole-{len(whole)}"
                train(config, reference)
                whole[kind] = (reference / CHECKPOINT).read_bytes()
            after, delay = rng.randrange(STEPS - 20), rng.random() / 50
            done = interrupt(config, out, number, after, delay)
            status = Run.open(out).status
            if status != "finished":
                resume(out)
            same = (out / CHECKPOINT).read_bytes() == whole[kind]
            equal += same
            print(f"{number.name} at step {done}, {kind}: {status}; {'equal' if same else 'NOT EQUAL'}")
    print(f"{equal} of {options.count} resumed to bitwise equal checkpoints")
    sys.exit(equal != options.count)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
