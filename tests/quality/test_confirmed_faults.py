"""Faults of real pictures that experts confirmed, where SLIMP_RAW names the folder that holds them."""

import importlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def shared():
    """The folder beside the cohorts' folder: lists of confirmed faults, and ImageNet weights."""
    if "SLIMP_RAW" not in os.environ:
        pytest.skip("SLIMP_RAW is not set: real pictures are looked at only where it names their folder")
    folder = Path(os.environ["SLIMP_RAW"]).parent
    for needed in ("data_quality/pad_ufes_20_dropped.csv", "weights/tf_efficientnet_lite0.safetensors"):
        if not (folder / needed).is_file():
            pytest.skip(f"there is no {folder / needed}")
    return folder


def test_most_confirmed_near_duplicates_are_among_the_first_hundred_of_83028_pairs(shared, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module("data_quality")
    lesions, store = benchmark.lesions_of("pad_ufes_20", tmp_path)
    inspected = benchmark.inspect(lesions, store)
    assert len(inspected.pictures) == 408
    names = pd.read_csv(shared / "data_quality/pad_ufes_20_dropped.csv")["img_id"].str.removesuffix(".png")
    suspects = inspected.suspects()
    pairs = suspects[(suspects["kind"] == "near_duplicate") & (suspects["relation"] != "different patients")]
    first = pd.concat([pairs.set_index(side)["rank"] for side in ("image_id", "other_image_id")]).groupby(level=0).min()
    found = first.reindex(names[names.isin(inspected.pictures["image_id"])])
    assert len(found) == 7
    assert (found <= 100).sum() >= 5 and (found <= 10).sum() >= 3
    # What is random comes nowhere near: of 83,028 pairs a hundred hold a given one at a chance of 0.1 %.
    assert np.isfinite(found).sum() <= 6  # one has no other picture of its patient here
