"""What a search found, as tables and as settings."""

import json
from collections import Counter
from typing import Any, Literal

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from slimp_pipeline.parameters import SearchParams
from slimp_pipeline.search.journal import Journal, curve_of, reason_of, seconds_of
from slimp_pipeline.search.rows import TRAINING, VALIDATION
from slimp_pipeline.search.trials import Search
from slimp_pipeline.tables.splits import rows_digest

TRIAL_COLUMNS = [
    "trial", "state", "value", "num_epochs", "images_seen", "hours", "ended_at_hours", "reason", "settings",
]  # fmt: skip
CURVE_COLUMNS = ["trial", "epoch", "images_seen", "value"]
State = Literal["complete", "pruned", "failed", "unfinished"]
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def trial_table(journal: Journal) -> pd.DataFrame:
    """A row per trial, with `TRIAL_COLUMNS`; `settings` is JSON, dotted name -> value."""
    table = pd.DataFrame([_row(trial) for trial in journal.trials], columns=TRIAL_COLUMNS)
    return table.assign(ended_at_hours=table["hours"].cumsum())


def curve_table(journal: Journal) -> pd.DataFrame:
    """A row per trial and epoch, with `CURVE_COLUMNS`."""
    rows = [(trial.number, *point) for trial in journal.trials for point in curve_of(trial)]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def chosen_settings(journal: Journal, search: Search) -> dict[str, Any]:
    """The best trial's settings, what was searched, on which rows, and what that took; plain JSON.

    Raises:
        ValueError: If no trial ran to its end; says why.
    """
    if (best := journal.best) is None:
        raise ValueError(_why_nothing(journal, search.settings))
    return {
        "chosen": best.params,
        "trial": best.number,
        "value": best.value,
        "cohort": search.cohort.name,
        "measured_on": list(search.probes.by_cohort),
        "rows": _described(search.rows),
        "trials": dict(Counter(_STATES.get(trial.state, "unfinished") for trial in journal.trials)),
        "hours": journal.seconds / 3600,
        "search": search.settings.model_dump(mode="json"),
    }


def _described(search_rows: pd.DataFrame) -> dict[str, Any]:
    """Which rows trained and which measured: counts of patients, and digests."""
    described: dict[str, Any] = {}
    for part in (TRAINING, VALIDATION):
        rows = search_rows[search_rows["part"] == part]
        described[f"num_{part}_patients"] = int(rows["patient_id"].nunique())
        described[f"{part}_digest"] = rows_digest(rows["image_id"])
    return described


def _row(trial: FrozenTrial) -> dict[str, Any]:
    curve, complete = curve_of(trial), trial.state == TrialState.COMPLETE
    return {
        "trial": trial.number,
        "state": _STATES.get(trial.state, "unfinished"),
        "value": trial.value if complete else float("nan"),
        "num_epochs": curve[-1][0] if curve else 0,
        "images_seen": curve[-1][1] if curve else 0,
        "hours": seconds_of(trial) / 3600,
        "reason": reason_of(trial),
        "settings": json.dumps(trial.params),
    }


def _why_nothing(journal: Journal, settings: SearchParams) -> str:
    trials = journal.trials
    if failed := [reason_of(trial) for trial in trials if trial.state == TrialState.FAIL]:
        count = f"{len(failed)} of {len(trials)} trials"
        return f"{count} couldn't be trained, and none ran to its end. The last: {failed[-1]}"
    return (
        f"no trial ran to its end within search.budget_hours={settings.budget_hours:g}. Give more: the same command "
        "goes on from where the search stopped. Or take a shorter training (training.num_epochs)."
    )
