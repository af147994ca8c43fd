"""The comparison page."""

import re

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.measures.compare import READING_COMPARISON_COLUMNS, TRUTH_COMPARISON_COLUMNS
from slimp_pipeline.reporting.pages.comparison import render_comparison

NO_TRUTHS = pd.DataFrame(columns=TRUTH_COMPARISON_COLUMNS)
NO_READINGS = pd.DataFrame(columns=READING_COMPARISON_COLUMNS)
HOSTILE = "<img src=x onerror=alert(1)><b>mine</b>"
THREE = {"flat": 0.55, "slimp": 0.7, "initial_weights": 0.68}  # in order: slimp, initial_weights, flat


def rendered(values, pairs, cohort="Small cohort", confidence=0.95, truths=NO_TRUTHS, readings=NO_READINGS):
    """The body of the page without figures, white space run together."""
    text = render_comparison(cohort, values, pairs, truths, readings, confidence)
    body = re.sub(r' (scope|aria-label)="[^"]*"', "", text.split("<body>")[1])
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>", "", body, flags=re.DOTALL))


def brief(text):
    return re.findall(r"<li>(.*?)</li>", text.split("</ul>")[0])


def square(text, number=0):
    """Row -> column -> text of a cell of the differences, tags aside."""
    table = text.split("row minus column</th>")[number + 1].split("</table>")[0]
    head, body = table.split("</thead>")
    columns = re.findall(r"<th>(.*?)</th>", head)
    lines = {}
    for row in re.findall(r"<tr>(.*?)</tr>", body):
        cells = [re.sub(r" +", " ", re.sub(r"<.*?>", "", cell)).strip() for cell in re.findall(r"<td>(.*?)</td>", row)]
        lines[re.findall(r"<th>(.*?)</th>", row)[0]] = dict(zip(columns, cells, strict=True))
    return lines


def test_methods_stand_by_value_with_interval_and_deviation(compared):
    text = rendered(*compared(THREE))
    assert "<h2>Linear probe, image</h2>" in text
    table = text.split("<th>runs</th>")[1].split("</table>")[0]
    assert table.index("<th>SLIMP</th>") < table.index("<th>initial weights</th>") < table.index("<th>flat contrast<")
    assert (
        '<th>SLIMP</th><td>3</td><td><span class="value">0.700</span> <span class="range">[0.640, 0.750]</span>'
        '<span class="range">sd 0.012</span></td><td><span class="value">0.300</span>'
    ) in table


def test_methods_of_a_run_have_their_names_before_that_of_the_run(compared):
    text = rendered(*compared({"slimp (v1)": 0.7, "metadata_linear (v1)": 0.6, "mine_own (v2)": 0.5}))
    assert list(square(text)) == ["SLIMP (v1)", "metadata, linear (v1)", "mine own (v2)"]


def test_the_square_of_differences_is_row_minus_column_and_turned_round_in_its_other_half(compared):
    cells = square(rendered(*compared(THREE)))
    assert list(cells) == ["SLIMP", "initial weights", "flat contrast"]
    assert cells["SLIMP"] == {
        "SLIMP": "",
        "initial weights": "+0.020 [-0.020, +0.060] within noise",
        "flat contrast": "+0.150 [+0.110, +0.190] outside noise",
    }
    assert cells["flat contrast"] == {
        "SLIMP": "-0.150 [-0.190, -0.110] outside noise",
        "initial weights": "-0.130 [-0.170, -0.090] outside noise",
        "flat contrast": "",
    }


def test_the_brief_says_who_is_over_whom_whichever_way_round_a_pair_is_held(compared):
    values, pairs = compared(THREE)
    turned = pairs.assign(method=pairs["reference"], reference=pairs["method"], difference=-pairs["difference"])
    turned = turned.assign(ci_low=-pairs["ci_high"], ci_high=-pairs["ci_low"])
    expected = [
        "SLIMP: 0.700 [0.640, 0.750]",
        "initial weights: 0.680 [0.620, 0.730]",
        "flat contrast: 0.550 [0.490, 0.600]",
        "SLIMP over flat contrast: +0.150 [+0.110, +0.190], outside noise",
        "initial weights over flat contrast: +0.130 [+0.090, +0.170], outside noise",
        "1 of 3 differences between these are within noise.",
    ]
    assert brief(rendered(values, pairs)) == expected
    assert brief(rendered(values, turned)) == expected
    assert square(rendered(values, turned)) == square(rendered(values, pairs))


