"""`workbench bench`: what a training will cost before it is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.memory import Need

bench_app = typer.Typer(help="What a training will cost, before it is started.", no_args_is_help=True)


@bench_app.callback()
def root() -> None:
    """A group, also while it has a single command."""


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
    """What the classifier needs at its peak: full, streaming, sampled, queued, sharded; and what fits here."""
    if classes != int(classes):
        raise InputError(f"--classes {classes:g}: a whole number is needed")
    from workbench.memory import free_gpu_memory, free_memory, needs

    found = needs(method, int(classes), dim, batch, rate, most, queue, processes)
    typer.echo(f"{method}, {int(classes):,} classes, dim {dim}, batch {batch}, float32; the network comes on top\n")
    print_table(found)
    typer.echo(f"\n{rule(found[0])}")
    for sentence in fits(found, free_memory(), free_gpu_memory()):
        typer.echo(sentence)


def print_table(found: Sequence[Need]) -> None:
    """Every part of every class set, and what they come to."""
    from rich.console import Console
    from rich.table import Table

    table = Table("class set", "part", "bytes", "GiB", "what it is", box=None, padding=(0, 2, 0, 0))
    for name in ("bytes", "GiB"):
        next(column for column in table.columns if column.header == name).justify = "right"
    for need in found:
        label = need.name
        for part in need.parts:
            table.add_row(label, part.name, f"{part.bytes:,}", gib(part.bytes), part.why)
            label = ""
        each = ", each process" if need.processes > 1 else ""
        table.add_row("", f"on a CPU{each}", f"{need.cpu:,}", gib(need.cpu), "", style="bold")
        beside = f"and {gib(need.host)} GiB in the CPU's memory beside it" if need.host else ""
        table.add_row("", f"on a GPU{each}", f"{need.gpu:,}", gib(need.gpu), beside, style="bold", end_section=True)
        table.add_row()
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


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
