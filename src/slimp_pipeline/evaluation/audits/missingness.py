"""How well does "is it missing" alone predict the label?

Where doctors fill in a field only for suspicious lesions, a model can read the label from the gap.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.measures.bootstrap import Weightings, estimate, mean_where_known, resampled
from slimp_pipeline.evaluation.measures.metrics import auroc
from slimp_pipeline.evaluation.measures.records import METRIC_BOUNDS
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.missing import missing_fields

MISSINGNESS_COLUMNS = [
    "field", "level", "missing_share", "missing_share_malignant", "missing_share_benign", "auroc", "ci_low", "ci_high",
    "num_rows", "num_patients", "warning",
]  # fmt: skip
TOGETHER = "all fields together"
WARNING_AUROC = 0.6  # an interval that lies above it is a warning
_MAX_FOLDS = 5
Fold = tuple[np.ndarray, np.ndarray]  # training and test rows, as positions


def missingness_audit(
    lesions: pd.DataFrame, fields: Mapping[str, FieldSpec], settings: EvaluationParams
) -> pd.DataFrame:
    """Measure how well missing fields predict the label, by logistic regression on patients that it never saw.

    The label is malignant against benign where both are known of two patients or more, else the diagnosis (macro
    one-vs-rest AUROC). Classes of a single patient are left out: they can't be both trained and tested on.

    Args:
        lesions: Labelled and unlabelled rows: patient_id, diagnosis, malignant, and the columns of the fields.
        fields: Fields by name.
        settings: Seed, number of resamples and confidence of the interval.

    Returns:
        `MISSINGNESS_COLUMNS`: one row per field, in the order given, and `TOGETHER`, where a row counts as missing if
        any field is; without rows where no label or no field is usable. A field that is never missing has AUROC 0.5
        and no interval; one that is always missing has no row. AUROC is the mean over at most 5 patient-disjoint
        folds (as few as the rarest class has patients), its interval is by bootstrap over patients within folds.

    Raises:
        ValueError: If a column of a field isn't there.
    """
    lesions = lesions.reset_index(drop=True)
    label = _usable_label(lesions)
    lesions = lesions.loc[label.index]
    missing = missing_fields(lesions, fields)
    missing = missing.loc[:, ~missing.all()]
    if label.empty or missing.empty:
        return pd.DataFrame(columns=MISSINGNESS_COLUMNS)
    label_N, patient_N = pd.factorize(label, sort=True)[0], lesions["patient_id"].to_numpy()
    folds = _folds(label_N, patient_N, settings.seed)
    malignant = label.astype(bool) if label.name == "malignant" else None
    levels = {name: fields[name].level for name in missing} | {TOGETHER: "all"}
    rows = []
    for name, level in levels.items():
        indicators = missing if name == TOGETHER else missing[[name]]
        is_missing = indicators.any(axis=1)
        by_group = [np.nan] * 2 if malignant is None else [is_missing[malignant].mean(), is_missing[~malignant].mean()]
        value, low, high = _out_of_fold_auroc(indicators.to_numpy(), label_N, patient_N, folds, settings)
        sizes = len(label), lesions["patient_id"].nunique()
        rows.append([name, level, is_missing.mean(), *by_group, value, low, high, *sizes, low > WARNING_AUROC])
    return pd.DataFrame(rows, columns=MISSINGNESS_COLUMNS)


def _usable_label(lesions: pd.DataFrame) -> pd.Series:
    """Labels of the labelled rows, by row; empty where no two classes have two patients each."""
    for column in ("malignant", "diagnosis"):
        label = lesions[column].dropna()
        num_patients = lesions.loc[label.index].groupby(label)["patient_id"].nunique()
        label = label[label.isin(num_patients.index[num_patients > 1])]
        if len(label.unique()) > 1:
            return label
    return lesions["diagnosis"].iloc[:0]


def _folds(label_N: np.ndarray, patient_N: np.ndarray, seed: int) -> list[Fold]:
    """Patient-disjoint folds; those with one class to train on, or nothing to test, are left out."""
    num_folds = min(_MAX_FOLDS, int(pd.Series(patient_N).groupby(label_N).nunique().min()))
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(label_N, label_N, patient_N)
    return [(train, test) for train, test in folds if len(test) and len(np.unique(label_N[train])) > 1]


def _out_of_fold_auroc(
    missing_NF: np.ndarray, label_N: np.ndarray, patient_N: np.ndarray, folds: list[Fold], settings: EvaluationParams
) -> tuple[float, float, float]:
    """AUROC, mean over folds, with its interval; 0.5 without interval where nothing is ever missing."""
    if not missing_NF.any():
        return 0.5, np.nan, np.nan
    values = []
    for position, (train, test) in enumerate(folds):
        model = LogisticRegression().fit(missing_NF[train], label_N[train])
        patterns_GF, pattern_N = np.unique(missing_NF[test], axis=0, return_inverse=True)
        weightings = resampled(patient_N[test], settings.num_resamples, (settings.seed, position))
        score_NK = model.predict_proba(patterns_GF)[pattern_N]
        values.append(mean_where_known(list(_one_vs_rest(score_NK, label_N[test], model.classes_, weightings))))
    if not values:
        return np.nan, np.nan, np.nan
    return estimate(mean_where_known(values), settings.confidence, METRIC_BOUNDS)


def _one_vs_rest(
    score_NK: np.ndarray, label_N: np.ndarray, classes_K: np.ndarray, weightings: Weightings
) -> Iterator[np.ndarray]:
    """AUROC of each class that the model knows, each (R,)."""
    for k, class_number in enumerate(classes_K):
        yield auroc(score_NK[:, k], label_N == class_number, weightings)
