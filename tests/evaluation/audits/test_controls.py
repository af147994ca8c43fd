"""Strangers' metadata: a gain that rests on a patient's own metadata is lost with them."""

import numpy as np
import pytest

from slimp_pipeline.evaluation.audits.controls import (
    CHANCE,
    CONTROL_COLUMNS,
    FUSED,
    IMAGE,
    LABELS,
    PAIRS,
    SHUFFLED,
    measure_controls,
)
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.protocols.run import predict
from slimp_pipeline.parameters import ControlParams, EvaluationParams, ProbeParams

SETTINGS = EvaluationParams(
    device="cpu", num_resamples=100, probe=ProbeParams(strengths=[1.0]), controls=ControlParams(num_draws=3)
)


def difference(table, compared, reference, metric="macro_auroc"):
    chosen = (table["compared"] == compared) & (table["reference"] == reference) & (table["metric"] == metric)
    (row,) = table[chosen].itertuples()
    return row


def test_metadata_that_tell_the_classes_are_a_gain_that_shuffling_removes(telling_cohort, embedded):
    table = measure_controls(embedded(telling_cohort), SETTINGS)
    assert list(table) == CONTROL_COLUMNS and len(table) == len(PAIRS) * 3 + 2
    assert set(table["features"]) == {"image+lesion+patient", "image"} and set(table["num_test_patients"]) == {54}
    gain, left, owed = (difference(table, *pair) for pair in PAIRS)
    assert gain.difference > 0.2 and gain.ci_low > 0 and owed.ci_low > 0
    assert abs(left.difference) < 0.1
    assert gain.difference == pytest.approx(left.difference + owed.difference)


def test_metadata_that_tell_nothing_are_no_gain(small_cohort, embedded):
    table = measure_controls(embedded(small_cohort), SETTINGS)
    for pair in ((FUSED, IMAGE), (FUSED, SHUFFLED)):
        row = difference(table, *pair)
        assert row.ci_low < 0.02 and abs(row.difference) < 0.12


def test_nothing_is_measured_without_draws(small_cohort, embedded):
    none = SETTINGS.model_copy(update={"controls": ControlParams(num_draws=0)})
    table = measure_controls(embedded(small_cohort), none)
    assert table.empty and list(table) == CONTROL_COLUMNS


def test_images_alone_are_measured_with_shuffled_labels(small_cohort, embedded):
    images = {name: values for name, values in embedded(small_cohort).embeddings.items() if name.endswith("image")}
    table = measure_controls(small_cohort.target(embeddings=images), SETTINGS)
    assert table[["compared", "reference"]].drop_duplicates().to_numpy().tolist() == [[LABELS, CHANCE]]
    assert set(table["metric"]) == {"macro_auroc", "malignant_auroc"}


def test_shuffled_labels_teach_nothing_where_the_own_ones_teach_all(small_cohort):
    diagnosis = small_cohort.lesions["diagnosis"]
    signal = np.eye(3)[diagnosis.astype("category").cat.codes]
    told = {"slimp.all.image": signal + np.random.default_rng(0).normal(0, 0.1, signal.shape)}
    row = difference(measure_controls(small_cohort.target(embeddings=told), SETTINGS), LABELS, CHANCE)
    # An independent probe has an AUROC of 0.5 on average; three classes on three points scatter widely around it.
    assert abs(row.difference) < 0.3
    (fold, *_), _ = measured_plainly(small_cohort, told)
    assert fold > 0.99


def measured_plainly(cohort, embeddings):
    """AUROC of the plain probe by fold, and the settings."""
    settings = SETTINGS.model_copy(update={"protocols": ["linear_probe"], "features": ["image"]})
    results, _ = measure("small", predict(cohort.target(embeddings=embeddings), settings), settings)
    chosen = (results["metric"] == "macro_auroc") & (results["protocol"] == "linear_probe") & (results["draw"] != "all")
    return results.loc[chosen, "value"].tolist(), settings


def test_untrained_encoders_have_no_control(small_cohort):
    small_cohort.embeddings = {f"random_init.all.{name}": np.ones((120, 2)) for name in ("image", "lesion")}
    assert measure_controls(small_cohort.target(), SETTINGS).empty
