"""A table of metadata, brought to the pictures."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.embedding.metadata import read_rows
from slimp_pipeline.parameters import EmbeddingParams
from slimp_pipeline.tables.encoding import encode

PICTURES = pd.DataFrame({"picture": ["a.png", "b.jpg", "more/c.png", "d.png"], "image_id": ["a", "b", "c", "d"]})


@pytest.fixture
def read(encoding, tmp_path):
    def rows(text, pictures=PICTURES, **columns):
        (tmp_path / "table.csv").write_text(text)
        return read_rows(tmp_path / "table.csv", pictures, encoding, EmbeddingParams(**columns))

    return rows


def notes(rows, word):
    return [note for note in rows.notes if word in note]


def test_rows_find_their_pictures_by_name_with_or_without_suffix_in_the_pictures_order(read):
    rows = read("image_id,lesion_id,diameter_mm\nc.PNG,l2,3\na,l1,2.5\nb,l1,\n")
    assert rows.has_row_N.tolist() == [True, True, True, False]
    assert rows.fields["diameter_mm"].tolist() == ["2.5", None, "3", None]
    assert rows.lesion_id_N.tolist() == ["l1", "l1", "l2", None]
    assert rows.unmatched == {}


def test_rows_with_paths_find_pictures_that_share_a_name(read):
    pictures = pd.DataFrame({"picture": ["x/a.png", "y/a.png"], "image_id": ["a", "a"]})
    rows = read("image_id,diameter_mm\ny/a.png,2\nx\\a.png,1\n", pictures)
    assert rows.fields["diameter_mm"].tolist() == ["1", "2"]


def test_a_name_that_several_pictures_share_means_none_of_them_and_that_is_said(read):
    pictures = pd.DataFrame({"picture": ["x/a.png", "y/a.png", "b.png"], "image_id": ["a", "a", "b"]})
    rows = read("image_id,diameter_mm\na,2\nb,1\n", pictures)
    assert rows.has_row_N.tolist() == [False, False, True]
    assert notes(rows, "share their name") and "x/a.png, y/a.png" in notes(rows, "share their name")[0]
    assert rows.unmatched == {2: ("a", "several pictures have this name: write paths below the folder")}


def test_a_name_with_suffix_tells_pictures_of_one_stem_apart(read):
    pictures = pd.DataFrame({"picture": ["a.jpg", "a.png", "b.png"], "image_id": ["a", "a", "b"]})
    rows = read("image_id,diameter_mm\na.png,2\na.jpg,1\nb,3\n", pictures)
    assert rows.fields["diameter_mm"].tolist() == ["1", "2", "3"]
    assert rows.unmatched == {} and not notes(rows, "share their name")


def test_rows_without_a_picture_are_told_by_their_line(read):
    rows = read("image_id,diameter_mm\na,1\nz,2\n,3\n")
    assert rows.unmatched == {3: ("z", "no picture has this name"), 4: ("", "it names no picture")}


def test_columns_that_are_not_read_and_fields_that_are_not_there_are_named(read):
    rows = read("image_id,diameter_mm,mood\na,1,good\n")
    assert notes(rows, "aren't read") == ["columns that aren't fields of the encoder, and aren't read: mood"]
    (absent,) = notes(rows, "lacks")
    assert absent.startswith("the table lacks fields of the encoder, which count as not known: depth_mm, site, texture")
    assert notes(read("image_id,mood\na,good\n"), "no column of the table is a field of the encoder; its fields are ")


def test_values_that_count_as_not_known_or_were_never_met_are_named(read):
    rows = read("image_id,diameter_mm,site\na,4 mm,arm\nb,101,elbow\nc,NA,unknown\n")
    assert notes(rows, "diameter_mm") == [
        "diameter_mm: 2 values are no possible numbers and count as not known (4 mm, 101)"
    ]
    assert notes(rows, "site") == [
        "site: 2 values were never met in training (elbow, unknown; known are arm, back, leg)"
    ]


def test_ticks_that_cannot_be_read_are_named_and_their_group_is_not_known(read, encoding):
    rows = read("image_id,symptom.itch,symptom.bleed\na,x,no\nb,ja,nein\nc,yes,NA\nd,,\n")
    assert notes(rows, "symptom:") == [
        "symptom: 3 cells are neither true nor false (x, ja, nein), and in their rows the whole group counts as not "
        "known; read are true, false, yes, no, 1, 0"
    ]
    assert encode(encoding.lesion, rows.fields)["checkbox_known"][:, 0].tolist() == [False, False, True, False]


def test_texts_in_another_form_are_read_as_ingest_reads_them(read):
    decomposed = unicodedata.normalize("NFD", "é")
    pictures = pd.DataFrame({"picture": [f"{decomposed}.png", "b.png"], "image_id": [decomposed, "b"]})
    rows = read(f"image_id,site,lesion_id\n{decomposed}.png,arm\u200b,\u00e9\nb,\u00a0leg,{decomposed}\n", pictures)
    assert rows.has_row_N.all() and rows.fields["site"].tolist() == ["arm", "leg"]
    assert rows.lesion_id_N.tolist() == ["\u00e9"] * 2
    assert notes(rows, "another Unicode form") == [
        "cells held invisible characters or another Unicode form, and are read without: 1 of site, 1 of lesion_id"
    ]


def test_a_picture_with_a_row_and_no_lesion_is_counted(read):
    rows = read("image_id,lesion_id\na,\nb,l1\nc,unknown\n")  # as in a cohort, this is nobody's id
    assert rows.lesion_id_N.tolist() == [None, "l1", None, None]
    assert notes(rows, "in no lesion") == ["2 pictures have a row without `lesion_id`, and stand in no lesion"]
    assert read("image_id\na\n").lesion_id_N is None


def test_lesions_of_several_patients_are_not_pooled_though_they_share_an_id(read):
    rows = read("image_id,patient_id,lesion_id\na,p1,1\nb,p1,1\nc,p2,1\nd,,1\n")
    assert rows.lesion_id_N.tolist() == ["p1_1", "p1_1", "p2_1", None]
    assert notes(rows, "several") == [
        "1 lesion ids stand under several patients: a lesion is told by `patient_id`, too"
    ]
    alone = read("image_id,patient_id,lesion_id\na,p1,1\nb,p1,1\nc,p2,2\nd,,1\n")
    assert alone.lesion_id_N.tolist() == ["1", "1", "2", "1"] and not notes(alone, "several")
    assert not notes(alone, "aren't read")


def test_a_lesion_of_one_patient_keeps_its_id_though_others_share_theirs(read):
    rows = read("image_id,patient_id,lesion_id\na,p1,1\nb,p2,1\nc,,7\nd,,1\n")
    assert rows.lesion_id_N.tolist() == ["p1_1", "p2_1", "7", None]
    assert notes(rows, "in no lesion") == []
    assert notes(rows, "in none") == [
        "1 pictures have a row without `patient_id`, and a lesion id that patients share: of which lesion they are "
        "isn't told, and they stand in none"
    ]


def test_ids_that_joining_would_confuse_are_refused(read):
    with pytest.raises(ValueError, match="joined by `_` `who` and `lesion_id` don't tell lesions apart"):
        read("image_id,who,lesion_id\na,p,1\nb,q,1\nc,r,p_1\n", patient_column="who")
    with pytest.raises(ValueError, match=r"2 lesion ids .* don't tell lesions apart"):
        read("image_id,patient_id,lesion_id\na,p,1_2\nb,q,1_2\nc,p_1,2\nd,r,2\n")


def test_a_table_that_cannot_be_used_is_refused_in_a_sentence(read):
    with pytest.raises(ValueError, match=r"no column `image_id`.* It has: isic_id, sex\. Name the right one"):
        read("isic_id,sex\na,male\n")
    with pytest.raises(ValueError, match=r"several rows are of the picture a \(lines 2, 4\)"):
        read("image_id,sex\na,male\nb,male\na,female\n")
    with pytest.raises(ValueError, match=r"several rows are of the picture a\.png \(lines 2, 4\)"):
        read("image_id,sex\na,male\nb,male\na.png,female\n")
    with pytest.raises(ValueError, match=r"several rows are of the picture more/c\.png \(lines 2, 3\)"):
        read("image_id,sex\nmore/c,male\nmore/c.png,female\n")
    with pytest.raises(
        ValueError,
        match=r"no column `lesoin`, .*It has: image_id, lesion\. Name the right one: --params=embedding\.les",
    ):
        read("image_id,lesion\na,l1\n", lesion_column="lesoin")
    with pytest.raises(ValueError, match=r"no row is of a picture \(its first: 'z'; the first picture: 'a'\)"):
        read("image_id,sex\nz,male\n")


def test_columns_may_have_other_names(read):
    rows = read("isic_id,lesion\na,l9\n", image_column="isic_id", lesion_column="lesion")
    assert rows.lesion_id_N[0] == "l9" and np.flatnonzero(rows.has_row_N).tolist() == [0]
