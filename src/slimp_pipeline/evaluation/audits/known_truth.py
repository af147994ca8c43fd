"""On fabricated cohorts the causes are known: are they found again in the embeddings?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slimp_pipeline.evaluation.features.embed import RANDOM_INIT, STARTS, block, encoders_of, initial, methods
from slimp_pipeline.evaluation.features.patient_context import ugly_duckling
from slimp_pipeline.evaluation.measures.bootstrap import Weightings, estimate, resampled
from slimp_pipeline.evaluation.measures.metrics import auroc
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.splits import partition, partition_names
from slimp_pipeline.training.device import pick_device

TRUTH_COLUMNS = ["question", "method", "measure", "value", "ci_low", "ci_high", "chance", "num_patients"]
_STRENGTHS = np.logspace(0, 5, 11)  # of the ridge, chosen by leave-one-out on training patients
_MIN_LESIONS = 4  # a patient's own style can't be told from fewer


def find_truth(target: TargetCohort, truth: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """Look for a fabricated cohort's causes in the embeddings of test patients.

    Patient traits: ridge regression from the phenotype, fitted on training patients, R2 on test patients (0: no better
    than the training mean). Ugly ducklings: how far a lesion lies from its patient's other lesions, as rank
    correlation with the true deviation from the patient's style, and as AUROC of melanomas among naevi; patients of
    at least 4 lesions.

    Args:
        target: Rows, splits, embeddings, encoders.
        truth: As `cohorts.fabricated.tbp_truth` has it.
        settings: Seed, resamples, confidence, device.

    Returns:
        `TRUTH_COLUMNS`, for every method.
    """
    merged = target.rows.merge(target.splits[["image_id", "split", "fold"]], on="image_id", how="left")
    known = target.rows[["image_id"]].merge(truth, on="image_id", how="left", validate="one_to_one")
    table: list[list[object]] = []
    for method in methods(target.embeddings):
        for question, measure, value_R, chance, num_patients in (
            *_traits(method, merged, known, target, settings),
            *_ducklings(method, merged, known, target, settings),
        ):
            table.append([question, method, measure, *estimate(value_R, settings.confidence), chance, num_patients])
    return pd.DataFrame(table, columns=TRUTH_COLUMNS)


Found = tuple[str, str, np.ndarray, float, int]  # question, measure, value and resamples, chance, patients


def _traits(
    method: str,
    rows: pd.DataFrame,
    truth: pd.DataFrame,
    target: TargetCohort,
    settings: EvaluationParams,
) -> Iterator[Found]:
    traits = [name for name in truth if name not in ("image_id", "patient_id", "kind", "style_deviation")]
    patients = truth.drop_duplicates("patient_id").reset_index(drop=True)
    predicted_PT = np.full((len(patients), len(traits)), np.nan)
    baseline_PT = predicted_PT.copy()
    true_PT = patients[traits].to_numpy(dtype=np.float64)
    for name in partition_names(rows):
        phenotype_PX = _phenotypes(method, name, rows, target, settings)
        train_N, test_N = partition(rows, name)
        train_P, test_P = (
            patients["patient_id"].isin(rows.loc[side, "patient_id"]).to_numpy() for side in (train_N, test_N)
        )
        model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS)).fit(phenotype_PX[train_P], true_PT[train_P])
        predicted_PT[test_P] = model.predict(phenotype_PX[test_P]).reshape(-1, len(traits))
        baseline_PT[test_P] = true_PT[train_P].mean(axis=0)
    weightings = resampled(patients["patient_id"].to_numpy(), settings.num_resamples, settings.seed)
    for place, trait in enumerate(traits):
        error_P, spread_P = (true_PT - predicted_PT)[:, place] ** 2, (true_PT - baseline_PT)[:, place] ** 2
        yield (
            f"patient's {trait.replace('_', ' ')}",
            "R2",
            1 - weightings.mean(error_P) / weightings.mean(spread_P),
            0.0,
            len(patients),
        )


def _phenotypes(
    method: str,
    name: str,
    rows: pd.DataFrame,
    target: TargetCohort,
    settings: EvaluationParams,
) -> np.ndarray:
    """Phenotypes of all patients as they first appear, by the encoder of one partition."""
    image_ND = block(target.embeddings, method, name, "image")
    assert image_ND is not None  # every method embeds images
    own = encoders_of(target.encoders, name)
    checkpoint = own.get(method, next(iter(own.values())))  # what training started from is rebuilt from the first
    if method in STARTS:
        checkpoint = initial(checkpoint, random_image_encoder=method == RANDOM_INIT)
    return PretrainedSLIMP(checkpoint, pick_device(settings.device)).encode_phenotypes(image_ND, rows)


def _ducklings(
    method: str,
    rows: pd.DataFrame,
    truth: pd.DataFrame,
    target: TargetCohort,
    settings: EvaluationParams,
) -> Iterator[Found]:
    patients, lesions = rows["patient_id"].to_numpy(), rows["lesion_id"].to_numpy()
    many_N = rows.groupby("patient_id")["lesion_id"].transform("nunique").to_numpy() >= _MIN_LESIONS
    distance_N = np.full(len(rows), np.nan)
    for name in partition_names(rows):
        image_ND = block(target.embeddings, method, name, "image")
        assert image_ND is not None  # every method embeds images
        test_N = partition(rows, name)[1]
        distance_N[test_N] = ugly_duckling(image_ND[test_N], patients[test_N], lesions[test_N])[:, -2]  # to the mean
    # Of another scale in every patient: what counts is who stands out among a patient's own.
    relative_N = distance_N / pd.Series(distance_N).groupby(patients).transform("mean").clip(lower=1e-12).to_numpy()
    relative, deviation = relative_N[many_N], truth["style_deviation"].to_numpy()[many_N]
    kind, own = truth["kind"].to_numpy()[many_N], patients[many_N]
    weightings = resampled(own, settings.num_resamples, settings.seed)
    num_patients = len(np.unique(own))
    ranks = np.stack([rankdata(relative), rankdata(deviation)])
    yield (
        "lesion's deviation from its patient's style",
        "rank correlation",
        _correlation(ranks, weightings),
        0.0,
        num_patients,
    )
    moles = np.isin(kind, ["melanoma", "naevus"])
    found_R = auroc(relative[moles], kind[moles] == "melanoma", weightings[moles])
    yield "melanomas among naevi, by distance alone", "AUROC", found_R, 0.5, num_patients


def _correlation(values_2N: np.ndarray, weightings: Weightings) -> np.ndarray:
    """Weighted correlation of two rows of values, (R,)."""
    left_N, right_N = (value_N - value_N.mean() for value_N in values_2N)
    means = [weightings.mean(value_N) for value_N in (left_N, right_N, left_N * right_N, left_N**2, right_N**2)]
    left_R, right_R, product_R, left_square_R, right_square_R = means
    return (product_R - left_R * right_R) / np.sqrt((left_square_R - left_R**2) * (right_square_R - right_R**2))
