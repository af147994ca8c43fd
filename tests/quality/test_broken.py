"""Pictures that stand out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.quality.broken import KINDS, find_broken


def usual(count, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(count)],
            "width_px": 300,
            "height_px": 300,
            "darkest_shade": rng.normal(60, 10, count),
            "brightest_shade": rng.normal(190, 15, count),
            "entropy_bits": np.minimum(rng.normal(6.5, 0.3, count), 7.5),
            "sharpness": rng.normal(0.4, 0.05, count),
        }
    )


ODD = {
    "blank": {"darkest_shade": 127.0, "brightest_shade": 129.0, "entropy_bits": 1.0, "sharpness": 0.0},
    "dark": {"darkest_shade": 0.0, "brightest_shade": 40.0},
    "bright": {"darkest_shade": 190.0, "brightest_shade": 250.0},
    "low_information": {"entropy_bits": 2.0},
    "blurred": {"sharpness": 0.05},
    "odd_shape": {"width_px": 900},
    "odd_size": {"width_px": 30, "height_px": 30},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_stands_out_is_found_once_under_its_kind_and_no_other_is(kind):
    measures = usual(200)
    for column, value in ODD[kind].items():
        measures[column] = measures[column].astype(float)
        measures.loc[17, column] = value
    found = find_broken(measures, min_deviations=5)
    assert found[["row", "kind"]].to_numpy().tolist() == [[17, kind]]


def test_deviations_are_worked_out_by_hand():
    # Median 5; those below are 0, 1, 2 and 3 away: median 1.5, times 1.4826.
    measures = usual(7).assign(entropy_bits=[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    measures[["darkest_shade", "brightest_shade", "sharpness"]] = [60.0, 190.0, 0.4]
    found = find_broken(measures, min_deviations=0.4)
    assert found["kind"].eq("low_information").all() and found["row"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found["score"], np.array([3, 2, 1]) / (1.4826 * 1.5))
    assert found["why"].iloc[0] == "its shades hold 2.0 bits; 5.0 are usual"


def test_of_sharpness_ratios_count():
    # Median 0.5; below it half of that and a quarter: 0, 1 and 2 doublings; median 1, times 1.4826.
    measures = usual(5).assign(sharpness=[0.125, 0.25, 0.5, 0.6, 0.7])
    measures[["darkest_shade", "brightest_shade", "entropy_bits"]] = [60.0, 190.0, 6.5]
    found = find_broken(measures, min_deviations=0.4)
    assert found["kind"].eq("blurred").all()
    np.testing.assert_allclose(found["score"], np.array([2, 1]) / 1.4826)
    assert found["why"].iloc[0] == "a mean of 3 x 3 pixels takes away 0.12 of its detail; 0.50 is usual"
    assert find_broken(measures.assign(sharpness=[0.0, 0.5, 0.5, 0.5, 0.5]), 4)["row"].tolist() == [0]


def test_pictures_of_one_size_are_no_outliers_by_a_pixel():
    measures = usual(50)
    measures.loc[3, "width_px"] = 301
    assert "odd" not in "".join(find_broken(measures, min_deviations=5)["kind"])


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_what_is_found_doesnt_depend_on_the_order_of_pictures(seed, count):
    measures = usual(count, seed)
    order = np.random.default_rng(seed).permutation(count)
    found = find_broken(measures, min_deviations=1.5)
    turned = find_broken(measures.iloc[order].reset_index(drop=True), min_deviations=1.5)
    by_row = lambda table, rows: dict(zip(rows, zip(table["kind"], table["score"], strict=True), strict=True))  # noqa: E731
    assert by_row(found, found["row"]) == by_row(turned, order[turned["row"]])


def test_a_cohort_without_pictures_has_none():
    found = find_broken(usual(0), min_deviations=4)
    assert found.empty and list(found) == ["row", "kind", "score", "why"]
