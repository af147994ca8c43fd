"""A node's parameters in MLflow."""

from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from slimp_pipeline.hooks.tracking import TrackingHooks


@pytest.fixture
def hooks() -> TrackingHooks:
    one = TrackingHooks()
    one.long_params_strategy = "truncate"
    one._params, one._logged_params = {}, {}
    return one


def test_parameters_are_written_once_and_together(hooks, tmp_path: Path, monkeypatch):
    written, write = [], mlflow.log_params
    monkeypatch.setattr(mlflow, "log_params", lambda params: written.append(params) or write(params))

    def note(**parameters: object) -> None:
        hooks._log_params(lambda: [hooks._log_param(name, value) for name, value in parameters.items()] and None)

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    many = {f"p{number}": number for number in range(250)}  # more than a request holds
    with mlflow.start_run(experiment_id=mlflow.create_experiment("parameters")) as run:
        note(seed=0, **many)
        note(seed=0)
        note(seed=0, cohort="mine", text="x" * 7000)
        with pytest.raises(MlflowException, match=r"not allowed.*seed"):
            note(seed=1)
    assert written == [{"seed": 0, **many}, {"cohort": "mine"}, {"seed": 1}]
    logged = mlflow.get_run(run.info.run_id).data.params
    expected = {"seed": "0", "cohort": "mine", "text": "x" * 6000} | {name: str(value) for name, value in many.items()}
    assert logged == expected
