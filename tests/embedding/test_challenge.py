"""Submission files."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.embedding.challenge import CHALLENGES, read_sample, submission
from slimp_pipeline.handover.classifier import Classifier

ISIC, MILK = CHALLENGES["isic2024"], CHALLENGES["milk10k"]
# As the organisers publish it: MILK10k_Sample_Submit.csv, its first lines.
MILK_SAMPLE = (
    "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\n"
    "IL_0006205,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
    "IL_0025400,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
)
# And ISIC 2024's sample_submission.csv.
ISIC_SAMPLE = "isic_id,target\nISIC_0015657,0.3\nISIC_0015729,0.3\nISIC_0015740,0.3\n"


def scores(challenge, ids, **values):
    table = {f"probability_{name}": np.full(len(ids), 1 / len(challenge.classes)) for name in challenge.classes}
    return pd.DataFrame({challenge.id_column: ids, **table, **values})


def classifier(*classes):
    return Classifier("clinic", list(classes), np.zeros((2, len(classes))), np.zeros(len(classes)), 1.0, 3)


@pytest.mark.parametrize(("challenge", "text"), [(MILK, MILK_SAMPLE), (ISIC, ISIC_SAMPLE)])
def test_the_file_has_exactly_the_rows_and_columns_of_the_published_sample(challenge, text, tmp_path):
    (tmp_path / "sample.csv").write_text(text)
    ids = read_sample(tmp_path / "sample.csv", challenge)
    more = [*reversed(ids), ids[0][:-1] + "9"]
    written = submission(scores(challenge, more), challenge, ids).to_csv(index=False)
    ours, theirs = (list(csv.reader(io.StringIO(lines))) for lines in (written, text))
    assert ours[0] == theirs[0] and [row[0] for row in ours] == [row[0] for row in theirs]
    assert {len(row) for row in ours} == {len(theirs[0])}


def test_the_target_of_isic_2024_is_the_probability_of_malignancy():
    values = {"probability_malignant": [0.8, 0.1], "probability_benign": [0.2, 0.9]}
    table = submission(scores(ISIC, ["ISIC_0000002", "ISIC_0000001"], **values), ISIC, None)
    assert table.to_csv(index=False) == "isic_id,target\nISIC_0000001,0.1\nISIC_0000002,0.8\n"


def test_each_column_of_milk10k_holds_its_own_class():
    values = {f"probability_{name}": [number / 100] for number, name in enumerate(MILK.columns)}
    table = submission(scores(MILK, ["IL_0000001"], **values), MILK, None)
    assert table.iloc[0, 1:].tolist() == [number / 100 for number in range(11)]


def test_an_id_of_the_sample_without_picture_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"2 of the 3 ids of the sample file weren't embedded \('ISIC_0000002', 'ISIC"):
        submission(scores(ISIC, ["ISIC_0000001"]), ISIC, ["ISIC_0000002", "ISIC_0000001", "ISIC_0000003"])


def test_ids_that_stand_twice_or_are_of_another_form_are_errors():
    with pytest.raises(ValueError, match="1 ids of the pictures stand twice"):
        submission(scores(ISIC, ["ISIC_0000001", "ISIC_0000001"]), ISIC, None)
    for odd in ("=cmd()", "ISIC_1", "ISIC_0000001\n", "isic_0000001", ""):
        with pytest.raises(ValueError, match=r"1 ids of the pictures aren't of the form ISIC_"):
            submission(scores(ISIC, [odd]), ISIC, None)


@given(st.one_of(st.floats(max_value=0, exclude_max=True), st.floats(min_value=1, exclude_min=True), st.just(np.nan)))
def test_what_is_no_probability_is_an_error(value):
    with pytest.raises(ValueError, match="no probabilities between 0 and 1: 'ISIC_0000001'"):
        submission(scores(ISIC, ["ISIC_0000001"], probability_malignant=[value]), ISIC, None)


def test_a_classifier_of_other_classes_or_none_is_refused_and_it_is_said_how_to_train_the_right_one(tmp_path):
    ISIC.require_classes(classifier("benign", "malignant"), tmp_path)
    MILK.require_classes(classifier(*reversed(MILK.columns)), tmp_path)
    with pytest.raises(ValueError, match=r"tells apart MEL, NV\. Train it so: .*evaluation\.label=malignant"):
        ISIC.require_classes(classifier("MEL", "NV"), tmp_path)
    with pytest.raises(ValueError, match=r"has no classifier\. Train it so: .*target_cohort=milk10k"):
        MILK.require_classes(None, tmp_path)


def test_a_sample_of_another_challenge_is_refused(tmp_path):
    (tmp_path / "sample.csv").write_text(ISIC_SAMPLE)
    with pytest.raises(
        ValueError, match=r"is no sample file of milk10k: its columns are isic_id, target, not lesion_id"
    ):
        read_sample(tmp_path / "sample.csv", MILK)
