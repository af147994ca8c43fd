"""Finding what was put into a fabricated cohort."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits import known_truth
from slimp_pipeline.evaluation.audits.known_truth import TRUTH_COLUMNS, find_truth
from slimp_pipeline.evaluation.measures.bootstrap import Weightings
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.parameters import EvaluationParams

SETTINGS = EvaluationParams(num_resamples=50)


@pytest.fixture
def cohort():
    """60 patients of 6 lesions: a trait, and one lesion of every third patient that lies far from the others."""
    rng = np.random.default_rng(0)
    patient_N = np.repeat(np.arange(60), 6)
    trait_N = rng.normal(size=60)[patient_N]
    duckling_N = (np.tile(np.arange(6), 60) == 0) & (patient_N % 3 == 0)
    deviation_N = np.where(duckling_N, 6.0, 1.0) + rng.uniform(0, 1, 360)
    direction_ND = rng.normal(size=(360, 4))
    direction_ND /= np.linalg.norm(direction_ND, axis=1, keepdims=True)
    truth = pd.DataFrame(
        {
            "image_id": [f"i{n:03d}" for n in range(360)],
            "patient_id": [f"p{n:02d}" for n in patient_N],
            "kind": np.where(duckling_N, "melanoma", "naevus"),
            "style_deviation": deviation_N,
            "sun_damage": trait_N,
        }
    )
    rows = truth[["image_id", "patient_id"]].assign(lesion_id=truth["image_id"])
    splits = rows.assign(split="train", fold=patient_N % 3)
    told = np.column_stack([trait_N, 0.1 * deviation_N[:, None] * direction_ND])
    return rows, splits, truth, {"slimp.all.image": told, "random_init.all.image": rng.normal(size=(360, 5))}


@pytest.fixture
def found(cohort, monkeypatch):
    """The table, with phenotypes that are plain means."""

    def phenotypes(method, name, rows, target, settings):
        image = pd.DataFrame(known_truth.block(target.embeddings, method, name, "image"))
        return image.groupby(rows["patient_id"].to_numpy(), sort=False).mean().to_numpy()

    monkeypatch.setattr(known_truth, "_phenotypes", phenotypes)
    rows, splits, truth, embeddings = cohort
    return find_truth(TargetCohort("", rows, splits, embeddings), truth, SETTINGS)


def test_a_trait_that_the_phenotype_holds_is_found_and_noise_finds_none(found):
    assert list(found) == TRUTH_COLUMNS
    r2 = found[found["measure"] == "R2"].set_index("method")["value"]
    assert r2["slimp"] > 0.95 and r2["random_init"] < 0.1


def test_ugly_ducklings_are_found_where_distance_tells_them(found):
    values = found.set_index(["method", "measure"])["value"]
    assert values["slimp", "AUROC"] > 0.95
    assert abs(values["random_init", "AUROC"] - 0.5) < 0.2
    assert values["slimp", "rank correlation"] > values["random_init", "rank correlation"] + 0.1


def test_every_figure_lies_in_its_interval_beside_chance(found):
    assert ((found["ci_low"] <= found["value"]) & (found["value"] <= found["ci_high"])).all()
    assert found.set_index("measure")["chance"].to_dict() == {"R2": 0.0, "rank correlation": 0.0, "AUROC": 0.5}


def test_the_weighted_correlation_is_that_of_repeated_rows():
    values = np.array([[1.0, 2, 3, 5], [2.0, 1, 4, 4]])
    weights = np.array([[1.0, 1, 1, 1], [2.0, 0, 1, 3]])
    repeated = np.repeat(values, [2, 0, 1, 3], axis=1)
    expected = [np.corrcoef(values)[0, 1], np.corrcoef(repeated)[0, 1]]
    np.testing.assert_allclose(known_truth._correlation(values, Weightings.of_rows(weights)), expected)
