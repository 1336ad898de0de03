"""Frame rate of the live sphere in JupyterLab: acknowledged frames per second of 20,000 moving points.

Peer: none; no other view of the lab draws as many points in every frame.
Limit: the refresh rate of the display, 60 frames per second.

    python benchmarks/sphere_frames.py --points 20000 --classes 7 --seconds 10

A thread of the kernel sends frames as fast as the browser acknowledges them; a frame includes the kernel's work
(directions, nearest centers, projection). Prints frames per second, dropped frames, and p50 and p95 of the time from
sending to acknowledgement, with and without smooth motion. Needs Chromium and the extra `test`.
"""

import json

from common import notebooks, parser

SHOW = """
import json, pathlib, statistics, threading, time
import numpy as np
from workbench.panels.kit.selection import Selection
from workbench.panels.sphere_view import SphereView
from workbench.core.record import Snapshot
rng = np.random.default_rng(0)
n, C = {points}, {classes}
W = rng.normal(size=(C, {dim})).astype(np.float32)
y = rng.integers(0, C, n)
frames = [Snapshot(t, W[y] + rng.normal(size=(n, {dim})).astype(np.float32) * 0.7, y, W) for t in range(8)]
view = SphereView(Selection())
view.smooth = {smooth}
view.show(frames[0])
view
"""
PUSH = """
def push():
    while view.shown == 0:
        time.sleep(0.01)
    time.sleep(1)
    lags, start, shown, dropped = [], time.monotonic(), view.shown, view.dropped
    first, t = shown, 0
    while time.monotonic() - start < {seconds}:
        view.show(frames[(t := t + 1) % len(frames)])
        while view._waiting:
            time.sleep(0.0005)
        if view.shown > shown:
            shown = view.shown
            lags.append(view.lag)
    rate = (shown - first) / (time.monotonic() - start)
    result = [rate, view.dropped - dropped, statistics.median(lags), statistics.quantiles(lags, n=20)[-1]]
    pathlib.Path("result.json").write_text(json.dumps(result))
threading.Thread(target=push, daemon=True).start()
"""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--points", type=int, default=20_000)
    arguments.add_argument("--classes", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=10, help="seconds of each measurement")
    options = arguments.parse_args()
    print(f"{options.points:,} points, {options.classes} classes, {options.seconds} s each")
    print(f"{'view':16}{'motion':10}{'frames/s':>10}{'dropped':>9}{'lag p50 ms':>12}{'p95 ms':>8}")
    with notebooks() as notebook:
        for name, dim in (("sphere", 3), ("circle", 2), ("principal axes", 64)):
            for smooth in (True, False):
                show = SHOW.format(points=options.points, classes=options.classes, dim=dim, smooth=smooth)
                with notebook([show, PUSH.format(seconds=options.seconds)]) as page:
                    page.locator(".workbench-sphere-line").scroll_into_view_if_needed()
                    file = page.folder / "result.json"
                    while not file.is_file() or not file.stat().st_size:
                        page.wait_for_timeout(200)
                    rate, dropped, p50, p95 = json.loads(file.read_text())
                    file.unlink()
                motion = "smooth" if smooth else "jumps"
                print(f"{name:16}{motion:10}{rate:10.1f}{dropped:9}{1e3 * p50:12.0f}{1e3 * p95:8.0f}", flush=True)


if __name__ == "__main__":
    main()
