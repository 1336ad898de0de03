"""TCP ports on 127.0.0.1."""

import socket

from workbench.core.errors import InputError

ATTEMPTS = 50


def free_port(first: int | None = None) -> int:
    """A free TCP port on 127.0.0.1: the first of ATTEMPTS ports from `first` on, or any for None.

    Raises InputError where none of these ports is free.
    """
    for port in range(1) if first is None else range(first, min(first + ATTEMPTS, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise InputError(f"port {first}: this port and the next {ATTEMPTS - 1} are in use")
