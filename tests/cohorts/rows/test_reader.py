"""Rows that break are set aside one by one with the reason; every other row is read as it says."""

import csv
import io
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from slimp_pipeline.tables.csv_cells import csv_text, unguard_formulas

HEADER = "image,lesion,patient,age,sex,itches,bleeds,dx\n"
UNREADABLE = "neither true nor false: read are true, false, yes, no, 1, 0; others by `rename` of the field"
GOOD = "i1,l1,p1,50,female,True,False,nv\n"
Read = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


def test_a_good_row_is_read_into_typed_columns(read_table: Read) -> None:
    rows, quarantine = read_table(HEADER + GOOD)
    assert len(quarantine) == 0
    assert rows.drop(columns="image_folder").iloc[0].to_dict() == {
        **{"image_id": "i1", "lesion_id": "l1", "patient_id": "p1", "patient_known": True},
        **{"age_years": 50.0, "sex": "female", "symptom.itch": True, "symptom.bleed": False},
        **{"diagnosis": "nevus", "malignant": False},
    }
    assert str(rows.dtypes["age_years"]) == "float64"
    assert str(rows.dtypes["symptom.itch"]) == "boolean"
    assert str(rows.dtypes["malignant"]) == "boolean"


@pytest.mark.parametrize(
    ("row", "column", "value", "reason"),
    [
        ("bad,l2,p2,fifty,male,True,False,nv", "age", "fifty", "not a number"),
        ("bad,l2,p2,0x1A,male,True,False,nv", "age", "0x1A", "not a number"),
        ('bad,l2,p2,"5,5,5",male,True,False,nv', "age", "5,5,5", "not a number"),
        ("bad,l2,p2,-1,male,True,False,nv", "age", "-1", "impossible: outside 0 to 120"),
        ("bad,l2,p2,121,male,True,False,nv", "age", "121", "impossible: outside 0 to 120"),
        ("bad,l2,p2,inf,male,True,False,nv", "age", "inf", "impossible: outside 0 to 120"),
        (
            "bad,l2,p2,50,Male,True,False,nv",
            "sex",
            "Male",
            "unknown category: known are female, male; is 'male' meant?",
        ),
        ("bad,l2,p2,50,male,maybe,False,nv", "itches", "maybe", UNREADABLE),
        ("bad,l2,p2,50,male,True,False,bcc", "dx", "bcc", "unknown label: known are nv, mel"),
    ],
)
def test_a_broken_value_is_quarantined_with_its_place_and_reason(
    read_table: Read, row: str, column: str, value: str, reason: str
) -> None:
    rows, quarantine = read_table(HEADER + GOOD + "\n" + row + "\n")
    assert rows["image_id"].tolist() == ["i1"]
    assert quarantine.to_dict("records") == [
        {"image_id": "bad", "line": 4, "column": column, "value": value, "reason": reason}
    ]


@pytest.mark.parametrize("image_id", ["../i2", "a/i2", "a\\i2", "/i2", "..", "."])
def test_an_image_id_that_points_elsewhere_is_quarantined(read_table: Read, image_id: str) -> None:
    _, quarantine = read_table(f"{HEADER}{GOOD}{image_id},l2,p2,50,male,True,False,nv\n")
    assert quarantine[["image_id", "line", "column", "value"]].to_numpy().tolist() == [[image_id, 3, "image", image_id]]
    assert quarantine["reason"].tolist() == ["an image id may not contain a path separator"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\u202egnp.i2", "gnp.i2"),  # a sign that turns the direction of writing
        ("i\u200b2", "i2"),
        ("CON", "CON"),  # a device on Windows: no file is named by an id
        ("i2.", "i2."),
        ("x" * 5000, "x" * 5000),
        ("=HYPERLINK(1)", "=HYPERLINK(1)"),
        ("<script>i2", "<script>i2"),
        ('"i\n2"', "i\n2"),
    ],
)
def test_an_odd_id_is_a_text_and_comes_back_from_the_tables_that_are_written(
    read_table: Read, written: str, read: str
) -> None:
    rows, quarantine = read_table(f"{HEADER}{GOOD}{written},l2,{written},50,male,True,False,nv\n")
    assert quarantine.empty and rows.loc[1, ["image_id", "patient_id"]].tolist() == [read, read]
    text = csv_text(rows[["image_id", "patient_id"]])
    assert not any(cell.startswith("=") for line in csv.reader(io.StringIO(text)) for cell in line)
    back = unguard_formulas(pd.read_csv(io.StringIO(text, newline=""), dtype=str, keep_default_na=False))
    assert back.loc[1].tolist() == [read, read]


