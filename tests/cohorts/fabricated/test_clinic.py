"""The fabricated smartphone cohort."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.cohorts.fabricated import FABRICATORS
from slimp_pipeline.cohorts.fabricated.clinic import clinic_table, draw_clinic_patients, fabricate_clinic

OFFICIAL_COLUMNS = [
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
VANISHING_FIELDS = [
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
REGIONS = {
    "ABDOMEN",
    "ARM",
    "BACK",
    "CHEST",
    "EAR",
    "FACE",
    "FOOT",
    "FOREARM",
    "HAND",
    "LIP",
    "NECK",
    "NOSE",
    "SCALP",
    "THIGH",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    fabricate_clinic(folder, num_patients=8, seed=3)
    return folder


@pytest.fixture(scope="module")
def demo_table() -> pd.DataFrame:
    return clinic_table(draw_clinic_patients(240, seed=1))


def test_table_has_the_26_official_columns_in_order(folder: Path) -> None:
    assert list(pd.read_csv(folder / "metadata.csv").columns) == OFFICIAL_COLUMNS
    assert len(OFFICIAL_COLUMNS) == 26


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    FABRICATORS["clinic"](tmp_path, num_patients=8, seed=3)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert names == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_every_row_has_an_opaque_rgba_picture(folder: Path) -> None:
    img_ids = pd.read_csv(folder / "metadata.csv")["img_id"]
    assert sorted(img_ids) == sorted(path.name for path in (folder / "images").iterdir())
    for img_id in img_ids:
        picture = Image.open(folder / "images" / img_id)
        assert picture.mode == "RGBA"
        assert 128 <= picture.width == picture.height <= 160
        assert (np.asarray(picture)[..., 3] == 255).all()


def test_picture_names_start_with_patient_and_lesion(demo_table: pd.DataFrame) -> None:
    start = demo_table["patient_id"] + "_" + demo_table["lesion_id"] + "_"
    assert all(name.startswith(prefix) for name, prefix in zip(demo_table["img_id"], start, strict=True))
    assert demo_table["img_id"].str.endswith(".png").all()
    assert demo_table["img_id"].is_unique


def test_lesion_ids_repeat_across_patients(demo_table: pd.DataFrame) -> None:
    patients_per_lesion = demo_table.groupby("lesion_id")["patient_id"].nunique()
    assert (patients_per_lesion > 1).any()


def test_thirteen_fields_vanish_together_and_only_without_biopsy(demo_table: pd.DataFrame) -> None:
    gone = demo_table["smoke"] == ""
    assert 0.15 < gone.mean() < 0.5
    assert (demo_table.loc[gone, VANISHING_FIELDS] == "").all(axis=None)
    assert (demo_table.loc[gone, "biopsed"] == "False").all()
    assert ((demo_table["biopsed"] == "False") & ~gone).any()
    others = [field for field in VANISHING_FIELDS if not field.startswith("background")]
    assert (demo_table.loc[~gone, others] != "").all(axis=None)


def test_every_cancer_was_biopsied(demo_table: pd.DataFrame) -> None:
    cancer = demo_table["diagnostic"].isin(["BCC", "MEL", "SCC"])
    assert (demo_table.loc[cancer, "biopsed"] == "True").all()


def test_vocabularies_are_the_official_ones(demo_table: pd.DataFrame) -> None:
    assert set(demo_table["diagnostic"]) == {"ACK", "BCC", "MEL", "NEV", "SCC", "SEK"}
    assert set(demo_table["region"]) <= REGIONS
    assert set(demo_table["fitspatrick"]) <= {"", *(f"{skin_type}.0" for skin_type in range(1, 7))}
    for symptom in ("itch", "grew", "hurt", "changed", "bleed", "elevation"):
        assert set(demo_table[symptom]) <= {"True", "False", "UNK"}
    assert (demo_table["grew"] == "UNK").any()


def test_about_a_third_of_patients_have_several_lesions(demo_table: pd.DataFrame) -> None:
    lesions = demo_table.groupby("patient_id")["lesion_id"].nunique()
    assert 0.2 < (lesions > 1).mean() < 0.4
    assert lesions.max() <= 4
    assert 300 <= len(demo_table) <= 390


def test_naevus_patients_are_younger(demo_table: pd.DataFrame) -> None:
    ages = demo_table.assign(age_years=demo_table["age"].astype(int)).groupby("diagnostic")["age_years"].mean()
    assert ages["NEV"] < ages["BCC"] - 8
