"""Latency of the live lab in JupyterLab and Chromium, and the training throughput while it is displayed.

Peer: the same training in the same kernel without the lab, interleaved.
Limit: a throughput ratio of 1; one display frame (17 ms at 60 Hz) for a latency.

    python benchmarks/live_lab.py --seconds 15 --presses 40 --csv FILE

throughput   steps per second with all views open, over those of the training without the lab
slider       from a key press on a slider to the exact curve computed by the kernel, during training
pause        from a click to the state line "paused"
flood        from the end of 1,000 changes until the page responds within 50 ms again
first view   from running the cell, imports included, to the first view
"""

import statistics
import time
from pathlib import Path
from typing import Any

from common import notebooks, p50_p95, parser

from workbench.core.tables import write_csv

SETTINGS = 'method="npcface", data="digits", dim=3, size=16'
SHOW = f"from workbench.panels.lab import Lab\nlab = Lab({SETTINGS})\nlab"
RATE = """
import time
def rate(session, seconds):
    session.run(20, block=True)
    session.play()
    began, at = time.perf_counter(), session.at
    time.sleep(seconds)
    found = (session.at - at) / (time.perf_counter() - began)
    session.pause()
    return found
"""
ALONE = f"""
from workbench.training.live.session import LiveSession
alone = LiveSession(name="alone", {SETTINGS})
print("steps per second", rate(alone, SECONDS))
alone.stop()
"""
WATCHED = 'print("steps per second", rate(lab.session, SECONDS))'
# Resolves with the milliseconds from the next keydown until the exact curve is drawn, which is when the sentence on its
# boundary changes; or with null after 3 s.
CLOCK = """() => { window.latency = new Promise(resolve => {
  const words = document.querySelector(".workbench-curves-words");
  const before = words.textContent;
  document.addEventListener("keydown", () => {
    const pressed = performance.now();
    const look = () => {
      const took = performance.now() - pressed;
      const fresh = words.textContent !== before && !words.classList.contains("workbench-curves-stale");
      if (fresh || took > 3000) resolve(fresh ? took : null);
      else requestAnimationFrame(look);
    };
    look();
  }, { once: true, capture: true });
}); }"""
PAUSED = """() => new Promise(resolve => {
  const began = performance.now();
  [...document.querySelectorAll(".workbench-lab button")].find(b => b.textContent.trim() === "Pause").click();
  const look = () => document.querySelector(".workbench-state").textContent.startsWith("paused")
    ? resolve(performance.now() - began) : setTimeout(look, 5);
  look();
})"""
FLOOD = """
import dataclasses
for i in range(1000):
    lab.session.set(m0=0.1 + i / 5000)
    lab._show_curves(lab.snapshot)
    for view in (lab.sphere, lab.hardness, lab.similarities):
        view.show(dataclasses.replace(lab.snapshot))
"""
# Resolves with the milliseconds until three timers in a row fire within 50 ms.
IDLE = """() => new Promise(resolve => {
  const began = performance.now();
  let good = 0;
  const beat = (last) => setTimeout(() => {
    const now = performance.now();
    good = now - last < 60 ? good + 1 : 0;
    good === 3 ? resolve(now - began) : beat(now);
  }, 10);
  beat(performance.now());
})"""


# Runs code in the page's kernel outside any cell; resolves with its output.
EXECUTE = """async code => {
  const { sessionContext } = window.jupyterapp.shell.currentWidget;
  const asked = sessionContext.session.kernel.requestExecute({ code });
  let text = "";
  asked.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") text += content.text;
    if (header.msg_type === "error") text += content.evalue;
  };
  await asked.done;
  return text;
}"""
# Runs code in a new cell below.
CELL = """async code => {
  const { content } = window.jupyterapp.shell.currentWidget;
  await window.jupyterapp.commands.execute("notebook:insert-cell-below");
  content.activeCell.model.sharedModel.setSource(code);
  void window.jupyterapp.commands.execute("notebook:run-cell");
}"""


def measure_rate(page: Any, code: str, seconds: float) -> float:
    """Steps per second, as printed by the code."""
    text = page.evaluate(EXECUTE, code.replace("SECONDS", str(seconds)))
    return float(text.split("steps per second")[1])


def latencies(page: Any, presses: int) -> list[float]:
    """Milliseconds of each key press on the first slider that changed the boundary by 0.1 degree or more."""
    page.locator(".workbench-curves input[type=range]").first.focus()
    times = []
    for i in range(presses + 5):
        page.evaluate(CLOCK)
        page.keyboard.press("ArrowLeft" if i // 10 % 2 else "ArrowRight")
        times.append(page.evaluate("window.latency"))
        page.wait_for_timeout(150)
    return [ms for ms in times[5:] if ms is not None]


def measure(page: Any, seconds: float, presses: int) -> dict[str, list[float]]:
    """All measurements by name and unit."""
    results = {}
    start = time.perf_counter()
    page.evaluate(CELL, SHOW)
    page.locator(".workbench-lab canvas").first.wait_for()
    page.wait_for_function("document.querySelector('.workbench-curves-words')?.textContent.includes('boundary')")
    results["first view, s"] = [time.perf_counter() - start]
    page.wait_for_timeout(3000)
    alone, watched = [], []
    for _ in range(2):
        alone.append(measure_rate(page, ALONE, seconds))
        watched.append(measure_rate(page, WATCHED, seconds))
    alone.append(measure_rate(page, ALONE, seconds))
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(2000)
    results["slider to exact curve while training, ms"] = latencies(page, presses)
    results["pause, ms"] = []
    for _ in range(5):
        results["pause, ms"].append(page.evaluate(PAUSED))
        page.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_timeout(1500)
    page.evaluate(PAUSED)
    page.evaluate(EXECUTE, FLOOD)
    results["flood: idle after, ms"] = [page.evaluate(IDLE)]
    results["steps per second, alone"], results["steps per second, watched"] = alone, watched
    results["throughput watched over alone"] = [statistics.mean(watched) / statistics.mean(alone)]
    return results


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=15, help="seconds of each measurement of throughput")
    arguments.add_argument("--presses", type=int, default=40, help="key presses on the slider")
    arguments.add_argument("--csv", type=Path)
    options = arguments.parse_args()
    with notebooks(1500, 2200) as notebook, notebook([RATE]) as page:
        results = measure(page, options.seconds, options.presses)
    rows = []
    for name, values in results.items():
        if len(values) > 3:
            p50, p95 = p50_p95(values)
            rows += [[f"{name} p50", f"{p50:.1f}"], [f"{name} p95", f"{p95:.1f}"]]
        else:
            rows.append([name, " ".join(f"{value:.2f}" for value in values)])
    for name, value in rows:
        print(f"{name:<56}{value}")
    visible = len(results["slider to exact curve while training, ms"])
    print(f"{visible} of {options.presses} key presses changed the boundary visibly")
    if options.csv:
        write_csv(options.csv, rows)


if __name__ == "__main__":
    main()
