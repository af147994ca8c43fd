"""What of an evaluation becomes metrics of its MLflow run."""

import pandas as pd
import pytest

from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS
from slimp_pipeline.tracking import run


@pytest.fixture
def logged(monkeypatch):
    metrics = {}
    monkeypatch.setattr(run.mlflow, "log_metrics", lambda values, run_id: metrics.update(values))
    return metrics


def results(*places):
    """A line per place of protocol, shots and draw; values 0.1, 0.2, ... in this order."""
    lines = [
        ["small", "slimp", "image+lesion", *place, "balanced_accuracy", (number + 1) / 10, 0.0, 1.0, 30, 10]
        for number, place in enumerate(places)
    ]
    return pd.DataFrame(lines, columns=RESULT_COLUMNS)


def test_every_size_of_a_low_shot_probe_is_a_metric_of_its_own(logged):
    sizes = [("low_shot", shots, "all") for shots in ("5", "10", "5%", "100%")]
    run.log_results("a run", results(("linear_probe", "all", "all"), *sizes, ("low_shot", "5", "0")))
    assert logged == {
        "slimp/image_lesion/linear_probe/balanced_accuracy": 0.1,
        "slimp/image_lesion/low_shot/5/balanced_accuracy": 0.2,
        "slimp/image_lesion/low_shot/10/balanced_accuracy": 0.3,
        "slimp/image_lesion/low_shot/5_percent/balanced_accuracy": 0.4,
        "slimp/image_lesion/low_shot/100_percent/balanced_accuracy": 0.5,
    }


def test_without_folds_the_hold_out_stands_for_a_run(logged):
    run.log_results("a run", results(("linear_probe", "all", "holdout"), ("low_shot", "5", "holdout")))
    assert list(logged) == [
        "slimp/image_lesion/linear_probe/balanced_accuracy",
        "slimp/image_lesion/low_shot/5/balanced_accuracy",
    ]
