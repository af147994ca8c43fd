"""The lesions table."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.cohorts.matched_files import UNUSED_COLUMNS, MatchedFiles
from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.tables.decisions import DECIDED
from slimp_pipeline.tables.lesions import field_columns, fingerprint, lesions_schema, link_images
from slimp_pipeline.tables.manifest import diagnosis_table, in_words


def store_table(image_ids, refused=None) -> pd.DataFrame:
    count = len(image_ids)
    return pd.DataFrame(
        {
            "image_id": pd.Series(image_ids, dtype="str"),
            "sha256": pd.Series([f"s-{name}" for name in image_ids], dtype="str"),
            "refused": pd.Series(refused or [None] * count, dtype="str"),
        }
    )


def quarantined(*lines) -> pd.DataFrame:
    rows = [
        {"table": "t.csv", "line": line, "image_id": f"q{line}", "column": "age", "value": "x", "reason": "bad"}
        for line in lines
    ]
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(kept=False)


def link(spec, rows, row_quarantine, stored, unused, share):
    """Lesions, quarantine, manifest."""
    files = [{"path": f"/photos/{name}.jpg", "key": "", "image_id": name} for name in stored["image_id"]]
    unused_files = pd.DataFrame(unused, columns=UNUSED_COLUMNS, dtype="str")
    num_rows = len(rows) + row_quarantine["line"].nunique()
    facts = {"table": "t.csv", "num_rows": num_rows, "joins": {}, "names_absent": [], "decisions": {}, "notes": []}
    reading = Reading(rows.assign(image_folder=""), row_quarantine, facts)
    images = pd.DataFrame(files, columns=["path", "key", "image_id"]).assign(size_bytes=1, mtime_ns=1)
    ingested = link_images(spec, reading, MatchedFiles(images, unused_files, ["a word"]), stored, share)
    return ingested.lesions, ingested.quarantine, ingested.manifest


UNUSED = [[f"/photos/x{n}.jpg", "", f"x{n}", "no_row", "no row"] for n in range(5)]


@pytest.fixture
def rows(make_lesions) -> pd.DataFrame:
    return make_lesions(["a", "a", "b", "c"], diagnosis=["nevus", "melanoma", None, "nevus"]).drop(
        columns="store_index"
    )


def test_rows_are_linked_to_the_store_row_of_their_image(spec, rows):
    images = store_table(["i0003", "extra", "i0000"])
    lesions, quarantine, _ = link(spec, rows, quarantined(), images, [], 0.5)
    assert lesions["image_id"].tolist() == ["i0000", "i0001", "i0002", "i0003"]
    assert lesions["store_index"].fillna(-1).tolist() == [2, -1, -1, 0]
    assert quarantine.empty
    assert list(quarantine) == COLUMNS


def duplicates(**others) -> pd.DataFrame:
    """Quarantine of images that a person took for duplicates."""
    rows = [
        {"table": "", "line": -1, "image_id": name, "column": DECIDED, "value": f"duplicate_of {other}", "reason": "r"}
        for name, other in others.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(kept=False)


@pytest.mark.parametrize(
    ("others", "count"),
    [
        ({"a1": "i0000", "a2": "a1"}, 0),  # it has a picture
        ({"a1": "i0001"}, 1),  # its file is refused
        ({"a1": "i0002", "a2": "a1"}, 2),  # it has no file
    ],
)
def test_duplicates_are_told_whose_other_image_has_no_picture(spec, rows, others, count):
    images = store_table(["i0000", "i0001", "i0003"], [None, "the file is empty", None])
    *_, manifest = link(spec, rows, duplicates(**others), images, [], 0.5)
    (*_, note) = ["", *(text for text in manifest["notes"] if "duplicate" in text)]
    assert note.startswith(
        f"{count} images were dropped as duplicates, and the one that stays has no pic" if count else ""
    )
    assert bool(note) == bool(count) and "i000" not in note and "a1" not in note


def test_the_manifest_counts_everything(spec, rows):
    images = store_table(["i0000", "i0001", "i0003"], [None, "the file is empty", None])
    rows["patient_known"] = [True, True, False, True]
    lesions, quarantine, manifest = link(spec, rows, quarantined(7, 7, 9), images, UNUSED, 0.5)
    assert lesions["image_id"].tolist() == ["i0000", "i0002", "i0003"]
    assert len(quarantine) == 4
    counts = {name: value for name, value in manifest.items() if name.startswith("num_")}
    assert counts == {
        "num_rows": 6,
        "num_rows_quarantined": 3,
        "num_rows_with_image": 2,
        "num_rows_without_image": 1,
        "num_images_without_row": 5,
        "num_images_refused": 1,
        "num_files": 8,
        "num_patients": 3,
        "num_patients_with_image": 2,
        "num_rows_without_patient_id": 1,
        "num_lesions": 3,
    }
    assert manifest["diagnoses"] == {"nevus": 2, "nan": 1}
    assert manifest["quarantine_reasons"] == {"(image): the file is empty": 1, "age: bad": 3}
    assert (manifest["cohort"], manifest["licence"]) == ("clinic", "CC0-1.0")
    assert manifest["fingerprint"] == fingerprint(lesions, images)
    assert manifest["files_unused"] == {"no_row": 5, "refused": 1} and manifest["notes"] == ["a word"]


def test_what_ingest_found_is_said_line_by_line(spec, rows):
    images = store_table(["i0000", "i0001", "i0003"], [None, "the file is empty", None])
    lesions, _, manifest = link(spec, rows, quarantined(7, 7, 9), images, UNUSED, 0.5)
    unused = pd.DataFrame(UNUSED, columns=UNUSED_COLUMNS)
    assert in_words(manifest, diagnosis_table(lesions), unused).splitlines() == [
        "clinic: 6 rows, 2 with an image, of 2 patients; 3 quarantined",
        "  3 x age: bad",
        "  1 x (image): the file is empty",
        "  8 files, 2 used; listed in unused_files.csv:",
        "    5 x no row",
        "  note: a word",
        "  diagnosis        rows  malignancy with image   without",
        "  nevus               2  benign              2         0",
        "  (not known)         1  benign              0         1",
    ]
    many = manifest | {"quarantine_reasons": {f"age: {n}": 1 for n in range(7)}}
    assert "  and 2 other reasons: see quarantine.csv" in in_words(many, diagnosis_table(lesions), unused).splitlines()


def test_a_row_whose_image_was_refused_goes_to_quarantine_with_the_reason(spec, rows):
    images = store_table(["i0000", "i0001", "i0002", "i0003"], [None, None, "damaged: truncated", None])
    lesions, quarantine, _ = link(spec, rows, quarantined(), images, [], 0.5)
    assert quarantine.to_dict("records") == [
        {
            **{"table": "", "line": -1, "image_id": "i0002", "column": "(image)", "value": ""},
            **{"reason": "damaged: truncated", "kept": False},
        }
    ]
    assert lesions["store_index"].tolist() == [0, 1, 3]


def test_an_image_id_of_several_files_is_set_aside(spec, rows):
    images = store_table(["i0000", "i0002"])
    both = [[f"/{place}/i0001.jpg", "", "i0001", "conflict", "several files: /a and /b"] for place in "ab"]
    lesions, quarantine, _ = link(spec, rows, quarantined(), images, both, 0.5)
    assert quarantine[["image_id", "reason"]].to_numpy().tolist() == [["i0001", "several files: /a and /b"]]
    assert lesions["image_id"].tolist() == ["i0000", "i0002", "i0003"]


def test_more_broken_rows_than_the_share_allows_is_an_error_with_reasons_and_an_example(spec, rows):
    images = store_table(["i0000", "i0001"], ["the file is empty", "the file is empty"])
    link(spec, rows, quarantined(), images, [], 0.5)
    with pytest.raises(ValueError, match=r"clinic: 2 of 4 rows are broken.*0\.49.*max_quarantined_share") as caught:
        link(spec, rows, quarantined(), images, [], 0.49)
    assert "2 x (image): the file is empty" in str(caught.value)
    assert "i0000" in str(caught.value)


def test_rows_that_people_dropped_are_no_broken_rows(spec, rows):
    dropped = quarantined(-1, -1, -1, -1).assign(table="", column=DECIDED, reason="decision: drop")
    dropped["image_id"] = ["d0", "d1", "d2", "d3"]
    kept = dropped.head(1).assign(image_id="i0000", kept=True)
    facts = {"table": "t.csv", "num_rows": 8, "joins": {}, "names_absent": [], "decisions": {"drop": 4}, "notes": []}
    reading = Reading(rows.assign(image_folder=""), pd.concat([dropped, kept], ignore_index=True), facts)
    files = MatchedFiles(pd.DataFrame(columns=["image_id", "path", "key"]), pd.DataFrame(columns=UNUSED_COLUMNS), [])
    ingested = link_images(spec, reading, files, store_table([f"i000{n}" for n in range(4)]), 0.0)
    assert len(ingested.lesions) == 4
    assert ingested.manifest["decisions"] == {"drop": 4}
    assert ingested.manifest["num_rows_quarantined"] == 4
    assert ingested.manifest["quarantine_reasons"] == {"(decision): decision: drop": 4}


@pytest.mark.parametrize("lines", [(), (1, 2)])
def test_a_cohort_without_a_good_row_is_refused_whatever_the_share(spec, rows, lines):
    with pytest.raises(ValueError, match="rows are broken"):
        link(spec, rows.iloc[:0], quarantined(*lines), store_table([]), [], 1.0)


def test_a_cohort_of_tables_alone_has_no_store_rows(spec, rows):
    lesions, _, manifest = link(spec, rows, quarantined(), store_table([]), [], 0.0)
    assert lesions["store_index"].isna().all()
    assert (manifest["num_rows_with_image"], manifest["num_rows_without_image"]) == (0, 4)


def test_a_table_that_breaks_its_schema_is_refused_in_a_few_readable_lines(spec, rows):
    broken = rows.assign(lesion_id=["l0", "", "l2", "l3"], diameter_mm=["4", "5", "6", "7"])
    with pytest.raises(ValueError, match="cohort clinic: the lesions table breaks its schema") as caught:
        link(spec, broken, quarantined(), store_table([]), [], 0.0)
    message = str(caught.value)
    assert "lesion_id" in message
    assert "diameter_mm" in message
    assert len(message.splitlines()) <= 8


def test_an_unknown_column_breaks_the_schema(spec, rows):
    with pytest.raises(ValueError, match="surprise"):
        link(spec, rows.assign(surprise=1), quarantined(), store_table([]), [], 0.0)


def test_the_schema_names_one_column_per_field_or_checkbox_option(spec):
    assert field_columns(spec) == {
        "diameter_mm": "numeric",
        "site": "categorical",
        "symptom.itch": "checkbox",
        "symptom.bleed": "checkbox",
        "age_years": "numeric",
        "sex": "categorical",
        "habit.smoke": "checkbox",
        "habit.drink": "checkbox",
    }
    assert set(field_columns(spec)) < set(lesions_schema(spec).columns)


@settings(max_examples=10)
@given(order=st.permutations(range(4)), store_order=st.permutations(range(4)))
def test_the_fingerprint_depends_on_no_order(spec, make_lesions, order, store_order):
    rows = make_lesions(["a", "a", "b", "c"]).drop(columns="store_index")
    images = store_table([f"i{row:04d}" for row in range(4)])
    _, _, first = link(spec, rows, quarantined(), images, [], 0.0)
    shuffled = images.iloc[list(store_order)].reset_index(drop=True)
    _, _, second = link(spec, rows.iloc[list(order)], quarantined(), shuffled, [], 0.0)
    assert first["fingerprint"] == second["fingerprint"]


def test_the_fingerprint_changes_with_a_value_a_pixel_or_a_missing_image(spec, rows):
    images = store_table([f"i{row:04d}" for row in range(4)])

    def digest(rows, images):
        return link(spec, rows, quarantined(), images, [], 0.0)[2]["fingerprint"]

    other_value = rows.assign(age_years=[50.0, 50.0, 50.0, 51.0])
    other_pixel = images.assign(sha256=["s-i0000", "s-i0001", "s-i0002", "different"])
    digests = [
        digest(rows, images),
        digest(other_value, images),
        digest(rows, other_pixel),
        digest(rows, images.iloc[:3]),
    ]
    assert len(set(digests)) == 4
    assert all(len(value) == 16 for value in digests)
