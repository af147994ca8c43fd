"""The patients table, and how differing rows of one patient are settled."""

import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec

RULE = (
    "numeric: median of the known values; categorical and checkbox: most frequent known value, on a tie the "
    "first in order (not ticked before ticked)"
)


def build_patients(lesions: pd.DataFrame, fields: dict[str, FieldSpec]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gather the patient-level fields, one row per patient.

    A patient's rows may differ (several visits). They are settled by `RULE`.

    Args:
        lesions: Lesion rows with patient_id and the fields.
        fields: The chosen fields; only those of level `patient` are read.

    Returns:
        patients: patient_id, num_images, patient-level field columns; sorted by patient_id.
        conflicts: patient_id, field, values (as text), chosen; one row per patient and field that differ.
    """
    grouped = lesions.groupby("patient_id", sort=True)
    patients = grouped.size().rename("num_images").to_frame()
    conflicts = []
    for name, field in fields.items():
        if field.level != "patient":
            continue
        for column in field.table_columns(name):
            settled = grouped[column].median() if field.kind == "numeric" else _most_frequent(lesions, column)
            patients[column] = settled.reindex(patients.index).astype(lesions[column].dtype)
            conflicts.append(_conflicts(lesions, column, patients[column]))
    empty = pd.DataFrame(columns=["patient_id", "field", "values", "chosen"], dtype=str)
    return patients.reset_index(), pd.concat([empty, *conflicts], ignore_index=True)


def _most_frequent(lesions: pd.DataFrame, column: str) -> pd.Series:
    counts = lesions.groupby(["patient_id", column], sort=True).size().rename("count").reset_index()
    counts = counts.sort_values(["patient_id", "count", column], ascending=[True, False, True])
    return counts.drop_duplicates("patient_id").set_index("patient_id")[column]


def _conflicts(lesions: pd.DataFrame, column: str, settled: pd.Series) -> pd.DataFrame:
    known = lesions[["patient_id", column]].dropna().drop_duplicates()
    differing = known[known["patient_id"].duplicated(keep=False)].sort_values(["patient_id", column])
    values = differing.groupby("patient_id")[column].agg(lambda group: ", ".join(map(str, group)))
    return pd.DataFrame(
        {
            "patient_id": values.index.astype(str),
            "field": column,
            "values": values.to_numpy(dtype=object),
            "chosen": settled.reindex(values.index).astype(str).to_numpy(),
        }
    ).astype(str)
