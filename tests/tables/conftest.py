"""Small tables: lesions of a few patients with fields of every kind and level."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec

settings.register_profile("small", max_examples=40, deadline=None)
settings.load_profile("small")


@pytest.fixture(scope="session")
def fields() -> dict[str, FieldSpec]:
    """Fields of every kind, on both levels."""
    return {
        "diameter_mm": FieldSpec(kind="numeric", level="lesion", column="diameter", minimum=0.0, maximum=100.0),
        "site": FieldSpec(kind="categorical", level="lesion", column="site"),
        "symptom": FieldSpec(kind="checkbox", level="lesion", options={"itch": "itch", "bleed": "bleed"}),
        "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
        "sex": FieldSpec(kind="categorical", level="patient", column="sex"),
        "habit": FieldSpec(kind="checkbox", level="patient", options={"smoke": "smoke", "drink": "drink"}),
    }


@pytest.fixture(scope="session")
def spec(fields: dict[str, FieldSpec]) -> CohortSpec:
    """A cohort with these fields."""
    return CohortSpec(
        name="clinic",
        title="A clinic",
        licence="CC0-1.0",
        source="https://example.org",
        folder="clinic",
        tables=[{"file": "lesions.csv"}],
        image_id="image",
        fields=fields,
    )


@pytest.fixture(scope="session")
def make_lesions() -> Callable[..., pd.DataFrame]:
    """Build a lesions table from lists; columns that aren't given get plain values."""

    def make(patient_id: list[str], **columns: list[Any]) -> pd.DataFrame:
        count = len(patient_id)
        plain: dict[str, list[Any]] = {
            "image_id": [f"i{row:04d}" for row in range(count)],
            "lesion_id": [f"l{row:04d}" for row in range(count)],
            "patient_id": patient_id,
            "patient_known": [True] * count,
            "diagnosis": ["nevus"] * count,
            "malignant": [False] * count,
            "diameter_mm": [4.0] * count,
            "site": ["arm"] * count,
            "symptom.itch": [True] * count,
            "symptom.bleed": [False] * count,
            "age_years": [50.0] * count,
            "sex": ["female"] * count,
            "habit.smoke": [False] * count,
            "habit.drink": [True] * count,
            "store_index": list(range(count)),
        }
        frame = pd.DataFrame(plain | columns)
        boxes = [name for name in frame if "." in name]
        texts = ["image_id", "lesion_id", "patient_id", "diagnosis", "site", "sex"]
        return frame.astype(
            dict.fromkeys(["malignant", *boxes], "boolean")
            | dict.fromkeys(texts, "str")
            | {"diameter_mm": float, "age_years": float, "store_index": "Int64", "patient_known": bool}
        )

    return make


@pytest.fixture(scope="session")
def random_lesions(make_lesions: Callable[..., pd.DataFrame]) -> Callable[[int, int, int], pd.DataFrame]:
    """Draw a lesions table: number of patients, most lesions of a patient, seed."""

    def draw(num_patients: int, most_lesions: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, most_lesions + 1, num_patients)
        patients = [f"p{patient}" for patient, count in enumerate(counts) for _ in range(count)]
        patients = [patients[row] for row in rng.permutation(len(patients))]
        count = len(patients)
        diagnosis = rng.choice(["nevus", "melanoma", "keratosis", None], count, p=[0.6, 0.2, 0.1, 0.1])
        return make_lesions(
            patients,
            diagnosis=list(diagnosis),
            malignant=[label == "melanoma" for label in diagnosis],
            diameter_mm=[None if rng.random() < 0.2 else float(rng.integers(0, 12)) for _ in range(count)],
            site=list(rng.choice(["arm", "leg", "back", None], count)),
            age_years=[None if rng.random() < 0.2 else float(rng.integers(20, 90)) for _ in range(count)],
            sex=list(rng.choice(["female", "male", None], count)),
        )

    return draw
