"""The command line: the app, its commands, and the one place that turns errors into exit statuses.

Bad input is one line on standard error and exit status 2; Ctrl-C exits with 130.
"""

import os
import sys
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli.app import live_app
from workbench.cli.bench import bench_app
from workbench.cli.compare import compare
from workbench.cli.data import data_app
from workbench.cli.demo import demo
from workbench.cli.embed import embed
from workbench.cli.evaluate import evaluate
from workbench.cli.lab import lab
from workbench.cli.methods import methods
from workbench.cli.mine import mine
from workbench.cli.terminal import INTERRUPTED, examples, fail
from workbench.cli.train import train
from workbench.core.errors import one_line, quote

app = typer.Typer(
    help="Train, evaluate, compare and visualize margin losses of face recognition.",
    epilog=examples("demo", "train --help"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would drop square brackets, as in '.[app]'
    context_settings={"max_content_width": 100},
)
app.command(epilog=examples("demo", "demo --steps 100 --out runs/quick"))(demo)
app.command(epilog=examples("train --method arcface --set m=0.4 --out runs/x", "train --out runs/x --resume"))(train)
app.command(epilog=examples("evaluate runs/x", "evaluate runs/x --no-report"))(evaluate)
app.command(epilog=examples("embed runs/x --out E.npz", "embed runs/x --data folder:photos --out E.parquet"))(embed)
app.command(
    epilog=examples("compare --methods arcface,npcface --budget 60s", "compare --sweep npcface.t=1.0,1.1 --seeds 3")
)(compare)
app.command(epilog=examples("methods", "methods --markdown"))(methods)
app.add_typer(data_app, name="data")
app.command(epilog=examples("mine --embeddings E.npz --k 32 --out mined"))(mine)
app.add_typer(bench_app, name="bench")
app.command(epilog=examples("lab", "lab --port 9000 --no-browser"))(lab)
app.command("app", epilog=examples("app --method arcface --data heads --dim 3"))(live_app)


def main() -> None:
    """Run the command line: errors of input, files, memory and missing extras are one line and exit status 2.

    A fault of the program keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test or a notebook has replaced the stream
            stream.reconfigure(errors="backslashreplace")
    try:
        # Heavy imports follow the SIGINT handler: they are inside the commands, and typer returns 130 at Ctrl-C.
        status = app(standalone_mode=False) or 0
        fail("interrupted" if status == INTERRUPTED else "", status)
    except BrokenPipeError:  # the reader of a pipe has ended, as in `workbench methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except Exception as error:
        line = usage_error(error) or one_line(error)
        if line is None:
            raise
        fail(line, 2)


def usage_error(error: Exception) -> str | None:
    """One line for a usage error of the parser; None for other errors."""
    context = getattr(error, "ctx", None)
    if not hasattr(error, "format_message"):
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        sys.exit(2)
    text = " ".join(error.format_message().split())
    return quote(text, 200) + (f"; see {context.command_path} --help" if context else "")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


if __name__ == "__main__":
    main()
