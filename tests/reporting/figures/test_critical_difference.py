"""The critical-difference plot and its bars."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.reporting.figures.critical_difference import _lanes, cliques, critical_difference_figure


def all_but(*pairs):
    """Every pair of a, b, c and d but these; "ab" is a pair of one-letter names."""
    return {frozenset(pair) for pair in combinations("abcd", 2)} - {frozenset(pair) for pair in pairs}


def values_of(**value_by_method):
    rows = [(method, value, value - 0.1, value + 0.05) for method, value in value_by_method.items()]
    return pd.DataFrame(rows, columns=["method", "value", "ci_low", "ci_high"])


def pairs_of(values, half_width):
    value = values.set_index("method")["value"]
    rows = [
        (a, b, value[a] - value[b], value[a] - value[b] - half_width, value[a] - value[b] + half_width)
        for a, b in combinations(value.index, 2)
    ]
    return pd.DataFrame(rows, columns=["method", "reference", "difference", "ci_low", "ci_high"])


def subtitle_of(figure):
    return figure.layout.title.subtitle.text.replace("<br>", " ")


def bars_of(figure):
    """First and last position on the y axis of each bar."""
    drawn = [trace for trace in figure.data if trace.name == "no difference shown"]
    ends = np.array([y for trace in drawn for y in trace.y if y is not None], dtype=float).reshape(-1, 2)
    return [tuple(map(int, pair)) for pair in np.round(ends)]


@pytest.mark.parametrize(
    ("differing", "expected"),
    [
        (all_but(), []),
        (all_but("ab"), [(0, 1)]),
        (all_but("ab", "bc", "ac"), [(0, 2)]),
        (all_but("ab", "bc"), [(0, 1), (1, 2)]),  # a and c differ
        (all_but("ab", "cd"), [(0, 1), (2, 3)]),
        (all_but("ac"), []),  # b, between them, differs from both
        (all_but("ab", "bc", "ac", "bd", "cd"), [(0, 2), (1, 3)]),
        (all_but("ab", "ac", "ad", "bc", "bd", "cd"), [(0, 3)]),
    ],
)
def test_bars_join_the_longest_runs_without_a_difference(differing, expected):
    assert cliques(list("abcd"), differing) == expected


@given(st.integers(0, 8), st.data())
def test_cliques_equal_a_slow_search(num_methods, data):
    methods = [f"m{n}" for n in range(num_methods)]
    every = [frozenset(pair) for pair in combinations(methods, 2)]
    differing = data.draw(st.sets(st.sampled_from(every))) if every else set()
    runs = [
        (first, last)
        for first, last in combinations(range(num_methods), 2)
        if not any(frozenset(pair) in differing for pair in combinations(methods[first : last + 1], 2))
    ]
    longest = [a for a in runs if not any(b != a and b[0] <= a[0] and a[1] <= b[1] for b in runs)]
    assert cliques(methods, differing) == sorted(longest)


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=9))
def test_bars_of_one_lane_share_no_method(starts_and_lengths):
    bars = sorted((first, first + length) for first, length in starts_and_lengths)
    placed = list(zip(bars, _lanes(bars), strict=True))
    for (one, lane), (other, other_lane) in combinations(placed, 2):
        assert lane != other_lane or one[1] < other[0]


def test_overlapping_bars_stand_side_by_side_and_a_later_one_comes_back_to_the_first_lane():
    assert _lanes([(0, 2), (1, 4), (3, 5)]) == [0, 1, 0]


def test_methods_stand_by_value_with_their_intervals():
    values = values_of(slimp=0.6, flat=0.8, simclr=0.7)
    figure = critical_difference_figure(values, pairs_of(values, 0.01), "macro AUROC")
    (points,) = figure.data  # every pair differs: no bar, and none in the legend
    np.testing.assert_allclose(points.x, [0.8, 0.7, 0.6])
    np.testing.assert_allclose(np.subtract(points.x, points.error_x.arrayminus), [0.7, 0.6, 0.5])
    np.testing.assert_allclose(np.add(points.x, points.error_x.array), [0.85, 0.75, 0.65])
    assert list(figure.layout.yaxis.ticktext) == ["flat contrast", "SimCLR", "SLIMP"]
    top, bottom = figure.layout.yaxis.range[1], figure.layout.yaxis.range[0]
    assert top < points.y[0] < points.y[-1] < bottom  # the highest value is at the top


def test_bars_follow_the_intervals_of_the_pairs_whichever_way_round_they_are():
    values = values_of(a=0.5, b=0.9, c=0.7, d=0.6)  # in order b, c, d, a; neighbours within 0.25: bc, cd, ca, da
    pairs = pairs_of(values, 0.25)
    turned = pairs.assign(
        method=pairs["reference"], reference=pairs["method"], ci_low=-pairs["ci_high"], ci_high=-pairs["ci_low"]
    )
    for table in (pairs, turned, pairs.sample(frac=1, random_state=0)):
        assert bars_of(critical_difference_figure(values, table, "macro F1")) == [(0, 1), (1, 3)]


def test_a_pair_that_was_not_measured_is_shown_no_difference_and_counted():
    values = values_of(a=0.9, b=0.8, c=0.7)
    pairs = pairs_of(values, 0.15)  # a and c differ
    figure = critical_difference_figure(values, pairs, "macro F1")
    assert bars_of(figure) == [(0, 1), (1, 2)] and "measured" not in subtitle_of(figure)
    of_c = pairs["reference"] == "c"
    unmeasured = pairs.assign(ci_low=pairs["ci_low"].mask(of_c), ci_high=pairs["ci_high"].mask(of_c))
    for table in (pairs[~of_c], unmeasured):
        figure = critical_difference_figure(values, table, "macro F1")
        assert bars_of(figure) == [(0, 2)]
        assert subtitle_of(figure).endswith("; 2 of 3 pairs weren't measured")
    with_other = pd.concat([pairs[~of_c], pairs[of_c].assign(reference="d")])  # d isn't drawn
    assert "; 2 of 3 pairs" in subtitle_of(critical_difference_figure(values, with_other, "macro F1"))


def test_a_method_that_could_not_be_measured_is_left_out():
    values = values_of(a=0.9, b=np.nan, c=0.7)
    figure = critical_difference_figure(values, pairs_of(values, 1.0), "macro F1")
    assert list(figure.layout.yaxis.ticktext) == ["a", "c"] and bars_of(figure) == [(0, 1)]


def test_without_any_measured_method_the_figure_says_so():
    values = values_of(a=np.nan)
    figure = critical_difference_figure(values, pairs_of(values, 1.0), "macro F1")
    assert "no method could be measured" in figure.layout.title.subtitle.text


def test_the_values_and_bars_of_ten_methods_have_room_of_their_own():
    values = values_of(**{f"method_of_a_rather_long_name_{n}": 0.9 - 0.05 * n for n in range(10)})
    figure = critical_difference_figure(values, pairs_of(values, 0.26), "macro F1")
    assert len(bars_of(figure)) == 5  # each of six methods
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    bars = figure.data[1]
    low, high = figure.layout.xaxis2.range
    assert all(low < x < high for x in bars.x if x is not None) and len(set(bars.x) - {None}) == 5
    assert max(len(line) for tick in figure.layout.yaxis.ticktext for line in tick.split("<br>")) <= 18


def test_names_are_escaped():
    values = values_of(**{"<b>x</b>": 0.9, "y": 0.8})
    figure = critical_difference_figure(values, pairs_of(values, 1.0), "macro F1")
    assert "<b>" not in figure.to_json() and "&lt;b&gt;x" in figure.layout.yaxis.ticktext[0]


def test_a_method_of_several_rows_is_refused():
    values = pd.concat([values_of(slimp=0.6), values_of(slimp=0.7)])
    with pytest.raises(ValueError, match="slimp has several rows"):
        critical_difference_figure(values, pairs_of(values_of(slimp=0.6), 1.0), "macro F1")
