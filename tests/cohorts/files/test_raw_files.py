"""Raw files in the official layouts of cohorts: found, read and packed."""

import csv
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.cohorts.files.raw_files import decisions_path, find_raw_files, table_paths
from slimp_pipeline.cohorts.matched_files import match_files
from slimp_pipeline.cohorts.rows.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.packing import pack
from slimp_pipeline.parameters import IngestParams

ReadRaw = Callable[[str, Path], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]
MakeSpec = Callable[..., CohortSpec]


def picture(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 12, 3), shade, np.uint8)).save(path, path.suffix.lower()[1:].replace("jpg", "jpeg"))
    return path


def table(path: Path, *records: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def assert_packs(images: pd.DataFrame) -> None:
    packed = [row for batch in pack(images, IngestParams(num_processes=1)) for row in batch.to_pylist()]
    assert [row["image_id"] for row in packed] == images["image_id"].tolist()
    assert all(row["refused"] is None and (row["width_px"], row["height_px"]) == (12, 8) for row in packed)


def isic_row(image_id: str, **values: str) -> dict[str, str]:
    return {
        **{"isic_id": image_id, "attribution": "Hospital Italiano de Buenos Aires", "copyright_license": "CC-BY"},
        **{"age_approx": "70", "anatom_site_general": "head/neck", "concomitant_biopsy": "True"},
        **{"diagnosis_1": "Malignant", "diagnosis_2": "Malignant adnexal epithelial proliferations - Follicular"},
        **{"diagnosis_3": "Basal cell carcinoma", "diagnosis_confirm_type": "histopathology"},
        **{"family_hx_mm": "False", "fitzpatrick_skin_type": "II", "image_type": "dermoscopic"},
        **{"lesion_id": "IL_1", "melanocytic": "False", "patient_id": "IP_1", "personal_hx_mm": "True"},
        **{"sex": "female"},
        **values,
    }


def isic_download(folder: Path) -> None:
    nevus = {"diagnosis_1": "Benign", "diagnosis_3": "Nevus", "family_hx_mm": "", "lesion_id": "IL_2"}
    keratosis = {"diagnosis_1": "Indeterminate", "diagnosis_3": "Solar or actinic keratosis", "lesion_id": "IL_3"}
    unknown = {"lesion_id": "IL_3", "patient_id": "IP_2"}
    table(
        folder / "metadata.csv",
        isic_row("ISIC_0000001"),
        isic_row("ISIC_0000002", **nevus),
        isic_row("ISIC_0000003", **{**unknown, **keratosis}),
    )
    for number in (1, 2, 3):
        picture(folder / f"ISIC_000000{number}.jpg")
    (folder / "attribution.txt").write_text("Hospital Italiano de Buenos Aires")
    (folder / "licenses").mkdir()
    (folder / "licenses" / "CC-BY.txt").write_text("licence")


@pytest.mark.parametrize("name", ["hiba", "isic_archive"])
def test_a_download_of_the_isic_client_is_read(tmp_path: Path, read_raw: ReadRaw, name: str) -> None:
    isic_download(tmp_path / name)
    rows, quarantine, images = read_raw(name, tmp_path)
    assert len(quarantine) == 0
    assert rows["patient_id"].tolist() == ["IP_1", "IP_1", "IP_2"]
    assert rows["malignant"].tolist() == [True, False, pd.NA]
    assert rows["age_years"].tolist() == [70.0] * 3
    assert rows["modality"].tolist() == ["dermoscopic"] * 3
    assert images["image_id"].tolist() == rows["image_id"].tolist()
    assert_packs(images)


def test_a_collection_of_the_archive_may_lack_any_column_but_the_image_id(
    tmp_path: Path, read_raw: ReadRaw, caplog: pytest.LogCaptureFixture
) -> None:
    isic_download(tmp_path / "isic_archive")
    listed = pd.read_csv(tmp_path / "isic_archive/metadata.csv", dtype=str)
    listed[["isic_id", "sex"]].to_csv(tmp_path / "isic_archive/metadata.csv", index=False)
    with caplog.at_level("INFO"):
        rows, quarantine, _ = read_raw("isic_archive", tmp_path)
    assert len(quarantine) == 0 and rows["sex"].tolist() == ["female"] * 3
    assert rows[["age_years", "site", "diagnosis", "malignant"]].isna().all(axis=None)
    assert rows["patient_id"].is_unique and not rows["patient_known"].any()
    assert "metadata.csv has no column age_approx, anatom_site_general, diagnosis_1, " in caplog.text


def test_hiba_keeps_histories_as_categories_and_lesions_as_named(tmp_path: Path, read_raw: ReadRaw) -> None:
    isic_download(tmp_path / "hiba")
    rows, _, _ = read_raw("hiba", tmp_path)
    assert rows["lesion_id"].tolist() == ["IL_1", "IL_2", "IL_3"]
    assert rows["diagnosis"].tolist() == ["Basal cell carcinoma", "Nevus", "Solar or actinic keratosis"]
    assert rows["family_history_melanoma"].fillna("?").tolist() == ["False", "?", "False"]
    assert rows["fitzpatrick"].tolist() == ["II"] * 3


PH2 = """\
||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Dots/Globules | Streaks |\
 Regression Areas | Blue-Whitish Veil ||           Colors ||
|| IMD003 ||                        ||                  0 ||         0 |               T |             A |       A |\
                A |                 A ||                4 ||
|| IMD405 ||               Melanoma ||                  2 ||         2 |              AT |            AT |       P |\
                P |                 P ||          3  4  6 ||

Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma
"""


def test_ph2_is_read_without_its_masks(tmp_path: Path, read_raw: ReadRaw) -> None:
    for name in ("IMD003", "IMD405"):
        case = tmp_path / "ph2" / "PH2 Dataset images" / name
        picture(case / f"{name}_Dermoscopic_Image" / f"{name}.bmp")
        picture(case / f"{name}_lesion" / f"{name}_lesion.bmp", 255)
        picture(case / f"{name}_roi" / f"{name}_R1_Label4.bmp", 255)
    (tmp_path / "ph2" / "PH2_dataset.txt").write_text(PH2)
    rows, quarantine, images = read_raw("ph2", tmp_path)
    assert len(quarantine) == 0
    assert rows["image_id"].tolist() == images["image_id"].tolist() == ["IMD003", "IMD405"]
    assert rows["diagnosis"].tolist() == ["common_naevus", "melanoma"]
    assert rows["malignant"].tolist() == [False, True]
    criteria = ["asymmetry", "pigment_network", "dots_globules", "streaks", "regression", "blue_whitish_veil"]
    assert rows[criteria].to_numpy().tolist() == [["0", "T", "A", "A", "A", "A"], ["2", "AT", "AT", "P", "P", "P"]]
    assert_packs(images)


def test_derm7pt_is_read_with_its_dermoscopic_pictures(tmp_path: Path, read_raw: ReadRaw) -> None:
    folder = tmp_path / "derm7pt"
    common = {
        **{"case_num": "1", "diagnosis": "basal cell carcinoma", "seven_point_score": "0", "pigment_network": "absent"},
        **{"streaks": "absent", "pigmentation": "absent", "regression_structures": "absent"},
        **{"dots_and_globules": "absent", "blue_whitish_veil": "absent", "vascular_structures": "arborizing"},
        **{"level_of_diagnostic_difficulty": "medium", "elevation": "nodular", "location": "abdomen"},
        **{"sex": "female", "management": "excision", "clinic": "NEL/NEL025.JPG", "derm": "NEL/Nel026.jpg"},
        **{"case_id": "", "notes": ""},
    }
    other = {"case_num": "2", "diagnosis": "blue nevus", "clinic": "FBL/FBL031.JPG", "derm": "FBL/FBL032.JPG"}
    table(folder / "meta" / "meta.csv", common, {**common, **other})
    for name in ("NEL/NEL025.JPG", "NEL/Nel026.jpg", "FBL/FBL031.JPG", "FBL/FBL032.JPG"):
        picture(folder / "images" / name)
    rows, quarantine, images = read_raw("derm7pt", tmp_path)
    assert len(quarantine) == 0
    assert rows["image_id"].tolist() == ["Nel026", "FBL032"]
    assert rows["malignant"].tolist() == [True, False]
    assert rows["vascular_structures"].tolist() == ["arborizing"] * 2
    assert set(rows["image_id"]) < set(images["image_id"])
    assert_packs(images)


def test_both_parts_of_the_images_of_ham10000_are_found(tmp_path: Path, read_raw: ReadRaw) -> None:
    folder = tmp_path / "ham10000"
    row = {
        **{"lesion_id": "HAM_1", "image_id": "ISIC_1", "dx": "nv", "dx_type": "histo", "age": "0.0"},
        **{"sex": "unknown", "localization": "back"},
    }
    table(folder / "HAM10000_metadata", row, {**row, "image_id": "ISIC_2"})
    picture(folder / "HAM10000_images_part_1" / "ISIC_1.jpg")
    picture(folder / "HAM10000_images_part_2" / "ISIC_2.jpg")
    picture(folder / "HAM10000_segmentations_lesion_tschandl" / "ISIC_1_segmentation.png")
    rows, _, images = read_raw("ham10000", tmp_path)
    assert images["image_id"].tolist() == rows["image_id"].tolist()
    assert rows["sex"].isna().all()
    assert rows["age_years"].tolist() == [0.0, 0.0]


def test_isic2019_is_read_whichever_name_its_sex_column_has(tmp_path: Path, read_raw: ReadRaw) -> None:
    for sex in ("sex", "gender"):
        folder = tmp_path / sex / "isic2019"
        meta = {"image": "I1", "age_approx": "55", "anatom_site_general": "head/neck", "lesion_id": "", sex: "male"}
        truth = {"image": "I1", **dict.fromkeys(["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"], "0.0")}
        table(folder / "ISIC_2019_Training_Metadata.csv", meta)
        table(folder / "ISIC_2019_Training_GroundTruth.csv", {**truth, "SCC": "1.0"})
        rows, _, _ = read_raw("isic2019", tmp_path / sex)
        assert rows[["sex", "diagnosis", "malignant", "patient_id"]].to_numpy().tolist() == [
            ["male", "SCC", True, "image:I1"]
        ]


def test_an_image_entry_holds_what_tells_a_changed_file(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "table.csv").write_text("image\n")
    path = picture(tmp_path / "small" / "images" / "deep" / "I1.PNG")
    files = find_raw_files(make_spec(images={"sources": ["images"]}), tmp_path, tmp_path)
    assert files["role"].tolist() == ["table", "image"]
    image = files.iloc[1]
    assert (image["image_id"], image["path"], image["key"]) == ("I1", str(path), "")
    assert (image["size_bytes"], image["mtime_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_images_in_hdf5_are_listed_by_key(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "table.csv").write_text("image\n")
    with h5py.File(folder / "images.hdf5", "w") as file:
        file["ISIC_2"] = np.void(b"2")
        file["ISIC_1"] = np.void(b"1")
    files = find_raw_files(make_spec(images={"sources": ["images", "images.hdf5"]}), tmp_path, tmp_path)
    assert files.loc[1:, ["image_id", "key"]].to_numpy().tolist() == [["ISIC_1", "ISIC_1"], ["ISIC_2", "ISIC_2"]]
    assert set(files.loc[1:, "path"]) == {str(folder / "images.hdf5")}


def test_a_broken_hdf5_file_is_refused_by_name(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "table.csv").write_text("image\n")
    (tmp_path / "small" / "images.hdf5").write_bytes(b"half a download")
    with pytest.raises(ValueError, match=r"images.hdf5 is no whole HDF5 file"):
        find_raw_files(make_spec(images={"sources": ["images.hdf5"]}), tmp_path, tmp_path)


def test_a_cohort_without_images_has_none(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "table.csv").write_text("image\n")
    for images in (None, {"sources": ["images"]}):
        assert find_raw_files(make_spec(images=images), tmp_path, tmp_path)["role"].tolist() == ["table"]


def test_a_missing_folder_is_named_with_where_to_get_the_data(tmp_path: Path, make_spec: MakeSpec) -> None:
    with pytest.raises(FileNotFoundError, match=r"small: no folder .*made by hand.*SLIMP_RAW"):
        find_raw_files(make_spec(), tmp_path, tmp_path)


def test_a_missing_table_is_named_with_what_is_there(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "tabel.csv").touch()
    spec = make_spec(tables=[{"file": ["table.csv", "table.txt"]}])
    with pytest.raises(FileNotFoundError, match=r"no table table.csv or table.txt in .*there: tabel.csv"):
        find_raw_files(spec, tmp_path, tmp_path)


def test_a_table_that_is_not_required_may_be_missing(tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "table.csv").touch()
    spec = make_spec(tables=[{"file": "table.csv"}, {"file": "more.csv", "join_on": "image", "required": False}])
    assert len(find_raw_files(spec, tmp_path, tmp_path)) == 1


def test_a_fabricated_cohort_is_made_once_below_its_own_root(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec(
        **{"tables": [{"file": "metadata.csv"}], "images": {"sources": ["images"]}},
        fabricated={"layout": "clinic", "num_patients": 2, "seed": 3},
    )
    first = find_raw_files(spec, tmp_path / "raw", tmp_path / "fabricated")
    assert (tmp_path / "fabricated" / "small" / "fabricated.json").is_file()
    assert (first["role"] == "image").any()
    pd.testing.assert_frame_equal(first, find_raw_files(spec, tmp_path / "raw", tmp_path / "fabricated"))


KAGGLE = {  # cohort: table, column of the image id, folders of its pictures, what else lies there
    "isic2020": ("train.csv", "image_name", ["jpeg/train"], ["train/I_1.dcm", "test/T_1.dcm", "jpeg/test/T_1.jpg"]),
    "ham10000": (
        "HAM10000_metadata.csv", "image_id",
        ["HAM10000_images_part_1", "ham10000_images_part_1"], ["hmnist_28_28_L.csv"],
    ),
}  # fmt: skip
ROWS = {
    "isic2020": {"patient_id": "IP_1", "sex": "male", "age_approx": "45", "anatom_site_general_challenge": "torso"}
    | {"diagnosis": "unknown", "benign_malignant": "benign", "target": "0"},
    "ham10000": {"lesion_id": "HAM_1", "dx": "nv", "dx_type": "histo", "age": "50", "sex": "male"}
    | {"localization": "back"},
}


@pytest.mark.parametrize("name", ["isic2020", "ham10000"])
def test_a_cohort_is_read_as_kaggle_lays_it_out(
    tmp_path: Path, shipped_spec: Callable[[str], CohortSpec], name: str
) -> None:
    file, column, folders, others = KAGGLE[name]
    folder = tmp_path / name
    table(folder / file, *({column: f"I_{n}", **ROWS[name]} for n in (1, 2)))
    for place in folders:  # Kaggle's HAM10000 holds its pictures twice
        for n in (1, 2):
            picture(folder / place / f"I_{n}.jpg", n)
    for other in others:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_bytes(b"x")
    spec = shipped_spec(name)
    raw = find_raw_files(spec, tmp_path, tmp_path)
    matched = match_files(spec, read_rows(spec, table_paths(raw)), raw)
    assert matched.images["image_id"].tolist() == ["I_1", "I_2"]
    copies = matched.unused[matched.unused["unused"] == "copy"]
    assert len(copies) == 2 * (len(folders) - 1)


def test_isic2024_is_read_as_kaggle_lays_it_out(tmp_path: Path, shipped_spec: Callable[[str], CohortSpec]) -> None:
    folder = tmp_path / "slice3d"
    picture(folder / "train-image/image/ISIC_1.jpg")
    (folder / "train-metadata.csv").write_text("isic_id\nISIC_1\n")
    raw = find_raw_files(shipped_spec("slice3d"), tmp_path, tmp_path)
    assert raw.loc[raw["role"] == "image", "image_id"].tolist() == ["ISIC_1"]


@pytest.mark.parametrize("is_absolute", [False, True])
def test_the_file_of_decisions_is_listed_with_its_time_and_is_no_unused_file(
    tmp_path: Path, make_spec: MakeSpec, is_absolute: bool
) -> None:
    folder = tmp_path / "small"
    table(folder / "table.csv", {"image": "a"})
    table(folder / "looked/at.csv", {"image_id": "a", "decision": "keep"})
    picture(folder / "a.png")
    named = str(folder / "looked/at.csv") if is_absolute else "looked/at.csv"
    listed = find_raw_files(make_spec(images={"sources": ["."]}, decisions=named), tmp_path, tmp_path)
    assert decisions_path(listed) == folder / "looked/at.csv"
    assert sorted(listed["role"]) == ["decisions", "image", "table"]
    assert listed.set_index("role").loc["decisions", "mtime_ns"] == (folder / "looked/at.csv").stat().st_mtime_ns
    assert decisions_path(find_raw_files(make_spec(images={"sources": ["."]}), tmp_path, tmp_path)) is None


def test_a_file_of_decisions_that_is_not_there_is_named(tmp_path: Path, make_spec: MakeSpec) -> None:
    table(tmp_path / "small/table.csv", {"image": "a"})
    with pytest.raises(FileNotFoundError, match=r"cohort small: no file .*small/looked\.csv, which `decisions` names"):
        find_raw_files(make_spec(decisions="looked.csv"), tmp_path, tmp_path)
