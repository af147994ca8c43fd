"""Lesions of patients as tensors."""

import numpy as np
import torch

from slimp_pipeline.training.data import patient_lesions, select


def test_each_lesion_points_at_its_patient_and_its_image(tiny):
    data = tiny.data()
    assert data.num_patients == 12
    patients = tiny.patients["patient_id"].to_numpy()
    assert (patients[data.patient_N] == tiny.lesions["patient_id"]).all()
    assert (data.store_index_N == tiny.lesions["store_index"]).all()
    assert (data.malignant_N == tiny.lesions["malignant"]).all()


def test_patients_without_a_lesion_here_are_left_out(tiny):
    data = tiny.data(3, 6)
    assert data.num_patients == 4
    assert set(data.patient_N) == {0, 1, 2, 3}
    assert len(data.patient["numeric"]) == 4


def test_lesions_share_a_group_exactly_when_their_metadata_are_equal(tiny):
    data = tiny.data()
    key = tiny.lesions["site"] + tiny.lesions["diameter_mm"].astype(str)
    group = data.lesion_group_K.numpy()
    assert ((group[:, None] == group[None]) == (key.to_numpy()[:, None] == key.to_numpy()[None])).all()


def test_an_unknown_malignancy_counts_as_not_malignant(tiny):
    unknown = tiny.lesions.assign(malignant=tiny.lesions["malignant"].where(tiny.lesions["malignant"]))
    data = patient_lesions(unknown, tiny.patients, tiny.encoding)
    assert data.malignant_N.dtype == np.bool_
    assert (data.malignant_N == tiny.data().malignant_N).all()


def test_rows_of_encoded_fields_are_selected_in_order(tiny):
    fields = tiny.data().lesion
    rows = select(fields, torch.tensor([3, 1]))
    assert rows["categorical"].tolist() == [fields["categorical"][3].tolist(), fields["categorical"][1].tolist()]
