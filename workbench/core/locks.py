"""Exclusive locks of folders, which end with the process that holds them.

The lock is an advisory lock of the operating system on the file `.lock` in the folder. The system releases it when the
process ends, so a reused process id or a restart does not block a folder.
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
RETRY = 1.0  # s to wait for `lock_state` of another process, which briefly holds a shared lock
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "bcachefs"}


@contextmanager
def lock_folder(folder: Path, busy: str) -> Iterator[None]:
    """Hold the exclusive lock of a folder, which is created if missing.

    busy: message of the InputError that is raised if another process holds the lock. No effect on a file system without
    locks.
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
    """The state of a folder's lock: held, free, or unknown on a file system without locks. Nothing is written."""
    try:
        with (folder / LOCK).open("rb") as file:
            acquired = try_lock(file, shared=True)
    except FileNotFoundError:
        return "free"
    except OSError:
        return "unknown"
    return {True: "free", False: "held", None: "unknown"}[acquired]


def try_lock(file: IO[bytes], shared: bool) -> bool | None:
    """Lock an open file without waiting. Returns whether that succeeded, None on a file system without locks."""
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


def is_local_disk(folder: Path) -> bool:
    """Whether a folder is on a disk of this computer, where a free lock is not held by a process of another host."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    real, best, kind = os.path.realpath(folder), "", ""
    for line in mounts:
        point, rest = line.split(" ")[4], line.partition(" - ")[2]
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind in LOCAL


def this_owner() -> dict[str, Any]:
    """Host name, process id and time (UTC) of this process, for the record in a folder."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "process": os.getpid(), "started": now}
