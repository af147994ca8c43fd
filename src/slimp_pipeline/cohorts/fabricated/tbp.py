"""A fabricated total body photography cohort in SLICE-3D's official layout.

Source:
    Layout: Kurtansky et al. 2024, SLICE-3D, doi:10.1038/s41597-024-03743-w. All patients and pictures are
    invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from slimp_pipeline.cohorts.fabricated.body_map import TBP_SITES, place_columns
from slimp_pipeline.cohorts.fabricated.canvas import Shot
from slimp_pipeline.cohorts.fabricated.examination import examination_columns
from slimp_pipeline.cohorts.fabricated.measure import measure_colour, measure_shape
from slimp_pipeline.cohorts.fabricated.render import PATIENTS_PER_PROCESS, render
from slimp_pipeline.cohorts.fabricated.traits import (
    LOOK_AXES,
    LesionTraits,
    PatientTraits,
    Population,
    draw_lesion,
    draw_patient,
    style_deviation,
)
from slimp_pipeline.cohorts.fabricated.writing import clean_number, replaced_when_done, write_csv
from slimp_pipeline.processes.pool import in_processes

TBP_COLUMNS = [
    "isic_id",
    "target",
    "patient_id",
    "age_approx",
    "sex",
    "anatom_site_general",
    "clin_size_long_diam_mm",
    "image_type",
    "tbp_tile_type",
    "tbp_lv_A",
    "tbp_lv_Aext",
    "tbp_lv_B",
    "tbp_lv_Bext",
    "tbp_lv_C",
    "tbp_lv_Cext",
    "tbp_lv_H",
    "tbp_lv_Hext",
    "tbp_lv_L",
    "tbp_lv_Lext",
    "tbp_lv_areaMM2",
    "tbp_lv_area_perim_ratio",
    "tbp_lv_color_std_mean",
    "tbp_lv_deltaA",
    "tbp_lv_deltaB",
    "tbp_lv_deltaL",
    "tbp_lv_deltaLB",
    "tbp_lv_deltaLBnorm",
    "tbp_lv_eccentricity",
    "tbp_lv_location",
    "tbp_lv_location_simple",
    "tbp_lv_minorAxisMM",
    "tbp_lv_nevi_confidence",
    "tbp_lv_norm_border",
    "tbp_lv_norm_color",
    "tbp_lv_perimeterMM",
    "tbp_lv_radial_color_std_max",
    "tbp_lv_stdL",
    "tbp_lv_stdLExt",
    "tbp_lv_symm_2axis",
    "tbp_lv_symm_2axis_angle",
    "tbp_lv_x",
    "tbp_lv_y",
    "tbp_lv_z",
    "attribution",
    "copyright_license",
    "lesion_id",
    "iddx_full",
    "iddx_1",
    "iddx_2",
    "iddx_3",
    "iddx_4",
    "iddx_5",
    "mel_mitotic_index",
    "mel_thick_mm",
    "tbp_lv_dnn_lesion_confidence",
]

MAX_LESIONS_PER_PATIENT = 32
FIELD_OF_VIEW_MM = 12.0
JPEG_QUALITY = 90

_POPULATION = Population(
    age_groups=((0.25, 42, 9), (0.75, 62, 10)),
    age_range_years=(18, 87),
    male_share=0.62,
    skin_type_shares=(0.12, 0.45, 0.28, 0.10, 0.03, 0.02),
)
_CLINICS = (
    # attribution, copyright_license, share of patients, share of polarised tiles
    ("Fabricated Clinic North", "CC-BY", 0.40, 0.06),
    ("Fabricated Clinic South", "CC-BY-NC", 0.35, 1.0),
    ("Fabricated Clinic West", "CC-0", 0.25, 0.9),
)
_MALIGNANT_SHARES = {"basal_cell_carcinoma": 0.40, "melanoma": 0.42, "squamous_cell_carcinoma": 0.18}
_MEAN_MALIGNANT_PER_PATIENT = 0.45


@dataclass(frozen=True, eq=False)
class TbpPatient:
    """One patient of the cohort: who, where seen, and with which lesions; not yet photographed."""

    number: int
    traits: PatientTraits
    attribution: str
    copyright_license: str
    polarised_share: float
    lesions: tuple[LesionTraits, ...]
    seed: np.random.SeedSequence


def fabricate_tbp(folder: Path, *, num_patients: int, seed: int) -> None:
    """Writes `train-image.hdf5` and then `train-metadata.csv` to the folder.

    The table has the 55 official columns, leaking ones included, sorted by isic_id; pictures are JPEG bytes
    keyed by isic_id. Both files are the same, byte for byte, on each run with the same arguments.

    Args:
        folder: Where to write; made if missing.
        num_patients: At least 1; a patient has 3 to about 30 lesions.
        seed: Patients depend on it and on their number only, not on num_patients.

    Raises:
        ValueError: If num_patients is below 1.
    """
    rows: list[dict[str, str]] = []
    jpegs: dict[str, bytes] = {}
    patients = draw_tbp_patients(num_patients, seed)
    photograph = partial(_photograph, seed=seed)
    for photographed in in_processes(photograph, patients, fewest=PATIENTS_PER_PROCESS):
        for row, jpeg in photographed:
            rows.append(row)
            jpegs[row["isic_id"]] = jpeg
    folder.mkdir(parents=True, exist_ok=True)
    with (
        replaced_when_done(folder / "train-image.hdf5") as path,
        h5py.File(path, "w", libver=("v108", "v108")) as file,
    ):
        for isic_id in sorted(jpegs):
            file.create_dataset(isic_id, data=np.bytes_(jpegs[isic_id]), track_times=False)
    table = pd.DataFrame(rows, columns=list(TBP_COLUMNS)).sort_values("isic_id")
    write_csv(table, folder / "train-metadata.csv")


def draw_tbp_patients(num_patients: int, seed: int) -> list[TbpPatient]:
    """Draws patients and their lesions without photographing them.

    Raises:
        ValueError: If num_patients is below 1.
    """
    if num_patients < 1:
        raise ValueError(f"num_patients must be at least 1, not {num_patients}.")
    children = np.random.SeedSequence(seed).spawn(num_patients)
    return [_draw_tbp_patient(number, child) for number, child in enumerate(children)]


def tbp_truth(num_patients: int, seed: int) -> pd.DataFrame:
    """What the pictures and tables of a fabricated cohort follow from, drawn again without photographing.

    Returns:
        One row per lesion: image_id, patient_id, kind, style_deviation (see `traits.style_deviation`), and its
        patient's traits: sun_damage, skin_type, naevus_proneness, and `style_<axis>` per axis of look.
    """
    rows = []
    for patient in draw_tbp_patients(num_patients, seed):
        traits = patient.traits
        of_patient = {
            "patient_id": _patient_id(patient),
            "sun_damage": traits.sun_damage,
            "skin_type": float(traits.skin_type),
            "naevus_proneness": traits.naevus_proneness,
            **{f"style_{axis}": float(value) for axis, value in zip(LOOK_AXES, traits.naevus_style, strict=True)},
        }
        for number, lesion in enumerate(patient.lesions):
            deviation = style_deviation(traits, lesion)
            image_id = _isic_id(seed, patient.number, number)
            rows.append({"image_id": image_id, "kind": lesion.kind, "style_deviation": deviation, **of_patient})
    return pd.DataFrame(rows)


def _draw_tbp_patient(number: int, seed: np.random.SeedSequence) -> TbpPatient:
    traits_seed, picture_seed = seed.spawn(2)
    rng = np.random.default_rng(traits_seed)
    patient = draw_patient(rng, _POPULATION)
    attribution, copyright_license, _, polarised_share = _CLINICS[
        rng.choice(len(_CLINICS), p=[clinic[2] for clinic in _CLINICS])
    ]
    mean_extra = 6.6 * patient.naevus_proneness + 4.0 * patient.sun_damage
    num_benign = min(3 + int(rng.poisson(rng.gamma(1.6, mean_extra / 1.6))), MAX_LESIONS_PER_PATIENT - 3)
    num_malignant = min(int(rng.poisson(_MEAN_MALIGNANT_PER_PATIENT * patient.hazard)), 3)
    kinds = [_draw_benign_kind(rng, patient) for _ in range(num_benign)]
    kinds += [_draw_malignant_kind(rng, patient) for _ in range(num_malignant)]
    lesions = tuple(draw_lesion(rng, patient, kind, TBP_SITES, 3.4) for kind in kinds)
    return TbpPatient(number, patient, attribution, copyright_license, polarised_share, lesions, picture_seed)


def _draw_benign_kind(rng: np.random.Generator, patient: PatientTraits) -> str:
    older = np.clip((patient.age_years - 35) / 40, 0, 1.2)
    weights = {
        "naevus": 1.2 * patient.naevus_proneness,
        "lentigo": 0.1 + 0.6 * patient.sun_damage,
        "angioma": 0.03 + 0.10 * older,
        "seborrhoeic_keratosis": 0.04 + 0.35 * older,
        "actinic_keratosis": 0.5 * patient.sun_damage * older,
    }
    return _weighted(rng, weights)


def _draw_malignant_kind(rng: np.random.Generator, patient: PatientTraits) -> str:
    weights = dict(_MALIGNANT_SHARES)
    weights["melanoma"] *= 0.5 + 0.5 * patient.naevus_proneness + 0.3 * (patient.age_years < 50)
    weights["squamous_cell_carcinoma"] *= 0.3 + 1.6 * patient.sun_damage
    return _weighted(rng, weights)


def _weighted(rng: np.random.Generator, weights: dict[str, float]) -> str:
    shares = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def _photograph(patient: TbpPatient, seed: int) -> list[tuple[dict[str, str], bytes]]:
    """Rows of the table with their pictures, lesion by lesion."""
    photographed = []
    rng = np.random.default_rng(patient.seed)
    identity = _identity_columns(rng, patient)
    exposure, cast = rng.normal(-0.15, 0.25), rng.normal(0, (0.04, 0.03, 0.07))
    for number, lesion in enumerate(patient.lesions):
        polarised = bool(rng.random() < patient.polarised_share)
        picture, coverage = render(rng, patient.traits, lesion, _shot(rng, polarised, exposure, cast))
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
        row = dict(identity)
        row["isic_id"] = _isic_id(seed, patient.number, number)
        row["target"] = str(int(lesion.malignant))
        row["tbp_tile_type"] = "3D: XP" if polarised else "3D: white"
        numbers = measure_shape(lesion.outline_mm) | measure_colour(picture, coverage)
        numbers["clin_size_long_diam_mm"] = round(numbers["clin_size_long_diam_mm"], 2)
        row |= {name: clean_number(value) for name, value in (numbers | _scores(rng, lesion)).items()}
        row |= place_columns(rng, lesion)
        row |= examination_columns(rng, lesion, row["isic_id"])
        if rng.random() < 0.003 and row["age_approx"]:
            row["age_approx"] = str(float(row["age_approx"]) + 5)  # seen again at a later visit
        photographed.append((row, buffer.getvalue()))
    return photographed


def _shot(rng: np.random.Generator, polarised: bool, exposure: float, cast: np.ndarray) -> Shot:
    # Crossed polarisers take away the surface's mirror light: darker, more saturated, no gloss.
    tint = np.array((0.02, -0.03, -0.10)) if polarised else np.array((0.0, 0.0, 0.02))
    red, green, blue = (cast + tint + rng.normal(0, 0.015, size=3)).tolist()
    return Shot(
        side_px=2 * int(np.clip(rng.normal(59, 5), 48, 70)),
        field_of_view_mm=FIELD_OF_VIEW_MM,
        centre_offset=(float(rng.normal(0, 0.02)), float(rng.normal(0, 0.02))),
        exposure=float(exposure + rng.normal(0, 0.16) - 0.08 * polarised),
        cast=(red, green, blue),
        light_gradient=float(abs(rng.normal(0, 0.14))),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        vignette=0.04,
        blur_px=float(rng.uniform(0.6, 1.05)),
        noise=0.010,
        gloss=0.0 if polarised else 0.5,
    )


def _identity_columns(rng: np.random.Generator, patient: TbpPatient) -> dict[str, str]:
    age_approx = "" if rng.random() < 0.012 else str(float(5 * round(patient.traits.age_years / 5)))
    return {
        "patient_id": _patient_id(patient),
        "age_approx": age_approx,
        "sex": "" if rng.random() < 0.03 else patient.traits.sex,
        "image_type": "TBP tile: close-up",
        "attribution": patient.attribution,
        "copyright_license": patient.copyright_license,
    }


def _patient_id(patient: TbpPatient) -> str:
    return f"IP_{1_000_000 + (patient.number * 2_760_167 + 482_711) % 9_000_000}"


def _isic_id(seed: int, patient_number: int, lesion_number: int) -> str:
    """Unique below 156,250 patients: an affine map, its factor prime to 10^7, of a unique number."""
    ordinal = patient_number * 64 + lesion_number
    return f"ISIC_{(ordinal * 7_368_787 + 1_318_003 + seed * 104_729) % 10_000_000:07d}"


def _scores(rng: np.random.Generator, lesion: LesionTraits) -> dict[str, float]:
    """Confidences, in percent, of an imagined naevus classifier and lesion detector."""
    looks_like_naevus = 2.2 * (lesion.pigment - 0.55) - 2.5 * lesion.redness - 2.0 * lesion.features["scale"]
    looks_like_naevus += -1.2 * float(np.clip(lesion.look[3], -1, 3)) + 2.0 * lesion.features["softness"]
    found = 5.5 - 2.6 * lesion.malignant + rng.normal(0, 2.0)
    return {
        "tbp_lv_nevi_confidence": 100 / (1 + float(np.exp(-(3.0 * looks_like_naevus + rng.normal(0, 2.5))))),
        "tbp_lv_dnn_lesion_confidence": 100 / (1 + float(np.exp(-found))),
    }
