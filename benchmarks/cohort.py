"""A cohort made up of numbers: 34 lesion fields as SLICE-3D has them, eight lesions a patient."""

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.tables.encoding import Encoding, fit_encoding
from slimp_pipeline.training.data import PatientLesions, patient_lesions


def cohort(num_images: int) -> tuple[PatientLesions, Encoding]:
    """Lesions whose image stands in the store's row of the same number."""
    rng = np.random.default_rng(0)
    fields = {f"f{i}": FieldSpec(kind="numeric", level="lesion", column=f"f{i}") for i in range(34)}
    fields["age_years"] = FieldSpec(kind="numeric", level="patient", column="age")
    lesions = pd.DataFrame(
        {f"f{i}": rng.normal(size=num_images) for i in range(34)}
        | {"image_id": [f"i{i}" for i in range(num_images)], "patient_id": [f"p{i // 8}" for i in range(num_images)]}
        | {"store_index": np.arange(num_images)}
    )
    lesions["malignant"] = pd.array([pd.NA] * num_images, dtype="boolean")
    patients = pd.DataFrame({"patient_id": lesions["patient_id"].unique()})
    patients["age_years"] = rng.uniform(20, 90, len(patients))
    encoding = fit_encoding(lesions, patients, fields)
    return patient_lesions(lesions, patients, encoding), encoding
