"""What a machine or a library refuses is said in words, with the place and what to do."""

import errno
import os
import shutil
import sqlite3
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from slimp_pipeline.console.failures import failure_in_words, without_traceback

SHM = "unable to allocate shared memory(shm) for file </torch_21647_882851293_0>: No space left on device (28)"


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "the GPU's memory",
            "patients_per_batch",
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "the GPU's memory", "device=cpu"),
        (RuntimeError(SHM), "/dev/shm", "training.num_workers=0"),
        (
            RuntimeError("unable to write to file </torch_7_1_0>: No space left on device (28)"),
            "/dev/shm",
            "--shm-size",
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is ..."), "/dev/shm", "--shm-size"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "no memory", "num_workers=0"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "no room in /dev/shm", "num_workers=0"),
        (TerminatedWorkerError("A worker process managed by the executor was ..."), "worker", "ingest.num_processes=1"),
        (MemoryError(), "the memory is full", "num_workers"),
        (np._core._exceptions._ArrayMemoryError((9, 9), np.dtype(float)), "the memory is full", "num_workers"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "the memory is full", "batch_size"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open", "ulimit -n"),
        (sqlite3.OperationalError("database is locked"), "in use by another run", "Wait for it"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "can't be written", "rights of mlflow.db"),
        (sqlite3.OperationalError("unable to open database file"), "can't be written", "rights of mlflow.db"),
        (sqlite3.DatabaseError("file is not a database"), "is damaged", "move mlflow.db away"),
        (RuntimeError("CUDA error: no kernel image is available for execution"), "don't fit together", "device=cpu"),
        (AssertionError("Torch not compiled with CUDA enabled"), "don't fit together", "device=cpu"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "the GPU failed", "Run again"),
        (OSError(errno.ENOSPC, "No space left on device", "data/x.csv"), "data/x.csv can't be written", "Make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "a disk is full", "Make room"),
        (
            PermissionError(errno.EACCES, "Permission denied", "data"),
            "data can't be read or written",
            "Check its rights",
        ),
        (OSError(errno.EROFS, "Read-only file system", "data"), "data can't be read or written", "Check its rights"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.csv"), "there is no file or folder a.csv", ""),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a.csv"), "a.csv: Is a directory", ""),
        (safetensors.SafetensorError("Error while deserializing header"), "damaged or incomplete", ""),
        (zipfile.BadZipFile("File is not a zip file"), "damaged or incomplete", ""),
    ],
)
def test_a_refusal_is_said_with_its_remedy(error: Exception, what: str, remedy: str) -> None:
    words = failure_in_words(error)
    assert words and what in words and remedy in words and "\n" not in words


@pytest.mark.parametrize(
    "error",
    [
        ValueError("lesions.csv: column size_cm not found"),
        FileNotFoundError("there is no pre-trained encoder yet"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("Caught ValueError in DataLoader worker process 0.\nOriginal Traceback ..."),
        KeyError("sex"),
        OSError("image file is truncated"),
    ],
)
def test_anything_else_is_left_to_others(error: Exception) -> None:
    assert failure_in_words(error) is None


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    room = {"data": 9}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=room.get(str(place), 2**40)))
    words = failure_in_words(OSError(errno.ENOSPC, "No space left on device"), file="data/08_reporting/x.csv")
    assert words and words.startswith("data/08_reporting/x.csv can't be written: the disk is full (no room in data).")


def test_a_file_in_another_encoding_is_named_even_where_the_error_names_none(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("name\nKöln\n".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError) as raised:
        pd.read_csv(path)
    words = failure_in_words(raised.value, raised.value.__traceback__)
    assert words and str(path) in words and "Save it as UTF-8" in words


def test_what_a_worker_raised_is_shown_without_its_traceback() -> None:
    message = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in y\n    z()\n'
        "ValueError: image 7 can't be read: it\nis damaged\n"
    )
    assert without_traceback(message) == "image 7 can't be read: it\nis damaged"
    assert without_traceback("a plain: message\nwith: lines") == "a plain: message\nwith: lines"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_the_words_fit_what_the_system_really_raises() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError) as error:
        os.write(full, b"x")
    os.close(full)
    assert "a disk is full" in str(failure_in_words(error.value))
