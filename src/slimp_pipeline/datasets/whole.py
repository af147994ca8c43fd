"""Writing whole or not at all: under a temporary name beside the target, then renamed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedro.io import DatasetError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def appearing_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path; the file or folder written there takes the target's place in one step.

    Where writing fails, the temporary path and the folders made for it are removed, and a target that was
    there before stays as it was.

    Args:
        target: Local path of a file or folder.

    Raises:
        DatasetError: If the disk is full.
    """
    temporary = target.with_name(f".unfinished-{target.name}")
    missing = [folder for folder in target.parents if not folder.exists()]
    _remove(temporary)  # of a run that was killed
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if target.is_dir():  # unlike a file, a folder can't be renamed over
            shutil.rmtree(target)
        os.replace(temporary, target)
    except BaseException as error:
        _remove(temporary)
        for folder in missing:
            if not any(folder.iterdir()):
                folder.rmdir()
        if _disk_full(error):
            raise DatasetError(
                f"the disk is full: {target} wasn't written; the previous version is whole. Free space, run again."
            ) from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        if any(f"(os error {number})" in str(error) for number in _DISK_FULL):  # safetensors has but the text
            return True
        error = error.__cause__ or error.__context__
    return False
