"""`workbench evaluate`: verification and identification of a run on its held-out identities."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option, echo

from workbench.cli.options import Threads
from workbench.cli.terminal import limit_threads, parse_path, progress_bar


def evaluate(
    run: Annotated[Path, Argument(help="Folder of a run.", parser=parse_path)],
    report: Annotated[bool, Option(help="Write report.html into the run's folder.")] = True,
    threads: Threads = None,
) -> None:
    """Evaluate a run on its held-out identities.

    Prints EER, TAR at FAR, fold accuracy, AUC and rank-k, and writes them to results.json.
    """
    limit_threads(threads)
    from workbench.core.record import Run
    from workbench.training.evaluate import evaluate as evaluate_run

    with progress_bar(run.name) as progress:
        results = evaluate_run(run, progress, echo)
    print_results(results)
    if report:
        from workbench.reports import write_report

        echo(f"Report: {write_report([Run.open(run)], run / 'report.html')}")


def print_results(results: dict[str, Any]) -> None:
    """Print one line for each metric; a TAR of too few impostor pairs is replaced by the number of pairs it needs."""
    from workbench.evaluation.verification import too_few_impostors

    impostors = results["verification"]["impostor"]
    for name, value in (results["verification"] | results["identification"]).items():
        number = f"{value:10.4f}" if value < 100 else f"{value:10.0f}"
        echo(f"{name:14s} {too_few_impostors(name, impostors) or number}")
