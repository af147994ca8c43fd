"""A fabricated smartphone cohort of a dermatology clinic in PAD-UFES-20's layout, with its oddities.

Source:
    Layout: Pacheco et al. 2020, PAD-UFES-20, doi:10.1016/j.dib.2020.106221. All patients and pictures are
    invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from slimp_pipeline.cohorts.fabricated.canvas import Shot
from slimp_pipeline.cohorts.fabricated.interview import INTERVIEW_COLUMNS, interview_columns
from slimp_pipeline.cohorts.fabricated.render import PATIENTS_PER_PROCESS, render
from slimp_pipeline.cohorts.fabricated.traits import (
    LesionTraits,
    PatientTraits,
    Population,
    Site,
    draw_lesion,
    draw_patient,
)
from slimp_pipeline.cohorts.fabricated.writing import replaced_when_done, write_csv
from slimp_pipeline.processes.pool import in_processes

CLINIC_COLUMNS = [
    "patient_id",
    "lesion_id",
    "smoke",
    "drink",
    "background_father",
    "background_mother",
    "age",
    "pesticide",
    "gender",
    "skin_cancer_history",
    "cancer_history",
    "has_piped_water",
    "has_sewage_system",
    "fitspatrick",
    "region",
    "diameter_1",
    "diameter_2",
    "diagnostic",
    "itch",
    "grew",
    "hurt",
    "changed",
    "bleed",
    "elevation",
    "img_id",
    "biopsed",
]
SYMPTOM_COLUMNS = ("itch", "grew", "hurt", "changed", "bleed", "elevation")

_POPULATION = Population(
    age_groups=((0.22, 33, 12), (0.78, 64, 11)),
    age_range_years=(6, 94),
    male_share=0.5,
    skin_type_shares=(0.14, 0.50, 0.25, 0.08, 0.02, 0.01),
)
_SITES = (
    Site("FACE", 25, 1.0, 0.3),
    Site("FOREARM", 17, 0.9, 0.9),
    Site("CHEST", 12, 0.5, 0.7),
    Site("BACK", 11, 0.35, 0.3),
    Site("ARM", 8, 0.6, 0.5),
    Site("NOSE", 7, 1.0, 0.05),
    Site("HAND", 6, 0.95, 0.3),
    Site("NECK", 4, 0.8, 0.3),
    Site("THIGH", 3.5, 0.15, 0.8),
    Site("EAR", 3, 1.0, 0.15),
    Site("ABDOMEN", 1.8, 0.1, 0.6),
    Site("LIP", 1.0, 0.9, 0.05),
    Site("SCALP", 1.0, 0.7, 1.0),
    Site("FOOT", 0.8, 0.3, 0.2),
)


@dataclass(frozen=True)
class _Diagnosis:
    """Code, prior, effect of age per decade and of sun damage on its odds, biopsy rate, symptom rates."""

    code: str
    prior: float
    age_effect: float
    sun_effect: float
    biopsy_rate: float
    symptom_rates: tuple[float, float, float, float, float, float]


#                                     prior  age   sun  biopsy  itch  grew  hurt  chng  bleed elev
_DIAGNOSES: dict[str, _Diagnosis] = {
    "actinic_keratosis": _Diagnosis("ACK", 0.27, 0.35, 2.2, 0.24, (0.78, 0.18, 0.07, 0.04, 0.12, 0.28)),
    "basal_cell_carcinoma": _Diagnosis("BCC", 0.35, 0.35, 1.2, 1.0, (0.76, 0.74, 0.35, 0.14, 0.54, 0.85)),
    "melanoma": _Diagnosis("MEL", 0.045, 0.20, 0.3, 1.0, (0.17, 0.90, 0.02, 0.79, 0.05, 0.28)),
    "naevus": _Diagnosis("NEV", 0.13, -0.75, -1.5, 0.25, (0.09, 0.65, 0.02, 0.10, 0.02, 0.65)),
    "squamous_cell_carcinoma": _Diagnosis("SCC", 0.085, 0.55, 2.0, 1.0, (0.78, 0.66, 0.22, 0.24, 0.31, 0.78)),
    "seborrhoeic_keratosis": _Diagnosis("SEK", 0.11, 0.50, 0.0, 0.06, (0.27, 0.50, 0.01, 0.03, 0.03, 0.78)),
}
_UNKNOWN_RATES = {
    "itch": 0.004,
    "grew": 0.24,
    "hurt": 0.006,
    "changed": 0.23,
    "bleed": 0.004,
    "elevation": 0.002,
}


@dataclass(frozen=True, eq=False)
class ClinicPatient:
    """One patient of the cohort and the rows of their photographs, not yet photographed."""

    patient_id: str
    traits: PatientTraits
    lesions: tuple[LesionTraits, ...]
    rows: tuple[dict[str, str], ...]
    seed: np.random.SeedSequence


def fabricate_clinic(folder: Path, *, num_patients: int, seed: int) -> None:
    """Writes `images/*.png` and then `metadata.csv` to the folder.

    The table has PAD-UFES-20's 26 columns, one row per photograph; pictures are RGBA PNG, alpha 255
    throughout. All files are the same, byte for byte, on each run with the same arguments.

    Args:
        folder: Where to write; made if missing.
        num_patients: At least 1; about a third of patients have 2 to 4 lesions.
        seed: Patients depend on it and on their number only, not on num_patients.

    Raises:
        ValueError: If num_patients is below 1.
    """
    patients = draw_clinic_patients(num_patients, seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for photographed in in_processes(_photograph, patients, fewest=PATIENTS_PER_PROCESS):
        for name, png in photographed:
            with replaced_when_done(folder / "images" / name) as path:
                path.write_bytes(png)
    write_csv(clinic_table(patients), folder / "metadata.csv")


def draw_clinic_patients(num_patients: int, seed: int) -> list[ClinicPatient]:
    """Draws patients, their lesions and rows without photographing them.

    Raises:
        ValueError: If num_patients is below 1.
    """
    if num_patients < 1:
        raise ValueError(f"num_patients must be at least 1, not {num_patients}.")
    children = np.random.SeedSequence(seed).spawn(num_patients)
    return [_draw_clinic_patient(number, child) for number, child in enumerate(children)]


def clinic_table(patients: list[ClinicPatient]) -> pd.DataFrame:
    """The 26-column table as text, one row per photograph, in the order of a shuffled register."""
    rows = [row for patient in patients for row in patient.rows]
    table = pd.DataFrame(rows, columns=list(CLINIC_COLUMNS)).fillna("")
    # The official table is in no order; sorting by the photograph's number, which is arbitrary, gives the
    # like.
    order = table["img_id"].str.extract(r"_(\d+)\.png$")[0].astype(int)
    table = table.assign(order=order).sort_values(["order", "img_id"])
    return table.drop(columns="order").reset_index(drop=True)


def _draw_clinic_patient(number: int, seed: np.random.SeedSequence) -> ClinicPatient:
    traits_seed, picture_seed = seed.spawn(2)
    rng = np.random.default_rng(traits_seed)
    patient = draw_patient(rng, _POPULATION)
    num_lesions = int(rng.choice([1, 2, 3, 4], p=[0.70, 0.20, 0.07, 0.03]))
    distinct = [draw_lesion(rng, patient, _draw_kind(rng, patient), _SITES, 8.5) for _ in range(num_lesions)]
    biopsed = [bool(rng.random() < _DIAGNOSES[lesion.kind].biopsy_rate) for lesion in distinct]
    interview = interview_columns(rng, patient, has_cancer=any(lesion.malignant for lesion in distinct))
    # Patients of whom nothing was biopsied were seldom interviewed: thirteen fields vanish together.
    interviewed = any(biopsed) or bool(rng.random() < 0.15)
    patient_id = f"PAT_{number + 1}"
    first_lesion_id = int(rng.integers(6, 1600))
    lesions: list[LesionTraits] = []
    rows: list[dict[str, str]] = []
    for offset, (lesion, taken) in enumerate(zip(distinct, biopsed, strict=True)):
        row = {
            "patient_id": patient_id,
            "lesion_id": str(first_lesion_id + offset),
            "age": str(patient.age_years),
        }
        row |= _lesion_columns(rng, lesion)
        row |= interview
        if not interviewed:
            row |= dict.fromkeys(INTERVIEW_COLUMNS, "")
        row["biopsed"] = str(taken)
        for picture_number in rng.choice(1000, size=2 if rng.random() < 0.04 else 1, replace=False):
            lesions.append(lesion)
            rows.append(row | {"img_id": f"{patient_id}_{row['lesion_id']}_{picture_number + 1}.png"})
    return ClinicPatient(patient_id, patient, tuple(lesions), tuple(rows), picture_seed)


def _draw_kind(rng: np.random.Generator, patient: PatientTraits) -> str:
    decades = (patient.age_years - 57) / 10
    odds = np.array(
        [
            d.prior * np.exp(d.age_effect * decades + d.sun_effect * (patient.sun_damage - 0.45))
            for d in _DIAGNOSES.values()
        ]
    )
    return list(_DIAGNOSES)[int(rng.choice(len(odds), p=odds / odds.sum()))]


def _lesion_columns(rng: np.random.Generator, lesion: LesionTraits) -> dict[str, str]:
    """Region, diagnosis, diameters as clinicians round them, symptoms that follow the lesion's signs."""
    diagnosis = _DIAGNOSES[lesion.kind]
    half = len(lesion.outline_mm) // 2
    shortest_mm = float((lesion.outline_mm[:half] + lesion.outline_mm[half:]).min())
    diameters = {"diameter_1": _rounded_mm(lesion.diameter_mm), "diameter_2": _rounded_mm(shortest_mm)}
    signs = {
        "bleed": lesion.features["ulcer"],
        "elevation": lesion.features["elevation"],
        "grew": lesion.look[0] / 3,
    }
    symptoms = {}
    for name, rate in zip(SYMPTOM_COLUMNS, diagnosis.symptom_rates, strict=True):
        tilt = 2.5 * (signs[name] - 0.35) if name in signs else 0.0
        odds = rate / (1 - rate) * np.exp(tilt)
        told = bool(rng.random() < odds / (1 + odds))
        symptoms[name] = "UNK" if rng.random() < _UNKNOWN_RATES[name] else str(told)
    return {"region": lesion.site.name, "diagnostic": diagnosis.code} | diameters | symptoms


