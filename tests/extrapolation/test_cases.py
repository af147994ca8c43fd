"""Target rows to show."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.extrapolation.cases import worst_and_best


def test_best_and_worst_by_hand(fields):
    # Agreement with the site alone known: 1, 0, 1, 0, 0, 0, unknown.
    fields = {"site": fields["site"]}
    truth = pd.DataFrame({"site": ["arm"] * 6 + [None]})
    borrowed = pd.DataFrame({"site": ["arm", "leg", "arm", "leg", "leg", "leg", "arm"]})
    similarity_N = np.array([0.2, 0.5, 0.4, 0.9, 0.1, 0.8, 1.0])
    best, worst = worst_and_best(borrowed, truth, fields, similarity_N, 2)
    assert best.tolist() == [2, 0]  # equal agreement: the more similar first
    assert worst.tolist() == [3, 5]  # wrong, and most similar to their neighbour


def test_agreement_is_the_mean_over_fields_with_numbers_by_their_deviation(fields):
    # Ages have standard deviation 10. Row 0: exp(0), 0 of site, boxes (1 + 0) / 2: mean 0.5. Row 1: exp(-1), 1,
    # unknown: 0.684. Row 2: exp(-2) alone: 0.135. Row 3: unknown age, 0, (0 + unknown): 0.
    age = [40.0, 60.0, 40.0, 60.0]
    truth = pd.DataFrame(
        {
            "age_years": age,
            "site": ["arm", "arm", None, "arm"],
            "symptom.itch": pd.array([True, None, None, True], dtype="boolean"),
            "symptom.bleed": pd.array([True, None, None, None], dtype="boolean"),
        }
    )
    borrowed = pd.DataFrame(
        {
            "age_years": [40.0, 50.0, 60.0, np.nan],
            "site": ["leg", "arm", "arm", "leg"],
            "symptom.itch": pd.array([True, True, True, False], dtype="boolean"),
            "symptom.bleed": pd.array([False, True, True, True], dtype="boolean"),
        }
    )
    best, _ = worst_and_best(borrowed, truth, fields, np.zeros(4), 4)
    assert best.tolist() == [1, 0, 2, 3]
    best, worst = worst_and_best(borrowed, truth, fields, np.zeros(4), 1)
    assert best.tolist() == [1] and worst.tolist() == [3]


def test_the_worst_are_looked_for_among_the_tenth_that_agrees_least(fields):
    # 100 rows, errors 0 to 99 years; the ten largest errors are candidates, the most similar of them are shown.
    fields = {"age_years": fields["age_years"]}
    truth = pd.DataFrame({"age_years": np.linspace(0, 100, 100)})
    borrowed = truth + np.arange(100.0)[:, None]
    best, worst = worst_and_best(borrowed, truth, fields, -np.arange(100) / 100, 3)
    assert best.tolist() == [0, 1, 2] and worst.tolist() == [90, 91, 92]


def test_a_constant_truth_matches_exactly_or_not_at_all(fields):
    fields = {"age_years": fields["age_years"]}
    truth, borrowed = pd.DataFrame({"age_years": [50.0] * 3}), pd.DataFrame({"age_years": [51.0, 50.0, 90.0]})
    best, worst = worst_and_best(borrowed, truth, fields, np.array([0.1, 0.2, 0.3]), 1)
    assert best.tolist() == [1] and worst.tolist() == [2]


@pytest.mark.parametrize(("num_shown", "num_best", "num_worst"), [(0, 0, 0), (2, 2, 1), (3, 3, 0), (9, 3, 0)])
def test_no_row_is_shown_twice_and_few_rows_are_enough(fields, num_shown, num_best, num_worst):
    table = pd.DataFrame({"site": ["arm", "leg", "back"]})
    best, worst = worst_and_best(table, table, fields, np.array([0.3, 0.1, 0.2]), num_shown)
    assert (len(best), len(worst)) == (num_best, num_worst)
    assert not set(best) & set(worst)


def test_without_a_comparable_field_nothing_is_shown(fields):
    table = pd.DataFrame({"site": ["arm", "leg"]})
    for kept in ({}, {"age_years": fields["age_years"]}):
        best, worst = worst_and_best(table, table, kept, np.ones(2), 2)
        assert best.size == worst.size == 0


def test_tables_of_other_rows_are_refused(fields):
    table = pd.DataFrame({"site": ["arm", "leg"]})
    with pytest.raises(ValueError, match="the same rows"):
        worst_and_best(table, table, fields, np.ones(3), 2)
    with pytest.raises(ValueError, match="NaN"):
        worst_and_best(table, table, fields, np.array([1, np.nan]), 2)
