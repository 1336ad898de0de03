"""`workbench bench`: what a training will cost before it is started, and what the ways of computing it take here."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.terminal import Threads, bar, limit_threads, path
from workbench.compare.cost.results import Cost, write_costs
from workbench.compare.cost.tables import HEADS, SCALING, heads_rows, scaling_rows
from workbench.core.console import print_table
from workbench.core.errors import InputError, missing_extra, quote
from workbench.core.files import check_writable, make_folder, write

if TYPE_CHECKING:
    from workbench.compare.cost.memory import Need

MOST_CLASSES = 10**12
WIDTH = 200  # characters of the tables of measurements, where the output is no terminal

bench_app = typer.Typer(help="What a training costs: estimated before it starts, or measured.", no_args_is_help=True)

Sizes = Annotated[str, typer.Option(help="Numbers of identities between commas; 1e5 is a hundred thousand.")]
Dim = Annotated[int, typer.Option(help="Numbers in an embedding.")]
Images = Annotated[int, typer.Option(help="Images in a batch.")]
Rounds = Annotated[int, typer.Option(help="Times that everything is measured, one after another.")]
Out = Annotated[Path | None, typer.Option(help="Folder for a CSV file and the figure as HTML.", parser=path)]
Svg = Annotated[bool, typer.Option("--svg", help="The figure as SVG too (extra 'export').")]
Method = Annotated[str, typer.Option(help="The loss; `workbench methods` lists them.")]


@bench_app.command()
def memory(
    classes: Annotated[float, typer.Option(help="Identities; 2e6 is two million.")],
    method: Annotated[str, typer.Option(help="The loss; `workbench methods` lists them.")] = "npcface",
    dim: Annotated[int, typer.Option(help="Numbers in an embedding.")] = 512,
    batch: Annotated[int, typer.Option(help="Images in a batch, of all processes together.")] = 1024,
    rate: Annotated[float, typer.Option(help="Sampled: share of the classes that a batch meets.")] = 0.1,
    most: Annotated[int, typer.Option(help="Queued: how many classes a batch meets.")] = 8192,
    queue: Annotated[int, typer.Option(help="Queued: hard negatives kept for each class.")] = 32,
    processes: Annotated[int, typer.Option(help="Sharded: how many processes share the classes.")] = 2,
) -> None:
    """Estimate what the classifier needs at its peak: full, streaming, sampled, queued, sharded; and what fits here."""
    if not (2 <= classes <= MOST_CLASSES and classes == int(classes)):
        raise InputError(f"--classes {classes:g}: a whole number from 2 to {MOST_CLASSES:.0e} is needed")
    from workbench.compare.cost.memory import free_gpu_memory, free_memory, needs

    found = needs(method, int(classes), dim, batch, rate, most, queue, processes)
    typer.echo(f"{method}, {int(classes):,} classes, dim {dim}, batch {batch}, float32; the network comes on top\n")
    print_needs(found)
    typer.echo(f"\n{rule(found[0])}")
    for sentence in fits(found, free_memory(), free_gpu_memory()):
        typer.echo(sentence)


@bench_app.command()
def heads(
    classes: Sizes = "1e4,1e5",
    batch: Images = 512,
    dim: Dim = 512,
    methods: Annotated[str, typer.Option(help="Losses between commas, or all.")] = (
        "arcface,cosface,mv_arc,curricularface,npcface"
    ),
    rounds: Rounds = 5,
    out: Out = None,
    svg: Svg = False,
    threads: Threads = None,
) -> None:
    """Measure forward and backward: dense, streaming, as a person writes it, others' code, plain torch, the floors."""
    limit_threads(threads)
    from workbench.compare.cost.classifiers import measure_classifiers as measure

    sizes, named = numbers(classes), [name.strip() for name in methods.split(",")]
    run(lambda *into: measure(sizes, batch, dim, named, rounds, *into), "heads", f"B = {batch}, D = {dim}", out, svg)


@bench_app.command()
def scaling(
    classes: Sizes = "1e4,3e4,1e5,3e5,1e6",
    batch: Images = 512,
    dim: Dim = 512,
    method: Method = "npcface",
    rate: Annotated[float, typer.Option(help="Sampled: share of the classes that a batch meets.")] = 0.1,
    most: Annotated[int, typer.Option(help="Queued: how many classes a batch meets.")] = 8192,
    queue: Annotated[int, typer.Option(help="Queued: hard negatives kept for each class.")] = 32,
    rounds: Rounds = 5,
    out: Out = None,
    svg: Svg = False,
    threads: Threads = None,
) -> None:
    """Measure a step of training's classifier as the classes grow: full, streaming, sampled, queued."""
    limit_threads(threads)
    from workbench.compare.cost.scaling import scaling as measure

    sizes, setting = numbers(classes), f"{method}, B = {batch}, D = {dim}, sampled {rate:.0%}, queued {most:,}"
    options = (batch, dim, method, rate, most, queue, rounds)
    run(lambda *into: measure(sizes, *options, *into), "scaling", setting, out, svg)


