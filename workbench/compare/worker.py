"""A process that trains one task after another for `engine.together`. Light, so that Ctrl-C finds it listening."""

import signal
from multiprocessing.connection import Connection


def work(parent: Connection, threads: int) -> None:
    """Take tasks from the pipe until it says None, and answer each: (steps done, loss) while it runs, then None.

    An InputError ends the process; its text is the last answer. Ctrl-C is the parent's to handle: it closes the pipe,
    the next step's report fails, and the training is saved where it is. So it is where the parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from workbench.compare.carry import carry_out
    from workbench.core.errors import InputError

    torch.set_num_threads(threads)

    def tell(done: int, total: int, what: str) -> None:
        answer((done, what))

    def answer(message: tuple[int, str] | str | None) -> None:
        try:
            parent.send(message)
        except OSError:  # nobody listens any more
            raise KeyboardInterrupt from None

    try:
        while (task := parent.recv()) is not None:
            carry_out(task, tell)
            answer(None)
    except InputError as error:
        answer(str(error))
    except (EOFError, KeyboardInterrupt):
        return
