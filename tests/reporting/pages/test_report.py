"""The page, as text and in a browser."""

import dataclasses
import re
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import pytest

from slimp_pipeline.evaluation.audits.controls import CHANCE, LABELS
from slimp_pipeline.reporting.pages.report import Pictures, Trained, render_page


@pytest.fixture
def page(roles, history, measured, explained, drawn, pictures, splits, lineage):
    def render(
        shown=None,
        confidence=0.95,
        figures=drawn,
        leaks=False,
        max_page_mb=10,
        closer=explained,
        others=pictures,
        **changes,
    ):
        training_rows = splits[["image_id", "patient_id"]]
        parts = [training_rows.assign(partition=name) for name in ("fold_0", "fold_1")]
        trained = Trained(pd.concat(parts), history, lineage)
        tables = dataclasses.replace(measured, **changes)
        shown = others if shown is None else dataclasses.replace(others, gallery=shown)
        given = {"confidence": confidence, "max_page_mb": max_page_mb, "leaks": leaks}
        return render_page(roles, trained, tables, closer, figures, shown, **given)

    return render


def section(text, title):
    """What stands under a heading, up to the next; white space, emphasis and word breaks aside."""
    own = re.split(f"<h2[^>]*>{re.escape(title)}</h2>", text)[1].split("<h2")[0]
    return re.sub(r"\s+", " ", re.sub(r' scope="\w+"|<wbr>', "", own))


def test_the_page_holds_its_numbers_and_calls_rows_without_diagnosis_unlabelled(page, results):
    text = page()
    for value in results.loc[results["draw"] == "all", "value"]:
        assert f"{value:.3f}" in text
    assert '<th scope="row">unlabelled</th><td>2</td>' in text and ">nan<" not in text
    assert "hold-out" in text


def test_rows_without_patient_id_are_said_to_weaken_the_split(page, roles):
    roles[-1].manifest["num_rows_without_patient_id"] = 12
    roles[0].manifest["num_rows_without_patient_id"] = 0
    text = page()
    said = "12 rows have no patient id: each of their lesions counts as a patient of its own"
    assert said in text.split("<h2 ", 1)[0]
    assert section(text, "Split check").count("rows have no patient id") == 1
    roles[-1].manifest["num_rows_without_patient_id"] = 0
    assert "rows have no patient id" not in page()


def test_what_was_not_run_is_not_spoken_of(page, results, differences):
    alone = results[results["method"] == "slimp"].assign(method="flat")
    text = page(results=alone, differences=differences[:0])
    assert "the same model before pre-training" in page() and "the same model before pre-training" not in text
    on_images = page(results=results[results["features"].isin(["image", "metadata"])])
    assert "the same model before pre-training" not in on_images  # no random tokeniser was read
    near = section(text, "Nearest neighbours")
    assert "by flat contrast's image embedding" in near and "SLIMP" not in near


def test_names_of_categories_are_escaped(page):
    text = page()
    assert "<script>alert" not in text and "<img src=x" not in text and "<b>more</b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_no_id_of_an_image_or_patient_is_on_the_page_unless_given(page, gallery):
    text = page()
    assert "secret-" not in text and "person-" not in text
    shown = [[picture | {"image_id": "secret-1"} for picture in row] for row in gallery]
    assert "secret-1" in page(shown)


def test_what_was_put_into_a_fabricated_cohort_stands_beside_what_is_found(page):
    text = page()
    assert "What was put in, is it found?" in text and "0.456" in text and "[0.023, 0.223]" in text


def test_pictures_that_pretraining_saw_under_another_name_are_counted_by_kind(page, measured):
    assert 'class="good">Of the pictures tested on, pre-training saw 0 identical and 0 nearly' in section(
        page(), "Split check"
    )
    pairs = [["a", "x", "near"], ["a", "y", "near"], ["b", "x", "near"], ["c", "z", "same bytes"]]
    seen = pd.DataFrame(pairs, columns=measured.seen_pictures.columns)
    shown = section(page(seen_pictures=seen), "Split check")
    assert 'class="bad">Of the pictures tested on, pre-training saw 1 identical and 2 nearly identical ones' in shown


def test_a_split_that_leaks_is_called_so_at_the_top(page):
    top = page(leaks=True).split("<h2 ", 1)[0]
    assert "and are no results" in top and "patient-disjoint" not in top
    assert "no results" not in page() and "patient-disjoint" in page().split("<h2 ", 1)[0]


