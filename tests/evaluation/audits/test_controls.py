"""Strangers' metadata: a gain that rests on a patient's own metadata is lost with them."""

import numpy as np
import pytest

from slimp_pipeline.evaluation.audits.controls import (
    CONTROL_COLUMNS,
    FUSED,
    IMAGE,
    PAIRS,
    SHUFFLED,
    measure_controls,
    shuffled_between_patients,
)
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
    assert list(table) == CONTROL_COLUMNS and len(table) == len(PAIRS) * 3
    assert set(table["features"]) == {"image+lesion+patient"} and set(table["num_test_patients"]) == {54}
    gain, left, owed = (difference(table, *pair) for pair in PAIRS)
    assert gain.difference > 0.2 and gain.ci_low > 0 and owed.ci_low > 0
    assert abs(left.difference) < 0.1
    assert gain.difference == pytest.approx(left.difference + owed.difference)


def test_metadata_that_tell_nothing_are_no_gain(small_cohort, embedded):
    table = measure_controls(embedded(small_cohort), SETTINGS)
    for pair in ((FUSED, IMAGE), (FUSED, SHUFFLED)):
        row = difference(table, *pair)
        assert row.ci_low < 0.02 and abs(row.difference) < 0.12


def test_nothing_is_measured_without_metadata_or_draws(small_cohort, embedded):
    target = embedded(small_cohort)
    none = SETTINGS.model_copy(update={"controls": ControlParams(num_draws=0)})
    assert measure_controls(target, none).empty
    images = {name: values for name, values in target.embeddings.items() if name.endswith("image")}
    table = measure_controls(small_cohort.target(embeddings=images), SETTINGS)
    assert table.empty and list(table) == CONTROL_COLUMNS


def test_untrained_encoders_have_no_control(small_cohort):
    small_cohort.embeddings = {f"random_init.all.{name}": np.ones((120, 2)) for name in ("image", "lesion")}
    assert measure_controls(small_cohort.target(), SETTINGS).empty


@pytest.mark.parametrize("seed", range(5))
def test_metadata_come_from_one_other_patient(seed):
    patient_N = np.array(list("aaabbcdddd"))
    donor_N = shuffled_between_patients(patient_N, np.random.default_rng(seed))
    lenders = set()
    for patient in "abcd":
        (lender,) = set(patient_N[donor_N[patient_N == patient]])
        assert lender != patient
        lenders.add(lender)
        # Each row of the lender's is lent before any is lent again.
        lent = donor_N[patient_N == patient]
        assert len(set(lent)) == min(len(lent), (patient_N == lender).sum())
    assert lenders == set("abcd")
