"""Lesions and patients as units: what their pictures' scores come to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.evaluation.measures.measure import measure, yardsticks
from slimp_pipeline.evaluation.measures.records import Key, join_tables, prediction_table
from slimp_pipeline.evaluation.measures.units import Units, by_unit
from slimp_pipeline.evaluation.task import Task, make_task, task_splits
from slimp_pipeline.parameters import EvaluationParams

SETTINGS = EvaluationParams(num_resamples=30, label="malignant")
MALIGNANT = np.array([0, 1])  # classes: benign, malignant
# Two patients; the first has a lesion of two pictures and one of one, the second a lesion of two. Lesion ids needn't
# differ between patients.
ROWS = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e"],
        "lesion_id": ["2", "1", "2", "1", "1"],
        "patient_id": ["p", "p", "p", "q", "q"],
    }
)
LABEL = np.array([1, 0, 1, 0, 0])
SCORE = np.array([[0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.8, 0.2], [0.6, 0.4]])


def with_unit(unit):
    return SETTINGS.model_copy(update={"unit": unit})


def test_pictures_stay_as_they_are():
    units = Units.of(ROWS, LABEL, MALIGNANT, "image")
    assert units.label_U.tolist() == LABEL.tolist()
    assert units.pooled(SCORE.astype("float32")).dtype == "float32"
    assert (units.pooled(SCORE) == SCORE).all()


def test_a_lesion_has_the_mean_score_of_its_pictures():
    units = Units.of(ROWS, LABEL, MALIGNANT, "lesion")
    assert ROWS.iloc[units.first_U][["patient_id", "lesion_id"]].to_numpy().tolist() == [
        ["p", "1"],
        ["p", "2"],
        ["q", "1"],
    ]
    assert units.label_U.tolist() == [0, 1, 0]
    assert units.pooled(SCORE) == pytest.approx(np.array([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3]]))


def test_a_patient_has_the_score_of_the_most_suspicious_lesion():
    score = np.array([[0.9, 0.1], [0.3, 0.7], [0.7, 0.3], [0.8, 0.2], [0.6, 0.4]])
    units = Units.of(ROWS, LABEL, MALIGNANT, "patient")
    assert units.label_U.tolist() == [1, 0]
    assert units.pooled(score) == pytest.approx(np.array([[0.3, 0.7], [0.7, 0.3]]))


@pytest.mark.parametrize("known", [[0, 1], [0, -1], [-1, 1]], ids=["both", "benign alone", "malignant alone"])
def test_the_most_suspicious_lesion_is_told_though_one_class_has_no_label_among_the_rows(known):
    score = np.array([[0.9, 0.1], [0.3, 0.7], [0.7, 0.3], [0.8, 0.2], [0.6, 0.4]])
    label = np.zeros(5, dtype=int) if known[0] == 0 else np.ones(5, dtype=int)
    units = Units.of(ROWS.assign(lesion_id=list("abcde")), label, np.array(known), "patient")
    assert units.pooled(score) == pytest.approx(np.array([[0.3, 0.7], [0.6, 0.4]]))


@pytest.mark.parametrize(
    ("labels", "of_unit"),
    [([0, 1, 2], 2), ([0, 0, 1], 0), ([1, 1, 0], 1), ([0, 1, 1], 1), ([1, 0], 0)],
    ids=["malignant first", "most", "most, the other way", "most of the later", "a tie: the first"],
)
def test_where_pictures_disagree_a_unit_is_of_one_class(labels, of_unit):
    rows = pd.DataFrame({"image_id": list("abc")[: len(labels)], "lesion_id": "l", "patient_id": "p"})
    assert Units.of(rows, np.array(labels), np.array([0, -1, 1]), "lesion").label_U.tolist() == [of_unit]


@given(data=st.data())
def test_pooling_is_what_a_slow_loop_says(data):
    count = data.draw(st.integers(1, 12))
    ids = st.lists(st.sampled_from("ab"), min_size=count, max_size=count)
    rows = pd.DataFrame({"image_id": range(count), "lesion_id": data.draw(ids), "patient_id": data.draw(ids)})
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    score, label = rng.dirichlet([1, 1], count), rng.integers(0, 2, count)
    lesions = {
        place: score[own.index].mean(axis=0) for place, own in rows.groupby(["patient_id", "lesion_id"], sort=True)
    }
    patients = {
        patient: max((one for place, one in lesions.items() if place[0] == patient), key=lambda one: one[1])
        for patient in sorted(set(rows["patient_id"]))
    }
    for unit, expected in (("lesion", lesions), ("patient", patients)):
        pooled = Units.of(rows, label, MALIGNANT, unit).pooled(score)
        assert pooled == pytest.approx(np.array(list(expected.values())))


def scored(cohort, settings):
    """A task on lesions, half of them of two pictures, and scores of all rows."""
    two = cohort.lesions["patient_id"] < "p30"
    cohort.lesions["lesion_id"] = cohort.lesions["image_id"].mask(two, cohort.lesions["patient_id"])
    task = make_task(cohort.lesions, cohort.splits, settings)
    return task, np.random.default_rng(5).dirichlet([1] * len(task.classes), len(task.rows))


def table_of(task: Task, score_NK):
    tables = [
        prediction_table(task, Key("slimp", "image", "linear_probe"), split, score_NK[split.test_N])
        for split in task_splits(task, "small")
    ]
    return join_tables(tables)


@pytest.mark.parametrize("unit", ["image", "lesion", "patient"])
def test_scores_measured_as_they_come_are_those_measured_from_a_table(small_cohort, unit):
    settings = with_unit(unit)
    task, score_NK = scored(small_cohort, settings)
    results, _ = measure("small", table_of(task, score_NK), settings)
    by_fold = results[results["draw"] != "all"].set_index(["draw", "metric"])["value"]
    for yardstick in yardsticks(task, "small", settings):
        test_N = yardstick.split.test_N
        found = yardstick.measure(Key("slimp", "image", "linear_probe"), score_NK[test_N], yardstick.split.train_N)
        assert len(found.by_metric)
        for metric, value_R in found.by_metric.items():
            assert value_R[0] == pytest.approx(by_fold[(yardstick.split.draw, metric)], nan_ok=True)


def test_a_table_of_lesions_has_a_row_for_each_with_its_pooled_scores(small_cohort):
    settings = with_unit("lesion").model_copy(update={"label": "diagnosis"})
    task, score_NK = scored(small_cohort, settings)
    predictions = table_of(task, score_NK)
    pooled = by_unit(predictions, settings)
    assert len(pooled) == len(predictions) * 3 / 4 and list(pooled) == list(predictions)
    assert set(pooled["image_id"]) == set(predictions["lesion_id"])
    first = pooled[pooled["image_id"] == "p00"].iloc[0]
    own = predictions[(predictions["lesion_id"] == first["image_id"]) & (predictions["draw"] == first["draw"])]
    for name in task.classes:
        assert first[f"score.{name}"] == pytest.approx(own[f"score.{name}"].mean())
    assert first["predicted"] == max(task.classes, key=lambda name: first[f"score.{name}"])
    assert by_unit(predictions, with_unit("image")) is predictions


def test_predictions_that_tell_no_lesions_are_refused(small_cohort):
    task, score_NK = scored(small_cohort, SETTINGS)
    with pytest.raises(ValueError, match=r"older version.*measured by lesion"):
        by_unit(table_of(task, score_NK).drop(columns="lesion_id"), with_unit("lesion"))


def test_patients_are_measured_by_malignancy_alone():
    with pytest.raises(ValueError, match="a patient's lesions differ in diagnosis"):
        EvaluationParams(unit="patient")