def test_an_id_with_a_nul_byte_is_refused_with_its_line(read_table: Read) -> None:
    with pytest.raises(ValueError, match="line 3: a NUL byte"):
        read_table(f"{HEADER}{GOOD}i\x002,l2,p2,50,male,True,False,nv\n")


@pytest.mark.parametrize("image_id", ["", "NA", "nan"])
def test_a_row_without_image_id_is_quarantined(read_table: Read, image_id: str) -> None:
    rows, quarantine = read_table(f"{HEADER}{GOOD}{image_id},l2,p2,50,male,True,False,nv\n")
    assert len(rows) == 1
    assert quarantine[["line", "column", "reason"]].to_numpy().tolist() == [[3, "image", "no image id"]]


def test_a_repeated_row_is_kept_once(read_table: Read) -> None:
    rows, quarantine = read_table(HEADER + GOOD + GOOD + GOOD)
    assert rows["image_id"].tolist() == ["i1"]
    assert quarantine["line"].tolist() == [3, 4]
    assert set(quarantine["reason"]) == {"the row repeats an earlier row"}
    assert set(quarantine["value"]) == {"i1"}


def test_rows_that_contradict_each_other_under_one_image_id_all_go(read_table: Read) -> None:
    rows, quarantine = read_table(HEADER + GOOD + GOOD.replace("50", "51") + GOOD.replace("i1", "i2"))
    assert rows["image_id"].tolist() == ["i2"]
    assert quarantine["line"].tolist() == [2, 3]
    assert set(quarantine["reason"]) == {"several rows with different values have this image id"}


def test_a_lesion_under_two_patients_is_quarantined_whole(read_table: Read) -> None:
    other = "i2,l1,p2,50,male,True,False,nv\n" + "i3,l3,p2,50,male,True,False,nv\n"
    rows, quarantine = read_table(HEADER + GOOD + other)
    assert rows["image_id"].tolist() == ["i3"]
    assert quarantine[["line", "column", "value"]].to_numpy().tolist() == [
        [2, "lesion_id", "l1"],
        [3, "lesion_id", "l1"],
    ]
    assert set(quarantine["reason"]) == {"this lesion stands under several patients"}


def test_a_lesion_number_that_starts_anew_with_each_patient_is_keyed_with_the_patient(read_table: Read) -> None:
    table = HEADER + "i1,1,p1,50,male,True,False,nv\n" + "i2,1,p2,50,male,True,False,nv\n"
    rows, quarantine = read_table(table, lesion_id=["patient", "lesion"])
    assert rows["lesion_id"].tolist() == ["p1_1", "p2_1"]
    assert len(quarantine) == 0


def test_a_row_with_several_faults_is_listed_once_for_each(read_table: Read) -> None:
    rows, quarantine = read_table(HEADER + "i1,l1,p1,old,other,perhaps,False,nv\n")
    assert len(rows) == 0
    assert quarantine["column"].tolist() == ["age", "itches", "sex"]
    assert set(quarantine["line"]) == {2}


def test_a_missing_label_keeps_the_row_unlabelled(read_table: Read) -> None:
    rows, quarantine = read_table(HEADER + GOOD + "i2,l2,p2,50,male,True,False,\n" + "i3,l3,p3,5,male,True,False,mel\n")
    assert rows["diagnosis"].isna().tolist() == [False, True, False]
    assert rows["malignant"].isna().tolist() == [False, True, False]
    assert rows["malignant"].iloc[2]
    assert len(quarantine) == 0


