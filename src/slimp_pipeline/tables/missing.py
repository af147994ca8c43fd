"""Which fields are missing where, and which are always there."""

from collections.abc import Mapping

import pandas as pd

from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.levels import has_three


def missing_fields(lesions: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> pd.DataFrame:
    """Tell which fields are missing in which rows, bool; a checkbox group is where all its options are.

    Raises:
        ValueError: If a column of a field isn't there.
    """
    columns = {name: field.table_columns(name) for name, field in fields.items()}
    if absent := sorted({column for names in columns.values() for column in names} - set(lesions)):
        raise ValueError(f"the lesions table has no column {', '.join(absent)}. Leave these fields out.")
    missing = {name: lesions[names].isna().all(axis=1) for name, names in columns.items()}
    return pd.DataFrame(missing, index=lesions.index, dtype=bool)


def always_present(lesions: pd.DataFrame, fields: Mapping[str, FieldSpec], max_missing_share: float) -> list[str]:
    """Names of the fields that are missing in at most that share of the rows; no label is read.

    Raises:
        ValueError: If there is no row, the share isn't within 0 and 1, or a column of a field isn't there.
    """
    if not 0 <= max_missing_share <= 1:
        raise ValueError(f"max_missing_share is {max_missing_share}: give a share between 0 and 1")
    if lesions.empty:
        raise ValueError("no lesions: which fields are missing can't be said. Give the rows of a cohort.")
    share = missing_fields(lesions, fields).mean()
    return [name for name in fields if share[name] <= max_missing_share]


def choose_fields(cohort: CohortSpec, lesions: pd.DataFrame, settings: FeatureParams) -> dict[str, FieldSpec]:
    """Fields that become features: those named, all, or those that are (nearly) always present.

    Which fields are always present is told from all of the cohort's rows, with an image or not, without labels: a
    field that is left blank for harmless lesions gives the label away by being blank. As a control levels may be
    swapped: of a patient's rows that differ in what was a lesion's field, `settle.RULE` makes one value.

    Raises:
        ValueError: If a name is a leaking column (says why), or no field of this cohort.
    """
    if settings.fields != "always_present":
        chosen = cohort.select_fields(settings.fields)
    else:
        fields, rare = cohort.select_fields("all"), set()
        for member in cohort.parts:  # a field that another cohort lacks isn't left blank there
            rows = lesions[lesions["cohort"] == member.name] if cohort.members else lesions
            own = {name: field for name, field in fields.items() if name in member.fields}
            rare |= set(own) - set(always_present(rows, own, settings.max_missing_share))
        chosen = {name: field for name, field in fields.items() if name not in rare}
    return _swapped(chosen) if settings.swapped_levels else chosen


def _swapped(fields: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """The innermost level for the outermost, and the other way round."""
    innermost = "image" if has_three(fields.values()) else "lesion"
    other = {innermost: "patient", "patient": innermost}
    return {
        name: field.model_copy(update={"level": other.get(field.level, field.level)}) for name, field in fields.items()
    }


def without_unchosen(rows: pd.DataFrame, cohort: CohortSpec, chosen: Mapping[str, FieldSpec]) -> pd.DataFrame:
    """Leave out the columns of a cohort's fields that aren't chosen: an encoder reads whatever it finds by name."""
    unchosen = {name: field for name, field in cohort.fields.items() if name not in chosen}
    columns = {column for name, field in unchosen.items() for column in field.table_columns(name)}
    return rows.drop(columns=[column for column in rows if column in columns])
