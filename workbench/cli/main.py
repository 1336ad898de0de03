"""The command line: demo, train, compare, bench, mine, data, lab, app and more. Heavy imports wait until needed.

Bad input is one line on standard error and exit status 2; an interrupted training exits with 130.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli.bench import bench_app
from workbench.cli.terminal import MOST_PROCESSES, Port, Threads, assignments, bar, limit_threads, on_command_line, path
from workbench.core.errors import one_line, quote

app = typer.Typer(
    help="Margin losses of face recognition: train them, measure them, see them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="The data sets: list them, render more synthetic heads.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command line: every error of input, files, memory and missing extras is one line and status 2.

    An error of the program itself keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test or a notebook has put another object
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except BrokenPipeError:  # the reader of a pipe has ended, as in `workbench methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except Exception as error:
        line = usage(error) or one_line(error)
        if line is None:
            raise
        fail(line, 2)


def usage(error: Exception) -> str | None:
    """The line for a wrong call of a command (the parser's error), None for other errors."""
    context = getattr(error, "ctx", None)
    if not hasattr(error, "format_message"):
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        sys.exit(2)
    text = " ".join(error.format_message().split())
    return quote(text, 200) + (f"; see {context.command_path} --help" if context else "")


def fail(message: str, status: int, quiet: bool = False) -> None:
    if not quiet:
        typer.echo(f"workbench: {' '.join(message.splitlines())}", err=True)
    sys.exit(status)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the runs and the report; default: runs/demo, or the next free one.", parser=path),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps for each loss; default: the demo's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, centers, batches and the split.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Threads = None,
) -> None:
    """Train five losses on the embedded heads, evaluate each on identities it never saw, write a report."""
    limit_threads(threads)
    from workbench.cli.demo import choose_folder, run_demo

    out = choose_folder(out, steps, seed, device)
    typer.echo(f"The demo writes to {out}")
    try:
        report = run_demo(out, bar, typer.echo, steps, seed, device)
    except KeyboardInterrupt:
        fail(f"stopped; the same command goes on from here, in {out}", 130)
    typer.echo(f"\nThe report: {report}")
    typer.echo(
        "Next: `make lab` opens the notebooks; `workbench train --help` trains your own; `workbench methods` lists all."
    )