def test_a_split_that_leaks_is_called_so_even_if_the_setting_is_forgotten(page, roles):
    fold = roles[-1].splits["fold"].to_numpy(copy=True)
    fold[0] = 1  # the patient's other image stays in fold 0
    roles[-1] = dataclasses.replace(roles[-1], splits=roles[-1].splits.assign(fold=fold))
    assert "and are no results" in page().split("<h2 ", 1)[0]


def test_a_page_without_gallery_has_no_pictures(page):
    page = partial(page, others=Pictures([], [], [], []))
    assert "Nearest neighbours" not in page([]) and "<img" not in page([]).split("</script>", 1)[1]


def test_the_level_of_the_intervals_is_the_one_given(page):
    assert "Brackets are 95 % intervals" in page()
    assert "Brackets are 90 % intervals" in page(confidence=0.9)
    assert "Brackets are 99.9 % intervals" in page(confidence=0.999)


def test_retrieval_stands_beside_chance(page, results):
    own = section(page(), "Retrieval")
    assert (
        "<summary>image to images of its diagnosis</summary>" in own
        and "<summary>image to lesion fields</summary>" in own
    )
    assert own.index("<th>SLIMP</th>") < own.index("<th>random init</th>") < own.index("<th>chance</th>")
    assert '<span class="value">0.310</span> <span class="range">[0.260, 0.370]</span>' in own
    assert "<h2>Retrieval</h2>" not in page(results=results)


def test_what_is_read_of_the_target_is_told_with_its_doubts_unless_it_is_everything(page, read):
    own = section(page(), "What the source's encoders read")
    assert "Of the source's 3 fields the target has 2: age_years, diameter_mm." in own
    assert '<p class="bad">diameter_mm: other units?' in own and own.count('class="bad"') == 1
    assert "encoders read" not in page(fields_read=read[:1])
    nothing = section(page(fields_read=read[2:]), "What the source's encoders read")
    assert "Of the source's 1 fields the target has 0." in nothing


def test_adapted_encoders_are_spoken_of_where_there_are_some(page, results):
    adapted = results[results["method"] == "slimp"].assign(method="slimp_adapted")
    said = "adapted encoders read the target's own fields"
    assert said in section(page(results=pd.concat([results, adapted])), "What the source's encoders read")
    assert said not in page()


def test_where_source_and_target_are_one_cohort_fields_without_a_value_are_not_read(page, roles):
    roles[0].manifest["cohort"] = roles[-1].manifest["cohort"]
    text = page()
    own = section(text, "What the encoders read")
    assert "Of the cohort's 3 fields 2 have a known value: age_years, diameter_mm." in own
    assert "source's encoders" not in text and "the target has" not in text


def test_fields_whose_gaps_tell_the_label_are_named(page, missingness):
    own = section(page(), "What missing fields tell")
    assert "tells the label: diameter_mm. A result" in own
    assert '<td class="bad"><span class="value">0.734</span> <span class="range">[0.656, 0.812]' in own
    assert "<th>diameter_mm</th><td>lesion</td><td>30.0%</td><td>0.0%</td><td>45.0%</td>" in own
    assert "is not shown of: quiet" in own.split("<table")[0]
    wide = section(page(missingness=missingness[:2]), "What missing fields tell")
    assert (
        "is not shown of: quiet" in wide
        and "beyond an AUROC of 0.6, or" in wide
        and 'class="bad"' not in wide
        and "No field" not in wide
    )
    narrow = missingness[:2].assign(ci_high=0.59)
    quiet = section(page(missingness=narrow), "What missing fields tell")
    assert 'class="good">No field' in quiet and "beyond an AUROC of 0.6." in quiet and 'class="bad"' not in quiet


def test_no_missing_field_and_nothing_measured_are_told_apart(page, missingness):
    none = section(page(missingness=missingness[:1]), "What missing fields tell")
    assert "Every field is known in all labelled rows, or in none." in none and "<table" not in none
    empty = section(page(missingness=missingness[:0]), "What missing fields tell")
    assert "Not measured" in empty and "Every field is known" not in empty


