"""The inner probe: measures validation patients by what training patients teach, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from tests.search.conftest import EVALUATION

from slimp_pipeline.parameters import SearchParams
from slimp_pipeline.search.judge import InnerProbes

SEARCH = SearchParams(validation_share=0.25)


def probes_of(tiny_search, metric="balanced_accuracy", evaluation=EVALUATION, lesions=None):
    cohort = tiny_search.cohort if lesions is None else replace(tiny_search.cohort, lesions=lesions)
    return InnerProbes.of(cohort, tiny_search.rows(SEARCH), tiny_search.store, metric, evaluation)


def probe_of(tiny_search, *args, **options):
    """The only cohort's."""
    (probe,) = probes_of(tiny_search, *args, **options).by_cohort.values()
    return probe


def one_hot(probe):
    return np.eye(len(probe.yardstick.task.classes))[probe.yardstick.task.label_N]


def test_embeddings_that_tell_the_classes_are_perfect_and_noise_is_near_chance(tiny_search):
    probe = probe_of(tiny_search)
    noise = np.random.default_rng(0).normal(size=(len(probe.yardstick.task.rows), 3))
    assert probe(one_hot(probe)) == 1.0
    assert probe(noise) < 0.6


def test_what_validation_patients_look_like_teaches_the_probe_nothing(tiny_search):
    probe = probe_of(tiny_search)
    embedded = one_hot(probe)
    test_N = probe.yardstick.split.test_N
    embedded[test_N] = np.roll(embedded[test_N], 1, axis=1)  # every class looks like another one's in training
    assert probe(embedded) == 0.0


def test_it_knows_search_rows_alone_and_its_test_rows_are_inner_validation_rows(tiny_search):
    probe, rows = probe_of(tiny_search), tiny_search.rows(SEARCH)
    known = probe.yardstick.task.rows
    assert set(known["image_id"]) == set(rows["image_id"])
    measured = set(known["image_id"][probe.yardstick.split.test_N])
    assert measured == set(rows.loc[rows["part"] == "validation", "image_id"])


def test_a_metric_that_cannot_be_measured_is_refused_before_anything_is_trained(tiny_search):
    lesions = tiny_search.cohort.lesions.assign(malignant=None)
    with pytest.raises(ValueError, match=r"search\.metric is malignant_auroc"):
        probe_of(tiny_search, "malignant_auroc", lesions=lesions)
    assert probe_of(tiny_search, "malignant_auroc")(one_hot(probe_of(tiny_search))) == 1.0


def test_lesions_are_measured_where_the_evaluation_does(tiny_search):
    lesions = tiny_search.cohort.lesions.assign(lesion_id=tiny_search.cohort.lesions["patient_id"])
    by_lesion = probe_of(tiny_search, evaluation=EVALUATION.model_copy(update={"unit": "lesion"}), lesions=lesions)
    num_patients = by_lesion.yardstick.task.rows["patient_id"][by_lesion.yardstick.split.test_N].nunique()
    assert len(by_lesion.yardstick.units.first_U) == num_patients


@pytest.fixture
def of_three(tiny_search):
    """The tiny cohort's patients as three cohorts', whose words for the same diagnoses differ."""
    lesions = tiny_search.cohort.lesions
    names = lesions["patient_id"].str[1:].astype(int).mod(3).map({0: "one", 1: "two", 2: "three"})
    return lesions.assign(cohort=names, diagnosis=names + ":" + lesions["diagnosis"])


def told_by(column):
    return np.eye(column.nunique())[np.unique(column, return_inverse=True)[1]]


def test_telling_cohorts_apart_is_worth_nothing_and_telling_each_ones_classes_is_perfect(tiny_search, of_three):
    probes = probes_of(tiny_search, lesions=of_three)
    assert list(probes.by_cohort) == ["one", "three", "two"]
    assert probes(told_by(probes.rows["cohort"])) == probes(np.ones((len(probes.rows), 1))) <= 1 / 3
    assert probes(told_by(probes.rows["diagnosis"].str.split(":").str[1])) == 1.0


def test_the_value_is_the_mean_of_what_each_cohort_comes_to_alone(tiny_search, of_three):
    probes = probes_of(tiny_search, lesions=of_three)
    embedded = np.random.default_rng(0).normal(size=(len(probes.rows), 4))
    alone = []
    for name, own in of_three.groupby("cohort"):
        is_own = probes.rows["cohort"].eq(name).to_numpy()
        alone.append(probe_of(tiny_search, lesions=own.drop(columns="cohort"))(embedded[is_own]))
    assert len(set(alone)) == 3 and probes(embedded) == pytest.approx(np.mean(alone))


def test_a_cohort_that_cannot_be_measured_is_left_out_and_the_log_says_which_and_why(tiny_search, of_three, caplog):
    is_two = of_three["cohort"].eq("two")
    probes = probes_of(tiny_search, lesions=of_three.assign(diagnosis=of_three["diagnosis"].mask(is_two)))
    assert list(probes.by_cohort) == ["one", "three"] and set(probes.rows["cohort"]) == {"one", "three"}
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("two can't measure trials: ") and "two classes are needed" in told


def test_a_cohort_whose_validation_patients_are_of_one_class_is_not_measured(tiny_search, of_three):
    rows = tiny_search.rows(SEARCH)
    validation = of_three["image_id"].isin(rows.loc[rows["part"] == "validation", "image_id"])
    same = of_three.assign(diagnosis=of_three["diagnosis"].mask(validation & of_three["cohort"].eq("one"), "one:NEV"))
    assert list(probes_of(tiny_search, lesions=same).by_cohort) == ["three", "two"]


def test_where_no_cohort_can_be_measured_that_is_refused_with_each_ones_reason(tiny_search, of_three):
    with pytest.raises(ValueError, match=r"one can't measure trials: .*three can't .*two can't .*none"):
        probes_of(tiny_search, lesions=of_three.assign(diagnosis=None))
