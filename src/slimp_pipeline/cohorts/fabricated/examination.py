"""Columns of SLICE-3D filled only because somebody examined the lesion; they betray the diagnosis."""

from __future__ import annotations

import numpy as np

from slimp_pipeline.cohorts.fabricated.traits import LesionTraits

_EPIDERMAL = "Malignant epidermal proliferations"
_FOLLICULAR = "Malignant adnexal epithelial proliferations - Follicular"
_MELANOCYTIC = "Malignant melanocytic proliferations (Melanoma)"
_MITOTIC_INDICES = ("0/mm^2", "<1/mm^2", "1/mm^2", "2/mm^2", ">4/mm^2")
# Diagnosis paths as iddx_2, iddx_3, iddx_4 with their weights.
_PATHS: dict[str, tuple[tuple[float, tuple[str, ...]], ...]] = {
    "basal_cell_carcinoma": (
        (0.6, (_FOLLICULAR, "Basal cell carcinoma", "Basal cell carcinoma, Nodular")),
        (0.3, (_FOLLICULAR, "Basal cell carcinoma", "Basal cell carcinoma, Superficial")),
        (0.1, (_FOLLICULAR, "Basal cell carcinoma")),
    ),
    "melanoma": (
        (0.35, (_MELANOCYTIC, "Melanoma in situ")),
        (0.15, (_MELANOCYTIC, "Melanoma in situ", "Melanoma in situ, Superficial spreading")),
        (0.30, (_MELANOCYTIC, "Melanoma Invasive", "Melanoma Invasive, Superficial spreading")),
        (0.12, (_MELANOCYTIC, "Melanoma Invasive")),
        (0.08, (_MELANOCYTIC, "Melanoma, NOS")),
    ),
    "squamous_cell_carcinoma": (
        (0.65, (_EPIDERMAL, "Squamous cell carcinoma in situ")),
        (0.35, (_EPIDERMAL, "Squamous cell carcinoma, Invasive")),
    ),
}


def examination_columns(rng: np.random.Generator, lesion: LesionTraits, isic_id: str) -> dict[str, str]:
    """Filled cells among lesion_id, iddx_* and mel_*: all for malignant lesions, little for benign ones."""
    lesion_id = f"IL_{(int(isic_id[5:]) * 3 + 1_234_567) % 10_000_000:07d}"
    if not lesion.malignant:
        columns = {"iddx_full": "Benign", "iddx_1": "Benign"}
        return columns | {"lesion_id": lesion_id} if rng.random() < 0.06 else columns
    paths = _PATHS[lesion.kind]
    path = paths[int(rng.choice(len(paths), p=[weight for weight, _ in paths]))][1]
    columns = {"lesion_id": lesion_id, "iddx_full": "::".join(("Malignant", *path)), "iddx_1": "Malignant"}
    columns |= {f"iddx_{level}": part for level, part in enumerate(path, start=2)}
    if path[1] == "Melanoma Invasive":
        columns["mel_thick_mm"] = str(round(float(np.exp(rng.normal(-0.7, 0.6))) + 0.1, 1))
        if rng.random() < 0.85:
            columns["mel_mitotic_index"] = str(rng.choice(_MITOTIC_INDICES))
    return columns