def test_an_indeterminate_diagnosis_is_neither_malignant_nor_benign(read_table: Read) -> None:
    label = {"column": "dx", "malignant": ["mel"], "indeterminate": ["atypical"]}
    table = HEADER + "".join(
        f"i{i},l{i},p{i},50,male,True,False,{dx}\n" for i, dx in enumerate(["mel", "nv", "atypical"])
    )
    rows, _ = read_table(table, label=label)
    assert rows["diagnosis"].tolist() == ["mel", "nv", "atypical"]
    assert rows["malignant"].tolist() == [True, False, pd.NA]


def test_without_a_label_every_row_is_unlabelled(read_table: Read) -> None:
    rows, _ = read_table(HEADER + GOOD, label=None)
    assert rows["diagnosis"].isna().all()
    assert rows["malignant"].isna().all()


@pytest.mark.parametrize("unknown", ["", "NA", "NaN"])
def test_rows_without_patient_id_stand_alone_and_are_told_apart(read_table: Read, unknown: str) -> None:
    table = HEADER + GOOD + f"i2,l2,{unknown},50,male,True,False,nv\ni3,l3,{unknown},50,male,True,False,nv\n"
    rows, quarantine = read_table(table)
    assert rows["patient_known"].tolist() == [True, False, False]
    assert rows["patient_id"].nunique() == 3
    assert len(quarantine) == 0


def test_images_of_one_lesion_without_patient_id_stay_together(read_table: Read) -> None:
    table = HEADER + "i1,l1,,50,male,True,False,nv\n" + "i2,l1,,50,male,True,False,nv\n" + "i3,,,5,male,True,False,nv\n"
    rows, quarantine = read_table(table)
    assert rows["patient_id"].tolist() == ["lesion:l1", "lesion:l1", "image:i3"]
    assert rows["lesion_id"].tolist() == ["l1", "l1", "image:i3"]
    assert not rows["patient_known"].any()
    assert len(quarantine) == 0


def test_a_cohort_without_patient_column_takes_the_lesion_and_without_either_the_image(read_table: Read) -> None:
    by_lesion, _ = read_table(HEADER + GOOD, patient_id=[])
    assert by_lesion[["lesion_id", "patient_id", "patient_known"]].to_numpy().tolist() == [["l1", "l1", False]]
    the_same, _ = read_table(HEADER + GOOD, patient_id=["lesion"])
    pd.testing.assert_frame_equal(the_same, by_lesion)
    by_image, _ = read_table(HEADER + GOOD, patient_id=[], lesion_id=[])
    assert by_image[["lesion_id", "patient_id", "patient_known"]].to_numpy().tolist() == [["i1", "i1", False]]


def test_a_true_zero_is_a_number_and_an_empty_cell_is_missing(read_table: Read) -> None:
    table = HEADER + "i1,l1,p1,0,male,False,0,nv\n" + "i2,l2,p2,0.0,male,,1,nv\n" + "i3,l3,p3,,NA,,,nv\n"
    rows, quarantine = read_table(table)
    assert rows["age_years"].tolist()[:2] == [0.0, 0.0]
    assert rows.isna()[["age_years", "sex", "symptom.itch", "symptom.bleed"]].to_numpy().tolist() == [
        [False, False, False, False],
        [False, False, True, False],
        [True, True, True, True],
    ]
    assert rows["symptom.itch"].iloc[0] == False  # noqa: E712
    assert rows["symptom.bleed"].tolist()[:2] == [False, True]
    assert len(quarantine) == 0


def test_a_number_is_scaled_into_the_unit_of_the_field_before_its_limits_are_checked(read_table: Read) -> None:
    size = {"kind": "numeric", "level": "lesion", "column": "age", "scale": 10, "maximum": 100}  # cm to mm
    table = HEADER + "i1,l1,p1,1.5,male,True,False,nv\n" + "i2,l2,p2,11,male,True,False,nv\n"
    rows, quarantine = read_table(table, fields={"size_mm": size})
    assert rows["size_mm"].tolist() == [15.0]
    assert quarantine[["value", "reason"]].to_numpy().tolist() == [["11", "impossible: outside -inf to 100"]]


