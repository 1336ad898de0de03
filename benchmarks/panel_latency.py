"""Slider to redrawn curve: from a key press on a slider in a real JupyterLab to the changed path in the page.

    python benchmarks/panel_latency.py [presses]

Prints p50 and p95 in milliseconds, with the kernel idle and with a small network training in a thread of the kernel.
Needs Chromium and the extra `test`.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browsing import Notebooks, find_chromium, launch_chromium, run_jupyterlab

METHODS = ("arcface", "recurricularface", "npcface")
SHOW = "from workbench.panels.margin import MarginPanel\npanel = MarginPanel({!r})\npanel"
TRAIN = """
import threading, torch
torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512))
opt = torch.optim.SGD(net.parameters(), 0.01)
def train():
    while True:
        opt.zero_grad()
        net(torch.randn(256, 256)).square().mean().backward()
        opt.step()
threading.Thread(target=train, daemon=True).start()
"""
# Resolves with the milliseconds from the next keydown to the next change of a curve's path.
CLOCK = """() => { window.latency = new Promise(resolve => {
  let pressed = null;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, { once: true, capture: true });
  const seen = new MutationObserver(() => {
    if (pressed === null) return;
    seen.disconnect();
    resolve(performance.now() - pressed);
  });
  const curves = document.querySelector(".workbench-view .scatterlayer");
  seen.observe(curves, { subtree: true, attributes: true, attributeFilter: ["d"] });
}); }"""


def latencies(page: Any, presses: int) -> list[float]:
    """Milliseconds of each press after a few to warm up; the slider goes back and forth."""
    page.locator(".workbench-view .scatterlayer path.js-line").first.wait_for()
    page.locator(".workbench-row .noUi-handle").first.focus()
    page.wait_for_timeout(1000)
    times = []
    for i in range(presses + 5):
        page.evaluate(CLOCK)
        page.keyboard.press("ArrowLeft" if i // 10 % 2 else "ArrowRight")
        times.append(page.evaluate("window.latency"))
        page.wait_for_timeout(100)
    return times[5:]


def main(presses: int = 60) -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium in PATH (chromium, chromium-browser or google-chrome)")
    print(f"{'method':18}{'kernel':12}{'p50 ms':>8}{'p95 ms':>8}   ({presses} key presses each)")
    with (
        tempfile.TemporaryDirectory() as home,
        launch_chromium(chromium) as browser,
        run_jupyterlab(Path(home)) as lab,
    ):
        for method in METHODS:
            for kernel, cells in (("idle", []), ("training", [TRAIN])):
                notebooks = Notebooks(browser.new_context(viewport={"width": 1400, "height": 1000}), lab)
                page = notebooks.open([*cells, SHOW.format(method)])
                times = latencies(page, presses)
                page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
                notebooks.context.close()
                p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
                print(f"{method:18}{kernel:12}{p50:8.0f}{p95:8.0f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