def test_groups_of_patients_are_shown_with_their_sizes(page, subgroups):
    own = section(page(), "Groups of patients")
    assert "SLIMP, linear probe on image features" in own
    assert "<summary>sex</summary>" in own and "<summary>age, years</summary>" in own
    assert '<th>female</th><td>3</td><td>7</td><td colspan="2">too small</td>' in own
    assert '<th>not known</th><td>22</td><td>40</td><td><span class="value">0.520</span>' in own
    assert "Blank: no fold of the group can be measured so, as where it holds one class alone." in own
    small = subgroups[subgroups["too_small"]]
    assert '<td colspan="1">too small</td>' in section(page(subgroups=small), "Groups of patients")
    assert "<h2>Groups of patients</h2>" not in page(subgroups=subgroups[:0])


def test_a_page_of_many_pictures_stays_below_its_cap_and_says_what_it_left_out(page, gallery):
    picture = gallery[0][0] | {"src": "data:image/jpeg;base64," + "A" * 20_000}
    text = page([[picture] * 5] * 100)
    assert 9_800_000 < len(text.encode()) <= 10_000_000
    shown = text.count('<div class="row"><figure><img')
    assert 30 < shown < 60
    assert f"Left out: {100 - shown} of 100, for the page is held below 10 MB; all are in gallery.json." in text
    assert "Left out" not in page()
    none = page([[picture | {"src": picture["src"] * 100}] * 5])
    assert "Left out: 1 of 1," in section(none, "Nearest neighbours") and len(none) < 6_000_000


def test_rows_and_lineage_are_told(page):
    rows = section(page(), "Rows in, out and quarantined")
    assert '<th>with an image</th><td class="text">no image</td><td>57</td><td>12</td><td>45</td>' in rows
    assert "abcdef-modified" in section(page(), "What this page rests on")


def test_a_figure_without_data_is_left_out(page, drawn):
    figures = drawn | {"robustness": go.Figure(layout={"title": "Nothing on it"})}
    assert "Nothing on it" not in page(figures=figures)
    assert "Linear probe" in page(figures=figures)


@pytest.mark.parametrize("width_px", [390, 1280])
def test_the_page_stands_alone_and_fits_a_phone_and_a_desk(page, show, width_px):
    browser = show(page(), width_px, num_figures=10)
    assert len(browser.find_elements("css selector", "table")) >= 12
    assert len(browser.find_elements("css selector", ".gallery img")) == 15
    assert browser.find_elements("css selector", "table th")[0].is_displayed()


@pytest.mark.parametrize("width_px", [390, 690, 820, 1280])
def test_values_of_a_record_have_room_for_a_word_at_every_width(page, pictures, show, width_px):
    (query,) = pictures.pair_gallery
    record = {"record": [{"field": "skin_cancer_history", "value": "ABDOMEN"}], "num_unknown": 2, "is_own": False}
    others = dataclasses.replace(pictures, pair_gallery=[query | {"results": [record] * 4}])
    browser = show(page(others=others), width_px, num_figures=10)
    lines = "const text = document.createRange(); text.selectNodeContents(value); return text.getClientRects().length"
    count = f"return [...document.querySelectorAll('.pairs dd')].map((value) => {{ {lines} }})"
    assert browser.execute_script(count) == [1] * 4


def test_what_probes_rest_on_is_said_before_its_table(page):
    own = section(page(), "What the probes rest on")
    said = "SLIMP, image + lesion + patient: balanced accuracy drops outside noise as one of these is permuted:"
    assert f"{said} <b>diameter_mm</b>." in own
    assert "<th>diameter_mm</th><td>lesion</td>" in own and "&lt;script&gt;" in own


def test_a_single_draw_is_one(page, explained):
    once = dataclasses.replace(
        explained, importance=explained.importance.assign(num_draws=1), controls=explained.controls.assign(num_draws=1)
    )
    text = page(closer=once)
    assert text.count("(1 draw)") == 2 and "(1 draws)" not in text


def test_the_control_says_whether_the_gain_is_one(page):
    own = section(page(), "Controls: strangers' metadata, shuffled labels")
    assert 'class="good">SLIMP: Metadata add +0.200 [+0.100, +0.300]' in own and "fused, shuffled minus image" in own


