"""`workbench bench memory`: the estimated peak memory of a classifier for every class set, and what fits here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Option, echo

from workbench.cli import options as opt
from workbench.core.console import print_table
from workbench.core.errors import InputError

if TYPE_CHECKING:
    from workbench.compare.cost.memory import Need

MAX_CLASSES = 10**12
BatchSize = Annotated[int, Option("--batch", help="Batch size in images, over all processes.")]
Rate = Annotated[float, Option(help="Sampled centers: fraction of the classes in a step.")]
MaxActive = Annotated[int, Option("--most", help="Queued centers: maximum number of classes in a step.")]
Queue = Annotated[int, Option(help="Queued centers: hard negatives per class.")]


def memory(
    classes: Annotated[float, Option(help="Number of classes; 2e6 is 2,000,000.")],
    method: opt.Method = "npcface",
    dim: opt.Dim = 512,
    batch: BatchSize = 1024,
    rate: Rate = 0.1,
    most: MaxActive = 8192,
    queue: Queue = 32,
    processes: Annotated[int, Option(help="Sharded centers: number of processes.")] = 2,
) -> None:
    """Estimate the peak memory of the classifier.

    Compared are full, streaming, sampled, queued and sharded class centers, part by part, with the free memory here.
    """
    if not (2 <= classes <= MAX_CLASSES and classes == int(classes)):
        raise InputError(f"--classes {classes:g}: expected a whole number from 2 to {MAX_CLASSES:.0e}")
    from workbench.compare.cost.memory import free_gpu_memory, free_memory, needs

    estimates = needs(method, int(classes), dim, batch, rate, most, queue, processes)
    echo(f"{method}, {int(classes):,} classes, dim {dim}, batch {batch}, float32; without the network\n")
    print_table(("class set", "part", "bytes", "GiB", "content"), part_rows(estimates), right=("bytes", "GiB"))
    echo(f"\n{explain_full(estimates[0])}")
    for sentence in fitting_sets(estimates, free_memory(), free_gpu_memory()):
        echo(sentence)


def part_rows(estimates: Sequence[Need]) -> list[tuple[str, str, str, str, str]]:
    """One row for each part of each class set, then its totals on a CPU and on a GPU."""
    rows = []
    for need in estimates:
        names = [need.name] + [""] * (len(need.parts) - 1)
        rows += [(name, p.name, f"{p.bytes:,}", gib(p.bytes), p.why) for name, p in zip(names, need.parts, strict=True)]
        each = ", each process" if need.processes > 1 else ""
        host = f"and {gib(need.host)} GiB of CPU memory" if need.host else ""
        rows.append(("", f"total, CPU{each}", f"{need.cpu:,}", gib(need.cpu), ""))
        rows.append(("", f"total, GPU{each}", f"{need.gpu:,}", gib(need.gpu), host))
        rows.append(("",) * 5)
    return rows


def gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def explain_full(full: Need) -> str:
    """How the estimate of full centers differs from the common rule 3 x W + 2 x logits."""
    parts = {part.name: part for part in full.parts}
    cosines, W = parts["cosines, logits"], parts["centers"]
    return (
        "The common rule 3 x W + 2 x logits counts W, its gradient and momentum, and the logits with their gradient."
        f" At the peak of a step, full centers hold {(full.cpu - cosines.bytes) / W.bytes:.2g} x W and"
        f" {cosines.why.split(':')[0]}: the normalized centers and the cosines saved for the margin's backward pass"
        " come on top."
    )


def fitting_sets(estimates: Sequence[Need], memory: int, gpu: int | None) -> list[str]:
    """Sentences on which class sets fit into the free memory (bytes) of this computer and of its GPU."""
    lines = [fit_sentence("memory", memory, {need.name: need.cpu * need.processes for need in estimates})]
    if gpu is not None:
        lines.append(fit_sentence("GPU", gpu, {need.name: need.gpu for need in estimates}))
        host = max(need.host for need in estimates)
        lines += [f"Queued centers also need {gib(host)} GiB of CPU memory: too much here."] if host > memory else []
    return lines


def fit_sentence(what: str, free: int, sizes: Mapping[str, int]) -> str:
    """One sentence on which sizes (bytes) fit into `free` bytes."""
    yes, no = (
        [f"{name} ({gib(size)})" for name, size in sizes.items() if (size <= free) is good] for good in (True, False)
    )
    return (
        f"This computer's {what} has {gib(free)} GiB free: "
        + (f"{'; '.join(yes)} fit{'s' if len(yes) == 1 else ''}" if yes else "nothing fits")
        + (f", not {'; '.join(no)}." if no else ".")
    )
