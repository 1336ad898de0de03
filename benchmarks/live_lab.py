"""The live lab in a real JupyterLab and Chromium on this computer: how fast it answers, and what it costs the training.

    python benchmarks/live_lab.py [--seconds 15] [--presses 40] [--csv FILE]

throughput   steps a second with all panels open and drawn, over those of the same training that nobody watches, in
             the same kernel, in turn
slider       from a key press on a slider to the exact curve, drawn from the kernel's numbers, while it trains
pause        from a click to the state line that says so
flood        1,000 changes at once: from their end until the page answers within 50 ms again
first view   from running the cell, imports included, to the first picture
"""

import argparse
import csv
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browsing import Notebooks, find_chromium, launch_chromium, run_jupyterlab

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
print("steps a second", rate(alone, SECONDS))
alone.stop()
"""
WATCHED = 'print("steps a second", rate(lab.session, SECONDS))'
# Resolves with the milliseconds from the next keydown until the exact curve of the new setting is drawn, which is when
# the sentence about its boundary changes; or with null after 3 s.
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
# Resolves with the milliseconds until three timers in a row came within 50 ms.
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


# Runs code in the page's kernel, outside any cell; resolves with what it printed.
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
# Runs code in a new cell below, which shows what it shows.
CELL = """async code => {
  const { content } = window.jupyterapp.shell.currentWidget;
  await window.jupyterapp.commands.execute("notebook:insert-cell-below");
  content.activeCell.model.sharedModel.setSource(code);
  void window.jupyterapp.commands.execute("notebook:run-cell");
}"""


def rate(page: Any, code: str, seconds: float) -> float:
    """Steps a second, as the code prints them."""
    text = page.evaluate(EXECUTE, code.replace("SECONDS", str(seconds)))
    return float(text.split("steps a second")[1])


def latencies(page: Any, presses: int) -> list[float]:
    """Milliseconds of each press of an arrow key on the first slider that moved the boundary by 0.1 degree or more."""
    page.locator(".workbench-curves input[type=range]").first.focus()
    times = []
    for i in range(presses + 5):
        page.evaluate(CLOCK)
        page.keyboard.press("ArrowLeft" if i // 10 % 2 else "ArrowRight")
        times.append(page.evaluate("window.latency"))
        page.wait_for_timeout(150)
    return [found for found in times[5:] if found is not None]


def measure(page: Any, seconds: float, presses: int) -> dict[str, list[float]]:
    """Every figure, by what it is and its unit; several where it was measured several times."""
    found = {}
    began = time.perf_counter()
    page.evaluate(CELL, SHOW)
    page.locator(".workbench-lab canvas").first.wait_for()
    page.wait_for_function("document.querySelector('.workbench-curves-words')?.textContent.includes('boundary')")
    found["first view, s"] = [time.perf_counter() - began]
    page.wait_for_timeout(3000)
    alone, watched = [], []
    for _ in range(2):
        alone.append(rate(page, ALONE, seconds))
        watched.append(rate(page, WATCHED, seconds))
    alone.append(rate(page, ALONE, seconds))
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(2000)
    found["slider to exact curve while training, ms"] = latencies(page, presses)
    found["pause, ms"] = []
    for _ in range(5):
        found["pause, ms"].append(page.evaluate(PAUSED))
        page.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_timeout(1500)
    page.evaluate(PAUSED)
    page.evaluate(EXECUTE, FLOOD)
    found["flood: idle after, ms"] = [page.evaluate(IDLE)]
    found["steps a second, alone"], found["steps a second, watched"] = alone, watched
    found["throughput watched over alone"] = [statistics.mean(watched) / statistics.mean(alone)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium in PATH (chromium, chromium-browser or google-chrome)")
    with tempfile.TemporaryDirectory() as home, launch_chromium(chromium) as browser, run_jupyterlab(Path(home)) as lab:
        notebooks = Notebooks(browser.new_context(viewport={"width": 1500, "height": 2200}), lab)
        found = measure(notebooks.open([RATE]), options.seconds, options.presses)
        notebooks.context.close()
    rows = []
    for name, values in found.items():
        if len(values) > 3:
            quantiles = statistics.quantiles(values, n=20)
            rows.append([f"{name} p50", f"{statistics.median(values):.1f}"])
            rows.append([f"{name} p95", f"{quantiles[-1]:.1f}"])
        else:
            rows.append([name, " ".join(f"{value:.2f}" for value in values)])
    for row in rows:
        print(f"{row[0]:<56}{row[1]}")
    visible = len(found["slider to exact curve while training, ms"])
    print(f"{visible} of {options.presses} presses of the key moved the boundary visibly")
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
