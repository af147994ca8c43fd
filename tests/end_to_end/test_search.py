"""Settings searched for through real runs, on a fabricated cohort."""

import json
import logging
from typing import Any

import pandas as pd

CLINIC = "06_models/demo_clinic"
ROLES = {"source_cohort": "demo_clinic", "target_cohort": "demo_clinic"}
ROLES["source"] = {"cohort": {"fabricated": {"num_patients": 60}}}
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "training.sampler.patients_per_batch": {"choices": [6, 12]},
}
SEARCH = {"space": SPACE, "budget_hours": 1.0, "num_trials": 2}


def settings(**search: Any) -> dict[str, Any]:
    """Of a study of the clinic, whose hold-out is tested."""
    features = {"num_folds": 0, "holdout_share": 0.25}
    return {**ROLES, "features": features, "study": {"variants": []}, "search": {**SEARCH, **search}}


def test_a_study_searches_once_and_runs_its_cells_with_what_was_chosen(with_raw_files, caplog):
    project = with_raw_files.evaluate_little()
    own = {"label": "own", "changes": {"training.learning_rate": 0.002}}
    grid = settings() | {"study": {"seeds": [0], "variants": [{"label": "chosen"}, own]}}
    with caplog.at_level(logging.INFO, logger="slimp_pipeline"):
        project.study(**grid)
        project.study(**grid)
    assert caplog.text.count("The search: finished earlier") == 1 and caplog.text.count("finished earlier") == 3
    chosen = json.loads(project.latest(f"{CLINIC}/chosen_settings.json").read_text())
    trained = [
        json.loads(path.read_text())["slimp"]["facts"]["training"]
        for path in sorted((project.folder / f"data/{CLINIC}/encoders").glob("*/encoders/holdout/config.json"))
    ]
    assert [one["learning_rate"] for one in trained] == [chosen["chosen"]["training.learning_rate"], 0.002]
    batch = chosen["chosen"]["training.sampler.patients_per_batch"]
    assert [one["sampler"]["patients_per_batch"] for one in trained] == [batch, batch]
    trials = pd.read_parquet(project.latest(f"{CLINIC}/search_trials.parquet"))
    assert chosen["value"] == trials["value"].max() and list(trials["state"]) == ["complete", "complete"]
