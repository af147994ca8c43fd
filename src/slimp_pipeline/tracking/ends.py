"""How runs ended, as MLflow has it: stopped ones and killed ones too."""

import contextlib
import logging
import os
from collections.abc import Iterator

import mlflow
from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException

from slimp_pipeline.processes.process import Process
from slimp_pipeline.processes.stopping import Stopped, unbroken, unstoppable, was_asked_to_stop
from slimp_pipeline.tracking.anonymous import anonymous

logger = logging.getLogger(__name__)
_TAG = "process"


def bearing_their_process() -> contextlib.AbstractContextManager[None]:
    """Runs that start here are tagged with their process, by which it is told later that it was killed."""
    return anonymous(**{_TAG: Process.own().as_text()})


@contextlib.contextmanager
def ending_truly() -> Iterator[None]:
    """Close the run, as KILLED if it is stopped and FAILED if it fails; MLflow's exit would call it FINISHED.

    A run that the caller opened is the caller's to close. kedro-mlflow opens its own anew for every node, and closes
    it once: what comes next in the same process would go on in it.
    """
    if mlflow.active_run():
        yield
        return
    status = RunStatus.FINISHED
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | Stopped) or was_asked_to_stop()
        status = RunStatus.KILLED if stopped else RunStatus.FAILED
        raise
    finally:
        _end(status)


def writing_unbroken() -> contextlib.AbstractContextManager[None]:
    """Let signals wait while MLflow writes: stopped amidst a transaction, it would keep its database from itself.

    With a server there is nothing to keep, and one that is away may be asked for minutes.
    """
    return unbroken() if mlflow.get_tracking_uri().startswith("sqlite") else contextlib.nullcontext()


def end_killed_runs() -> None:
    """Note runs as KILLED whose process is provably gone, and say so."""
    running = mlflow.search_runs(
        filter_string="attributes.status = 'RUNNING'", output_format="list", search_all_experiments=True
    )
    for run in running:
        process = Process.from_text(run.data.tags.get(_TAG, ""))
        if process and process.is_gone():
            mlflow.MlflowClient().set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
            logger.info("MLflow run %s (%s) was killed: noted as such", run.info.run_id, run.info.run_name)


def _end(status: int) -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # a server that is away would keep the user for minutes
    with unstoppable(), contextlib.suppress(MlflowException):  # what ended the run is said instead
        while mlflow.active_run():
            mlflow.end_run(RunStatus.to_string(status))
