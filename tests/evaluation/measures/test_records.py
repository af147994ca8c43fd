"""Tables of predictions."""

import pandas as pd
import pytest

from slimp_pipeline.evaluation.measures.records import Key, comparable, join_tables


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
