"""What PAD-UFES-20's patients were asked, if they were asked."""

from __future__ import annotations

import numpy as np

from slimp_pipeline.cohorts.fabricated.traits import PatientTraits

INTERVIEW_COLUMNS = [
    "smoke",
    "drink",
    "background_father",
    "background_mother",
    "pesticide",
    "gender",
    "skin_cancer_history",
    "cancer_history",
    "has_piped_water",
    "has_sewage_system",
    "fitspatrick",
    "diameter_1",
    "diameter_2",
]
_BACKGROUNDS = (
    "POMERANIA",
    "GERMANY",
    "ITALY",
    "UNK",
    "BRAZIL",
    "NETHERLANDS",
    "PORTUGAL",
    "POLAND",
    "BRASIL",
)
_NORTHERN_WEIGHTS = np.array([37, 33, 14, 6, 4, 2, 1, 0.8, 0.3])
_SOUTHERN_WEIGHTS = np.array([10, 12, 28, 10, 28, 1, 5, 0.5, 2.0])


def interview_columns(rng: np.random.Generator, patient: PatientTraits, has_cancer: bool) -> dict[str, str]:
    """Eleven answers of one patient; ancestry goes with skin type, pesticide and water with outdoor work."""
    weights = _NORTHERN_WEIGHTS if patient.skin_type <= 2 else _SOUTHERN_WEIGHTS
    parents = rng.choice(_BACKGROUNDS, size=2, p=weights / weights.sum())
    if rng.random() < 0.5:
        parents[1] = parents[0]
    father, mother = ("" if rng.random() < 0.01 else str(parent) for parent in parents)
    male = patient.sex == "male"
    piped_water = bool(rng.random() < (0.40 if patient.outdoor_work else 0.78))
    history = 0.15 + 0.35 * patient.sun_damage + 0.15 * has_cancer
    return {
        "smoke": str(bool(rng.random() < (0.20 if male else 0.08))),
        "drink": str(bool(rng.random() < (0.35 if male else 0.15))),
        "background_father": father,
        "background_mother": mother,
        "pesticide": str(bool(rng.random() < (0.75 if patient.outdoor_work else 0.14))),
        "gender": patient.sex.upper(),
        "skin_cancer_history": str(bool(rng.random() < history)),
        "cancer_history": str(bool(patient.family_history or rng.random() < 0.40)),
        "has_piped_water": str(piped_water),
        "has_sewage_system": str(bool(rng.random() < (0.85 if piped_water else 0.15))),
        "fitspatrick": str(float(patient.skin_type)),
    }
