"""Agreement of borrowed with true metadata."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.extrapolation.quality import QUALITY_COLUMNS, borrowed_quality

SETTINGS = {"num_resamples": 200, "confidence": 0.95, "seed": 0}


def frame(age, site, itch):
    return pd.DataFrame({"age_years": age, "site": site, "symptom.itch": pd.array(itch, dtype="boolean")})


@pytest.fixture(scope="module")
def cohort():
    """120 rows of 40 patients; the truth, and a reference that has its distribution."""
    rng = np.random.default_rng(0)
    truth = frame(rng.normal(50, 10, 120), rng.choice(["arm", "leg", "back"], 120), rng.random(120) < 0.3)
    reference = truth.sample(frac=1, random_state=1).reset_index(drop=True)
    patient_N = np.array([f"p{number:02d}" for number in np.arange(120) // 3])
    return truth, reference, patient_N, rng.random(120)


def measure(borrowed, truth, reference, fields, patient_N, similarity_N, coverages=(1.0,), **changes):
    settings = SETTINGS | changes
    return borrowed_quality(borrowed, truth, reference, fields, patient_N, similarity_N, coverages, **settings)


def by_measure(quality):
    return quality.set_index(["field", "measure", "coverage"])


def test_a_perfect_loan_agrees_wholly_and_beats_chance(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    quality = measure(truth, truth, reference, fields, patient_N, similarity_N)
    assert list(quality) == QUALITY_COLUMNS and quality["beats_chance"].all()
    assert quality["kind"].tolist() == ["numeric"] * 2 + ["categorical"] * 2 + ["checkbox"] * 2
    assert quality["field"].tolist() == ["age_years"] * 2 + ["site"] * 2 + ["symptom.itch"] * 2
    np.testing.assert_allclose(quality["value"], [0, 1, 1, 1, 1, 1], atol=1e-12)
    assert (quality["num_rows"] == 120).all() and (quality["num_patients"] == 40).all()
    np.testing.assert_allclose(quality[["ci_low", "ci_high"]], quality[["value", "value"]], atol=1e-12)


def test_random_reference_rows_do_not_beat_chance_and_lie_near_it(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    beaten = 0
    for seed in range(20):
        borrowed = reference.sample(120, replace=True, random_state=seed).reset_index(drop=True)
        quality = measure(borrowed, truth, reference, fields, patient_N, similarity_N)
        assert (quality["value"] - quality["chance"]).abs().max() < 3  # years, or shares
        beaten += quality["beats_chance"].sum()
    assert beaten <= 12  # of 120: one-sided 2.5 %, measures of a field go together


def test_a_category_that_the_reference_never_has_is_not_held_against_it(fields):
    truth = frame([50.0] * 4, ["arm", "leg", "trunk", "trunk"], [True] * 4)
    borrowed = frame([50.0] * 4, ["arm", "arm", "leg", "arm"], [True] * 4)
    reference = frame([50.0] * 2, ["arm", "leg"], [True] * 2)
    quality = by_measure(measure(borrowed, truth, reference, fields, np.array(list("abcd")), np.arange(4.0)))
    site = quality.loc["site", "accuracy", 1.0]
    assert (site["value"], site["chance"], site["num_rows"]) == (0.5, 0.5, 2)


def test_the_commonest_value_lent_to_all_is_no_better_than_chance(fields):
    rng = np.random.default_rng(0)
    site = np.where(rng.random(300) < 0.8, "arm", "leg")
    truth = frame(rng.normal(50, 10, 300), site, rng.random(300) < 0.5)
    borrowed = frame(np.full(300, 50.0), ["arm"] * 300, [True] * 300)  # as a vote of many neighbours has it
    quality = by_measure(measure(borrowed, truth, truth, fields, np.arange(300).astype(str), rng.random(300)))
    row = quality.loc["site", "accuracy", 1.0]
    assert row["ci_low"] > row["chance"] and row["value"] == pytest.approx(row["shuffled"]) and not row["beats_chance"]
    assert not quality["beats_chance"].any()


def test_figures_by_hand(fields):
    # Four rows of two patients: ages off by 1, 3, 2 and 10; sites right in two of the three that are known.
    borrowed = frame([51.0, 43, 62, 80], ["arm", "leg", None, "arm"], [True, None, None, None])
    truth = frame([50.0, 40, 60, 70], ["arm", "leg", "leg", "leg"], [True, True, True, True])
    reference = frame([50.0, 60], ["arm", "leg"], [True, False])
    arguments = borrowed, truth, reference, fields, np.array(["a", "a", "b", "b"]), np.array([0.9, 0.7, 0.8, 0.6])
    quality = by_measure(measure(*arguments, coverages=(0.25, 0.5, 1.0)))
    ages = quality.loc["age_years"].loc["mean_absolute_error"]
    assert ages.index.tolist() == [0.5, 1.0]  # a quarter leaves one row
    assert ages["value"].tolist() == [1.5, 4.0]  # the nearest half: rows 0 and 2
    assert ages["num_patients"].tolist() == [2, 2]
    # Chance: distances of 50, 40, 60, 70 to 50 and 60 are 5, 15, 5, 15 on average.
    assert ages["chance"].tolist() == [5.0, 10.0]
    sites = quality.loc["site"].loc["accuracy"]
    assert sites.index.tolist() == [1.0] and sites.loc[1.0, "num_rows"] == 3
    assert sites.loc[1.0, "value"] == pytest.approx(2 / 3) and sites.loc[1.0, "chance"] == pytest.approx(0.5)
    assert "symptom.itch" not in quality.index  # known on both sides in one row only


def test_the_shuffled_control_is_the_mean_over_permutations_of_the_kept_rows(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    quality = by_measure(measure(truth, truth, reference, fields, patient_N, similarity_N))["shuffled"]
    share_C = truth["site"].value_counts(normalize=True)
    assert quality["site", "accuracy", 1.0] == pytest.approx((share_C**2).sum(), abs=0.04)
    assert quality["site", "kappa", 1.0] == pytest.approx(0, abs=0.06)
    assert quality["age_years", "spearman", 1.0] == pytest.approx(0, abs=0.08)
    ages = truth["age_years"].to_numpy()
    assert quality["age_years", "mean_absolute_error", 1.0] == pytest.approx(
        np.abs(ages[:, None] - ages).mean(), rel=0.05
    )
    alike = truth.assign(site="arm")
    same = by_measure(measure(alike, alike, reference, fields, patient_N, similarity_N))["shuffled"]
    assert same["site", "accuracy", 1.0] == 1  # among rows that are all alike, any permutation agrees


def test_a_loan_that_is_good_only_where_the_neighbour_is_near_is_better_at_low_coverage(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    near_N = similarity_N >= np.sort(similarity_N)[60]
    borrowed = truth.where(pd.Series(near_N), reference)
    quality = by_measure(measure(borrowed, truth, reference, fields, patient_N, similarity_N, (0.5, 1.0)))
    assert quality.loc[("site", "accuracy", 0.5), "value"] == 1 > quality.loc[("site", "accuracy", 1.0), "value"]
    assert quality.loc[("site", "accuracy", 0.5), "num_rows"] == 60


def test_intervals_are_wider_where_a_patients_rows_go_together(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    wrong_N = pd.Series(np.arange(120) // 3 % 2 == 0)  # every other patient wholly wrong
    borrowed = truth.assign(site=truth["site"].where(~wrong_N, "ear"))
    grouped = by_measure(measure(borrowed, truth, reference, fields, patient_N, similarity_N))
    alone = by_measure(measure(borrowed, truth, reference, fields, np.arange(120), similarity_N))
    widths = [quality.loc[("site", "accuracy", 1.0)] for quality in (grouped, alone)]
    grouped_width, alone_width = [row["ci_high"] - row["ci_low"] for row in widths]
    assert grouped_width > 1.4 * alone_width  # sqrt(3) in expectation


def test_a_constant_truth_leaves_rank_correlation_undefined(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    constant = truth.assign(age_years=50.0, site="arm")
    quality = by_measure(measure(truth, constant, reference, fields, patient_N, similarity_N))
    row = quality.loc[("age_years", "spearman", 1.0)]
    assert np.isnan(row[["value", "ci_low", "ci_high", "shuffled"]].astype(float)).all() and not row["beats_chance"]
    assert quality.loc[("site", "kappa", 1.0), "value"] == pytest.approx(0)


def test_rows_of_a_single_patient_have_no_interval_and_beat_nothing(cohort, fields):
    truth, reference, _, similarity_N = cohort
    quality = measure(truth, truth, reference, fields, np.full(120, "p"), similarity_N)
    assert quality[["ci_low", "ci_high"]].isna().all(axis=None) and not quality["beats_chance"].any()


def test_the_same_seed_gives_the_same_table_and_another_seed_other_intervals(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    arguments = reference, truth, reference, fields, patient_N, similarity_N
    pd.testing.assert_frame_equal(measure(*arguments), measure(*arguments))
    other = measure(*arguments, seed=1)
    assert (other["value"] == measure(*arguments)["value"]).all()
    assert (other["ci_low"] != measure(*arguments)["ci_low"]).any()


def test_no_comparable_field_and_no_row_leave_an_empty_table_with_columns(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    empty = measure(truth, truth, reference, {}, patient_N, similarity_N)
    assert empty.empty and list(empty) == QUALITY_COLUMNS
    empty = measure(truth.iloc[:0], truth.iloc[:0], reference, fields, patient_N[:0], similarity_N[:0])
    assert empty.empty and list(empty) == QUALITY_COLUMNS


def test_tables_of_other_rows_and_missing_similarities_are_refused(cohort, fields):
    truth, reference, patient_N, similarity_N = cohort
    with pytest.raises(ValueError, match="same rows"):
        measure(truth.iloc[1:], truth, reference, fields, patient_N, similarity_N)
    with pytest.raises(ValueError, match="is missing"):
        measure(truth, truth, reference, fields, patient_N, np.where(similarity_N > 0.5, np.nan, similarity_N))
    with pytest.raises(ValueError, match="is missing"):
        measure(truth, truth, reference, fields, np.array([None, *patient_N[1:]], dtype=object), similarity_N)
