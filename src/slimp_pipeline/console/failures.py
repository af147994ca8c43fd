"""What a machine or a library refuses, in words: full memory, full disks, missing rights, damaged files."""

import errno
import re
import shutil
import tempfile
from pathlib import Path
from types import FrameType, TracebackType

_MEMORY = (
    "the memory is full. Set ingest.num_processes, training.num_workers, training.sampler.patients_per_batch or "
    "evaluation.batch_size lower, or end other programs"
)
_KINDS = (  # (what the error says, what it means and what to do); the first that fits counts
    (
        r"CUDA out of memory|torch\.OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory",
        "the GPU's memory is full. Set training.sampler.patients_per_batch, evaluation.batch_size or "
        "model.image_encoder.image_size lower, end what else runs on it (nvidia-smi), or take device=cpu",
    ),
    (
        r"torch_\w+>?:|out of shared memory|Bus error|unable to open shared memory",
        "/dev/shm, through which input workers hand over pictures, is full or too small. Set training.num_workers=0 "
        "and evaluation.num_workers=0, or enlarge it (docker run --shm-size=8g)",
    ),
    (
        r"DataLoader worker \(pid",
        "an input worker ended: no memory was left, or no room in /dev/shm. Set training.num_workers=0 and "
        "evaluation.num_workers=0, or enlarge /dev/shm (docker run --shm-size=8g)",
    ),
    (
        r"TerminatedWorkerError|BrokenProcessPool|terminated abruptly",
        "the system ended a worker process, mostly for want of memory. Set ingest.num_processes=1",
    ),
    (r"MemoryError|can't allocate memory|Cannot allocate memory|Unable to allocate", _MEMORY),
    (
        r"Too many open files",
        "too many files are open. Raise the limit (ulimit -n 4096), or set training.num_workers and "
        "ingest.num_processes lower",
    ),
    (
        r"database is locked",
        "MLflow's database is in use by another run or by `mlflow ui`. Wait for it or end it, then run again",
    ),
    (
        r"readonly database|unable to open database file",
        "MLflow's database can't be written: check the rights of mlflow.db and of the folder it lies in "
        "(conf/<env>/mlflow.yml says where)",
    ),
    (
        r"file is not a database|disk image is malformed",
        "MLflow's database is damaged: move mlflow.db away, a new one is made; results under data/ stay",
    ),
    (
        r"no kernel image|not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|driver on your system is too old",
        "this PyTorch and this machine's GPU don't fit together: take training.device=cpu and evaluation.device=cpu, "
        "or install the PyTorch for it (pytorch.org)",
    ),
    (
        r"CUDA error|CUDNN_STATUS",
        "the GPU failed. Run again: a training goes on from its last checkpoint. If it fails again, take device=cpu",
    ),
)
_FULL = re.compile(r"No space left on device|Disk quota exceeded|database or disk is full")
_DAMAGED = ("BadZipFile", "SafetensorError", "EOFError", "LZMAError", "ArrowInvalid")
_NAMES_OF_FILES = ("path", "file", "filepath", "filepath_or_buffer", "filename")


def failure_in_words(error: BaseException, traceback: TracebackType | None = None, file: str = "") -> str | None:
    """Say what a machine or a library refused, where it is known what that means.

    Args:
        error: What was raised.
        traceback: Where; it names the file where the error doesn't.
        file: Which file was being read or written, where that is known.

    Returns:
        What happened and what to do; None for anything else.
    """
    text = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    for pattern, words in _KINDS:
        if re.search(pattern, text):
            return f"{words} ({_last_line(error)})"
    if _FULL.search(text):
        named = str(getattr(error, "filename", None) or file)
        return f"{_full_disk(named)}. Make room and run the same command again: what is finished is kept"
    if isinstance(error, UnicodeDecodeError):
        return f"{file or _file_of(traceback)} isn't UTF-8 (byte {error.start}: {error.reason}). Save it as UTF-8"
    if type(error).__name__ in _DAMAGED:
        return f"{file or _file_of(traceback)} is damaged or incomplete ({_last_line(error)})"
    return _refused(error, file) if isinstance(error, OSError) and error.errno else None


def without_traceback(message: str) -> str:
    """What a worker process raised, without the traceback that came with it."""
    if "Original Traceback" in message or "Traceback (most recent call last)" in message:
        return re.sub(r"^[\w.]+: ", "", re.split(r"\n(?=[A-Za-z_][\w.]*: )", message)[-1]).strip()
    return message


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in without_traceback(str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _full_disk(written: str) -> str:
    """Name what couldn't be written, and the places that have no room."""
    places = {Path("data"), Path.cwd(), Path(tempfile.gettempdir()), Path("/dev/shm")}
    full = sorted(str(place) for place in places if place.exists() and shutil.disk_usage(place).free < 2**20)
    where = f"{written} can't be written: the disk is full" if written else "a disk is full"
    return where + (f" (no room in {', '.join(full)})" if full else "")


def _refused(error: OSError, file: str) -> str | None:
    name, why = error.filename or file, error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name or 'a file'} can't be read or written ({why}). Check its rights, and those of its folder"
    if error.errno == errno.ENOENT and name:
        return f"there is no file or folder {name}"
    return f"{name}: {why}" if name else None


def _file_of(traceback: TracebackType | None) -> str:
    """The innermost file that the code had in hand."""
    frames: list[FrameType] = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in reversed(frames):
        for name in _NAMES_OF_FILES:
            if isinstance(value := frame.f_locals.get(name), str | Path):
                return str(value)
    return "a file"