def test_shuffled_labels_raise_no_alarm_by_a_single_draw(page, explained):
    taught = explained.controls[:1].assign(compared=LABELS, reference=CHANCE, metric="macro_auroc", num_draws=1)
    own = section(
        page(closer=dataclasses.replace(explained, controls=pd.concat([explained.controls, taught]))),
        "Controls: strangers' metadata, shuffled labels",
    )
    assert "On average over draws a probe that was taught shuffled labels tells classes no better than chance" in own
    assert "over many draws hints at a leak" in own and "from chance (draws: 1)." in own
    assert "On average over draws" not in page()


def test_the_worst_group_stands_above_the_groups(page, subgroups):
    own = section(page(), "Groups of patients")
    assert "Worst group</b>, SLIMP on image features:" in own and "20 patients" in own
    assert "Not measured, too few patients: sex female (3)" in own
    small = section(page(subgroups=subgroups[subgroups["too_small"]]), "Groups of patients")
    assert "No group of patients is large enough" in small


def test_patients_pairs_and_maps_are_shown_with_what_they_mean(page):
    patients = section(page(), "Patients, lesion by lesion")
    assert "<h3>Patient A</h3>" in patients and "4 lesions, 6 pictures, 4 shown; 1 stands out." in patients
    assert patients.count("<img") == 4 and patients.count('class="stands-out"') == 1
    pairs = section(page(), "Pictures and metadata that find one another")
    assert "image to metadata: own partner at place 3 of 17" in pairs and pairs.count("own partner</p>") == 1
    saliency = section(page(), "What speaks for the predicted class")
    assert "correlate by 0.25" in saliency and saliency.count("<img") == 3 and "What a map doesn't show" in saliency


def test_a_section_without_pictures_says_why(page, roles):
    nothing = Pictures([], [], [], [])
    titles = (
        "Patients, lesion by lesion",
        "Pictures and metadata that find one another",
        "What speaks for the predicted class",
    )
    for title in titles:
        assert "None to show" in section(page(others=nothing), title)
    roles[-1].manifest["open_licence"] = False
    for title in titles:
        own = section(page(others=nothing), title)
        assert "licence doesn't let pictures be shown" in own and "<img" not in own


def test_what_was_not_measured_is_said_not_to_be(page, explained, drawn):
    nothing = dataclasses.replace(
        explained,
        importance=explained.importance[:0],
        controls=explained.controls[:0],
        field_reading=explained.field_reading[:0],
        saliency=explained.saliency[:0],
    )
    figures = {name: figure for name, figure in drawn.items() if name not in ("importance", "phenotype_map")}
    text = page(closer=nothing, figures=figures)
    assert "Not measured: the probes read no metadata field" in section(text, "What the probes rest on")
    assert "Not measured: the encoder reads no metadata" in section(
        text, "Controls: strangers' metadata, shuffled labels"
    )
    assert "No map: the encoder's objective trains no phenotype" in section(text, "Phenotypes of the patients")
    assert "Fields in the image" not in text and "Fields in the image" in page()


def test_a_result_that_has_the_same_metadata_but_is_another_lesion_is_no_own_partner(page, pictures):
    (query,) = pictures.pair_gallery
    results = [query["results"][-1] | {"is_own": True, "is_query": own} for own in (False, True)]
    text = page(others=dataclasses.replace(pictures, pair_gallery=[query | {"results": results}]))
    own = section(text, "Pictures and metadata that find one another")
    assert own.index("the same metadata</p>") < own.index("own partner</p>") and own.count("</p></figure>") == 2


def test_counts_of_diagnoses_say_that_they_are_of_all_rows(page):
    assert "Diagnoses, of all rows" in section(page(), "Data")


def test_leaks_that_were_found_are_said_to_be(page, explained):
    assert 'class="good">No test patient' in section(page(), "Leak audit")
    found = dataclasses.replace(explained, leaks=explained.leaks.assign(found=[0, 2]))
    own = section(page(closer=found), "Leak audit")
    assert "may have been seen" in own and '<td class="bad">2</td>' in own


def test_how_results_are_qualified_stands_at_the_top(page, results, roles):
    cohort = roles[-1].manifest["cohort"]
    assert "All results here are" not in page(results=results.assign(cohort=cohort))
    text = page(results=results.assign(cohort=f"{cohort} (by lesion)"))
    assert f"All results here are {cohort} (by lesion)." in text.partition("In brief")[0]
