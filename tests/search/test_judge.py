"""The inner probe: measures validation patients by what training patients teach, and nothing else."""

import numpy as np
import pytest
from tests.search.conftest import EVALUATION

from slimp_pipeline.parameters import SearchParams
from slimp_pipeline.search.judge import InnerProbe

SEARCH = SearchParams(validation_share=0.25)


def probe_of(tiny_search, metric="balanced_accuracy", evaluation=EVALUATION, lesions=None):
    cohort = tiny_search.cohort
    lesions = cohort.lesions if lesions is None else lesions
    rows = tiny_search.rows(SEARCH)
    return InnerProbe.of("tiny", lesions, cohort.patients, rows, tiny_search.store, metric, evaluation)


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
