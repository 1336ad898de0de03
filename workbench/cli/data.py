"""`workbench data`: list the data sets, render more synthetic heads."""

from pathlib import Path
from typing import Annotated

from typer import Option, Typer, echo

from workbench.cli.terminal import examples, parse_path, progress_bar

data_app = Typer(
    help="Data sets: list them, render synthetic heads.",
    epilog=examples("data list", "data render --help"),
    no_args_is_help=True,
)


@data_app.command("list", epilog=examples("data list"))
def list_data() -> None:
    """List the data sets and verify their files."""
    from workbench.data.manifest import FOLDER, manifests, verify_files

    listed = manifests()
    if not listed:
        echo(f"no manifests in {FOLDER}: they are part of a clone, not of an installed package")
    for manifest in listed:
        states = set(verify_files(manifest).values())
        state = ", ".join(sorted(states)) if states else "none"
        counts = f"{manifest.identities:5d} identities {manifest.images:6d} images"
        echo(f"{manifest.name:8s} {counts}  {manifest.licence}; files: {state}")
    echo("Also: heads:FILE.zip (rendered), folder:PATH (one sub-folder per identity), npz:FILE (images and labels).")


@data_app.command("render", epilog=examples("data render --out more.zip --identities 1000"))
def render_data(
    out: Annotated[Path, Option(help="Archive to write (.zip).", parser=parse_path)],
    identities: Annotated[int, Option(help="Number of identities.")] = 200,
    images: Annotated[int, Option(help="Images per identity.")] = 14,
    size: Annotated[int, Option(help="Image side in pixels.")] = 56,
    seed: Annotated[int, Option(help="Seed; identity k is the same in every archive of one seed and size.")] = 0,
) -> None:
    """Render synthetic heads into an archive.

    An interrupted rendering is resumed. It needs pip install -e '.[synth]'.
    """
    from workbench.data.heads import render

    with progress_bar("rendering") as progress:
        path = render(out, identities, images, size, seed, lambda done, total: progress(done, total, "identities"))
    echo(f"{path} is complete; use it with --data heads:{path}")
