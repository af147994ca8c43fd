"""Tables of predictions and results."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.measures.records import (
    RESULT_COLUMNS,
    Key,
    comparable,
    join_tables,
    metric_estimate,
    result_rows,
)


@pytest.mark.parametrize("first", [["a", "b"], ["a"]])
def test_joined_tables_hold_what_they_held_and_stay_categorical(first):
    tables = [
        pd.DataFrame({"name": pd.Categorical(first, categories=["b", "a"]), "value": range(len(first))}),
        pd.DataFrame({"name": pd.Categorical(["c"]), "value": [9]}),
        pd.DataFrame({"name": pd.Categorical([], categories=["never"]), "value": pd.Series([], dtype="int64")}),
    ]
    joined = join_tables(tables)
    assert joined["name"].tolist() == [*first, "c"] and joined["value"].tolist() == [*range(len(first)), 9]
    assert list(joined["name"].cat.categories) == ["b", "a", "c"] and joined["value"].dtype == "int64"


def test_nothing_joined_with_nothing_is_an_empty_table():
    empty = pd.DataFrame({"name": pd.Categorical([]), "value": pd.Series([], dtype="float64")})
    assert list(join_tables([empty, empty]).columns) == ["name", "value"] and join_tables([empty]).empty


PROBE = Key("slimp", "image", "linear_probe")
METADATA, FUSED = (
    Key("metadata_linear", "metadata", "baseline"),
    Key("fused_gbdt", "image+metadata", "baseline"),
)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (PROBE, METADATA, True),
        (PROBE, FUSED, True),
        (METADATA, FUSED, True),
        (FUSED, METADATA, True),
        (PROBE, Key("flat", "image", "linear_probe"), True),
        (PROBE, Key("flat", "image+lesion", "linear_probe"), False),
        (PROBE, Key("slimp", "image", "knn"), False),
        (Key("slimp", "image", "low_shot", "5"), Key("flat", "image", "low_shot", "5"), True),
        (Key("slimp", "image", "low_shot", "5"), Key("flat", "image", "low_shot", "10"), False),
        (Key("supervised", "image", "fine_tune"), METADATA, False),
    ],
)
def test_baselines_are_compared_with_one_another_and_with_every_linear_probe(one, other, expected):
    assert comparable(one, other) is expected


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("macro_auroc", 0.95, (0.95, 0.92, 1.0)),
        ("pauc_above_80_tpr", 0.19, (0.19, 0.16, 0.2)),
        ("pauc_above_80_tpr", 0.02, (0.02, 0.0, 0.08)),
        ("pauc_above_80_tpr", 0.2 + 1e-7, (0.2, 0.17, 0.2)),  # single precision rounds
    ],
)
def test_value_and_interval_stay_within_what_a_metric_can_be(metric, value, expected):
    value_R = value + np.array([0.0, -0.03, -0.03, 0.06])  # their mean is the value; quantiles of 0 and 1 are the ends
    found = metric_estimate(metric, value_R, 1.0)
    assert found == pytest.approx(expected)
    assert 0 <= found[1] <= found[0] <= found[2] <= expected[2]


def test_a_metric_that_could_not_be_measured_has_no_interval():
    assert np.isnan(metric_estimate("pauc_above_80_tpr", np.full(4, np.nan), 0.95)).all()


def test_results_hold_a_partial_area_within_its_bound():
    rows = result_rows("small", PROBE, "all", {"pauc_above_80_tpr": np.array([0.19, 0.16, 0.22])}, (30, 10), 1.0)
    assert pd.DataFrame(rows, columns=RESULT_COLUMNS)["ci_high"].tolist() == [0.2]
