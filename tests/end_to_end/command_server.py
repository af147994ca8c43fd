"""Kedro's command line in forks of a process that has imported it: to import takes longer than most commands do.

Orders come as lines of JSON: {"folder", "arguments", "environment", "stdout", "stderr"} is answered by the number of
the process that was started, in a session of its own; {"ended": number} by its exit code, null while it runs.
"""

import gc
import json
import os
import signal
import sys

import IPython  # noqa: F401  (MLflow looks whether it runs in a notebook)
from kedro.framework.cli import main

import slimp_pipeline.pipeline_registry  # noqa: F401
from slimp_pipeline.settings import HOOKS

LOADED = tuple(HOOKS)  # with what they import


def become(order: dict) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for stream, path in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, stream)
        os.close(file)
    sys.argv = ["kedro", *order["arguments"]]


def ended(process: int) -> int | None:
    number, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if number else None


def serve() -> None:
    """Answer orders; returns in a process that was started for one."""
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            answer = ended(order["ended"])
        elif not (answer := os.fork()):
            os.close(answers.fileno())
            return become(order)
        print(json.dumps(answer), file=answers, flush=True)
    sys.exit()


if __name__ == "__main__":
    gc.freeze()  # what is imported stays: forks share it
    serve()
    main()
