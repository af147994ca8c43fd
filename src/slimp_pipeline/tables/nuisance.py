"""Nuisance fields: whether they may be suppressed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.encoding import LevelEncoding

_TWIN = 0.9  # of the wrong guesses of the diagnosis that a nuisance field may take away
_FEWEST_ROWS = 20
_MOST_RANGES, _FEWEST_OF_RANGE = 10, 5  # of numbers; with fewer rows a range may tell the diagnosis by chance


def require_nuisance(cohort: str, nuisance: LevelEncoding) -> None:
    """Refuse to suppress what isn't there.

    Raises:
        ValueError: If there is no nuisance field.
    """
    if not nuisance.fields:
        raise ValueError(
            f"training.loss.nuisance_weight is set, and the YAML of cohort {cohort} calls no field a nuisance. Put "
            "`nuisance: true` to a field, or set the weight to 0."
        )


def check_nuisance(cohort: str, nuisance: LevelEncoding, lesions: pd.DataFrame) -> None:
    """Refuse to suppress what tells the diagnosis: the embedding would lose that too.

    Args:
        cohort: Name of the cohort.
        nuisance: Its nuisance fields.
        lesions: Training rows: patient_id, diagnosis, the fields; cohort where there are several, each of which is
            looked at alone: they name diagnoses in words of their own.

    Raises:
        ValueError: If a nuisance field is nearly the diagnosis.
    """
    parts = [own for _, own in lesions.groupby("cohort")] if "cohort" in lesions else [lesions]
    for name in nuisance.fields:
        for column in nuisance.columns(name):
            told = max((told_of_diagnosis(own, column) for own in parts), default=0.0)
            if told >= _TWIN:
                raise ValueError(
                    f"cohort {cohort}: the nuisance field '{column}' tells the diagnosis: who knows it is wrong "
                    f"{told:.0%} less often. To suppress it would suppress the diagnosis. Take `nuisance` away from it."
                )


def nuisance_rows(lesions: pd.DataFrame, rows: pd.DataFrame, nuisance: Mapping[str, FieldSpec]) -> pd.DataFrame:
    """Columns of nuisance fields for some rows, in their order."""
    columns = [column for name, field in nuisance.items() for column in field.table_columns(name)]
    return lesions.set_index("image_id").loc[rows["image_id"], columns].reset_index(drop=True)


def told_of_diagnosis(lesions: pd.DataFrame, column: str) -> float:
    """By how much a field lessens wrong guesses of the diagnosis, 0 to 1: Goodman and Kruskal's lambda.

    Numbers of many values are put into ranges, those that tell most. Values, or ranges, of one patient alone are left
    out; 0 where too few rows are left.

    Source:
        Goodman and Kruskal 1954, J. Am. Stat. Assoc. 49:732.
    """
    known = lesions[lesions[column].notna() & lesions["diagnosis"].notna()]
    if len(known) < _FEWEST_ROWS:
        return 0.0
    is_number = pd.api.types.is_float_dtype(known[column])
    values = _ranges(known[column], known["diagnosis"]) if is_number else known[column].astype(str)
    shared = known["patient_id"].groupby(values).transform("nunique") > 1
    known, values = known[shared], values[shared]
    if len(known) < _FEWEST_ROWS:
        return 0.0
    counts = pd.crosstab(values, known["diagnosis"])
    best, blind = counts.max(axis=1).sum(), counts.sum().max()
    return float((best - blind) / (len(known) - blind)) if blind < len(known) else 0.0


def _ranges(numbers: pd.Series, diagnosis: pd.Series) -> pd.Series:
    """Range of each number: a decision tree's, which finds a rare diagnosis wherever it is; few values stay apart."""
    place = numbers.rank(method="dense")  # the tree computes in float32: of numbers only their order is safe
    if place.max() <= _MOST_RANGES:
        return place
    tree = DecisionTreeClassifier(max_leaf_nodes=_MOST_RANGES, min_samples_leaf=_FEWEST_OF_RANGE, random_state=0)
    places = place.to_numpy(dtype=np.float32)[:, None]
    return pd.Series(tree.fit(places, diagnosis.astype(str)).apply(places), index=numbers.index)
