"""The live sphere: acknowledged frames a second of 20,000 moving points in a real JupyterLab.

    python benchmarks/sphere_frames.py [points] [classes] [seconds]

Frames are pushed from a thread of the kernel as fast as the browser takes them, as a training's would be; the kernel's
work for a frame (directions, nearest centers, projection) is part of it. Prints frames a second, frames that gave way
to newer ones, and median and p95 of the time from sending to acknowledgement, with and without smooth motion.
Needs Chromium and the extra `test`.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browsing import Notebooks, find_chromium, launch_chromium, run_jupyterlab

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
    lags, began, seen, lost = [], time.monotonic(), view.shown, view.dropped
    first, t = seen, 0
    while time.monotonic() - began < {seconds}:
        view.show(frames[(t := t + 1) % len(frames)])
        while view._waiting:
            time.sleep(0.0005)
        if view.shown > seen:
            seen = view.shown
            lags.append(view.lag)
    rate = (seen - first) / (time.monotonic() - began)
    found = [rate, view.dropped - lost, statistics.median(lags), statistics.quantiles(lags, n=20)[-1]]
    pathlib.Path("found.json").write_text(json.dumps(found))
threading.Thread(target=push, daemon=True).start()
"""


def main(points: int = 20_000, classes: int = 7, seconds: int = 10) -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium in PATH (chromium, chromium-browser or google-chrome)")
    print(f"{points:,} points, {classes} classes, {seconds} s each")
    print(f"{'picture':16}{'motion':10}{'frames/s':>10}{'dropped':>9}{'lag p50 ms':>12}{'p95 ms':>8}")
    with (
        tempfile.TemporaryDirectory() as home,
        launch_chromium(chromium) as browser,
        run_jupyterlab(Path(home)) as lab,
    ):
        for picture, dim in (("sphere", 3), ("circle", 2), ("principal axes", 64)):
            for smooth in (True, False):
                notebooks = Notebooks(browser.new_context(viewport={"width": 1400, "height": 1000}), lab)
                show = SHOW.format(points=points, classes=classes, dim=dim, smooth=smooth)
                page = notebooks.open([show, PUSH.format(seconds=seconds)])
                page.locator(".workbench-sphere-line").scroll_into_view_if_needed()
                found = lab.folder / "found.json"
                while not found.is_file() or not found.stat().st_size:
                    page.wait_for_timeout(200)
                rate, dropped, p50, p95 = json.loads(found.read_text())
                found.unlink()
                page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
                notebooks.context.close()
                motion = "smooth" if smooth else "jumps"
                print(f"{picture:16}{motion:10}{rate:10.1f}{dropped:9}{1e3 * p50:12.0f}{1e3 * p95:8.0f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