def numbers(text: str) -> list[int]:
    """Whole numbers between commas, 1e5 or 100000, in rising order."""
    try:
        found = [float(number) for number in text.split(",")]
        if not all(2 <= number <= MOST_CLASSES and number == int(number) for number in found):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(
            f"--classes {quote(text)}: whole numbers between commas, from 2 to {MOST_CLASSES:.0e}, are needed, such as"
            " 1e4,1e5"
        ) from None
    return sorted({int(number) for number in found})


def run(measure: Callable[..., None], name: str, setting: str, out: Path | None, svg: bool) -> None:
    """Measure into a list of costs, print the table, write the files; after Ctrl-C, of what there is until then."""
    if out is not None:
        check_writable(out)
    if svg and find_spec("kaleido") is None:
        raise missing_extra("kaleido", "--svg")
    costs: list[Cost] = []
    complete = True
    try:
        with bar(name) as progress:
            measure(costs, progress)
    except KeyboardInterrupt:
        complete = False
    import torch

    setting = f"{setting}, {torch.get_num_threads()} CPU threads ({platform.machine()})"
    tell(name, costs, setting)
    if out is not None and costs:
        save(out, name, costs, setting, svg)
    if not complete:
        typer.echo("workbench: interrupted; this is what was measured", err=True)
        raise typer.Exit(130)


def tell(name: str, costs: Sequence[Cost], setting: str) -> None:
    """What was measured, as tables on the terminal; of heads one for each number of classes."""
    sizes = sorted({cost.classes for cost in costs})
    if name == "scaling":
        return print_table(SCALING, scaling_rows(costs), setting, WIDTH)
    for C in sizes:
        rows = heads_rows([cost for cost in costs if cost.classes == C])
        print_table(HEADS, rows, f"C = {C:,}, {setting}", WIDTH)


def save(out: Path, name: str, costs: Sequence[Cost], setting: str, svg: bool) -> None:
    """NAME.csv, NAME.html and, if asked for, NAME.svg in a folder."""
    from workbench.views.cost import heads_figure, scaling_figure
    from workbench.views.theme import CONFIG

    figure = {"heads": heads_figure, "scaling": scaling_figure}[name](costs, setting)
    make_folder(out)
    write_costs(out / f"{name}.csv", costs)
    page: dict[str, Any] = {"include_plotlyjs": True, "config": CONFIG}
    write(out / f"{name}.html", lambda path: figure.write_html(path, **page))
    if svg:
        write(out / f"{name}.svg", lambda path: figure.write_image(path, width=1100))
    typer.echo(f"The figure: {out / f'{name}.html'}")


def print_needs(found: Sequence[Need]) -> None:
    """Every part of every class set, and what they come to."""
    rows, bold = [], []
    for need in found:
        label = need.name
        for part in need.parts:
            rows.append([label, part.name, f"{part.bytes:,}", gib(part.bytes), part.why])
            label = ""
        each = ", each process" if need.processes > 1 else ""
        beside = f"and {gib(need.host)} GiB in the CPU's memory beside it" if need.host else ""
        bold += [len(rows), len(rows) + 1]
        rows.append(["", f"on a CPU{each}", f"{need.cpu:,}", gib(need.cpu), ""])
        rows.append(["", f"on a GPU{each}", f"{need.gpu:,}", gib(need.gpu), beside])
        rows.append([""])
    print_table(("class set", "part", "bytes", "GiB", "what it is"), rows, right=("bytes", "GiB"), bold=bold)


def gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def rule(full: Need) -> str:
    """Why the usual rule for a full classifier says what it says, and where it ends."""
    parts = {part.name: part for part in full.parts}
    cosines, W = parts["cosines, logits"], parts["centers"]
    return (
        "The usual 3 x W + 2 x logits counts W with its gradient and momentum, and the logits with their gradient. In"
        f" full, {(full.cpu - cosines.bytes) / W.bytes:.2g} x W and {cosines.why.split(':')[0]} are alive at the peak"
        " of a step: the directions of W count, and every cosine that the margin's own gradient needs."
    )


def fits(found: Sequence[Need], memory: int, gpu: int | None) -> list[str]:
    """Sentences: which of the class sets fit into the free memory, of the computer and of its GPU."""
    said = [verdict("memory", memory, {need.name: need.cpu * need.processes for need in found})]
    if gpu is not None:
        said.append(verdict("GPU", gpu, {need.name: need.gpu for need in found}))
        beside = max(need.host for need in found)
        said += [f"Queued needs {gib(beside)} GiB beside the GPU: too much here."] if beside > memory else []
    return said


def verdict(what: str, free: int, sizes: Mapping[str, int]) -> str:
    """One sentence on what fits into so many free bytes."""
    yes, no = (
        [f"{name} ({gib(size)})" for name, size in sizes.items() if (size <= free) is good] for good in (True, False)
    )
    return (
        f"This computer's {what} has {gib(free)} GiB free: "
        + (f"{'; '.join(yes)} fit{'s' if len(yes) == 1 else ''}" if yes else "nothing fits")
        + (f", not {'; '.join(no)}." if no else ".")
    )