def test_a_number_for_not_known_is_that_number_however_it_is_written(read_table: Read) -> None:
    size = {"size_mm": {"kind": "numeric", "level": "lesion", "column": "age", "missing": ["999"]}}
    cells = ["999", "999.0", "9.99e2", "99"]
    rows, _ = read_table(
        HEADER + "".join(f"i{n},l{n},p{n},{cell},male,True,False,nv\n" for n, cell in enumerate(cells)), fields=size
    )
    assert rows["size_mm"].fillna(-1).tolist() == [-1, -1, -1, 99]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["1.234.567", "1.234", "0,5"], [1234567, 1234, 0.5]),
    ],
)
def test_a_number_grouped_twice_shows_what_parts_thousands(read_table: Read, cells: list[str], numbers: list) -> None:
    size = {"size_mm": {"kind": "numeric", "level": "lesion", "column": "age"}}
    rows, _ = read_table(
        HEADER + "".join(f'i{n},l{n},p{n},"{cell}",male,True,False,nv\n' for n, cell in enumerate(cells)), fields=size
    )
    assert rows["size_mm"].tolist() == numbers


def test_only_a_pictures_suffix_is_dropped_from_a_path(read_table: Read) -> None:
    names = ["photos/a.left", "photos/b.v2.JPG", "c.dcm", ".png"]
    rows, _ = read_table(
        HEADER + "".join(f"{name},l{n},p{n},5,male,True,False,nv\n" for n, name in enumerate(names)),
        image_id_is_path=True,
    )
    assert rows["image_id"].tolist() == ["a.left", "b.v2", "c", ".png"]
    assert rows["image_folder"].tolist() == ["photos", "photos", "", ""]


def test_categories_are_renamed_and_a_fields_own_words_for_missing_hold(read_table: Read) -> None:
    sex = {
        **{"kind": "categorical", "level": "patient", "column": "sex", "categories": ["female", "male"]},
        **{"rename": {"F": "female", "M": "male"}, "missing": ["UNK"]},
    }
    table = HEADER + "".join(f"i{i},l{i},p{i},5,{sex},True,True,nv\n" for i, sex in enumerate(["F", "male", "UNK"]))
    rows, quarantine = read_table(table, fields={"sex": sex})
    assert rows["sex"].tolist()[:2] == ["female", "male"]
    assert rows["sex"].isna().tolist() == [False, False, True]
    assert len(quarantine) == 0


def test_file_names_as_image_ids_lose_folder_and_suffix(read_table: Read) -> None:
    table = HEADER + GOOD.replace("i1", "NEL/Nel026.jpg") + GOOD.replace("i1", "a\\b\\i.2.png").replace("l1", "l2")
    rows, _ = read_table(table, image_id_is_path=True)
    assert rows["image_id"].tolist() == ["Nel026", "i.2"]


@pytest.mark.parametrize("column", ["image", "lesion", "patient", "age", "bleeds", "dx"])
def test_a_missing_column_stops_the_run_and_names_file_and_column(read_table: Read, column: str) -> None:
    header = ",".join(f"other_{name}" if name == column else name for name in HEADER.strip().split(","))
    with pytest.raises(ValueError, match=rf"table.csv: column {column} not found.*'small' needs it"):
        read_table(header + "\n" + GOOD)


def test_a_table_without_rows_is_called_that(read_table: Read) -> None:
    with pytest.raises(ValueError, match=r"table\.csv has a header and no rows"):
        read_table(HEADER)


ONE_HOT = {"one_hot": ["MEL", "NV"], "malignant": ["MEL"]}
TWO_TABLES = [{"file": "table.csv"}, {"file": "truth.csv", "join_on": "image"}]


