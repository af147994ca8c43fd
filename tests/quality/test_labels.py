"""Doubtful labels."""

import numpy as np
import pandas as pd
import pytest
import torch

from slimp_pipeline.parameters import EvaluationParams, ProbeParams
from slimp_pipeline.quality.labels import COLUMNS, rank_labels
from slimp_pipeline.quality.neighbours import nearest_others

SETTINGS = EvaluationParams(device="cpu", probe=ProbeParams(strengths=[10.0], num_inner_folds=2))


def clusters(count=120, seed=0):
    """Three labels, each a cloud of its own; two pictures of every patient."""
    rng = np.random.default_rng(seed)
    label_N = rng.integers(0, 3, count)
    embedding_ND = (3 * np.eye(3)[label_N] + rng.normal(0, 0.3, (count, 3))).astype(np.float32)
    diagnosis = np.array(["melanoma", "nevus", "wart"], dtype=object)[label_N]
    pictures = pd.DataFrame({"patient_id": [f"p{n // 2}" for n in range(count)], "diagnosis": diagnosis})
    return pictures, embedding_ND


def ranked(pictures, embedding_ND, max_rows=1000, k=5):
    patient_N = pd.factorize(pictures["patient_id"])[0]
    (nearest,) = nearest_others(embedding_ND, [patient_N], k, device=torch.device("cpu"))
    return rank_labels(pictures, embedding_ND, nearest, SETTINGS, max_rows)


def test_swapped_labels_are_all_that_is_found_and_the_true_ones_are_told():
    pictures, embedding_ND = clusters()
    truth = pictures["diagnosis"].copy()
    swapped = [4, 37, 80, 111]
    pictures.loc[swapped, "diagnosis"] = truth[swapped].map({"melanoma": "nevus", "nevus": "wart", "wart": "melanoma"})
    found = ranked(pictures, embedding_ND)
    assert sorted(found["row"]) == swapped
    assert found["likely_label"].tolist() == truth[found["row"]].tolist()
    assert found["label"].tolist() == pictures.loc[found["row"], "diagnosis"].tolist()
    assert (
        (found["num_agree"] <= 1).all() and (found["num_neighbours"] == 5).all() and (found["probability"] > 0.8).all()
    )
    for row in found.itertuples():
        assert pictures.loc[row.other_row, "diagnosis"] == row.likely_label
        assert pictures.loc[row.other_row, "patient_id"] != pictures.loc[row.row, "patient_id"]
    assert found["score"].is_monotonic_decreasing and list(found) == COLUMNS
    assert ranked(pictures, embedding_ND, max_rows=2)["row"].tolist() == found["row"].head(2).tolist()


def test_a_patients_other_picture_with_the_same_wrong_label_doesnt_hide_it():
    pictures, embedding_ND = clusters()
    embedding_ND[1] = embedding_ND[0]
    pictures.loc[[0, 1], "diagnosis"] = "wart" if pictures.loc[0, "diagnosis"] != "wart" else "nevus"
    assert set(ranked(pictures, embedding_ND)["row"]) == {0, 1}


def test_pictures_without_a_label_and_labels_of_few_patients_are_not_judged():
    pictures, embedding_ND = clusters()
    rare = pictures["diagnosis"].eq("wart") & (np.arange(len(pictures)) > 12)
    pictures.loc[rare, "diagnosis"] = None
    pictures.loc[20:27, "diagnosis"] = "seen in four patients"
    found = ranked(pictures, embedding_ND)
    assert not set(found["label"]) - {"melanoma", "nevus"} and not set(found["likely_label"]) - {"melanoma", "nevus"}


@pytest.mark.parametrize("diagnosis", [None, "nevus"])
def test_a_cohort_of_fewer_than_two_labels_has_no_doubtful_ones(diagnosis):
    pictures, embedding_ND = clusters(count=30)
    found = ranked(pictures.assign(diagnosis=pd.Series([diagnosis] * 30, dtype="str")), embedding_ND)
    assert found.empty and list(found) == COLUMNS
