"""Tables of retrieval, of what missing fields tell, and of groups of patients."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.missingness import WARNING_AUROC
from slimp_pipeline.reporting.findings.audits import missingness_table, retrieval_table, subgroup_tables

NEAR = "\N{NO-BREAK SPACE}"


def test_every_method_of_a_retrieval_stands_above_chance(retrieval):
    images, lesions = retrieval_table(retrieval)
    assert images["title"] == "image to images of its diagnosis" and lesions["title"] == "image to lesion fields"
    assert images["metrics"] == [f"precision @{NEAR}1", f"precision @{NEAR}10", "mean average precision"]
    assert [line["method"] for line in images["groups"][0]["lines"]] == ["SLIMP", "random init", "chance"]
    assert [line["method"] for line in lesions["groups"][0]["lines"]] == ["SLIMP", "chance"]


def test_cells_of_a_retrieval_are_the_means_over_folds_of_their_metric(retrieval):
    images, lesions = retrieval_table(retrieval.sample(frac=1, random_state=0).sort_values("method", kind="stable"))
    first = {
        line["method"]: line["cells"][images["metrics"].index(f"precision @{NEAR}10")]
        for line in images["groups"][0]["lines"]
    }
    assert first["SLIMP"] == {"value": "0.310", "range": "[0.260, 0.370]"}
    assert first["chance"] == {"value": "0.110", "range": "[0.060, 0.170]"}
    assert lesions["groups"][0]["lines"][0]["cells"] == [{"value": "0.300", "range": "[0.250, 0.360]"}]


def test_a_retrieval_without_folds_shows_the_hold_out(retrieval):
    alone = retrieval[retrieval["draw"] == "0"].assign(draw="holdout")
    assert retrieval_table(alone)[0]["groups"][0]["lines"][0]["cells"][0]["value"] == "0.800"


def test_what_one_method_did_not_measure_is_an_empty_cell(retrieval):
    absent = (retrieval["method"] == "slimp") & (retrieval["metric"] == "precision_at_10")
    for table in (retrieval[~absent], retrieval.assign(value=retrieval["value"].mask(absent))):
        cells = {line["method"]: line["cells"] for line in retrieval_table(table)[0]["groups"][0]["lines"]}
        assert cells["SLIMP"][1] is None and cells["SLIMP"][2]["value"] == "0.320"
        assert cells["chance"][1]["value"] == "0.110"


def test_without_retrieval_there_is_no_table(results):
    assert retrieval_table(results) == []


def test_missing_fields_stand_by_what_they_tell_and_complete_ones_are_left_out(missingness):
    table = missingness_table(missingness)
    assert [line["field"] for line in table["lines"]] == ["diameter_mm", missingness["field"][1]]
    assert table["lines"][0] == {
        "field": "diameter_mm",
        "level": "lesion",
        "missing": "30.0%",
        "malignant": "0.0%",
        "benign": "45.0%",
        "auroc": {"value": "0.734", "range": "[0.656, 0.812]"},
        "warning": True,
    }
    assert table["warned"] == ["diameter_mm"] and table["measured"] is True
    assert table["unclear"] == [missingness["field"][1]]  # up to 0.63


@pytest.mark.parametrize(
    ("auroc", "ci_low", "ci_high", "warned", "unclear"),
    [
        (0.52, 0.45, 0.6, False, False),
        (0.52, 0.45, 0.601, False, True),
        (0.71, 0.549, 0.869, False, True),
        (0.71, 0.61, 0.869, True, False),
        (np.nan, np.nan, np.nan, False, True),
        (0.52, np.nan, np.nan, False, True),
    ],
)
def test_an_all_clear_needs_an_interval_that_stays_below_the_bound(
    missingness, auroc, ci_low, ci_high, warned, unclear
):
    one = missingness[2:].assign(auroc=auroc, ci_low=ci_low, ci_high=ci_high, warning=warned)
    table = missingness_table(pd.concat([missingness[:1], one]))
    assert table["warned"] == ["diameter_mm"] * warned and table["unclear"] == ["diameter_mm"] * unclear


def test_shares_by_malignancy_are_blank_where_the_label_is_the_diagnosis(missingness):
    shares = ["missing_share_malignant", "missing_share_benign"]
    (first, _) = missingness_table(missingness.assign(**dict.fromkeys(shares, np.nan)))["lines"]
    assert first["malignant"] == first["benign"] == "" and first["missing"] == "30.0%"


def test_what_missing_fields_tell_is_said_not_to_be_measurable_where_no_fold_has_two_classes(missingness):
    (first, _) = missingness_table(missingness.assign(auroc=np.nan, ci_low=np.nan, ci_high=np.nan))["lines"]
    assert first["auroc"] == {"value": "not measurable", "range": ""}


def test_an_audit_that_measured_nothing_is_told_from_one_that_found_no_gap(missingness):
    nothing = {"lines": [], "warned": [], "unclear": [], "bound": WARNING_AUROC}
    assert missingness_table(missingness[:1]) == nothing | {"measured": True}
    assert missingness_table(missingness[:0]) == nothing | {"measured": False}


def test_groups_are_shown_for_the_pre_trained_method_on_images(subgroups):
    sex, age = subgroup_tables(subgroups)
    assert sex["field"] == "sex" and age["field"] == "age, years" and age["method"] == "SLIMP"
    assert sex["metrics"] == ["balanced accuracy", "macro AUROC"]
    assert [line["group"] for line in age["lines"]] == ["under 40", "40 or older"]
    assert age["lines"][1]["cells"] == [
        {"value": "0.510", "range": "[0.410, 0.610]"},  # 0.4 + 0.01 of the second group + 0.1 of the method
        {"value": "0.710", "range": "[0.610, 0.810]"},
    ]
    assert (age["lines"][1]["num_patients"], age["lines"][1]["num_images"]) == (21, 40)


def test_a_small_group_is_named_without_figures_and_an_unmeasured_metric_is_blank(subgroups):
    _, small, not_known = subgroup_tables(subgroups)[0]["lines"]
    assert small["group"] == "female" and small["too_small"] and small["cells"] == [None, None]
    assert not_known["cells"][0]["value"] == "0.520" and not_known["cells"][1] is None


@pytest.mark.parametrize("as_read", [False, True])
def test_groups_are_the_same_from_memory_and_from_a_file(subgroups, tmp_path, as_read):
    if as_read:
        subgroups.to_csv(tmp_path / "subgroups.csv", index=False)
        subgroups = pd.read_csv(tmp_path / "subgroups.csv", keep_default_na=False, na_values=[""])
    assert [len(table["lines"]) for table in subgroup_tables(subgroups)] == [3, 2]
    assert subgroup_tables(subgroups)[0]["lines"][1]["too_small"] is True


def test_without_groups_there_is_no_table(subgroups):
    assert subgroup_tables(subgroups[:0]) == []
