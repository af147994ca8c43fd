"""The fabricated total body photography cohort."""

from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.cohorts.fabricated import FABRICATORS, tbp
from slimp_pipeline.cohorts.fabricated.tbp import draw_tbp_patients, fabricate_tbp, tbp_truth
from slimp_pipeline.cohorts.fabricated.traits import style_deviation
from slimp_pipeline.processes import pool

OFFICIAL_COLUMNS = [
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tbp")
    fabricate_tbp(folder, num_patients=12, seed=3)
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "train-metadata.csv")


def test_table_has_the_55_official_columns_in_order(table: pd.DataFrame) -> None:
    assert list(table.columns) == OFFICIAL_COLUMNS
    assert len(OFFICIAL_COLUMNS) == 55


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    FABRICATORS["tbp"](tmp_path, num_patients=12, seed=3)
    for name in ("train-metadata.csv", "train-image.hdf5"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_several_processes_give_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "cpu_count", lambda: 2)
    monkeypatch.setattr(tbp, "PATIENTS_PER_PROCESS", 6)
    fabricate_tbp(tmp_path, num_patients=12, seed=3)
    for name in ("train-metadata.csv", "train-image.hdf5"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_nothing_but_the_two_files_is_left_behind(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["train-image.hdf5", "train-metadata.csv"]


def test_another_seed_gives_other_patients() -> None:
    first, second = draw_tbp_patients(3, seed=1), draw_tbp_patients(3, seed=2)
    assert not np.allclose(first[0].traits.naevus_style, second[0].traits.naevus_style)


def test_a_patient_does_not_depend_on_how_many_follow(table: pd.DataFrame, tmp_path: Path) -> None:
    fabricate_tbp(tmp_path, num_patients=2, seed=3)
    few = pd.read_csv(tmp_path / "train-metadata.csv", dtype=str)
    many = table[table["patient_id"].isin(few["patient_id"].unique())]
    assert list(few["isic_id"]) == list(many["isic_id"])
    assert list(few["tbp_lv_A"].astype(float)) == list(many["tbp_lv_A"])


def test_pictures_are_square_jpegs_keyed_by_isic_id(folder: Path, table: pd.DataFrame) -> None:
    with h5py.File(folder / "train-image.hdf5") as file:
        assert list(file) == list(table["isic_id"])
        for isic_id in list(file)[:20]:
            assert file[isic_id].shape == ()
            assert file[isic_id].dtype.kind == "S"
            picture = Image.open(BytesIO(file[isic_id][()]))
            assert picture.format == "JPEG"
            assert picture.width == picture.height
            assert 96 <= picture.width <= 140


def test_ids_are_unique_even_in_large_cohorts(table: pd.DataFrame) -> None:
    assert table["isic_id"].is_unique
    assert table["isic_id"].str.fullmatch(r"ISIC_\d{7}").all()
    assert table["patient_id"].nunique() == 12


def test_derived_measures_agree_with_their_parts(table: pd.DataFrame) -> None:
    for end in ("", "ext"):
        chroma = np.hypot(table[f"tbp_lv_A{end}"], table[f"tbp_lv_B{end}"])
        np.testing.assert_allclose(table[f"tbp_lv_C{end}"], chroma, atol=1e-4)
    np.testing.assert_allclose(table["tbp_lv_deltaL"], table["tbp_lv_L"] - table["tbp_lv_Lext"], atol=1e-4)
    ratio = table["tbp_lv_perimeterMM"] ** 2 / table["tbp_lv_areaMM2"]
    np.testing.assert_allclose(table["tbp_lv_area_perim_ratio"], ratio, rtol=1e-4)
    assert (table["tbp_lv_minorAxisMM"] <= table["clin_size_long_diam_mm"] + 0.02).all()


def test_measured_colour_is_that_of_the_picture(folder: Path, table: pd.DataFrame) -> None:
    with h5py.File(folder / "train-image.hdf5") as file:
        pictures = [Image.open(BytesIO(file[isic_id][()])).convert("L") for isic_id in table["isic_id"]]
    brightness = [np.asarray(picture).mean() for picture in pictures]
    assert np.corrcoef(brightness, table["tbp_lv_Lext"])[0, 1] > 0.9


def test_leaking_columns_are_filled_only_where_somebody_looked(table: pd.DataFrame) -> None:
    malignant = table["target"] == 1
    assert malignant.any()
    assert table.loc[malignant, ["lesion_id", "iddx_2", "iddx_3"]].notna().all(axis=None)
    assert (table.loc[malignant, "iddx_1"] == "Malignant").all()
    assert (table.loc[~malignant, "iddx_1"] == "Benign").all()
    assert table.loc[~malignant, ["iddx_2", "mel_thick_mm", "mel_mitotic_index"]].isna().all(axis=None)
    assert table["iddx_5"].isna().all()
    assert table.loc[table["mel_thick_mm"].notna(), "iddx_3"].isin(["Melanoma Invasive"]).all()


def test_ages_come_in_steps_of_five(table: pd.DataFrame) -> None:
    assert (table["age_approx"].dropna() % 5 == 0).all()
    assert table["sex"].dropna().isin(["male", "female"]).all()


def test_malignant_share_and_numbers_are_those_of_a_demo_cohort() -> None:
    for seed in range(4):
        patients = draw_tbp_patients(150, seed=seed)
        counts = [len(patient.lesions) for patient in patients]
        malignant = sum(lesion.malignant for patient in patients for lesion in patient.lesions)
        assert sum(counts) >= 1500
        assert min(counts) >= 3 and 20 <= max(counts) <= 32
        assert 0.025 < malignant / sum(counts) < 0.06
        assert np.mean(counts) > np.median(counts)


def test_melanomas_are_ugly_ducklings_of_their_own_patient() -> None:
    patients = draw_tbp_patients(300, seed=5)
    own, foreign = {"melanoma": [], "naevus": []}, {"melanoma": [], "naevus": []}
    for patient, stranger in zip(patients, patients[1:] + patients[:1], strict=True):
        for lesion in patient.lesions:
            if lesion.kind in own:
                own[lesion.kind].append(style_deviation(patient.traits, lesion))
                foreign[lesion.kind].append(style_deviation(stranger.traits, lesion))
    assert np.mean(own["naevus"]) < 1.2
    assert np.mean(np.array(own["melanoma"]) > np.quantile(own["naevus"], 0.9)) > 0.8
    # Measured against somebody else's naevi, the difference mostly vanishes.
    assert np.mean(np.array(foreign["melanoma"]) > np.quantile(foreign["naevus"], 0.9)) < 0.4


def test_a_cohort_without_patients_is_refused() -> None:
    with pytest.raises(ValueError, match="num_patients"):
        draw_tbp_patients(0, seed=1)


def test_the_truth_of_a_cohort_belongs_to_the_rows_of_its_table(tmp_path):
    fabricate_tbp(tmp_path, num_patients=4, seed=3)
    table = pd.read_csv(tmp_path / "train-metadata.csv", dtype=str)
    truth = tbp_truth(4, 3)
    assert sorted(truth["image_id"]) == sorted(table["isic_id"])
    merged = table.merge(truth, left_on="isic_id", right_on="image_id")
    assert (merged["patient_id_x"] == merged["patient_id_y"]).all()
    malignant = merged["kind"].isin(["melanoma", "basal_cell_carcinoma", "squamous_cell_carcinoma"])
    assert (malignant == (merged["target"] == "1")).all()
    assert truth.groupby("patient_id")["style_size"].nunique().max() == 1
