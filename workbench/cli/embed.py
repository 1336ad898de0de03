"""`workbench embed`: write the embeddings of a run's images, or of other images, to a file."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.terminal import Threads, bar, limit_threads, path


def embed(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", parser=path)],
    out: Annotated[Path, typer.Option(help="File to write: .npz, .safetensors or .parquet.", parser=path)],
    data: Annotated[
        str | None, typer.Option(help="Data source, same as `train`; default: the run's own data, checked.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Identities of the run's own data: test (default), train or all.")
    ] = None,
    mirror: Annotated[bool, typer.Option(help="Add the embedding of the mirrored image, as `evaluate` does.")] = True,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; default: the run's own.")] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")] = False,
    threads: Threads = None,
) -> None:
    """Write embeddings, labels, names and paths of images to a file, computed by a run's network."""
    limit_threads(threads)
    from workbench.training.embedding import check_suffix
    from workbench.training.embedding import embed as embed_run

    check_suffix(out)
    with bar(run.name) as progress:
        images = embed_run(run, data, split, device, mirror, skip_broken, progress, typer.echo)
    images.save(out)
    n, dim = images.embeddings.shape
    typer.echo(f"{n} embeddings of dimension {dim}, {len(images.names)} identities: {out}")
