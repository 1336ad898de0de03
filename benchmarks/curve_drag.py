"""Drag of a slider to the redrawn curve, in a real JupyterLab: what the browser alone does, from the ladder.

    python benchmarks/curve_drag.py [moves]

Prints, for each method, p50 and p95 in milliseconds from the input event to the end of the drawing it asks for, with
the kernel idle and with a small network training in a thread of it; how many moves were redrawn; what a full set of
ladders costs the kernel; and how much a training slows while ladders are built. Needs Chromium and the extra `test`.
"""

import math
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import torch
from browsing import Notebooks, find_chromium, launch_chromium, run_jupyterlab
from panel_latency import TRAIN

from workbench.curves.ladder import climbs, ladder, moves
from workbench.methods import METHODS
from workbench.panels.curves_view import REST_RUNG

KEYS = ("arcface", "npcface", "curricularface")
THETA, STATE = math.radians(80), {"t": 0.3}
SHOW = f"""
from workbench.methods import METHODS
from workbench.panels.curves_view import CurvesView
method = METHODS["KEY"]
values = method.settings()
def changed(change):
    values.update(change)
    view.show(method, values, {STATE}, None, {THETA}, None)
view = CurvesView(changed)
changed({{}})
view"""
# For every input event: milliseconds from when it happened to after the drawing, which the frame's callbacks do in the
# order they were asked for; and whether the picture is another one than after the last event, by its middle row.
CLOCK = """() => {
  window.times = [];
  const canvas = document.querySelector(".workbench-curves canvas");
  const context = canvas.getContext("2d");
  let last = "";
  document.addEventListener("input", (event) => requestAnimationFrame(() => {
    context.getImageData(0, 0, 1, 1); // what was only queued is drawn by now
    const taken = performance.now() - event.timeStamp;
    const row = context.getImageData(0, canvas.height >> 1, canvas.width, 1).data.join();
    window.times.push([taken, row !== last]);
    last = row;
  }));
}"""


def dragged(page: Any, count: int) -> list[list[float]]:
    """[milliseconds, redrawn] of every input event of a drag of the first slider to and fro."""
    slider = page.locator(".workbench-curves input[type=range]").first
    slider.wait_for()
    page.wait_for_timeout(4000)
    box = slider.bounding_box()
    page.evaluate(CLOCK)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    for i in range(count):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.4 * math.sin(i / 12)), y)
        page.wait_for_timeout(16)
    page.mouse.up()
    page.wait_for_timeout(500)
    return page.evaluate("window.times")


def set_of_ladders(key: str, rest: float = 0.0) -> tuple[float, int]:
    """Seconds for the ladders of every parameter that moves a curve, and how many there are."""
    margin, count = METHODS[key].margin_of(METHODS[key].settings()), 0
    started = time.perf_counter()
    for name, p in margin.parameters().items():
        if not climbs(p) or not any(moves(list(ladder(margin, name, p, THETA, STATE, rungs=3)))):
            continue
        count += 1
        at = time.perf_counter()
        for _ in ladder(margin, name, p, THETA, STATE):
            time.sleep(rest * (time.perf_counter() - at))
            at = time.perf_counter()
    return time.perf_counter() - started, count


def training_rate(seconds: float, ladders: bool) -> float:
    """Steps a second of a small network, with ladders of NPCFace built in another thread or without."""
    net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512))
    x, stop = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)), threading.Event()
    optimiser = torch.optim.SGD(net.parameters(), 0.01)

    def build() -> None:
        while not stop.is_set():
            set_of_ladders("npcface", REST_RUNG)

    thread = threading.Thread(target=build)
    if ladders:
        thread.start()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        optimiser.zero_grad()
        net(x).square().mean().backward()
        optimiser.step()
        steps += 1
    rate = steps / (time.perf_counter() - started)
    stop.set()
    if ladders:
        thread.join()
    return rate


def main(count: int = 200) -> None:
    torch.set_num_threads(1)
    for key in KEYS:
        cost = min(set_of_ladders(key) for _ in range(3))
        print(f"{key:16} {cost[1]} ladders in {1000 * cost[0]:.0f} ms")
    pairs = [(training_rate(2, True), training_rate(2, False)) for _ in range(4)]
    ratio = statistics.median(busy / free for busy, free in pairs)
    print(f"training while ladders are built without a pause: {ratio:.2f}x the steps a second")
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium in PATH (chromium, chromium-browser or google-chrome)")
    print(f"{'method':16} {'kernel':10}{'p50 ms':>8}{'p95 ms':>8}{'redrawn':>12}   ({count} pointer moves each)")
    with (
        tempfile.TemporaryDirectory() as home,
        launch_chromium(chromium) as browser,
        run_jupyterlab(Path(home)) as lab,
    ):
        for key in KEYS:
            for kernel, cells in (("idle", []), ("training", [TRAIN])):
                notebooks = Notebooks(browser.new_context(viewport={"width": 1400, "height": 1000}), lab)
                page = notebooks.open([*cells, SHOW.replace("KEY", key)])
                found = dragged(page, count)
                page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
                notebooks.context.close()
                times = [ms for ms, _ in found]
                p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
                share = f"{sum(drawn for _, drawn in found)} of {len(found)}"
                print(f"{key:16} {kernel:10}{p50:8.1f}{p95:8.1f}{share:>12}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
