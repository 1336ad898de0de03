"""`workbench bench`: time and memory of classifiers, measured by `heads` and `scaling`, estimated by `memory`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer, echo

from workbench.cli import options as opt
from workbench.cli.bench_memory import MAX_CLASSES, BatchSize, MaxActive, Queue, Rate, memory
from workbench.cli.terminal import (
    INTERRUPTED,
    catch_interrupt,
    examples,
    fail,
    limit_threads,
    progress_bar,
)
from workbench.core.console import print_table
from workbench.core.errors import InputError, missing_extra, quote
from workbench.core.files import check_writable, make_folder, write

if TYPE_CHECKING:
    from workbench.compare.cost.results import Cost

bench_app = Typer(
    help="Estimate or measure time and memory of the classifier.",
    epilog=examples("bench memory --classes 2e6", "bench scaling"),
    no_args_is_help=True,
)
bench_app.command(epilog=examples("bench memory --classes 2e6 --dim 512 --batch 1024"))(memory)

Sizes = Annotated[str, Option(help="Numbers of classes, separated by commas; 1e5 is 100,000.")]
Rounds = Annotated[int, Option(help="Number of measurements of each variant, interleaved.")]
Svg = Annotated[bool, Option("--svg", help="Write the figure as SVG too (extra 'export').")]


@bench_app.command(epilog=examples("bench heads --classes 1e5", "bench heads --methods arcface --rounds 9 --out cost"))
def heads(
    classes: Sizes = "1e4,1e5",
    batch: BatchSize = 512,
    dim: opt.Dim = 512,
    methods: Annotated[str, Option(help="Losses, separated by commas, or all.")] = (
        "arcface,cosface,mv_arc,curricularface,npcface"
    ),
    rounds: Rounds = 5,
    out: opt.OutFolder = None,
    svg: Svg = False,
    threads: opt.Threads = None,
) -> None:
    """Measure the forward and backward passes of classifiers.

    Compared are dense and streaming computation, an implementation as papers write it, other libraries, plain torch,
    and the lower bounds (matrix products alone).
    """
    limit_threads(threads)
    sizes, names = parse_classes(classes), [name.strip() for name in methods.split(",")]
    from workbench.compare.cost.classifiers import measure_classifiers as measure

    run("heads", lambda *into: measure(sizes, batch, dim, names, rounds, *into), f"B = {batch}, D = {dim}", out, svg)


@bench_app.command(epilog=examples("bench scaling", "bench scaling --classes 1e4,1e5 --method arcface --out cost"))
def scaling(
    classes: Sizes = "1e4,3e4,1e5,3e5,1e6",
    batch: BatchSize = 512,
    dim: opt.Dim = 512,
    method: opt.Method = "npcface",
    rate: Rate = 0.1,
    most: MaxActive = 8192,
    queue: Queue = 32,
    rounds: Rounds = 5,
    out: opt.OutFolder = None,
    svg: Svg = False,
    threads: opt.Threads = None,
) -> None:
    """Measure a training step against the number of classes.

    Compared are full, streaming, sampled and queued class centers.
    """
    limit_threads(threads)
    sizes, setting = parse_classes(classes), f"{method}, B = {batch}, D = {dim}, sampled {rate:.0%}, queued {most:,}"
    from workbench.compare.cost.scaling import scaling as measure

    options = (batch, dim, method, rate, most, queue, rounds)
    run("scaling", lambda *into: measure(sizes, *options, *into), setting, out, svg)


def parse_classes(text: str) -> list[int]:
    """Numbers of classes such as 1e5 or 100000, separated by commas, in rising order."""
    try:
        numbers = [float(number) for number in text.split(",")]
        if not all(2 <= number <= MAX_CLASSES and number == int(number) for number in numbers):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(
            f"--classes {quote(text)}: expected whole numbers between commas, from 2 to {MAX_CLASSES:.0e}, such as"
            " 1e4,1e5"
        ) from None
    return sorted({int(number) for number in numbers})


def run(name: str, measure: Callable[..., None], setting: str, out: Path | None, svg: bool) -> None:
    """Measure, print the tables, write the files; after Ctrl-C with the measurements so far.

    measure: called with a list, to which it appends costs, and a progress callback.
    """
    if out is not None:
        check_writable(out)
    if svg and find_spec("kaleido") is None:
        raise missing_extra("kaleido", "--svg")
    costs: list[Cost] = []
    with catch_interrupt() as interrupted, progress_bar(name) as progress:
        measure(costs, progress)
    import torch

    setting = f"{setting}, {torch.get_num_threads()} CPU threads ({platform.machine()})"
    print_costs(name, costs, setting)
    if out is not None and costs:
        write_files(out, name, costs, setting, svg)
    if interrupted():
        fail("interrupted; the tables hold the measurements so far", INTERRUPTED)


def print_costs(name: str, costs: Sequence[Cost], setting: str) -> None:
    """Print one table; for `heads`, one for each number of classes."""
    from workbench.compare.cost.tables import HEADS, SCALING, heads_rows, scaling_rows

    if name == "scaling":
        return print_table(SCALING, scaling_rows(costs), setting)
    for C in sorted({cost.classes for cost in costs}):
        print_table(HEADS, heads_rows([cost for cost in costs if cost.classes == C]), f"C = {C:,}, {setting}")


def write_files(out: Path, name: str, costs: Sequence[Cost], setting: str, svg: bool) -> None:
    """Write NAME.csv, NAME.html and, with `svg`, NAME.svg into a folder."""
    from workbench.compare.cost.figures import heads_figure, scaling_figure
    from workbench.compare.cost.results import write_costs
    from workbench.views.theme import CONFIG

    figure = {"heads": heads_figure, "scaling": scaling_figure}[name](costs, setting)
    make_folder(out)
    write_costs(out / f"{name}.csv", costs)
    page: dict[str, Any] = {"include_plotlyjs": True, "config": CONFIG}
    write(out / f"{name}.html", lambda path: figure.write_html(path, **page))
    if svg:
        write(out / f"{name}.svg", lambda path: figure.write_image(path, width=1100))
    echo(f"Figure: {out / f'{name}.html'}")
