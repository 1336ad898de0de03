"""Latency of the MarginPanel in JupyterLab: from a key press on a slider to the redrawn curve in the page.

Peer: the curves of the live lab, which the browser redraws without the kernel (benchmarks/curve_drag.py).
Limit: one display frame, 17 ms at 60 Hz.

    python benchmarks/panel_latency.py --presses 60

Prints p50 and p95 with an idle kernel and with a small network training in a thread of the kernel. Needs Chromium and
the extra `test`.
"""

from typing import Any

from common import KERNELS, notebooks, p50_p95, parser

METHODS = ("arcface", "recurricularface", "npcface")
SHOW = "from workbench.panels.margin import MarginPanel\npanel = MarginPanel({!r})\npanel"
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
    """Milliseconds of each key press after 5 to warm up; the slider moves back and forth."""
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


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--presses", type=int, default=60, help="key presses for each row")
    presses = arguments.parse_args().presses
    print(f"{'method':18}{'kernel':12}{'p50 ms':>8}{'p95 ms':>8}   ({presses} key presses each)")
    with notebooks() as notebook:
        for method in METHODS:
            for kernel, cells in KERNELS.items():
                with notebook([*cells, SHOW.format(method)]) as page:
                    p50, p95 = p50_p95(latencies(page, presses))
                print(f"{method:18}{kernel:12}{p50:8.0f}{p95:8.0f}", flush=True)


if __name__ == "__main__":
    main()
