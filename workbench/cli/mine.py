"""`workbench mine`: hard pairs, likely duplicates and likely label errors in a file of embeddings or centers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option, echo

from workbench.cli import options as opt
from workbench.cli.terminal import limit_threads, parse_path, progress_bar
from workbench.core.files import make_folder, refuse_existing

if TYPE_CHECKING:
    from workbench.mining.audit import MiningResult
    from workbench.mining.dataset import MiningData

PRINTED = 5  # findings of each kind on the terminal


def mine(
    embeddings: Annotated[
        Path,
        Option(
            help="File (.npz, .safetensors or .parquet) with `embeddings` and `labels`, or with `centers`;"
            " `images` are optional.",
            parser=parse_path,
        ),
    ],
    k: Annotated[int, Option(help="Number of nearest classes of each class.")] = 32,
    out: opt.OutFolder = None,
    index: Annotated[str, Option(help="Index of the search: auto, exact, flat, ivf, hnsw or pq.")] = "auto",
    duplicate: Annotated[
        float | None,
        Option(help="Cosine of centers above which two classes are likely duplicates (default: estimated)."),
    ] = None,
    margin: Annotated[
        float, Option(help="Cosine difference to another center above which a label is likely wrong.")
    ] = 0.1,
    pairs: Annotated[int, Option(min=1, help="Number of hardest pairs in pairs.csv.")] = 10_000,
    seed: Annotated[int, Option(help="Seed of the samples and of the index.")] = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
) -> None:
    """Find duplicates and label errors in embeddings.

    Lists hard pairs of classes, likely duplicate identities and likely label errors in any embeddings or centers.
    The folder --out must be new or empty.
    """
    limit_threads(threads)
    from workbench.mining.audit import mine as find
    from workbench.mining.dataset import read

    if out is not None:
        refuse_existing(out)
    data = read(embeddings)
    for note in data.notes:
        echo(f"{embeddings.name}: {note}")
    with progress_bar("mining") as progress:
        findings = find(data, k, index, device, duplicate, margin, seed, progress)
    print_findings(data, findings)
    if out is not None:
        from workbench.mining.tables import write_tables
        from workbench.reports.mining import write_report

        make_folder(out)
        write_tables(data, findings, out, pairs)
        echo(f"Page: {write_report(data, findings, out / 'index.html', embeddings.name)}")


def print_findings(data: MiningData, findings: MiningResult) -> None:
    """Print the number of findings of each kind, and the first few by name."""
    echo(f"{len(data.names)} classes; index: {findings.index}; recall {findings.recall:.3f}")
    kinds = (("hard pairs", findings.pairs), (f"likely duplicates ({findings.measured})", findings.duplicates))
    for title, pairs in kinds:
        echo(f"{title}: {len(pairs.a)}")
        for a, b, cos in zip(pairs.a[:PRINTED], pairs.b[:PRINTED], pairs.cosine[:PRINTED], strict=True):
            echo(f"  {cos:.3f}  {data.names[a]}  {data.names[b]}")
    if (e := findings.errors) is None:
        return
    echo(f"likely label errors: {len(e.sample)}; not judged: {findings.single} samples alone in their class")
    for i in range(min(PRINTED, len(e.sample))):
        label, nearer = data.names[e.label[i]], data.names[e.nearer[i]]
        cosines = f"cosine {e.own_cosine[i]:.3f} to its center, {e.nearer_cosine[i]:.3f} to {nearer}"
        echo(f"  sample {e.sample[i]}, label {label}: {cosines}")
