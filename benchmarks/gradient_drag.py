"""Time of one slider change of the GradientPanel without a browser: the gradient map alone, and the whole panel.

Peer: the gradient map of norm-softmax, the loss without a margin.
Limit: the panel takes no less than its map; 100 ms is the latency that a user notices.

    python benchmarks/gradient_drag.py --changes 20

The two ratios (map / softmax map, panel / map) depend little on the computer.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from common import parser

from workbench.curves.gradients import GradientMap, gradient_map
from workbench.methods import METHODS
from workbench.methods.catalogue import Method
from workbench.panels.gradient import GradientPanel

SLIDERS = {"norm_softmax": "s", "arcface": "m", "npcface": "m0"}
RANGES = {"s": (16, 64), "m": (0.1, 0.9), "m0": (0.1, 0.9)}


def median_seconds(change: Callable[[dict[str, float]], object], changes: list[dict[str, float]]) -> float:
    """The median time of `change`; the first one warms up and is not timed."""
    times = []
    for one in changes:
        start = time.perf_counter()
        change(one)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def change_map(method: Method, change: dict[str, float]) -> GradientMap:
    """The gradient map of a method's first preset with one parameter changed."""
    return gradient_map(method.margin_of(method.settings() | change), s=change.get("s", 64.0))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--changes", type=int, default=20, help="changes of the slider")
    changes = arguments.parse_args().changes
    print(
        f"{'method':14}{'map ms':>8}{'panel ms':>10}{'map / softmax map':>19}{'panel / map':>13}   ({changes} changes)"
    )
    plain = None
    for name, slider in SLIDERS.items():
        panel = GradientPanel(name)
        values = [{slider: value} for value in np.linspace(*RANGES[slider], changes + 1)]
        compute = median_seconds(partial(change_map, METHODS[name]), values)
        draw = median_seconds(lambda change, panel=panel: panel.set(**change), values)
        plain = plain or compute
        print(
            f"{name:14}{1e3 * compute:8.1f}{1e3 * draw:10.1f}{compute / plain:19.2f}{draw / compute:13.2f}", flush=True
        )


if __name__ == "__main__":
    main()
