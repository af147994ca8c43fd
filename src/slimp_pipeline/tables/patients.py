"""The patients table."""

from collections.abc import Mapping

import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.settle import settle


def build_patients(lesions: pd.DataFrame, fields: Mapping[str, FieldSpec]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gather the patient-level fields, one row per patient.

    A patient's rows may differ (several visits). They are settled by `settle.RULE`.

    Args:
        lesions: Lesion rows with patient_id and the fields.
        fields: The chosen fields; only those of level `patient` are read.

    Returns:
        patients: patient_id, num_images, patient-level field columns; sorted by patient_id.
        conflicts: patient_id, field, values (as text), chosen; one row per patient and field that differ.
    """
    of_patients = {name: field for name, field in fields.items() if field.level == "patient"}
    kinds = {column: field.kind for name, field in of_patients.items() for column in field.table_columns(name)}
    settled, conflicts = settle(lesions, lesions["patient_id"], kinds)
    settled.insert(0, "num_images", lesions.groupby("patient_id", sort=True).size())
    return settled.reset_index(), conflicts.rename(columns={"owner": "patient_id"})