def test_the_brief_is_of_linear_probes_alone(compared):
    probe, tuned = compared(THREE), compared({"flat": 0.9, "slimp": 0.2, "initial_weights": 0.3}, protocol="fine_tune")
    both = [pd.concat(tables) for tables in zip(probe, tuned, strict=True)]
    assert brief(rendered(*both)) == brief(rendered(*probe))
    assert "<h2>Fine-tuning, image</h2>" in rendered(*both)
    assert square(rendered(*both), 1)["SLIMP"]["flat contrast"].startswith("-0.700")


def test_a_long_brief_names_the_largest_differences_and_counts_the_rest(compared):
    methods = {f"m{number}": 0.2 + 0.1 * number for number in range(6)}  # 15 pairs, all outside noise
    lines = brief(rendered(*compared(methods)))
    assert lines[6] == "m5 over m0: +0.500 [+0.460, +0.540], outside noise"
    sizes = [float(re.search(r"\+(0\.\d+)", line)[1]) for line in lines[6:12]]
    assert sizes == [0.5, 0.4, 0.4, 0.3, 0.3, 0.3]
    assert lines[12:] == [
        "9 smaller differences are outside noise too: see the table.",
        "0 of 15 differences between these are within noise.",
    ]


def test_baselines_stand_in_every_linear_probe_and_in_no_fine_tuning(compared):
    values, pairs = compared({"slimp": 0.6, "metadata_linear": 0.7})
    is_baseline = values["method"] == "metadata_linear"
    values.loc[is_baseline, ["features", "protocol"]] = ["metadata", "baseline"]
    tuned = compared({"slimp": 0.5, "flat": 0.4}, protocol="fine_tune")
    text = rendered(pd.concat([values, tuned[0]]), pd.concat([pairs, tuned[1]]))
    assert square(text)["metadata, linear"]["SLIMP"] == "+0.100 [+0.060, +0.140] outside noise"
    assert list(square(text, 1)) == ["SLIMP", "flat contrast"]
    assert "Baseline" not in text


def test_pairs_of_two_baselines_stand_in_the_square_and_are_joined_by_a_bar(compared):
    three = {"slimp": 0.4, "metadata_linear": 0.6, "metadata_gbdt": 0.62}
    values, pairs = compared(three)
    of_baselines = ["metadata_linear", "metadata_gbdt"]
    values.loc[values["method"].isin(of_baselines), ["features", "protocol"]] = ["metadata", "baseline"]
    pairs.loc[pairs["method"].isin(of_baselines), ["features", "protocol"]] = ["metadata", "baseline"]
    text = render_comparison("Small cohort", values, pairs, NO_TRUTHS, NO_READINGS, 0.95)
    cells = square(rendered(values, pairs))
    assert cells["metadata, boosted trees"]["metadata, linear"] == "+0.020 [-0.020, +0.060] within noise"
    assert "no difference shown: metadata, boosted trees, metadata, linear" in re.sub(r"\s+", " ", text)
    assert "weren't measured" not in text and "weren&#39;t measured" not in text


def test_one_run_has_no_deviation_and_no_word_of_seeds(compared):
    text = rendered(*compared(THREE, num_runs=1))
    assert "One run of every method." in text and "sd" not in text and "over runs" not in text
    several = rendered(*compared(THREE, num_runs=3))
    assert "3 runs of every method." in several and "and over runs" in several and "sd: standard deviation" in several


def test_groups_of_unequal_size_are_said_to_be(compared):
    values, pairs = compared(THREE)
    fewer = values.assign(num_runs=values["num_runs"].where(values["method"] != "flat", 2))
    assert "2 to 3 runs of a method." in rendered(fewer, pairs)


def test_the_page_states_its_level_and_the_number_of_comparisons(compared):
    values, pairs = compared(THREE)
    text = rendered(values, pairs, confidence=0.9)
    assert "Brackets are 90 % intervals" in text and "6 comparisons were made" in text  # three pairs, two metrics


