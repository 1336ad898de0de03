"""What the benchmark scripts share: a parser of options, a notebook in a real browser, percentiles, aligned tables."""

import statistics
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
"""  # a small network that trains in a thread of the kernel
KERNELS = {"idle": [], "training": [TRAIN]}  # cells before the measured one


def parser(script: str) -> ArgumentParser:
    """A parser of options whose help is the docstring of the script."""
    return ArgumentParser(description=script, formatter_class=RawDescriptionHelpFormatter)


@contextmanager
def notebooks(width: int = 1400, height: int = 1000) -> Iterator[Callable[[list[str]], Any]]:
    """Start JupyterLab and Chromium; yields a context manager of cells, which opens a notebook and yields its page.

    Exits where there is no Chromium.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from browsing import Notebooks, find_chromium, launch_chromium, run_jupyterlab

    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium in PATH (chromium, chromium-browser or google-chrome)")
    with tempfile.TemporaryDirectory() as home, launch_chromium(chromium) as browser, run_jupyterlab(Path(home)) as lab:

        @contextmanager
        def notebook(cells: list[str]) -> Iterator[Any]:
            opened = Notebooks(browser.new_context(viewport={"width": width, "height": height}), lab)
            page = opened.open(cells)
            page.set_default_timeout(120_000)
            page.folder = lab.folder  # where the kernel writes files
            yield page
            page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
            opened.context.close()

        yield notebook


def p50_p95(times: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile of two times or more."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns aligned to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
