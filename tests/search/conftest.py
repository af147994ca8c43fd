"""A search on a tiny cohort, in which the colour of a picture tells the site and half of the diagnoses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.training.conftest import FIELDS, draw_lesions, make_settings, model_settings, write_store

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.parameters import (
    EvaluationParams,
    FeatureParams,
    ModelParams,
    ProbeParams,
    RangeParams,
    SearchParams,
    TrainingParams,
)
from slimp_pipeline.search import run
from slimp_pipeline.search.rows import select_search_rows
from slimp_pipeline.tables.patients import build_patients
from slimp_pipeline.tables.splits import split_patients
from slimp_pipeline.training.pretrain import Cohort

__all__ = ["make_settings", "model_settings"]
FEATURES = FeatureParams(num_folds=0, holdout_share=0.25)
EVALUATION = EvaluationParams(device="cpu", num_workers=0, probe=ProbeParams(strengths=[10.0]))
SPACE = {
    "training.learning_rate": RangeParams(low=1e-4, high=1e-1, log=True),
    "training.sampler.patients_per_batch": RangeParams(choices=[4, 8]),
}


def described(name: str, **facts: Any) -> CohortSpec:
    """A cohort with the tiny one's fields."""
    plain = {
        "title": name, "licence": "CC-0", "source": "s", "folder": name, "tables": [{"file": "t.csv"}],
        "image_id": "id", "patient_id": ["p"], "fields": FIELDS,
    }  # fmt: skip
    return CohortSpec.model_validate({"name": name, **plain, **facts})


@dataclass(frozen=True)
class TinySearch:
    """All that a search is given."""

    cohort: Cohort
    store: ImageStore
    splits: pd.DataFrame
    model: ModelParams
    training: TrainingParams

    def rows(self, settings: SearchParams) -> pd.DataFrame:
        tested_N = np.ones(len(self.splits), dtype=bool)
        source = described("tiny")
        return select_search_rows(source, self.cohort.lesions, self.splits, FEATURES, settings, tested_N=tested_N)

    def run(self, folder: Path, report=lambda *_: None, evaluation=EVALUATION, **changes):
        """Trials, curves and what was chosen, by a search of four trials."""
        plain = {"space": SPACE, "budget_hours": 1.0, "num_trials": 4, "num_startup_trials": 2}
        settings = SearchParams(**{**plain, "validation_share": 0.25, **changes})
        rows = self.rows(settings)
        cohort = run.inner_cohort(self.cohort, rows, FIELDS, {})
        return run.search_settings(
            cohort, self.store, rows, self.model, self.training, settings, evaluation, folder, report
        )


@pytest.fixture(scope="session")
def tiny_search(
    tmp_path_factory: pytest.TempPathFactory, model_settings: ModelParams, make_settings: Callable[..., TrainingParams]
) -> TinySearch:
    lesions = draw_lesions(40)
    told = lesions["site"].map({"arm": "NEV", "leg": "NEV", "back": "MEL", "face": "BCC"})
    is_told = np.random.default_rng(0).random(len(lesions)) < 0.5  # else all encoders would be perfect
    lesions["diagnosis"] = told.where(is_told, told.sample(frac=1, random_state=0).to_numpy())
    lesions["malignant"] = lesions["diagnosis"] != "NEV"
    patients, _ = build_patients(lesions, FIELDS)
    store = write_store(lesions, tmp_path_factory.mktemp("store") / "store.arrow")
    training = make_settings(validation_share=0.1)
    cohort = Cohort("tiny", "f1", lesions, patients, {})
    return TinySearch(cohort, store, split_patients(lesions, FEATURES), model_settings, training)
