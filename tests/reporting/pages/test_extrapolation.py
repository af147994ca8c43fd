"""The extrapolation page, and the cases that it shows."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS
from slimp_pipeline.extrapolation.quality import QUALITY_COLUMNS
from slimp_pipeline.extrapolation.run import WORTH_COLUMNS
from slimp_pipeline.reporting.pages.extrapolation import _coverage_figure, render_extrapolation
from slimp_pipeline.reporting.pictures.cases import picture_cases, text_of

HOSTILE = "<img src=x onerror=alert(1)><b>mine</b>"
FIELDS = "age_years, site, symptom"


@pytest.fixture
def target_rows():
    return pd.DataFrame(
        {
            "image_id": ["secret-t0", "secret-t1", "secret-t2"],
            "patient_id": ["person-0", "person-1", "person-1"],
            "diagnosis": ["MEL", None, HOSTILE],
            "store_index": [0, 1, 2],
            "age_years": [50.0, 41.5, np.nan],
            "site": ["arm", HOSTILE, None],
            "symptom.itch": pd.array([True, False, None], dtype="boolean"),
        }
    )


@pytest.fixture
def reference_rows():
    columns = {"image_id": ["secret-r0", "secret-r1"], "patient_id": "person-9", "diagnosis": ["BCC", "NEV"]}
    return pd.DataFrame(columns).assign(store_index=[1, 0])


@pytest.fixture
def cases():
    return pd.DataFrame(
        {
            "case": ["best", "worst"],
            "image_id": ["secret-t1", "secret-t2"],
            "nearest_image_id": ["secret-r1", "secret-r0"],
            "similarity": [0.98765, 0.5],
            "age_years": [42.25, 60.0],
            "site": ["leg", "arm"],
            "symptom.itch": pd.array([True, None], dtype="boolean"),
            "symptom.bleed": pd.array([True, True], dtype="boolean"),  # the target has no such option
            "fields": FIELDS,
        }
    )


@pytest.fixture
def tables(cases, results):
    quality = [
        ["age_years", "numeric", 0.5, "mean_absolute_error", 4.0, 3.0, 5.0, 8.0, 8.1, 50, 20, True],
        ["age_years", "numeric", 1.0, "mean_absolute_error", 7.5, 6.0, 9.0, 8.0, 8.2, 100, 40, False],
        ["age_years", "numeric", 1.0, "spearman", np.nan, np.nan, np.nan, 0.0, np.nan, 100, 40, False],
        [HOSTILE, "categorical", 0.5, "accuracy", 0.9, 0.8, 1.0, 0.5, 0.51, 50, 20, True],
        [HOSTILE, "categorical", 1.0, "accuracy", 0.75, 0.7, 0.8, 0.5, 0.52, 100, 40, True],
    ]
    other = [["fitzpatrick", "absent from the reference"], ["smoke", "absent from the reference"]]
    other += [[HOSTILE, "other units? " + HOSTILE]]
    ours, alone, own = "images and borrowed metadata", "images alone", "images and the target's own metadata"
    worth = [
        ["small", ours, alone, "balanced_accuracy", 0.05, 0.01, 0.09],
        ["small", ours, alone, "macro_auroc", -0.02, -0.05, 0.01],
        ["small", ours, own, "balanced_accuracy", -0.1, -0.2, -0.03],
        ["small", ours, own, "macro_auroc", np.nan, np.nan, np.nan],
    ]
    probes = [("slimp", "image", 0.6), ("slimp", "image+lesion+patient", 0.75)]
    probes += [("slimp_extrapolated", "image+lesion+patient", 0.65)]
    rows = [
        ["small", method, features, "linear_probe", "all", draw, metric, value + more, value - 0.1, value + 0.1, 3, 1]
        for method, features, value in probes
        for draw, more in (("0", 0.2), ("all", 0.0))
        for metric in ("balanced_accuracy", "macro_auroc")
    ]
    return {
        "borrowed": pd.DataFrame({"partition": "all", "similarity": [0.9, 0.8, 0.95]}),
        "quality": pd.DataFrame(quality, columns=QUALITY_COLUMNS),
        "other_fields": pd.DataFrame(other, columns=["field", "reason"]),
        "cases": cases,
        "results": pd.DataFrame(rows, columns=RESULT_COLUMNS),
        "worth": pd.DataFrame(worth, columns=WORTH_COLUMNS),
    }


class Store:
    """Flat pictures, brighter with their row."""

    def __init__(self, darkest):
        self.darkest = darkest

    def encoded(self, index):
        buffer = io.BytesIO()
        Image.new("L", (20, 20), self.darkest + 20 * index).save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture
def pictures(cases, reference_rows, target_rows):
    return picture_cases(cases, reference_rows, target_rows, Store(160), Store(40))


@pytest.fixture
def page(target_rows, tables):
    def render(pictures=None, source="Reference", target="Target", confidence=0.95, **changes):
        return render_extrapolation(source, target, target_rows, confidence, pictures, **(tables | changes))

    return render


def body(text):
    """The body of the page without figures; white space run together, word breaks aside."""
    text = re.sub(r"<script.*?</script>| scope=\"\w+\"| class=\"text\"", "", text.split("<body>")[1], flags=re.DOTALL)
    return re.sub(r"\s+", " ", text.replace("<wbr>", ""))


def test_a_case_pairs_the_target_with_the_lesion_that_lent_and_both_values_of_each_column(pictures):
    (best,), (worst,) = pictures["best"], pictures["worst"]
    assert [picture["label"] for picture in best["pictures"]] == ["unlabelled", "NEV"]
    assert [picture["image_id"] for picture in best["pictures"]] == ["", ""]
    shown = [picture["src"].split(",")[1] for picture in [*best["pictures"], *worst["pictures"]]]
    brightness = [np.mean(Image.open(io.BytesIO(base64.b64decode(source)))) for source in shown]
    np.testing.assert_allclose(brightness, [60, 160, 80, 180], atol=2)  # t1, r1 of row 0, t2, r0 of row 1
    assert best["similarity"] == "0.988" and worst["similarity"] == "0.500"
    assert best["lines"] == [
        {"field": "age_years", "borrowed": "42.25", "true": "41.5"},
        {"field": "site", "borrowed": "leg", "true": HOSTILE},
        {"field": "symptom.itch", "borrowed": "True", "true": "False"},
    ]
    assert [line["true"] for line in worst["lines"]] == ["not known"] * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not known"), (np.nan, "not known"), (pd.NA, "not known"), (60.0, "60"), (1 / 3, "0.3333"), ("arm", "arm")],
)
def test_values_are_told_as_people_read_them(value, text):
    assert text_of(value) == text


def test_quality_is_of_all_rows_and_in_words(page):
    text = body(page())
    cells = '<td>100</td><td><span class="value">7.500</span> <span class="range">[6.000, 9.000]</span></td>'
    assert f"<th>age_years</th><td>mean absolute error</td>{cells}<td>8.000</td><td>8.200</td>" in text
    assert '<td class="bad">no better than chance</td>' in text and '<td class="good">better than chance</td>' in text
    undefined = text.split("rank correlation")[1].split("</tr>")[0]
    assert "not defined" in undefined and "chance" not in undefined and "nan" not in text
    assert "4.000" not in text  # of the nearest half


def test_quality_of_a_share_is_said_to_be_of_it(page, tables):
    quality = tables["quality"]
    half = body(page(quality=quality[quality["coverage"] < 1]))
    note = "On the nearest 50 % of rows, as far as their true value is known."
    assert note in half and "On the nearest 50 % of rows borrowed metadata are truer" in half and "4.000" in half
    assert "On the nearest" not in body(page()) and "On rows whose true value is known." in body(page())


def test_the_brief_says_what_is_true_and_what_it_is_worth(page):
    lines = re.findall(r"<li>(.*?)</li>", body(page()).split("</ul>")[0])
    assert lines[0] == "age_years: mean absolute error 7.500 [6.000, 9.000], chance 8.000; no better than chance"
    assert lines[1].endswith(": accuracy 0.750 [0.700, 0.800], chance 0.500; better than chance")
    assert lines[2:] == [
        "borrowed metadata against images alone: +0.050 [+0.010, +0.090] in balanced accuracy, outside noise",
        "borrowed metadata against images and the target&#39;s own metadata: -0.100 [-0.200, -0.030] in balanced "
        "accuracy, outside noise",
    ]


def test_worth_stands_below_what_it_compares(page):
    table = body(page()).split("<h2>What is it worth?</h2>")[1].split("</table>")[0]
    values = re.findall(r'<tr><th>([^<]*)</th><td><span class="value">(.*?)</span>', table)
    assert values == [
        ("image alone", "0.600"),
        ("image and own metadata", "0.750"),
        ("image and borrowed metadata", "0.650"),
        ("borrowed metadata minus images alone", "+0.050"),
        ("borrowed metadata minus images and the target&#39;s own metadata", "-0.100"),
    ]
    verdicts = re.findall(r"(within|outside) noise|(not measurable)", table)
    assert verdicts == [("outside", ""), ("within", ""), ("outside", ""), ("", "not measurable")]


def test_fields_that_cannot_be_compared_stand_by_reason(page):
    text = body(page())
    assert "<th>absent from the reference</th><td>fitzpatrick, smoke</td>" in text
    assert "Fields that can't be compared" not in body(page(other_fields=pd.DataFrame(columns=["field", "reason"])))


def test_without_a_comparable_field_the_page_says_that_the_quality_is_not_known(page, tables):
    without = {"quality": tables["quality"].iloc[:0], "cases": tables["cases"].iloc[:0]}
    for pictures in (None, {"best": [], "worst": []}):
        text = page(pictures, **without)
        assert "the quality of this metadata is not known" in body(text)
        assert "Best and worst cases" not in text and "Trusting only the nearest" not in text
        assert "What is it worth?" in text and "How near the nearest is" in text


def test_pictures_are_shown_with_their_values_where_they_may_be(page, pictures):
    text = body(page(pictures))
    assert text.count("<img") == 4 and "<h3>Best</h3>" in text and "<h3>Worst</h3>" in text
    assert "<tr><th>age_years</th><td>42.25</td><td>41.5</td></tr>" in text and "similarity 0.988" in text
    assert "may not be shown" not in text


def test_without_pictures_the_cases_are_a_table_with_a_cell_under_every_heading(page):
    text = body(page(None))
    assert "<img" not in text and "may not be shown" in text
    table = text.split("<th>case</th>")[1].split("</table>")[0]
    headings = re.findall(r"<th>([^<]*), borrowed / true</th>", table)
    assert headings == ["age_years", "site", "symptom.itch"]
    best, worst = re.findall(r"<tr><th>(?:best|worst)</th>(.*?)</tr>", table)
    assert re.findall("<td>(.*?)</td>", worst) == [
        *("0.500", "60 / not known", "arm / not known", "not known / not known")
    ]
    assert re.findall("<td>(.*?)</td>", best)[::3] == ["0.988", "True / False"]


def test_the_histogram_says_what_it_counts(page, tables):
    assert '"one count per target row"' in page()
    folds = tables["borrowed"].assign(partition=["fold_0", "fold_1", "fold_1"])
    assert '"one count per target row and partition"' in page(borrowed=folds)


def test_gain_over_chance_is_1_where_all_is_right_and_0_at_chance(tables):
    figure = _coverage_figure(tables["quality"])
    age, other = figure.data
    np.testing.assert_allclose(age.x, [50, 100])
    np.testing.assert_allclose(age.y, [0.5, 0.0625])  # errors of 4 and 7.5 where chance has 8
    np.testing.assert_allclose(other.y, [0.8, 0.5])  # (0.9 - 0.5) / 0.5, (0.75 - 0.5) / 0.5
    assert other.name == HOSTILE.replace("<", "&lt;").replace(">", "&gt;")


def test_the_page_states_its_level_and_the_number_of_images(page):
    text = body(page(confidence=0.9))
    assert "Each of 3 images of Target" in text and "Brackets are 90 % intervals" in text


@pytest.mark.parametrize("with_pictures", [False, True])
def test_names_are_escaped_and_no_id_is_on_the_page(page, pictures, with_pictures):
    text = page(pictures if with_pictures else None, source=HOSTILE, target=HOSTILE)
    assert "<img src=x" not in text and "<b>mine" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "secret-" not in text and "person-" not in text


@pytest.mark.parametrize("width_px", [390, 1280])
def test_the_page_stands_alone_and_fits_a_phone_and_a_desk(page, pictures, show, width_px):
    many = pd.DataFrame({"field": [f"a_rather_long_field_{n}_mm" for n in range(40)], "reason": "absent"})
    browser = show(page(pictures, source=HOSTILE, target=HOSTILE, other_fields=many), width_px, num_figures=2)
    assert len(browser.find_elements("css selector", ".pair img")) == 4
    show(page(None), width_px, num_figures=2)


def test_without_labels_the_page_says_that_worth_is_not_measured(page, tables):
    text = body(page(results=tables["results"].iloc[:0], worth=tables["worth"].iloc[:0]))
    assert "Not measured: " in text.split("What is it worth?")[1].split("<h2>")[0]