def _photograph(patient: ClinicPatient) -> list[tuple[str, bytes]]:
    """Names of a patient's photographs, and their files."""
    photographed = []
    rng = np.random.default_rng(patient.seed)
    for lesion, row in zip(patient.lesions, patient.rows, strict=True):
        picture, _ = render(rng, patient.traits, lesion, _shot(rng, lesion))
        buffer = BytesIO()
        Image.fromarray(picture).convert("RGBA").save(buffer, "PNG", compress_level=4)
        photographed.append((row["img_id"], buffer.getvalue()))
    return photographed


def _rounded_mm(diameter_mm: float) -> str:
    """Whole millimetres, and steps of 5 from 15 mm on."""
    step = 5 if diameter_mm >= 15 else 1
    return str(float(max(1, step * round(diameter_mm / step))))


def _shot(rng: np.random.Generator, lesion: LesionTraits) -> Shot:
    """A hand-held phone: any distance, uneven light, poor white balance, now and then a pen mark."""
    warmth, green = rng.normal(0, 0.14), rng.normal(-0.02, 0.04)
    field_of_view_mm = float(np.clip(lesion.diameter_mm * rng.uniform(1.7, 4.5), 7, 60))
    return Shot(
        side_px=2 * int(rng.integers(64, 81)),
        field_of_view_mm=field_of_view_mm,
        centre_offset=(float(rng.normal(0, 0.05)), float(rng.normal(0, 0.05))),
        exposure=float(rng.normal(0.22, 0.22)),
        cast=(float(warmth), float(green), float(-warmth)),
        light_gradient=float(abs(rng.normal(0, 0.45))),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        vignette=float(rng.uniform(0.0, 0.5)),
        blur_px=float(rng.gamma(3.0, 0.22)),
        noise=float(rng.uniform(0.006, 0.020)),
        gloss=float(rng.uniform(0.4, 1.2)),
        ink_ring=bool(rng.random() < 0.10),
        body_edge=bool(rng.random() < 0.12),
    )
