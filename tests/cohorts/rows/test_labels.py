"""What a YAML names must occur in the data, and labels that leave something open are said or refused."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from slimp_pipeline.cohorts.rows import values
from slimp_pipeline.cohorts.rows.reader import Reading, read_rows

HEADER = "image,patient,dx,sex,age,site,biopsied\n"
ReadTables = Callable[..., Reading]
OWN: dict[str, Any] = {
    "partial": False,
    "lesion_id": [],
    "label": {"column": "dx", "malignant": ["melanoma"]},
    "fields": {
        "sex": {"kind": "categorical", "level": "patient", "column": "sex", "categories": ["f", "m"]},
        "site": {"kind": "categorical", "level": "lesion", "column": "site"},
    },
    "leaks": {"biopsied": "suspicious lesions are biopsied"},
}


def table(*diagnoses: str, sex: str = "fm", site: str = "arm") -> str:
    rows = [f"i{n},p{n},{dx},{sex[n % len(sex)]},50,{site},no" for n, dx in enumerate(diagnoses)]
    return HEADER + "\n".join(rows)


def own(**changes: Any) -> dict[str, Any]:
    return OWN | changes


def label(**changes: Any) -> dict[str, Any]:
    return own(label={"column": "dx", **changes})


def field(**changes: Any) -> dict[str, Any]:
    site = {"kind": "categorical", "level": "lesion", "column": "site", **changes}
    return own(fields={"sex": OWN["fields"]["sex"], "site": site})


USUAL = table("nevus", "melanoma")


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (table("1.0", "0.0"), label(malignant=["1"]), r"no row has the diagnosis '1'; there are .* Is '1.0' meant"),
        (USUAL, label(malignant=["melanom"]), r"`label.malignant`: no row has the diagnosis 'melanom'; there are"),
        (USUAL, label(malignant=["melanoma"], indeterminate=["atypical"]), "`label.indeterminate`: .*'atypical'"),
        (USUAL, label(malignant=["melanoma"], missing=["UNK"]), r"`label.missing`: no row has the label 'UNK'"),
        (
            USUAL, label(malignant=["bad"], classes={"nevus": "good", "melanoma": "bad", "bcc": "worse"}),
            r"`label.classes`: no row has the label 'bcc'",
        ),
        (USUAL, own(leaks={"Biopsied": "it leaks"}), r"`leaks`: no column is called 'Biopsied'; .* Is 'biopsied' mea"),
        (USUAL, own(leaks={"histology": "it leaks"}), r"`leaks`: no column is called 'histology'"),
        (USUAL, own(missing=["XX"]), r"`missing`: no id is 'XX'"),
        (table("nevus", "melanoma", sex="f"), OWN, r"`fields.sex.categories`: no row has the category 'm'; there are"),
        (USUAL, field(missing=["unclear"]), r"`fields.site.missing`: no cell is 'unclear'; there are 'arm'"),
        (USUAL, field(rename={"ARM": "arm"}), r"`fields.site.rename`: no cell is 'ARM'; there are 'arm'. Is 'arm' me"),
        (USUAL, field(column="Site") | {"optional": ["Site"]}, "`optional`: .*'Site'.*'site'"),
        (USUAL, own(ignored=["comment"]), r"`ignored`: no column is called 'comment'"),
        (
            USUAL, own(tables=[{"file": "table.csv", "rename": {"Foto": "image"}}]),
            r"table.csv: no column is called Foto, which tables\[0\].rename of cohort small names. There are: image, ",
        ),
    ],
)  # fmt: skip
def test_a_name_that_matches_nothing_is_refused_with_what_occurs(
    read_tables: ReadTables, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_tables(text, **settings)


def test_all_names_that_match_nothing_are_said_at_once(read_tables: ReadTables) -> None:
    with pytest.raises(ValueError) as refused:
        read_tables(
            USUAL,
            **label(malignant=["mm", "bcc"]),
        )
    assert "'mm'" in str(refused.value) and "'bcc'" in str(refused.value) and "partial: true" in str(refused.value)


def test_a_partial_cohort_may_lack_names_and_says_so(read_tables: ReadTables) -> None:
    reading = read_tables(USUAL, **label(malignant=["melanoma", "bcc"]) | {"partial": True})
    assert reading.facts["names_absent"] == ["label.malignant: bcc"]
    assert reading.rows["malignant"].tolist() == [False, True]


def test_a_slip_of_spelling_is_refused_in_a_partial_cohort_too(read_tables: ReadTables) -> None:
    with pytest.raises(ValueError, match=r"no row has the diagnosis '1'.*Is '1.0' meant"):
        read_tables(table("1.0", "0.0"), **label(malignant=["1"]) | {"partial": True})


def test_other_spellings_of_one_class_needn_t_occur(read_tables: ReadTables) -> None:
    classes = {"0": "benign", "1": "malignant", "0.0": "benign", "1.0": "malignant"}
    reading = read_tables(table("1.0", "0.0"), **label(classes=classes, malignant=["malignant"]))
    assert reading.rows["malignant"].tolist() == [True, False] and not reading.facts["notes"]


def test_diagnoses_that_differ_by_spelling_are_named(read_tables: ReadTables) -> None:
    reading = read_tables(table("nevus", "Nevus", "melanoma"), **OWN)
    assert [note for note in reading.facts["notes"] if "'Nevus' and 'nevus' differ by spelling alone" in note]


@pytest.mark.parametrize("other", ["MELANOMA", "melanoma  ", "Melanoma", "melanoma.", "mélanoma", "m&#101;lanoma"])
def test_a_spelling_that_would_count_as_benign_is_refused(read_tables: ReadTables, other: str) -> None:
    text = table("nevus", "melanoma", f'"{other if other.isascii() and other[1] == "&" else other.upper()}"')
    with pytest.raises(ValueError, match=r"differ by spelling alone.*some of these lesions would count as benign"):
        read_tables(text, **OWN)


def test_several_spellings_of_several_diagnoses_are_named_together(read_tables: ReadTables) -> None:
    text = table("nevus", "Wart", "NEVUS", "wart", "Nevus", "melanoma")
    notes = [note for note in read_tables(text, **OWN).facts["notes"] if note.startswith("the diagnoses")]
    assert [note.partition(" differ")[0] for note in notes] == [
        "the diagnoses 'NEVUS' and 'Nevus' and 'nevus'",
        "the diagnoses 'Wart' and 'wart'",
    ]


def test_looking_for_spellings_takes_time_in_proportion_to_the_texts(
    read_tables: ReadTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, as_it_is = [], values.folded
    monkeypatch.setattr(values, "folded", lambda text: calls.append(text) or as_it_is(text))

    def folds(count: int) -> int:
        """Of distinct diagnoses and sites; the YAML names diagnoses and sites, of each some that aren't there."""
        calls.clear()
        rows = [f"i{n},p{n},free text {n},{'fm'[n % 2]},50,site {n},no" for n in range(count)]
        named = [f"{n}" for n in range(count // 2, 3 * count // 2)]
        open_ = label(malignant=[f"free text {n}" for n in named]) | {"partial": True}
        assert read_tables(HEADER + "\n".join(rows), **open_).rows["diagnosis"].nunique() == count
        closed = field(categories=[f"site {n}" for n in named]) | {"partial": True}
        closed["label"] = {"column": "dx"}
        assert len(read_tables(HEADER + "\n".join(rows), **closed).rows) == count - count // 2
        return len(calls)

    few = folds(50)
    assert few > 0 and folds(200) < 5 * few


@pytest.mark.parametrize(
    ("text", "settings", "note"),
    [
        (table("", "", "NA"), OWN, "no row has a diagnosis: dx is empty in all 3 rows"),
        (table("melanoma", "melanoma"), OWN, "every labelled row has the diagnosis 'melanoma'"),
        (table("melanoma", "melanoma"), OWN, "every row whose malignancy can be told is malignant"),
        (USUAL, label(), "which lesions are malignant can't be told"),
        (USUAL, own(label=None), "no label: the YAML names none"),
    ],
)
def test_what_labels_leave_open_is_said(
    read_tables: ReadTables, text: str, settings: dict[str, Any], note: str
) -> None:
    assert any(said.startswith(note) for said in read_tables(text, **settings).facts["notes"])


def test_a_listed_category_is_a_category_and_tokens_are_missing_whatever_their_case(read_tables: ReadTables) -> None:
    ulcer = {"kind": "categorical", "level": "lesion", "column": "site", "categories": ["None", "Mild"]}
    text = HEADER + "".join(
        f"i{n},p{n},nevus,f,5,{site},no\n" for n, site in enumerate(["None", "Mild", "N/a", "NULL"])
    )
    reading = read_tables(text, **own(fields={"ulcer": ulcer}, label=label(malignant=["nevus"])["label"]))
    assert reading.rows["ulcer"].fillna("?").tolist() == ["None", "Mild", "?", "?"]


def test_a_spelling_of_a_listed_category_is_no_gap(read_tables: ReadTables) -> None:
    ulcer = {"kind": "categorical", "level": "lesion", "column": "site", "categories": ["None", "Mild"]}
    text = HEADER + "".join(f"i{n},p{n},nevus,f,5,{site},no\n" for n, site in enumerate(["None", "Mild", "none"]))
    reading = read_tables(text, **own(fields={"ulcer": ulcer}, label=label(malignant=["nevus"])["label"]))
    assert reading.quarantine["reason"].tolist() == ["unknown category: known are None, Mild; is 'None' meant?"]


UNKNOWN = ["", "unknown", "Unknown", "UNKNOWN", "-", "n/a", "none", "NaN"]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_id_that_means_not_known_is_nobodys(read_tables: ReadTables, unknown: str) -> None:
    rows = read_tables(HEADER + f"i1,{unknown},nevus,f,5,arm,no\ni2,{unknown},melanoma,m,5,arm,no\n", **OWN).rows
    assert rows["patient_known"].tolist() == [False, False] and rows["patient_id"].nunique() == 2


def test_a_cohort_names_its_own_tokens_for_unknown_ids(read_tables: ReadTables) -> None:
    text = HEADER + "i1,999,nevus,f,5,arm,no\ni2,999,melanoma,m,5,arm,no\ni3,p3,nevus,m,5,arm,no\n"
    rows = read_tables(text, **own(missing=["999"])).rows
    assert rows["patient_known"].tolist() == [False, False, True]


def test_a_patient_who_owns_an_improbable_share_is_named(read_tables: ReadTables) -> None:
    rows = [
        f"i{n},{'anonymous' if n % 2 else f'p{n}'},{('nevus', 'melanoma')[n % 3 > 1]},{'fm'[n % 3 > 0]},5,arm,no"
        for n in range(40)
    ]
    notes = read_tables(HEADER + "\n".join(rows), **OWN).facts["notes"]
    assert any(
        note.startswith("one patient, whose id has the form 'aaaaaaaaa', owns 20 of 40 rows, the next 1")
        for note in notes
    )
    fair = [row.replace("anonymous", f"q{n // 4}") for n, row in enumerate(rows)]
    assert not read_tables(HEADER + "\n".join(fair), **OWN).facts["notes"]


TWO = [{"file": "table.csv"}, {"file": "truth.csv", "join_on": "image"}]
FIRST = HEADER.replace(",dx", "") + "i1,p1,f,5,arm,no\ni2,p2,m,5,arm,no\n"


def test_rows_without_partner_and_partners_without_row_are_counted_and_listed(read_tables: ReadTables) -> None:
    reading = read_tables(FIRST, "image,dx\ni1,melanoma\ni9,nevus\n,nevus\n", **own(tables=TWO, partial=True))
    assert reading.facts["joins"] == {"truth.csv": {"rows": 1, "rows_without_partner": 1, "partners_without_row": 2}}
    assert reading.facts["notes"][:2] == [
        "1 rows have no partner in truth.csv: quarantine.csv lists them",
        "2 rows of truth.csv belong to no row of table.csv: quarantine.csv lists them",
    ]
    assert reading.quarantine[["table", "line", "image_id", "kept"]].to_numpy().tolist() == [
        ["table.csv", 3, "i2", True], ["truth.csv", 3, "", False], ["truth.csv", 4, "", False],
    ]  # fmt: skip
    assert reading.rows["diagnosis"].fillna("?").tolist() == ["melanoma", "?"]


def test_tables_that_have_no_id_in_common_are_refused_with_an_example_of_both(read_tables: ReadTables) -> None:
    with pytest.raises(ValueError, match=r"truth.csv: no row has a image of table.csv \('i1' there, 'i1.jpg' here\)"):
        read_tables(FIRST, "image,dx\ni1.jpg,melanoma\ni2.jpg,nevus\n", **own(tables=TWO))


def test_a_column_that_two_tables_have_and_that_differs_is_said(read_tables: ReadTables) -> None:
    truth = "image,dx,site\ni1,melanoma,leg\ni2,nevus,arm\n"
    reading = read_tables(FIRST, truth, **own(tables=TWO))
    assert reading.facts["notes"] == [
        "column site of truth.csv isn't read, the first table has it too; they differ in 1 rows"
    ]
    assert reading.rows["site"].tolist() == ["arm", "arm"]


def test_a_column_that_no_table_has_is_blamed_on_all_of_them(read_tables: ReadTables) -> None:
    one_hot = {"one_hot": ["MEL", "NV"], "malignant": ["MEL"]}
    with pytest.raises(
        ValueError, match=r"table.csv or truth.csv: column MEL, NV not found.*truth.csv has: image, 0, 1"
    ):
        read_tables(FIRST, "image,0,1\ni1,1,0\ni2,0,1\n", **own(tables=TWO, label=one_hot))


def test_a_further_table_needs_a_column_to_join_on(make_spec: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"tables\[1\] \(truth.csv\) needs `join_on`.* shares with table.csv"):
        make_spec(tables=[{"file": "table.csv"}, {"file": "truth.csv"}])


def cells(*texts: str) -> str:
    return HEADER + "".join(
        f'i{n},p{n},{("nevus", "melanoma")[n % 2]},f,"{text}",arm,no\n' for n, text in enumerate(texts)
    )


@pytest.mark.parametrize(
    ("texts", "decimal", "numbers"),
    [
        (["5,5", "12"], None, [5.5, 12.0]),
        (["0,125", "1,5"], None, [0.125, 1.5]),
        (["0,125", "2"], None, [0.125, 2.0]),  # no thousands start with a nought
        (["1.234,5", "7"], None, [1234.5, 7.0]),
        (["1,234.5", "2,345"], None, [1234.5, 2345.0]),
        (["1,234", "2,345"], ",", [1.234, 2.345]),
        (["1,234", "2,345"], ".", [1234.0, 2345.0]),
        (["-3,25", "+1,5"], None, [-3.25, 1.5]),
        (["1.5", "1,5"], None, [1.5, 1.5]),
        (["1.234,5", "1.500", "7"], None, [1234.5, 1500.0, 7.0]),
        (["1.500", "2"], ",", [1500.0, 2.0]),
        (["1.500", "2"], None, [1.5, 2.0]),
    ],
)
def test_decimal_commas_are_read_whatever_parts_the_cells(
    read_tables: ReadTables, texts: list[str], decimal: str | None, numbers: list[float]
) -> None:
    age = {"kind": "numeric", "level": "patient", "column": "age", "decimal": decimal}
    reading = read_tables(cells(*texts), **own(fields={"age_years": age}))
    assert reading.rows["age_years"].tolist() == numbers and reading.quarantine.empty


def test_a_comma_that_may_part_thousands_or_decimals_is_set_aside(read_tables: ReadTables) -> None:
    age = {"kind": "numeric", "level": "patient", "column": "age"}
    reading = read_tables(cells("1,234", "2"), **own(fields={"age_years": age}, partial=True))
    assert reading.quarantine["reason"].tolist() == [
        "a comma or point before three digits: decimals or thousands? Set `decimal` of the field"
    ]
    assert reading.rows["age_years"].tolist() == [2.0]


def test_a_point_that_may_part_thousands_where_commas_are_decimal_is_set_aside(read_tables: ReadTables) -> None:
    age = {"kind": "numeric", "level": "patient", "column": "age"}
    reading = read_tables(cells("1,5", "1.500"), **own(fields={"age_years": age}, partial=True))
    assert reading.quarantine["value"].tolist() == ["1.500"] and reading.rows["age_years"].tolist() == [1.5]


def test_commas_of_texts_and_ids_stay_as_they_are(read_tables: ReadTables) -> None:
    text = 'image;patient;dx;sex;age;site;biopsied\n"1,5";p1;nevus;f;5;"0,5 cm";no\ni2;p2;melanoma;m;5;arm;no\n'
    rows = read_tables(text, **OWN).rows
    assert rows["image_id"].tolist() == ["1,5", "i2"] and rows["site"].tolist() == ["0,5 cm", "arm"]
    pd.testing.assert_series_equal(rows["malignant"], pd.Series([False, True], dtype="boolean", name="malignant"))


@pytest.mark.parametrize("odd", ["melanoma\u200b", "mela\u00adnoma", "\ufeffmelanoma"])
def test_characters_that_nobody_sees_are_read_without_and_said(read_tables: ReadTables, odd: str) -> None:
    reading = read_tables(table("nevus", "melanoma", odd), **OWN)
    assert reading.rows["malignant"].tolist() == [False, True, True]
    assert reading.facts["notes"][0].endswith("are read without: 1 of dx")


def test_the_yaml_and_the_table_may_hold_different_unicode_forms(read_tables: ReadTables) -> None:
    composed, parted = "b\u00f6sartig", "bo\u0308sartig"
    reading = read_tables(table("nevus", parted, composed), **label(malignant=[parted]))
    assert reading.rows["malignant"].tolist() == [False, True, True]


def test_ids_of_one_patient_in_two_spellings_are_named(read_tables: ReadTables) -> None:
    ids = ["100", "100.0", "p7", "P07", "other"]
    rows = [f"i{n},{name},{('nevus', 'melanoma')[n % 2]},{'fm'[n % 2]},5,arm,no" for n, name in enumerate(ids)]
    (note,) = read_tables(HEADER + "\n".join(rows), **OWN).facts["notes"]
    assert note.startswith("2 patients have ids that differ by spelling alone (first: of the forms '000' and '000.0')")


@pytest.mark.parametrize("undecided", ["?", "unknown", "-", "Pending"])
def test_a_diagnosis_that_sounds_like_none_is_said_to_count_as_benign(read_tables: ReadTables, undecided: str) -> None:
    notes = read_tables(table("nevus", "melanoma", undecided), **OWN).facts["notes"]
    assert any(f"the diagnosis '{undecided}' of 1 rows counts as a class, and as benign" in note for note in notes)


def test_a_lesion_with_two_diagnoses_is_named(read_tables: ReadTables) -> None:
    text = HEADER + "i1,p1,nevus,f,5,arm,no\ni2,p1,melanoma,m,5,arm,no\n"
    notes = read_tables(text, **own(lesion_id=["patient"])).facts["notes"]
    assert notes == ["1 lesions have several diagnoses (the first: melanoma, nevus)"]


def test_a_row_whose_lesion_has_a_patient_is_that_patients(read_tables: ReadTables) -> None:
    text = "image,lesion,patient,dx\ni1,L0,p0,nevus\ni2,L0,,melanoma\ni3,L1,,nevus\n"
    reading = read_tables(text, label=OWN["label"], fields={}, leaks={}, lesion_id=["lesion"])
    assert reading.rows["patient_id"].tolist() == ["p0", "p0", "lesion:L1"]
    assert reading.rows["patient_known"].tolist() == [True, True, False] and reading.quarantine.empty
    assert reading.facts["notes"][0].startswith("1 rows without patient id belong to the patient of their lesion's")


def test_ids_that_become_one_when_joined_are_refused(read_tables: ReadTables) -> None:
    text = "image,site,nr,dx\ni1,A,1_2,nevus\ni2,A_1,2,melanoma\n"
    with pytest.raises(ValueError, match="makes A and 1_2 the same as A_1 and 2"):
        read_tables(text, label=OWN["label"], fields={}, leaks={}, lesion_id=[], patient_id=["site", "nr"])


@pytest.mark.parametrize(
    ("value", "diagnosis"), [("1", "MEL"), ("1.0", "MEL"), ("9", None), ("0.8", None), ("-1", None)]
)
def test_a_one_hot_cell_is_0_or_1(read_tables: ReadTables, value: str, diagnosis: str | None) -> None:
    text = f"image,patient,MEL,NV\ni1,p1,{value},0\ni2,p2,0,1\ni3,p3,1,0\n"
    one_hot = {"one_hot": ["MEL", "NV"], "malignant": ["MEL"]}
    reading = read_tables(text, label=one_hot, fields={}, leaks={}, lesion_id=[])
    assert reading.rows["diagnosis"].tolist() == ([diagnosis] if diagnosis else []) + ["NV", "MEL"]
    assert reading.quarantine["reason"].tolist() == ([] if diagnosis else ["neither 0 nor 1"])


def test_two_tables_whose_paths_end_alike_are_both_read(read_tables: ReadTables) -> None:
    tables = [{"file": "clinic/data.csv"}, {"file": "data.csv", "join_on": "image", "rename": {"dx": "histology"}}]
    first = HEADER + "i1,p1,nevus,f,5,arm,no\ni2,p2,nevus,m,5,arm,no\n"
    truth = "image,dx\ni1,nevus\ni2,melanoma\n"
    settings = own(tables=tables, label={"column": "histology", "malignant": ["melanoma"]})
    assert read_tables(first, truth, **settings).rows["diagnosis"].tolist() == ["nevus", "melanoma"]


def test_two_columns_that_rename_makes_one_are_refused(read_tables: ReadTables) -> None:
    tables = [{"file": "table.csv", "rename": {"biopsied": "dx"}}]
    with pytest.raises(ValueError, match=r"with `rename`, several columns are called dx"):
        read_tables(USUAL, **own(tables=tables))


def test_cells_of_a_checkbox_and_of_a_number_may_be_renamed(read_tables: ReadTables) -> None:
    text = "image,patient,dx,itches,age\ni1,p1,nevus,ja,<1\ni2,p2,melanoma,nein,7\n"
    fields = {
        "symptom": {
            **{"kind": "checkbox", "level": "lesion", "options": {"itch": "itches"}},
            **{"rename": {"ja": "yes", "nein": "no"}},
        },
        "age_years": {"kind": "numeric", "level": "patient", "column": "age", "rename": {"<1": "0.5"}},
    }
    rows = read_tables(text, label=OWN["label"], fields=fields, leaks={}, lesion_id=[], partial=False).rows
    assert rows["symptom.itch"].tolist() == [True, False] and rows["age_years"].tolist() == [0.5, 7.0]


@pytest.mark.parametrize(
    ("ids", "note"),
    [
        (["?", "?", "p2"], "patient_id '?' of 2 rows counts as one: does it mean \"not known\"?"),
        (["1.23E+08", "1.23E+08", "1.24e+08"], "2 of patient_id look like numbers that a spreadsheet rounded (first:"),
    ],
)
def test_patient_ids_that_may_stand_for_several_are_named(read_tables: ReadTables, ids: list[str], note: str) -> None:
    rows = [
        f"i{n},{name},{dx},{sex},5,arm,no"
        for n, (name, dx, sex) in enumerate(zip(ids, ("nevus", "melanoma", "nevus"), "fmf", strict=True))
    ]
    assert [said for said in read_tables(HEADER + "\n".join(rows), **OWN).facts["notes"] if said.startswith(note)]


def test_categories_in_several_spellings_are_named_where_any_text_is_one(read_tables: ReadTables) -> None:
    text = table("nevus", "melanoma") + "\ni2,p2,nevus,f,5,Arm,no\ni3,p3,nevus,m,5,leg,no"
    (note,) = read_tables(text, **OWN).facts["notes"]
    assert note.startswith("field site: 1 of its categories stand there in several spellings (first: 'aaa' and 'Aaa')")


@pytest.mark.parametrize("error", ["#REF!", "#VALUE!", "#DIV/0!"])
@pytest.mark.parametrize("column", ["image", "patient", "dx", "sex", "age", "site"])
def test_an_error_of_a_spreadsheet_is_no_value(read_tables: ReadTables, error: str, column: str) -> None:
    broken = dict(zip(HEADER.strip().split(","), ["i9", "p9", "nevus", "f", "50", "arm", "no"], strict=True)) | {
        column: error
    }
    fields = OWN["fields"] | {"age_years": {"kind": "numeric", "level": "patient", "column": "age"}}
    reading = read_tables(USUAL + "\n" + ",".join(broken.values()), **own(fields=fields))
    assert len(reading.rows) == 2 and error not in reading.rows.astype(str).to_numpy()
    assert "an error of a spreadsheet, and no value" in reading.quarantine["reason"].tolist()


@pytest.mark.parametrize(("unknown", "missing"), [("unknown", []), ("-", []), ("999", ["999"])])
def test_who_is_not_known_has_no_partner_in_another_table(
    read_tables: ReadTables, unknown: str, missing: list[str]
) -> None:
    tables = [{"file": "table.csv"}, {"file": "people.csv", "join_on": "patient"}]
    age = {"age_years": {"kind": "numeric", "level": "patient", "column": "years"}}
    rows = HEADER + f"i0,p0,nevus,f,5,arm,no\ni1,{unknown},melanoma,m,5,arm,no\n"
    reading = read_tables(
        rows, f"patient,years\np0,30\n{unknown},77\n", **own(tables=tables, missing=missing, fields=age)
    )
    assert reading.rows["age_years"].fillna(-1).tolist() == [30, -1]
    assert reading.facts["joins"]["people.csv"] == {"rows": 1, "rows_without_partner": 1, "partners_without_row": 1}


def test_a_table_that_is_not_required_and_not_there_is_said(tmp_path: Any, make_spec: Callable[..., Any]) -> None:
    (tmp_path / "table.csv").write_text(USUAL, encoding="utf-8")
    tables = [{"file": "table.csv"}, {"file": "lables.csv", "join_on": "image", "required": False}]
    reading = read_rows(make_spec(**own(tables=tables)), {0: tmp_path / "table.csv"})
    assert reading.facts["notes"] == ["no table lables.csv: its columns are not known (`required: false`)"]
