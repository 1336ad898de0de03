"""Latency of the live lab's curves in JupyterLab: from a drag of a slider to the redrawn curve in the browser.

Peer: the MarginPanel, whose curves the kernel computes (benchmarks/panel_latency.py).
Limit: one display frame, 17 ms at 60 Hz.

    python benchmarks/curve_drag.py --moves 200

Prints, for each loss, p50 and p95 from the input event to the end of its drawing and the share of redrawn moves, with
an idle kernel and with a small network training in a thread of the kernel; the kernel's time for all curve ladders; and
the training rate while ladders are computed. Needs Chromium and the extra `test`.
"""

import math
import statistics
import threading
import time
from typing import Any

import torch
from common import KERNELS, notebooks, p50_p95, parser

from workbench.curves.ladder import has_range, ladder, moves
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
# For every input event: milliseconds until after the drawing (a frame runs its callbacks in the order of requests), and
# whether the middle row of the canvas differs from that of the last event.
CLOCK = """() => {
  window.times = [];
  const canvas = document.querySelector(".workbench-curves canvas");
  const context = canvas.getContext("2d");
  let last = "";
  document.addEventListener("input", (event) => requestAnimationFrame(() => {
    context.getImageData(0, 0, 1, 1); // waits for queued drawing
    const duration = performance.now() - event.timeStamp;
    const row = context.getImageData(0, canvas.height >> 1, canvas.width, 1).data.join();
    window.times.push([duration, row !== last]);
    last = row;
  }));
}"""


def drag_slider(page: Any, count: int) -> list[list[float]]:
    """[milliseconds, redrawn] of every input event while the first slider is dragged back and forth."""
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


def compute_ladders(key: str, rest: float = 0.0) -> tuple[float, int]:
    """Seconds for the ladders of all parameters that change a curve, and the number of ladders."""
    margin, count = METHODS[key].margin_of(METHODS[key].settings()), 0
    start = time.perf_counter()
    for name, p in margin.parameters().items():
        if not has_range(p) or not any(moves(list(ladder(margin, name, p, THETA, STATE, rungs=3)))):
            continue
        count += 1
        at = time.perf_counter()
        for _ in ladder(margin, name, p, THETA, STATE):
            time.sleep(rest * (time.perf_counter() - at))
            at = time.perf_counter()
    return time.perf_counter() - start, count


def training_rate(seconds: float, ladders: bool) -> float:
    """Steps per second of a small network, with or without another thread that computes ladders of NPCFace."""
    net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512))
    x, stop = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)), threading.Event()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)

    def build() -> None:
        while not stop.is_set():
            compute_ladders("npcface", REST_RUNG)

    thread = threading.Thread(target=build)
    if ladders:
        thread.start()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        steps += 1
    rate = steps / (time.perf_counter() - start)
    stop.set()
    if ladders:
        thread.join()
    return rate


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--moves", type=int, default=200, help="pointer moves for each row")
    count = arguments.parse_args().moves
    torch.set_num_threads(1)
    for key in KEYS:
        seconds, ladders = min(compute_ladders(key) for _ in range(3))
        print(f"{key:16} {ladders} ladders in {1000 * seconds:.0f} ms")
    pairs = [(training_rate(2, True), training_rate(2, False)) for _ in range(4)]
    ratio = statistics.median(busy / free for busy, free in pairs)
    print(f"training rate while ladders are computed: {ratio:.2f}x")
    print(f"{'method':16} {'kernel':10}{'p50 ms':>8}{'p95 ms':>8}{'redrawn':>12}   ({count} pointer moves each)")
    with notebooks() as notebook:
        for key in KEYS:
            for kernel, cells in KERNELS.items():
                with notebook([*cells, SHOW.replace("KEY", key)]) as page:
                    events = drag_slider(page, count)
                p50, p95 = p50_p95([ms for ms, _ in events])
                share = f"{sum(redrawn for _, redrawn in events)} of {len(events)}"
                print(f"{key:16} {kernel:10}{p50:8.1f}{p95:8.1f}{share:>12}", flush=True)


if __name__ == "__main__":
    main()
