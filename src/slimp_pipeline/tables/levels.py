"""Levels of metadata: pictures inside lesions, lesions inside patients; which rows share a value."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.settle import settle

logger = logging.getLogger(__name__)
LEVELS = ("image", "lesion", "patient")  # from the inside out; a cohort of two has the latter two
CONFLICT_COLUMNS = ["lesion_id", "patient_id", "field", "values", "chosen"]


def has_three(fields: Iterable[FieldSpec]) -> bool:
    """Whether pictures have fields of their own, and several make a lesion. Else each is a lesion of its own."""
    return any(field.level == "image" for field in fields)


def lesion_numbers(rows: pd.DataFrame) -> np.ndarray:
    """Number of each row's lesion, int64 (N,), in the order in which lesions first appear.

    Args:
        rows: patient_id, lesion_id.

    Raises:
        ValueError: If a row doesn't tell its lesion.
    """
    if silent := [name for name in ("patient_id", "lesion_id") if name not in rows or rows[name].isna().any()]:
        raise ValueError(
            f"{' and '.join(silent)} must be there, in every row: with fields of the level image it must be told which "
            "pictures show one lesion"
        )
    return (
        rows.groupby(["patient_id", "lesion_id"], sort=False, observed=True)
        .ngroup()
        .to_numpy(dtype=np.int64, copy=True)
    )


def owner_numbers(rows: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> dict[str, np.ndarray]:
    """Whose value each row holds of each field: a number, int64 (N,), in the order in which the owners first appear.

    A field's owner is the patient, the lesion or the picture; with two levels each picture is a lesion of its own.

    Args:
        rows: patient_id; with three levels lesion_id.
        fields: By name.
    """
    each = np.arange(len(rows))
    of_level = {
        "image": each,
        "lesion": lesion_numbers(rows) if has_three(fields.values()) else each,
        "patient": pd.factorize(rows["patient_id"])[0].astype(np.int64),
    }
    return {name: of_level[field.level] for name, field in fields.items()}


def settle_lesions(lesions: pd.DataFrame, kinds: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give all rows of a lesion the same lesion-level values, settled by `settle.RULE`.

    Args:
        lesions: patient_id, lesion_id, and the columns; a row a picture.
        kinds: Column of a lesion-level field -> kind of the field.

    Returns:
        The rows with settled columns; and `CONFLICT_COLUMNS`, a row per lesion and field that differs.
    """
    number_N = lesion_numbers(lesions)
    several_N = np.bincount(number_N)[number_N] > 1  # the others agree with themselves
    owner = pd.Series(number_N[several_N], index=lesions.index[several_N], name="lesion")
    settled, conflicts = settle(lesions[several_N], owner, kinds)
    first_K = np.unique(number_N, return_index=True)[1]
    ids = lesions[["lesion_id", "patient_id"]].iloc[first_K[conflicts["owner"].to_numpy(dtype=np.int64)]]
    conflicts = pd.concat([ids.reset_index(drop=True), conflicts.drop(columns="owner")], axis=1)
    columns = {name: lesions[name].array.copy() for name in kinds}
    for name, values in columns.items():
        values[several_N] = settled.loc[owner, name].array
    return lesions.assign(**columns), conflicts[CONFLICT_COLUMNS]


def settle_where_three(lesions: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`settle_lesions` where the fields have three levels; else the rows as they are, and no conflicts."""
    if not has_three(fields.values()):
        return lesions, pd.DataFrame(columns=CONFLICT_COLUMNS, dtype=str)
    of_lesions = {name: field for name, field in fields.items() if field.level == "lesion"}
    return settle_lesions(
        lesions, {column: field.kind for name, field in of_lesions.items() for column in field.table_columns(name)}
    )


def say_what_stands_alone(cohort: str, rows: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> None:
    """Say where of three levels one adds no grouping: every lesion has one picture, or every patient one lesion."""
    if not has_three(fields.values()) or rows.empty:
        return
    if len(set(lesion_numbers(rows))) == len(rows):
        logger.info("%s: every lesion has one picture: there is nothing to pool into lesions", cohort)
    if rows.drop_duplicates(["patient_id", "lesion_id"])["patient_id"].is_unique:
        logger.info("%s: every patient has one lesion: there is nothing to pool into phenotypes", cohort)
