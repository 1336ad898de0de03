"""One owner for a folder at a time: a file lock that ends with the process that holds it.

The lock is an advisory lock of the operating system on the file `.lock` in the folder. A process that is killed loses
it at once, so neither a reused process number nor a restart of the computer blocks a folder.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from workbench.core.errors import InputError

LOCK = ".lock"
RETRY = 1.0  # s that a process waits for a reader of the lock's state, which holds a shared lock for an instant
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "bcachefs"}


@contextmanager
def lock_folder(folder: Path, busy: str) -> Iterator[None]:
    """Hold the exclusive lock of a folder, which is created where it is missing.

    busy: the message of the InputError that is raised where another owner holds the lock. On a file system without
    locks nothing is held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as file:
        until = time.monotonic() + RETRY
        while try_lock(file, shared=False) is False:
            if time.monotonic() > until:
                raise InputError(busy)
            time.sleep(0.05)
        yield  # closing the file releases the lock


def lock_state(folder: Path) -> str:
    """Of a folder's lock: held, free, or unknown where the file system has no locks. Nothing is written."""
    try:
        with (folder / LOCK).open("rb") as file:
            taken = try_lock(file, shared=True)
    except FileNotFoundError:
        return "free"
    except OSError:
        return "unknown"
    return {True: "free", False: "held", None: "unknown"}[taken]


def try_lock(file: IO[bytes], shared: bool) -> bool | None:
    """Lock an open file without waiting: whether it succeeded, None where the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in BUSY else None
    return True


def seen_by_all_hosts(folder: Path) -> bool:
    """Whether a free lock proves that no process of any host holds it: only on a disk of this computer."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    place, best, kind = os.path.realpath(folder), "", ""
    for line in mounts:
        point, rest = line.split(" ")[4], line.partition(" - ")[2]
        if (place + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind in LOCAL


def this_owner() -> dict[str, Any]:
    """What a folder records of its owner, for messages: host name, process number, time (UTC)."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "process": os.getpid(), "started": now}
