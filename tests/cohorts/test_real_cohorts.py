"""Counts of the public cohorts, where SLIMP_RAW names the folder that holds them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from slimp_pipeline.cohorts.rows.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec

ReadRaw = Callable[[str, Path], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]


@pytest.mark.parametrize(
    ("name", "num_rows", "num_images", "num_patients", "num_lesions", "num_malignant"),
    [
        ("slice3d", 1372, 3589, 603, 1372, 393),
        ("slice3d_test", 3, 3, 3, 3, 0),
        ("pad_ufes_20", 2298, 408, 1373, 1891, 845 + 192 + 52),
        ("ham10000", 10015, 4952, 7470, 7470, 1954),
        ("isic2019", 25331, 0, 11847 + 2084, 11847 + 2084, 9340),
        ("isic2020", 33126, 0, 2056, 33126, 584),
        ("milk10k", 10480, 6288, 5240, 5240, 7514),
        ("milk10k_test", 958, 0, 479, 479, 0),
    ],
)
def test_a_cohort_is_read_whole(
    real_root: Path,
    read_raw: ReadRaw,
    name: str,
    num_rows: int,
    num_images: int,
    num_patients: int,
    num_lesions: int,
    num_malignant: int,
) -> None:
    rows, quarantine, images = read_raw(name, real_root)
    assert len(quarantine) == 0
    assert (len(rows), len(images)) == (num_rows, num_images)
    assert (rows["patient_id"].nunique(), rows["lesion_id"].nunique()) == (num_patients, num_lesions)
    assert rows["malignant"].sum() == num_malignant


def test_slice3d_has_rows_without_crop_and_crops_without_row(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, images = read_raw("slice3d", real_root)
    with_crop = rows["image_id"].isin(images["image_id"])
    assert (with_crop.sum(), (~with_crop).sum()) == (598, 774)
    assert (~images["image_id"].isin(rows["image_id"])).sum() == 2991
    assert rows.loc[with_crop, "patient_id"].nunique() == 353
    assert rows[["sex", "age_years", "site"]].isna().sum().tolist() == [41, 11, 8]


def test_the_test_crops_of_slice3d_are_keyed_in_hdf5(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, images = read_raw("slice3d_test", real_root)
    assert set(images["key"]) == set(rows["image_id"])
    assert rows["malignant"].isna().all()


def test_pad_ufes_20_misses_thirteen_fields_together(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, images = read_raw("pad_ufes_20", real_root)
    assert images["image_id"].isin(rows["image_id"]).all()
    vanishing = ["smoke", "drink", "pesticide", "sex", "skin_cancer_history", "cancer_history", "piped_water"]
    vanishing += ["sewage_system", "fitzpatrick", "diameter_mm", "diameter_2_mm"]
    assert rows[vanishing].isna().all(axis=1).sum() == 804
    assert rows["grew"].isna().sum() == 402
    assert rows["changed"].isna().sum() == 396


def test_an_age_of_zero_in_ham10000_is_a_number(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, _ = read_raw("ham10000", real_root)
    assert (rows["age_years"] == 0).sum() == 39
    assert rows[["age_years", "sex", "site"]].isna().sum().tolist() == [57, 57, 234]


@pytest.mark.parametrize("name", ["ham10000", "isic2019", "milk10k"])
def test_no_patient_is_known_where_none_is_published(real_root: Path, read_raw: ReadRaw, name: str) -> None:
    rows, _, _ = read_raw(name, real_root)
    assert not rows["patient_known"].any()


def test_isic2019_counts_its_rows_without_lesion_id(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, _ = read_raw("isic2019", real_root)
    assert rows["lesion_id"].str.startswith("image:").sum() == 2084
    assert rows["image_id"].str.endswith("_downsampled").sum() == 2074
    assert rows[["age_years", "site", "sex"]].isna().sum().tolist() == [437, 2631, 384]


def test_the_variant_of_isic2020_equals_the_main_file_once_parsed(
    real_root: Path, shipped_spec: Callable[[str], CohortSpec]
) -> None:
    spec, folder = shipped_spec("isic2020"), real_root / "isic2020"
    variant_name = "ISIC_2020_Training_GroundTruth.variant_lf.csv.gz"
    variant_spec = spec.model_copy(update={"tables": [spec.tables[0].model_copy(update={"file": [variant_name]})]})
    main = read_rows(spec, {0: folder / "ISIC_2020_Training_GroundTruth.csv"}).rows
    variant = read_rows(variant_spec, {0: folder / variant_name}).rows
    pd.testing.assert_frame_equal(main, variant)
    assert main[["sex", "age_years", "site"]].isna().sum().tolist() == [65, 68, 527]


def test_milk10k_joins_its_truth_by_lesion(real_root: Path, read_raw: ReadRaw) -> None:
    rows, _, _ = read_raw("milk10k", real_root)
    assert rows["diagnosis"].notna().all()
    assert rows.groupby("lesion_id")["diagnosis"].nunique().max() == 1
    assert rows.groupby("lesion_id")["modality"].nunique().min() == 2
    assert (rows["skin_tone"] == "0").sum() == 12
