"""`workbench embed`: write the embeddings of a run's images, or of other images, to a file."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from workbench.cli.options import SkipBroken, Threads
from workbench.cli.terminal import limit_threads, parse_path, progress_bar


def embed(
    run: Annotated[Path, Argument(help="Folder of a run.", parser=parse_path)],
    out: Annotated[Path, Option(help="File to write: .npz, .safetensors or .parquet.", parser=parse_path)],
    data: Annotated[
        str | None, Option(help="Data, same as `train` (default: the run's own, checked against its record).")
    ] = None,
    split: Annotated[
        str | None, Option(help="Identities of the run's own data: test, train or all (default: test).")
    ] = None,
    mirror: Annotated[bool, Option(help="Add the embedding of the mirrored image, same as `evaluate`.")] = True,
    device: Annotated[str | None, Option(help="Device: auto, cpu or cuda (default: the run's).")] = None,
    skip_broken: SkipBroken = False,
    threads: Threads = None,
) -> None:
    """Write the embeddings of images to a file.

    The file holds embeddings, labels, names and paths; the network is that of a run.
    """
    limit_threads(threads)
    from workbench.training.embedding import check_suffix
    from workbench.training.embedding import embed as embed_run

    check_suffix(out)
    with progress_bar(run.name) as progress:
        images = embed_run(run, data, split, device, mirror, skip_broken, progress, echo)
    images.save(out)
    n, dim = images.embeddings.shape
    echo(f"{n} embeddings of dimension {dim}, {len(images.names)} identities: {out}")
