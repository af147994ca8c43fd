"""The nearest-neighbour gallery."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.parameters import ReportParams
from slimp_pipeline.pipelines.report.nodes import pick_gallery


class Store:
    def encoded(self, index):
        buffer = io.BytesIO()
        Image.new("RGB", (300, 200), (index, 0, 0)).save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture
def pick(splits):
    diagnosis = [None if n % 5 == 0 else ("MEL", "NEV")[n % 2] for n in range(40)]
    rows = splits[["image_id", "patient_id"]].assign(diagnosis=diagnosis, store_index=range(40))
    embeddings = {"slimp.fold_0.image": np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)}

    def run(*, open_licence=True, **settings):
        return pick_gallery({"open_licence": open_licence}, rows, splits, Store(), embeddings, ReportParams(**settings))

    return run


def test_pictures_are_shown_only_under_an_open_licence(pick):
    assert len(pick(gallery_size=5)) == 5
    assert pick(gallery_size=5, open_licence=False) == []
    assert pick(gallery_size=0) == []


def test_ids_are_hidden_unless_asked_for(pick):
    assert {picture["image_id"] for row in pick() for picture in row} == {""}
    assert all(picture["image_id"].startswith("secret-") for row in pick(show_ids=True) for picture in row)


def test_queries_are_test_images_and_neighbours_training_images_of_other_patients(pick, splits):
    fold = splits.set_index("image_id")["fold"]
    for query, *neighbours in pick(show_ids=True):
        assert fold[query["image_id"]] == 0
        assert [fold[picture["image_id"]] for picture in neighbours] == [1] * 4


def test_queries_go_round_the_classes_and_rows_without_one_are_called_unlabelled(pick):
    labels = pd.Series([row[0]["label"] for row in pick(gallery_size=6)])
    assert labels.value_counts().to_dict() == {"MEL": 2, "NEV": 2, "unlabelled": 2}
