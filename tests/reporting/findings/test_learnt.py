"""The sentence that opens a page: no more is said than was measured."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.controls import CONTROL_COLUMNS
from slimp_pipeline.evaluation.measures.records import DIFFERENCE_COLUMNS, RESULT_COLUMNS
from slimp_pipeline.extrapolation.quality import QUALITY_COLUMNS
from slimp_pipeline.extrapolation.run import WORTH_COLUMNS
from slimp_pipeline.quality.suspects import SUSPECT_COLUMNS
from slimp_pipeline.reporting.findings.learnt import (
    learnt_of_borrowing,
    learnt_of_comparison,
    learnt_of_pictures,
    learnt_of_run,
)


def results(draw="all", **value_by_method):
    lines = []
    for method, value in value_by_method.items():
        features, protocol = ("metadata", "baseline") if method.startswith("metadata") else ("image", "linear_probe")
        line = [
            "small",
            method,
            features,
            protocol,
            "all",
            draw,
            "balanced_accuracy",
            value,
            value - 0.05,
            value + 0.06,
        ]
        lines.append([*line, 30, 10])
    return pd.DataFrame(lines, columns=RESULT_COLUMNS)


def differences(**interval_by_reference):
    lines = [
        ["small", "slimp", reference, "image", "linear_probe", "all", "balanced_accuracy", *interval, 3]
        for reference, interval in interval_by_reference.items()
    ]
    return pd.DataFrame(lines, columns=DIFFERENCE_COLUMNS)


def controls(*lows):
    pairs = (("fused", "image"), ("fused, shuffled", "image"), ("fused", "fused, shuffled"))
    lines = [
        ["small", "slimp", "image+lesion", *pair, "balanced_accuracy", low + 0.1, low, low + 0.2, 5, 10]
        for pair, low in zip(pairs, lows, strict=False)
    ]
    return pd.DataFrame(lines, columns=CONTROL_COLUMNS)


NO_CONTROLS = controls()
MEASURED = results(slimp=0.25, random_init=0.19, metadata_linear=0.52)


@pytest.mark.parametrize(
    ("start", "metadata", "said"),
    [
        (
            (0.062, -0.003, 0.131), (-0.264, -0.342, -0.193),
            "No gain is shown: SLIMP's image features lie 0.062 [-0.003, 0.131] balanced accuracy above untrained "
            "ones, within noise; metadata alone do better, outside noise.",
        ),
        (
            (0.062, 0.003, 0.131), (-0.01, -0.05, 0.04),
            "SLIMP's image features beat untrained ones by 0.062 [0.003, 0.131] balanced accuracy, outside noise; "
            "metadata alone are no better and no worse outside noise.",
        ),
        (
            (-0.062, -0.131, -0.003), (0.1, 0.05, 0.2),
            "SLIMP's image features fall behind untrained ones by 0.062 [0.003, 0.131] balanced accuracy, outside "
            "noise; metadata alone do worse, outside noise.",
        ),
        (
            (-0.02, -0.131, 0.003), (np.nan, np.nan, np.nan),
            "No gain is shown: SLIMP's image features lie 0.020 [-0.003, 0.131] balanced accuracy below untrained "
            "ones, within noise; no difference to metadata alone was measured.",
        ),
    ],
)  # fmt: skip
def test_a_difference_is_told_as_far_as_its_interval_goes(start, metadata, said):
    assert learnt_of_run(MEASURED, differences(random_init=start, metadata_linear=metadata), NO_CONTROLS) == said


def test_weights_that_training_started_from_stand_for_untrained_ones_where_there_are_some():
    told = learnt_of_run(
        MEASURED, differences(initial_weights=(0.1, 0.05, 0.2), random_init=(0.3, 0.2, 0.4)), NO_CONTROLS
    )
    assert told.startswith("SLIMP's image features beat the weights they started from by 0.100 [0.050, 0.200]")


def test_nothing_is_learnt_where_the_split_leaks_or_nothing_was_measured():
    assert learnt_of_run(MEASURED, differences(random_init=(0.1, 0.05, 0.2)), NO_CONTROLS, leaks=True).endswith(
        "are no results."
    )
    assert "nothing is learnt" in learnt_of_run(results(metadata_linear=0.5), differences(), NO_CONTROLS)


def test_a_missing_baseline_and_a_missing_difference_are_said_to_be_missing():
    assert learnt_of_run(results(slimp=0.25), differences(), NO_CONTROLS) == (
        "SLIMP's image features reach 0.250 [0.200, 0.310] balanced accuracy, but no difference to untrained ones was "
        "measured; metadata alone were not measured."
    )


def test_a_hold_out_is_named():
    assert "within noise on the hold-out; metadata" in learnt_of_run(
        results("holdout", slimp=0.25, random_init=0.2), differences(random_init=(0.05, -0.1, 0.1)), NO_CONTROLS
    )


@pytest.mark.parametrize(
    ("lows", "said"),
    [
        ((-0.01, -0.1, 0.1), "; the metadata it reads add nothing to images outside noise."),
        ((0.01, 0.01, -0.1), "; what the metadata it reads add to images, strangers' metadata add too."),
        (
            (0.01, -0.05, -0.003),
            "; the metadata it reads add to images, but whether strangers' would do as well is not shown.",
        ),
        ((0.01, -0.1, 0.01), "; the metadata it reads add to images what strangers' metadata don't."),
        ((0.01, 0.01, 0.01), "; the metadata it reads add to images what strangers' metadata don't."),
        ((np.nan, np.nan, np.nan), "; what the metadata it reads add to images could not be measured."),
        ((-0.9, -0.1, -0.9), "; the metadata it reads make images worse, outside noise."),
    ],
)
def test_a_fused_gain_that_stays_with_strangers_metadata_is_no_gain(lows, said):
    told = learnt_of_run(MEASURED, differences(random_init=(0.1, 0.05, 0.2)), controls(*lows))
    assert told.endswith("no difference to metadata alone was measured" + said)


def test_a_comparison_names_the_highest_and_of_how_many_it_can_be_told(compared):
    wide = learnt_of_comparison(*compared({"flat": 0.55, "slimp": 0.6, "initial_weights": 0.58}, half_width=0.1))
    assert wide == (
        "On image features SLIMP measures highest (0.600 [0.540, 0.650] balanced accuracy), but within noise of every "
        "other method: no best one is shown."
    )
    some = learnt_of_comparison(*compared({"flat": 0.5, "slimp": 0.6, "initial_weights": 0.58}))
    assert some.endswith("balanced accuracy), outside noise above 1 of 2 others.")
    every = learnt_of_comparison(*compared({"flat": 0.4, "slimp": 0.6, "initial_weights": 0.5}))
    assert every.endswith("outside noise above all 2 others.")


def test_a_comparison_of_one_method_of_none_paired_and_of_a_leak_says_so(compared):
    values, pairs = compared({"slimp": 0.6, "flat": 0.4})
    assert learnt_of_comparison(values, pairs[:0]).endswith("no difference to the others was measured.")
    assert "nothing to compare" in learnt_of_comparison(values[values["method"] == "slimp"], pairs)
    assert learnt_of_comparison(values, pairs, leaks=True).endswith("are no results.")


def test_borrowed_metadata_are_told_by_truth_and_worth():
    quality = pd.DataFrame(
        [
            [field, "categorical", coverage, "accuracy", 0.9, 0.8, 1.0, 0.5, 0.5, 50, 20, beats]
            for field, beats in (("sex", True), ("site", False), ("age", True))
            for coverage in (0.5, 1.0)
        ],
        columns=QUALITY_COLUMNS,
    )
    line = ["small", "borrowed", "images alone", "balanced_accuracy"]
    tell = lambda *numbers: learnt_of_borrowing(quality, pd.DataFrame([[*line, *numbers]], columns=WORTH_COLUMNS))  # noqa: E731
    assert tell(0.05, 0.01, 0.09) == (
        "Borrowed metadata are truer than chance in 2 of 3 fields; beside images they add 0.050 [0.010, 0.090] "
        "balanced accuracy, outside noise."
    )
    assert "no worth is shown: beside images they change -0.050 [-0.100, +0.010] balanced" in tell(-0.05, -0.1, 0.01)
    assert "take away 0.050 [0.010, 0.090]" in tell(-0.05, -0.09, -0.01)
    assert learnt_of_borrowing(quality[:0], pd.DataFrame(columns=WORTH_COLUMNS)) == (
        "How true borrowed metadata are is not known; what they are worth was not measured."
    )


def judged(*rows):
    """Field, kind, coverage and whether chance was beaten."""
    lines = [
        [field, kind, coverage, "accuracy", 0.9, 0.8, 1.0, 0.5, 0.5, 50, 20, beats]
        for field, kind, coverage, beats in rows
    ]
    return pd.DataFrame(lines, columns=QUALITY_COLUMNS)


def test_options_of_a_field_are_called_so():
    options = [(f"symptom.{name}", "checkbox", 1.0, beats) for name, beats in (("itch", True), ("bleed", False))]
    told = learnt_of_borrowing(judged(("sex", "categorical", 1.0, True), *options), pd.DataFrame(columns=WORTH_COLUMNS))
    assert told.startswith("Borrowed metadata are truer than chance in 2 of 3 fields and options of fields;")


def test_a_share_that_is_not_all_is_named():
    told = learnt_of_borrowing(
        judged(("sex", "categorical", 0.25, True), ("sex", "categorical", 0.5, False)),
        pd.DataFrame(columns=WORTH_COLUMNS),
    )
    assert told.startswith("On the nearest 50 % of rows borrowed metadata are truer than chance in 0 of 1 fields;")


def test_pictures_are_told_by_what_is_certain_and_what_is_ranked():
    suspects = pd.DataFrame(
        [
            {"kind": "near_duplicate", "why": "the same bytes; x", "relation": "different patients"},
            {"kind": "near_duplicate", "why": "the same bytes; x", "relation": "same lesion"},
            {"kind": "blurred", "why": "blurred", "relation": ""},
        ]
    ).reindex(columns=SUSPECT_COLUMNS)
    assert learnt_of_pictures(suspects) == (
        "2 pairs of pictures have the same bytes, 1 of them two patients'; 2 near duplicates, 1 blurred pictures are "
        "ranked, the most suspicious first: far from all are faults."
    )
    assert learnt_of_pictures(suspects[:0].astype("str")).endswith("bytes; nothing else is suspicious.")
