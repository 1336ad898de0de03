"""One training of a plan, from wherever it is to its results."""

from workbench.compare.plan import Task
from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.record import Run
from workbench.training.evaluate import evaluate
from workbench.training.fit import TrainingFault
from workbench.training.run import resume, train


def carry_out(task: Task, tell: Progress) -> None:
    """Bring one training to its results from wherever it is. A loss that stops being finite is recorded, not raised."""

    def steps_only(done: int, total: int, what: str) -> None:
        if what != "reading images":
            tell(done, total, what)

    known = (task.path / "run.json").is_file()
    status = Run.open(task.path).status if known else ""
    if status == "running":
        raise InputError(f"{task.path} is being trained by another process; wait for it, or end it")
    try:
        if not known:
            train(task.config, task.path, steps_only, task.skip_broken)
        elif status != "finished":
            resume(task.path, steps_only, task.skip_broken)
        evaluate(task.path)
    except TrainingFault:
        return  # the run's status says at which step and why