def read_joined(read_table: Read, truth: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_table(HEADER + GOOD + "i2,l2,p2,50,male,True,False,nv\n", truth, tables=TWO_TABLES, label=ONE_HOT)


def test_a_joined_one_hot_truth_labels_the_rows_that_it_names(read_table: Read) -> None:
    rows, quarantine = read_joined(read_table, "image,MEL,NV\ni2,1.0,0.0\nelse,0,1\n")
    assert rows["diagnosis"].fillna("none").tolist() == ["none", "MEL"]
    assert rows["malignant"].tolist() == [pd.NA, True]
    assert quarantine[["line", "image_id", "value", "reason"]].to_numpy().tolist() == [
        [2, "i1", "i1", "truth.csv has no row for it: its columns are not known"],
        [3, "", "else", "table.csv has no row for it"],
    ]


def test_a_truth_with_none_set_is_unlabelled_and_with_several_is_broken(read_table: Read) -> None:
    rows, quarantine = read_joined(read_table, "image,MEL,NV\ni1,0,0\ni2,1,1\n")
    assert rows["diagnosis"].isna().tolist() == [True]
    assert quarantine[["image_id", "line", "reason"]].to_numpy().tolist() == [["i2", 3, "several of MEL, NV are set"]]


def test_a_truth_that_is_no_number_is_broken(read_table: Read) -> None:
    rows, quarantine = read_joined(read_table, "image,MEL,NV\ni1,0,yes\ni2,0,1\n")
    assert rows["image_id"].tolist() == ["i2"]
    assert quarantine[["column", "value", "reason"]].to_numpy().tolist() == [["NV", "yes", "not a number"]]


def test_a_joined_table_without_the_key_is_refused_by_name(read_table: Read) -> None:
    with pytest.raises(ValueError, match=r"truth.csv: no column 'image' to join on. Its columns: id, MEL, NV"):
        read_joined(read_table, "id,MEL,NV\ni1,0,1\n")


def test_a_joined_table_that_repeats_a_key_is_refused(read_table: Read) -> None:
    with pytest.raises(ValueError, match=r"truth.csv: image i1 stands in several rows. Keep one row per image"):
        read_joined(read_table, "image,MEL,NV\ni1,0,1\ni1,1,0\n")


def test_tables_of_one_name_in_two_folders_are_told_apart(read_table: Read) -> None:
    tables = [{"file": "meta/all.csv"}, {"file": "truth/all.csv", "join_on": "image"}]
    rows, _ = read_table(HEADER + GOOD, "image,MEL,NV\ni1,1,0\n", tables=tables, label=ONE_HOT)
    assert rows["diagnosis"].tolist() == ["MEL"]


def test_a_column_that_other_releases_name_differently_is_renamed(read_table: Read) -> None:
    tables = [{"file": "table.csv", "rename": {"gender": "sex"}}]
    for header in (HEADER, HEADER.replace("sex", "gender")):
        rows, _ = read_table(header + GOOD, tables=tables)
        assert rows["sex"].tolist() == ["female"]


CELLS = {
    "image": st.sampled_from(["", "i1", "i2", "i3", "i4", "i5", "a/b"]),
    "lesion": st.sampled_from(["", "l1", "l2", "l3"]),
    "patient": st.sampled_from(["", "NA", "p1", "p2"]),
    "age": st.sampled_from(["", "0", "44.5", "old", "999"]),
    "sex": st.sampled_from(["", "female", "male", "?"]),
    "itches": st.sampled_from(["", "True", "0", "maybe"]),
    "bleeds": st.sampled_from(["", "False"]),
    "dx": st.sampled_from(["", "nv", "mel", "what"]),
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=12))
def test_no_row_is_lost_without_a_word(read_table: Read, records: list[dict[str, str]]) -> None:
    table = pd.DataFrame(records, columns=list(CELLS), dtype="str")
    buffer = io.StringIO()
    table.to_csv(buffer, index=False)
    assume((table != "").any(axis=None))
    rows, quarantine = read_table(buffer.getvalue())
    assert len(rows) + quarantine["line"].nunique() == (table != "").any(axis=1).sum()
    assert rows["image_id"].is_unique
    assert len(rows) == 0 or rows.groupby("lesion_id")["patient_id"].nunique().max() == 1
    assert not (quarantine[["column", "reason"]] == "").any(axis=None)
