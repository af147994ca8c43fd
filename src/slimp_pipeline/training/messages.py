"""What the processes of a training tell whoever started them: reports, log lines, and how they ended."""

import logging
import logging.handlers
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any

from slimp_pipeline.models.ranks import Ranks

Message = tuple[str, Any]  # its kind, and what it says
TAKE_LESS = (
    "Set training.sampler.patients_per_batch, training.images_per_pass or training.num_workers lower, or take fewer "
    "training.devices. The same command goes on from the last checkpoint."
)


def work_and_tell(
    sent: bytes, ranks: Ranks, send: Callable[[bytes], None], prepare: Callable[[], None]
) -> BaseException | None:
    """Do one process's part of the work, and tell what comes of it: ("report", ...), ("ended", ...) or ("failed", ...).

    Args:
        sent: The work, pickled: called with the process's number and, in the first, with what takes its reports.
        ranks: Which process this is.
        send: Takes messages to whoever started it.
        prepare: Called before.

    Returns:
        What went wrong, which is told, too.
    """
    lock = threading.Lock()

    def tell(kind: str, content: Any) -> None:
        with lock:
            send(pickle.dumps((kind, content)))

    def report(step: int, values: dict[str, float]) -> None:
        if ranks.leads:
            tell("report", (step, values))

    _log_by(tell, ranks)
    try:
        prepare()
        result = pickle.loads(sent)(ranks, report)
    except BaseException as error:
        tell("failed", _sendable(error))
        return error
    tell("ended", pickle.dumps(result) if ranks.leads else None)
    return None


def read(message: bytes) -> Message | None:
    """What was told; a log line is logged here, as this process is set up to."""
    kind, content = pickle.loads(message)
    if kind != "log":
        return kind, content
    logger = logging.getLogger(content.name)
    if logger.isEnabledFor(content.levelno):
        logger.handle(content)
    return None


def _log_by(tell: Callable[[str, Any], None], ranks: Ranks) -> None:
    """Let whoever started this log what the first process logs; the others would say the same."""

    class Teller(logging.handlers.QueueHandler):
        def enqueue(self, record: logging.LogRecord) -> None:
            tell("log", record)

    logger = logging.getLogger("slimp_pipeline")
    logger.setLevel(logging.INFO)
    logger.handlers, logger.propagate = [Teller(None) if ranks.leads else logging.NullHandler()], False  # type: ignore[arg-type]


def _sendable(error: BaseException) -> BaseException:
    """The error with where it arose as a note; in words where it can't be sent."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    return error
