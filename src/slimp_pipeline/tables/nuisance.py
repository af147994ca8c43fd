"""Nuisance fields: whether they may be suppressed."""

from collections.abc import Mapping

import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.encoding import LevelEncoding

_TWIN = 0.9  # of the wrong guesses of the diagnosis that a nuisance field may take away
_BINS, _FEWEST_ROWS = 10, 20


def check_nuisance(cohort: str, nuisance: LevelEncoding, lesions: pd.DataFrame) -> None:
    """Refuse to suppress what isn't there, or what tells the diagnosis: the embedding would lose that too.

    Args:
        cohort: Name of the cohort.
        nuisance: Its nuisance fields.
        lesions: Training rows: patient_id, diagnosis, the fields.

    Raises:
        ValueError: If there is no nuisance field, or one is nearly the diagnosis.
    """
    if not nuisance.fields:
        raise ValueError(
            f"training.loss.nuisance_weight is set, and the YAML of cohort {cohort} calls no field a nuisance. Put "
            "`nuisance: true` to a field, or set the weight to 0."
        )
    for name in nuisance.fields:
        for column in nuisance.columns(name):
            told = told_of_diagnosis(lesions, column)
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

    Numbers are put into tenths. Values of one patient alone are left out; 0 where too few rows are left.

    Source:
        Goodman and Kruskal 1954, J. Am. Stat. Assoc. 49:732.
    """
    values = lesions[column]
    if pd.api.types.is_float_dtype(values):
        values = pd.qcut(values.rank(method="first"), _BINS, labels=False)
    known = lesions[values.notna() & lesions["diagnosis"].notna()]
    values = values[known.index].astype(str)
    shared = known["patient_id"].groupby(values).transform("nunique") > 1
    known, values = known[shared], values[shared]
    if len(known) < _FEWEST_ROWS:
        return 0.0
    counts = pd.crosstab(values, known["diagnosis"])
    best, blind = counts.max(axis=1).sum(), counts.sum().max()
    return float((best - blind) / (len(known) - blind)) if blind < len(known) else 0.0
