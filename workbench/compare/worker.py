"""A worker process that trains tasks for `engine.run_parallel`. Heavy imports follow the SIGINT handler."""

import signal
from multiprocessing.connection import Connection


def work(parent: Connection, threads: int) -> None:
    """Train the tasks received from the pipe until None is received.

    The messages to the parent: (steps done, text) during a training, None after it, and the text of an InputError,
    which ends the process. SIGINT is ignored: the parent handles it by closing the pipe. The next message then fails,
    and the training stops with a checkpoint, also where the parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from workbench.compare.task import run_task
    from workbench.core.errors import InputError

    torch.set_num_threads(threads)

    def report(done: int, total: int, what: str) -> None:
        send((done, what))

    def send(message: tuple[int, str] | str | None) -> None:
        try:
            parent.send(message)
        except OSError:  # the parent has closed the pipe
            raise KeyboardInterrupt from None

    try:
        while (task := parent.recv()) is not None:
            run_task(task, report)
            send(None)
    except InputError as error:
        send(str(error))
    except (EOFError, KeyboardInterrupt):
        return
