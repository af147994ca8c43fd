"""A search for settings, from a cohort's tables to what was chosen."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import EvaluationParams, ModelParams, SearchParams, TrainingParams
from slimp_pipeline.processes.whole import held
from slimp_pipeline.search.journal import Journal
from slimp_pipeline.search.judge import InnerProbes
from slimp_pipeline.search.outcome import chosen_settings, curve_table, trial_table
from slimp_pipeline.search.rows import TRAINING
from slimp_pipeline.search.trials import INNER, Search, run_trials
from slimp_pipeline.tables.encoding import fit_encodings
from slimp_pipeline.training.checkpoint import running_folder
from slimp_pipeline.training.pretrain import Cohort


def inner_cohort(
    source: Cohort, search_rows: pd.DataFrame, fields: Mapping[str, FieldSpec], nuisance: Mapping[str, FieldSpec]
) -> Cohort:
    """The source with the encoding that trials read, in place of its own, which know inner validation patients.

    Args:
        source: The source.
        search_rows: As `rows.select_search_rows` makes them.
        fields: The chosen fields.
        nuisance: Fields that an embedding should not carry.
    """
    rows = search_rows[search_rows["part"] == TRAINING]
    return replace(source, encodings=fit_encodings(source.lesions, source.patients, {INNER: rows}, fields, nuisance))


def search_settings(
    cohort: Cohort,
    store: ImageStore,
    search_rows: pd.DataFrame,
    model: ModelParams,
    training: TrainingParams,
    settings: SearchParams,
    evaluation: EvaluationParams,
    running_root: str | Path,
    report: Callable[[str, int, dict[str, float]], None],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Choose settings on inner validation patients; go on where a stopped search was.

    Args:
        cohort: The source, as `inner_cohort` makes it.
        store: Its image store.
        search_rows: As `rows.select_search_rows` makes them.
        model, training: Settings as they are.
        settings: What is searched, and for how long.
        evaluation: By which label and unit, with which probe.
        running_root: Folder or address of running checkpoints, among which the journal is.
        report: Called with (trial, step, values) as trials go.

    Returns:
        Trials; their curves; and what was chosen, as `outcome` makes them.

    Raises:
        ValueError: If nothing is to be searched, no cohort can be measured, or no trial ran to its end.
    """
    if not settings.space:
        raise ValueError(
            "search.space is empty: nothing is searched. Name a setting and its values, as "
            "training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}"
        )
    probes = InnerProbes.of(cohort, search_rows, store, settings.metric, evaluation)
    search = Search(cohort, store, search_rows, probes, model, training, settings, report)
    with running_folder(running_root, f"search_{search.key()}") as folder:
        assert folder is not None
        with held(folder / "search.lock", "searching for settings"):
            journal = Journal(folder / "journal.jsonl", settings)
            run_trials(search, journal, folder)
            return trial_table(journal), curve_table(journal), chosen_settings(journal, search)
