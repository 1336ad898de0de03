"""Train and evaluate one task of a plan."""

from workbench.compare.plan import Task
from workbench.core.errors import InputError
from workbench.core.progress import Progress
from workbench.core.record import Run
from workbench.training.evaluate import evaluate
from workbench.training.fit import TrainingFault
from workbench.training.run import resume, train


def run_task(task: Task, progress: Progress) -> None:
    """Train a task, or resume it, and evaluate it. A loss that becomes infinite or nan is recorded, not raised.

    Raises InputError if another process trains the task.
    """

    def report_steps(done: int, total: int, what: str) -> None:
        if what != "reading images":
            progress(done, total, what)

    exists = (task.path / "run.json").is_file()
    status = Run.open(task.path).status if exists else ""
    if status == "running":
        raise InputError(f"{task.path} is being trained by another process; wait for it, or end it")
    try:
        if not exists:
            train(task.config, task.path, report_steps, task.skip_broken)
        elif status != "finished":
            resume(task.path, report_steps, task.skip_broken)
        evaluate(task.path)
    except TrainingFault:
        return  # the run's status has the step and the reason