def test_what_could_not_be_measured_is_neither_within_nor_outside_noise(compared):
    values, pairs = compared(THREE)
    flat = (pairs["method"] == "flat") | (pairs["reference"] == "flat")
    pairs.loc[flat, ["difference", "ci_low", "ci_high"]] = np.nan
    pairs.loc[flat, "within_noise"] = False  # as comparing with NaN gives
    text = rendered(values, pairs)
    assert square(text)["SLIMP"]["flat contrast"] == square(text)["flat contrast"]["SLIMP"] == "not measurable"
    assert "nan" not in text and brief(text)[3:] == ["1 of 1 differences between these are within noise."]


def test_an_interval_that_is_not_known_makes_no_verdict(compared):
    values, pairs = compared(THREE)
    text = rendered(values, pairs.assign(ci_low=np.nan, ci_high=np.nan, within_noise=False))
    assert "nan" not in text and "outside noise" not in text


def test_names_of_cohorts_and_labels_are_escaped(compared):
    values, pairs = compared({HOSTILE: 0.7, "slimp": 0.5})
    text = render_comparison(HOSTILE, values, pairs, NO_TRUTHS, NO_READINGS, 0.95)
    page = text.split("</script>", 1)[1]  # behind Plotly's own code
    assert "<img" not in page and "<b>mine" not in page and HOSTILE not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;&lt;b&gt;mine&lt;/b&gt;") >= 5
    assert f"<title>Comparison on {HOSTILE}" not in text


def test_what_is_found_of_known_causes_stands_on_the_page_of_a_fabricated_cohort_alone(compared):
    lines = [
        ["patient's skin type", "R2", 0.0, "flat", 1, 0.5, 0.5, 0.5],
        ["patient's skin type", "R2", 0.0, "slimp", 2, 0.7, 0.6, 0.8],
    ]
    text = rendered(*compared(THREE), truths=pd.DataFrame(lines, columns=TRUTH_COMPARISON_COLUMNS))
    table = text.split("What was put in, is it found?")[1]
    assert "<th>SLIMP</th><th>flat contrast</th>" in table and "0.600 to 0.800" in table and "0.500 to" not in table
    assert "What was put in" not in rendered(*compared(THREE))


def test_labels_that_differ_in_an_underscore_alone_are_two_methods(compared):
    text = rendered(*compared({"my_run": 0.6, "my run": 0.5}))
    assert brief(text)[2] == "my run over my run: +0.100 [+0.060, +0.140], outside noise"


@pytest.mark.parametrize("width_px", [390, 1280])
def test_the_page_stands_alone_and_fits_a_phone_and_a_desk(compared, show, width_px):
    names = ["slimp", "flat", "simclr", "ugly_duckling_gbdt", "a rather long label of a group of runs", HOSTILE]
    values, pairs = compared({name: 0.8 - 0.05 * number for number, name in enumerate(names)})
    browser = show(render_comparison(HOSTILE, values, pairs, NO_TRUTHS, NO_READINGS, 0.95), width_px, num_figures=2)
    assert len(browser.find_elements("css selector", "table")) == 2


def test_fields_that_are_read_from_images_stand_by_method_best_first(compared):
    values, pairs = compared(THREE)
    lines = [["lighting", "nuisance", "read from the image", "macro_auroc", "slimp", 3, 0.61, 0.55, 0.68],
             ["age_years", "patient", "read from the image", "macro_auroc", "slimp", 3, 0.75, 0.7, 0.8],
             ["age_years", "patient", "adds to the image", "macro_auroc", "slimp", 3, 0.01, 0.0, 0.02],
             ["age_years", "patient", "read from the image", "macro_auroc", "flat", 1, 0.7, 0.7, 0.7]]  # fmt: skip
    text = rendered(values, pairs, readings=pd.DataFrame(lines, columns=READING_COMPARISON_COLUMNS))
    table = re.sub(r"<.*?>", " ", text.split("Fields in the image</h2>")[1].split("</table>")[0])
    cells = re.sub(r"\s+", " ", table)
    assert "age_ years patient 0.750 0.700 to 0.800 0.700 lighting nuisance 0.610 0.550 to 0.680" in cells
    assert "Fields in the image" not in rendered(values, pairs)
