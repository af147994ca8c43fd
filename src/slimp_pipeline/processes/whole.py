"""Writing whole or not at all, also beside other processes: temporary names of one's own, renamed when done; locks.

A temporary name says which process of which machine it belongs to. So nobody removes what another is writing, and
what a killed process left behind can be told and removed. What isn't provably left behind stays: a process of another
machine or container may be alive.
"""

import errno
import logging
import os
import re
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from slimp_pipeline.processes.process import Process

logger = logging.getLogger(__name__)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNFINISHED = ".unfinished-"  # how temporary names start
_TEMPORARY = re.compile(rf"{re.escape(UNFINISHED)}(?P<process>(?:[\da-f]*-){{5}}\d*)-(?P<thread>\d+)-.+")


@contextmanager
def appearing_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path; the file or folder written there takes the target's place in one step.

    Where writing fails, the temporary path and the folders made for it are removed, and a target that was there
    before stays as it was. A file is replaced; a folder never is, since what it holds may not be ours.

    Args:
        target: Local path of a file or folder.

    Raises:
        OSError: If the disk is full (says what wasn't written), or the target is a folder that holds something.
    """
    temporary = temporary_name(target)
    missing = [folder for folder in target.parents if not folder.exists()]
    remove_left_over(target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        _open_to_group(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        remove(temporary)
        for folder in missing:
            _remove_if_empty(folder)
        if is_disk_full(error):
            raise OSError(
                f"the disk is full: {target} wasn't written; the previous version is whole. Free space, run again."
            ) from error
        if isinstance(error, OSError) and target.is_dir():
            raise FileExistsError(
                f"{target} is there already, and a folder is never replaced: what it holds may be yours. Move it away, "
                "or name another place."
            ) from error
        raise


def temporary_name(target: Path) -> Path:
    """Name beside the target under which this process and thread write it."""
    return target.with_name(f"{UNFINISHED}{Process.own().as_name()}-{threading.get_native_id()}-{target.name}")


def remove_left_over(folder: Path) -> list[Path]:
    """Remove from a folder, not from those below it, what processes were writing that are gone."""
    left_over = [path for path in _entries(folder) if _is_left_over(path.name)]
    for path in left_over:
        remove(path)
    return left_over


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder of our own making; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def held(lock: Path, doing: str) -> Iterator[None]:
    """Hold a lock; wait, and say who holds it, while another process or thread does.

    The lock ends with the process, however that ends. Its file stays: it says who held it last.

    Args:
        lock: Path of the lock's file; its folder is made.
        doing: What is done under it, for those who wait.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    mutex = FileLock(lock, mode=0o664, preserve_lock_file=True)  # a group may share a project
    holder = lock.with_name(f"{lock.name}.holder")
    try:
        mutex.acquire(timeout=0)
    except Timeout:
        logger.info("Waiting for %s", _told_by(holder))
        mutex.acquire()
    try:
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()}, which has been {doing} since {datetime.now():%H:%M:%S}",
            encoding="utf-8",
        )
        yield
    finally:
        mutex.release()


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, says that there is no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        if any(f"(os error {number})" in str(error) for number in DISK_FULL):  # safetensors has but the text
            return True
        error = error.__cause__ or error.__context__
    return False


def _open_to_group(written: Path) -> None:
    """Give files that a library wrote for their owner alone (safetensors does) the mode of any new file."""
    modes = {path: path.lstat().st_mode for path in (written, *written.rglob("*"))}
    private = [path for path, mode in modes.items() if stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o600]
    if not private:
        return
    probe = written.with_name(f"{written.name}.mode")  # the process's umask can't be read without setting it
    probe.touch()
    mode = probe.stat().st_mode & 0o666
    probe.unlink()
    for path in private:
        path.chmod(mode)


def _is_left_over(name: str) -> bool:
    temporary = _TEMPORARY.fullmatch(name)
    process = Process.from_name(temporary["process"]) if temporary else None
    return process is not None and process.is_gone()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _told_by(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return f"another process ({holder.parent})"


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # another run has put something there
        return
