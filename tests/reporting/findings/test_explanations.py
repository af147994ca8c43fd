"""What the page says of fields, controls, groups, leaks and saliency."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.controls import CHANCE, LABELS
from slimp_pipeline.evaluation.audits.field_reading import READ
from slimp_pipeline.reporting.findings.explanations import (
    control_tables,
    importance_tables,
    leak_lines,
    reading_tables,
    saliency_summary,
    shuffled_labels,
    worst_group,
)


def test_fields_outside_noise_are_named_the_most_important_first(field_importance):
    slimp, metadata = importance_tables(field_importance)
    assert slimp["method"] == "SLIMP" and metadata["method"] == "metadata, linear"
    assert slimp["telling"] == ["diameter_mm"] and slimp["intact"] == ["0.612", "0.612"]
    assert [line["field"] for line in slimp["lines"]][:2] == ["diameter_mm", "age_years"]
    assert slimp["lines"][0]["cells"][0] == {"value": "+0.200", "range": "[+0.150, +0.240]"}
    assert importance_tables(field_importance[:0]) == []


def with_intervals(controls, gain, left, owed):
    """The same table, its balanced accuracies as given."""
    changed = controls.copy()
    rows = changed["metric"] == "balanced_accuracy"
    changed.loc[rows, ["difference", "ci_low", "ci_high"]] = [gain, left, owed]
    return changed


@pytest.mark.parametrize(
    ("gain", "left", "owed", "said", "is_gain"),
    [
        ([0.2, 0.1, 0.3], [0.01, -0.04, 0.06], [0.19, 0.08, 0.3], "owed to the patients' own metadata", True),
        ([0.02, -0.05, 0.1], [0.01, -0.04, 0.06], [0.01, -0.1, 0.1], "no gain outside noise", False),
        ([-0.2, -0.3, -0.1], [0.01, -0.04, 0.06], [-0.2, -0.3, -0.1], "take 0.200 [0.100, 0.300] from", False),
        ([0.2, 0.1, 0.3], [0.19, 0.1, 0.3], [0.01, -0.04, 0.06], "No gain: metadata add +0.200", False),
        ([0.2, 0.1, 0.3], [0.1, 0.05, 0.15], [0.1, 0.02, 0.2], "only +0.100 [+0.020, +0.200] is owed", True),
    ],
)
def test_a_gain_that_stays_with_strangers_metadata_is_no_gain(controls, gain, left, owed, said, is_gain):
    (table,) = control_tables(with_intervals(controls, gain, left, owed))
    assert said in table["verdict"] and table["is_gain"] is is_gain
    assert [line["compared"] for line in table["lines"]] == [
        "fused minus image", "fused, shuffled minus image", "fused minus fused, shuffled",
    ]  # fmt: skip


def test_the_worst_group_is_named_with_its_size_and_the_unmeasured_ones_too(subgroups, results):
    found = worst_group(subgroups, results)
    assert found["metric"] == "macro AUROC" and found["num_groups"] == 3
    assert found["worst"]["num_patients"] == 20 and found["worst"]["measured"] == "0.700 [0.600, 0.800]"
    assert found["too_small"] == ["sex female (3)"]
    own = results[(results["method"] == "slimp") & (results["features"] == "image") & (results["draw"] == "all")]
    value = own[(own["protocol"] == "linear_probe") & (own["metric"] == "macro_auroc")]["value"].iloc[0]
    assert found["overall"].startswith(f"{value:.3f} [")


def test_where_every_group_is_too_small_nothing_is_called_worst(subgroups, results):
    found = worst_group(subgroups[subgroups["too_small"]], results)
    assert found["worst"] is None and found["too_small"] == ["sex female (3)"]
    assert worst_group(subgroups[:0], results) is None


def test_leaks_are_clean_where_nothing_is_found(explained):
    first, second = leak_lines(explained.leaks.assign(found=[0, 3]))
    assert first["is_clean"] and first["looked_at"] == "1,234 patients" and not second["is_clean"]


def test_maps_that_look_the_same_with_random_weights_fail(explained):
    assert saliency_summary(explained.saliency)["passes"]
    same = explained.saliency.assign(rank_correlation=0.8)
    assert not saliency_summary(same)["passes"] and saliency_summary(same)["correlation"] == "0.80"
    assert saliency_summary(explained.saliency[:0]) is None
    assert saliency_summary(explained.saliency.assign(rank_correlation=np.nan)) is None


def test_fields_are_listed_as_the_image_shows_them_with_what_they_add(field_reading):
    (table,) = reading_tables(field_reading)
    assert table["method"] == "SLIMP"
    assert table["questions"] == [
        "read from the image: macro AUROC",
        "adds to the image: balanced accuracy",
        "adds to the image: macro AUROC",
    ]
    assert [(line["field"], line["level"]) for line in table["lines"]] == [
        ("region", "lesion"),
        ("smoke.cigars", "patient"),
        ("age_years", "patient"),
    ]
    region, option, _ = (line["cells"] for line in table["lines"])
    assert region[0] == {"value": "0.900", "range": "[0.850, 0.950]"}
    assert region[1] == {"value": "+0.010", "range": "[-0.020, +0.040]"}
    assert option[1:] == [None, None]
    assert reading_tables(field_reading[:0]) == []


def test_the_best_read_field_comes_first_and_one_that_is_not_read_last(field_reading):
    region = field_reading[field_reading["field"] == "region"]
    group = region[region["question"] != READ].assign(field="smoke")  # its options are read, it isn't
    (table,) = reading_tables(pd.concat([group, field_reading, region.assign(field="zone")]))
    assert [line["field"] for line in table["lines"]] == ["region", "zone", "smoke.cigars", "age_years", "smoke"]
    assert table["lines"][-1]["cells"][0] is None


def test_what_shuffled_labels_came_to_is_said_and_is_no_gain_of_metadata(controls):
    taught = pd.DataFrame(
        [["small", "slimp", "image", LABELS, CHANCE, "macro_auroc", 0.012, -0.03, 0.05, 2, 40]], columns=list(controls)
    )
    assert shuffled_labels(taught) == [
        "SLIMP, taught shuffled labels: macro AUROC +0.012 [-0.030, +0.050] from chance."
    ]
    assert control_tables(taught) == []
    assert control_tables(pd.concat([controls, taught])) == control_tables(controls)
    assert shuffled_labels(controls) == []