@app.command()
def train(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; must be new or empty.", parser=path)],
    method: Annotated[str, typer.Option(help="The loss; `workbench methods` lists them.")] = "npcface",
    preset: Annotated[str, typer.Option(help="Whose values: paper, or a peer's.")] = "paper",
    recipe: Annotated[
        str,
        typer.Option(
            help="small: for some hundred identities; preset: the preset's values as they are;"
            " npcface-casia, npcface-ms1m, recurricular: as the papers trained."
        ),
    ] = "small",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of the loss, NAME=VALUE; may be repeated.")
    ] = None,
    data: Annotated[str, typer.Option(help="heads, heads:FILE.zip, digits, folder:PATH or npz:PATH.")] = "heads",
    size: Annotated[int | None, typer.Option(help="Side of the images in px; default: the data's own.")] = None,
    test: Annotated[float, typer.Option(help="Share of the identities kept for the test.")] = 0.2,
    backbone: Annotated[str, typer.Option(help="The network: small, mobilefacenet, resnet18, ...")] = "small",
    width: Annotated[float, typer.Option(help="Times the network's channels; 0.25 makes one quick.")] = 1.0,
    dim: Annotated[int, typer.Option(help="Numbers in an embedding.")] = 128,
    steps: Annotated[int | None, typer.Option(help="Batches to train on; default: the recipe's, 600 of small.")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Times through the images, instead of --steps; default: the recipe's.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a batch; default: the recipe's, 64 of small.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; default: the recipe's, 0.2 of small.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of SGD; default: the recipe's, 0.9.")] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay; default: the recipe's, 0.004 of small.")
    ] = None,
    snapshots: Annotated[int, typer.Option(help="Snapshots of the sphere over the training.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of weights, centers, batches and the split.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the network: fp32, bf16; auto: bf16 on a GPU.")] = "auto",
    compute: Annotated[
        str, typer.Option(help="How a batch meets the classes: dense, streaming (tile by tile), auto.")
    ] = "auto",
    centers: Annotated[str, typer.Option(help="The classes a batch meets: full, sampled, queued or sharded.")] = "full",
    class_set_: Annotated[
        list[str] | None,
        typer.Option("--class-set", help="An option of sampled, queued or sharded centers, NAME=VALUE."),
    ] = None,
    nproc: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_PROCESSES,
            help="Processes on this computer that share classes and batches (--centers sharded).",
        ),
    ] = 1,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out instead; its own settings hold.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Resume also where another host may still train the run.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Train one loss and record it as a run."""
    options = dict(locals())
    limit_threads(threads)
    from workbench.cli.train import run
    from workbench.training.config import Config

    values = {k: v for k, v in options.items() if k in Config.__dataclass_fields__}
    values |= {"parameters": assignments(set_ or []), "class_set": assignments(class_set_ or [], "--class-set")}
    sources = {"parameters": "set_", "class_set": "class_set_"}
    given = {k: v for k, v in values.items() if on_command_line(ctx, sources.get(k, k))}
    status, said = run(values, given, out, resume, take_over, nproc, skip_broken, bar, typer.echo)
    if status:
        fail(said, status, quiet=not said)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", parser=path)],
    report: Annotated[bool, typer.Option(help="Also write report.html into the run's folder.")] = True,
    threads: Threads = None,
) -> None:
    """Measure a run on the identities it never saw."""
    limit_threads(threads)
    from workbench.core.record import Run
    from workbench.evaluation.verification import pairs_needed
    from workbench.training.run import evaluate as measure

    with bar(run.name) as progress:
        results = measure(run, progress, typer.echo)
    for part in ("verification", "identification"):
        for name, value in results[part].items():
            needed = pairs_needed(float(name[4:])) if name.startswith("tar@") else 0
            if needed > results["verification"]["impostor"]:
                typer.echo(f"{name:14s} needs {needed:,} impostor pairs")
            else:
                typer.echo(f"{name:14s} {value:10.4f}" if value < 100 else f"{name:14s} {value:10.0f}")
    if report:
        from workbench.reports import write_report

        typer.echo(f"The report: {write_report([Run.open(run)], run / 'report.html')}")


@app.command()
def compare(
    methods: Annotated[str | None, typer.Option(help="Losses, METHOD or METHOD:PRESET, between commas.")] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="METHOD.PARAMETER=VALUES, as npcface.t=1.0,1.1 or npcface.alpha=0:0.5:0.05; may be repeated."
        ),
    ] = None,
    ablation: Annotated[str | None, typer.Option(help="npcface: its Table II, without and with either part.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each loss, from seeds 0, 1, ...")] = 5,
    budget: Annotated[str | None, typer.Option(help="Time of a training, as 60s (default), 2m or 1.5h.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches of each training, instead of --budget.")] = None,
    out: Annotated[Path, typer.Option(help="Folder; goes on with what is there.", parser=path)] = Path("runs/compare"),
    metric: Annotated[str, typer.Option(help="What the ranking goes by: eer, tar@0.01, rank-1, accuracy, ...")] = "eer",
    jobs: Annotated[int | None, typer.Option(help="Trainings side by side; default: half the cores.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of each training; its bits depend on them.")] = 1,
    recipe: Annotated[str, typer.Option(help="As of train.")] = "small",
    data: Annotated[str, typer.Option(help="As of train.")] = "heads",
    size: Annotated[int | None, typer.Option(help="As of train.")] = None,
    test: Annotated[float, typer.Option(help="As of train.")] = 0.2,
    backbone: Annotated[str, typer.Option(help="As of train.")] = "small",
    width: Annotated[float, typer.Option(help="As of train.")] = 1.0,
    dim: Annotated[int, typer.Option(help="As of train.")] = 128,
    batch: Annotated[int | None, typer.Option(help="As of train.")] = None,
    lr: Annotated[float | None, typer.Option(help="As of train.")] = None,
    device: Annotated[str, typer.Option(help="As of train.")] = "auto",
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="As of train.")] = False,
) -> None:
    """Train losses alike over several seeds and say which differences are more than luck."""
    values = dict(locals())
    from workbench.cli.compare import run
    from workbench.training.config import Config

    settings = {name: value for name, value in values.items() if name in Config.__dataclass_fields__}
    if not run(settings, methods, sweep or (), ablation, seeds, budget, out, metric, jobs, threads, skip_broken, bar):
        fail(f"stopped; the same command goes on from here, in {out}", 130)


@app.command()
def methods(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the Markdown table of README.md.")] = False,
    pages: Annotated[
        Path | None,
        typer.Option(help="Write a page and pictures of each method into this folder (needs kaleido).", parser=path),
    ] = None,
) -> None:
    """List the losses, their presets, and their parameters as the papers have them."""
    if pages is not None:
        from workbench.reports.method_pages import write_pages

        with bar("pages") as progress:
            write_pages(pages, progress)
        return
    if markdown:
        from workbench.methods import METHODS
        from workbench.methods.method import markdown_table

        typer.echo(markdown_table(METHODS))
        return
    from rich.console import Console
    from rich.table import Table

    from workbench.methods import METHODS

    table = Table("method", "parameters (paper)", "presets", "published in", box=None, padding=(0, 2, 0, 0))
    for method in METHODS.values():
        values = ", ".join(
            f"{k} {v:g}" if isinstance(v, float | int) else f"{k} {v}" for k, v in method.settings().items()
        )
        table.add_row(method.key, values, ", ".join(method.presets), method.citation)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@data_app.command("list")
def data_list() -> None:
    """List the data sets that have a manifest, and check the files that are here."""
    from workbench.data.manifest import FOLDER, manifests, verify_files

    found = manifests()
    if not found:
        typer.echo(f"no manifests in {FOLDER}: they come with a clone, not with an installed package")
    for manifest in found:
        states = set(verify_files(manifest).values())
        state = (
            "nothing to check"
            if not states
            else "files as described"
            if states == {"ok"}
            else ", ".join(sorted(states))
        )
        counts = f"{manifest.identities:5d} identities {manifest.images:6d} images"
        typer.echo(f"{manifest.name:8s} {counts}  {manifest.licence}; {state}")
    typer.echo(
        "Also: heads:FILE.zip (own render), folder:PATH (one sub-folder an identity), npz:PATH (images and labels)."
    )


@data_app.command("render")
def data_render(
    out: Annotated[Path, typer.Option(help="Archive to write (.zip).", parser=path)],
    identities: Annotated[int, typer.Option(help="How many identities.")] = 200,
    images: Annotated[int, typer.Option(help="Images of each.")] = 14,
    size: Annotated[int, typer.Option(help="Side in px.")] = 56,
    seed: Annotated[int, typer.Option(help="Seed; identity k is the same in every set of this seed and size.")] = 0,
) -> None:
    """Render synthetic heads; started again after an interruption it goes on where it was (extra 'synth')."""
    from workbench.data.heads import render

    with bar("rendering") as progress:
        path = render(out, identities, images, size, seed, lambda done, total: progress(done, total, "identities"))
    typer.echo(f"{path} is ready; use it as --data heads:{path}")


@app.command()
def mine(
    embeddings: Annotated[
        Path,
        typer.Option(
            help=".npz, .safetensors or .parquet: `embeddings` and `labels`, or `centers`; `images`.", parser=path
        ),
    ],
    k: Annotated[int, typer.Option(help="Nearest classes of each class.")] = 32,
    out: Annotated[
        Path | None, typer.Option(help="Folder for CSV files and a page; must be new or empty.", parser=path)
    ] = None,
    index: Annotated[str, typer.Option(help="auto, exact, flat, ivf, hnsw or pq.")] = "auto",
    duplicate: Annotated[
        float | None, typer.Option(help="Cosine of centers above which two classes are one; default: measured.")
    ] = None,
    margin: Annotated[float, typer.Option(help="How much nearer another center must be to doubt a label.")] = 0.1,
    pairs: Annotated[int, typer.Option(min=1, help="Hardest pairs in pairs.csv.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the samples and of the index.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Threads = None,
) -> None:
    """Find hard pairs of classes, likely duplicate identities and likely label errors in any embeddings."""
    limit_threads(threads)
    from workbench.cli.mine import run

    with bar("mining") as progress:
        run(embeddings, k, out, index, device, duplicate, margin, pairs, seed, progress, typer.echo)


@app.command()
def lab(
    port: Port = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """JupyterLab on 127.0.0.1 with a token, at notebooks/00_index.ipynb."""
    from workbench.cli.lab import command

    arguments = command(port, browser)
    os.execv(arguments[0], arguments)


@app.command("app")
def live_app(
    method: Annotated[str, typer.Option(help="The loss to start with; `workbench methods` lists them.")] = "npcface",
    data: Annotated[str, typer.Option(help="heads, digits, folder:PATH or npz:FILE.")] = "digits",
    dim: Annotated[int, typer.Option(help="Numbers in an embedding; 2 and 3 are seen as they are.")] = 3,
    size: Annotated[int | None, typer.Option(help="Side of an image in px; default: the data's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, centers and batches.")] = 0,
    port: Port = 8866,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """The live lab as a page of its own, on 127.0.0.1 with a token; needs pip install -e '.[app]'."""
    from workbench.cli.lab import app_command

    settings = {"method": method, "data": data, "dim": dim, "size": size, "seed": seed}
    arguments, address = app_command(settings, port, browser)
    typer.echo(f"The live lab: {address}")
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main()
