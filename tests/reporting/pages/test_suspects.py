"""The page of suspects, in a real browser: what is clicked is what the decision file says."""

import csv
import io
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.quality.suspects import SUSPECT_COLUMNS
from slimp_pipeline.reporting.pages.suspects import render_suspects
from slimp_pipeline.tables.decisions import apply_decisions

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
IDS = [HOSTILE, "=1+1", "plain", 'a,"b"', "é ü"]
MANIFEST = {"title": "Clinic & <b>more</b>", "cohort": "clinic"}
PAIR, OTHER_PAIR, BLURRED = 0, 1, 2  # cards


class Store:
    """Pictures of noise, which no compression makes small."""

    def encoded(self, index):
        buffer = io.BytesIO()
        noise = np.random.default_rng(index).integers(0, 255, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, "PNG")
        return buffer.getvalue()


def lesions_of(ids):
    diagnosis = [f"nevus {HOSTILE}", None, *["nevus"] * (len(ids) - 2)]
    return pd.DataFrame({"image_id": ids, "diagnosis": diagnosis, "store_index": range(len(ids))})


def suspects_of(*rows):
    table = pd.DataFrame(rows, columns=["kind", "rank", "image_id", "other_image_id", "why", "relation"])
    return table.assign(score=1.0, hash_distance_bits=pd.NA, embedding_distance=np.nan)[SUSPECT_COLUMNS]


@pytest.fixture(scope="module")
def page():
    suspects = suspects_of(
        ("near_duplicate", 1, IDS[0], IDS[1], "the same bytes; different patients", "different patients"),
        ("near_duplicate", 2, IDS[1], IDS[2], f"hashes 3 {HOSTILE}", "same lesion"),
        ("blurred", 1, IDS[2], "", "a mean takes away 0.10 of its detail", ""),
        ("wrong_label", 1, IDS[3], IDS[4], "labelled nevus", ""),
    )
    return render_suspects(MANIFEST, lesions_of(IDS), Store(), suspects, "initial_weights", 10)


@pytest.fixture
def opened(show, page, tmp_path):
    browser = show(page, 1200, 0)
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    yield browser
    browser.execute_script("changed = false")  # else the page would ask whether it may be left


def figure(browser, card, place):
    return browser.find_elements("css selector", ".suspect")[card].find_elements("css selector", "figure")[place]


def choose(browser, card, place, decision):
    figure(browser, card, place).find_element("css selector", f"input[value='{decision}']").click()


def chosen(browser, card, place):
    """What a picture's buttons show, and its note."""
    own = figure(browser, card, place)
    radios = own.find_elements("css selector", "input[type=radio]")
    (value,) = [radio.get_attribute("value") for radio in radios if radio.is_selected()] or ["-"]
    return value, own.find_element("css selector", "input[type=text]").get_property("value")


def downloaded(browser, tmp_path):
    browser.find_element("id", "download").click()
    path = tmp_path / "downloads/decisions_clinic.csv"
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_page_stands_alone_and_hostile_ids_are_texts(show, page):
    for width_px in (1200, 390):
        browser = show(page, width_px, 0)
        captions = [caption.text for caption in browser.find_elements("css selector", "figcaption")]
        assert captions[0] == f"{HOSTILE}\nnevus {HOSTILE}" and captions[1] == "=1+1\nunlabelled"
        assert browser.find_element("css selector", "h1").text == "Suspects of Clinic & <b>more</b>"
        assert not browser.find_elements("css selector", "img[onerror], figcaption script, .suspect script")
        assert len(browser.find_elements("css selector", "img[src^='data:image/jpeg']")) == 7
    assert browser.find_element("css selector", ".learnt").text == (
        "In brief. 1 pair of pictures has the same bytes, 1 of them two patients'; 2 near duplicates, 1 blurred "
        "pictures, 1 doubtful labels are ranked, the most suspicious first: far from all are faults."
    )
    assert "5 pictures were compared" in browser.find_element("css selector", "header").text


def test_the_page_cannot_send_a_request_even_where_a_script_asks_for_one(opened):
    asked = (
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), error => done(String(error)))"
    )
    assert "TypeError" in opened.execute_async_script(asked)
    violations = [entry["message"] for entry in opened.get_log("browser")]
    assert any("Content Security Policy" in message for message in violations)


def test_the_decision_file_is_what_was_clicked_and_ingest_follows_it(opened, tmp_path):
    button = opened.find_element("id", "download")
    assert not button.is_enabled()
    choose(opened, PAIR, 0, "duplicate_of")
    choose(opened, PAIR, 1, "keep")
    choose(opened, BLURRED, 0, "drop")
    note = figure(opened, BLURRED, 0).find_element("css selector", "input[type=text]")
    note.send_keys('a "ruler", blurred\t')  # the tab leaves the field
    choose(opened, 3, 0, "wrong_label")
    choose(opened, 3, 1, "keep")
    choose(opened, 3, 1, "")
    assert opened.find_element("id", "status").text == "4 of 5 images are decided."
    path = downloaded(opened, tmp_path)
    assert rows_of(path) == [
        ["image_id", "decision", "note"],
        [HOSTILE, "duplicate_of", "'=1+1"],
        ["'=1+1", "keep", ""],
        ["plain", "drop", 'a "ruler", blurred'],
        ['a,"b"', "wrong_label", ""],
    ]
    rows = pd.DataFrame({"image_id": IDS, "diagnosis": "nevus", "malignant": pd.array([False] * 5, dtype="boolean")})
    reading = Reading(rows, pd.DataFrame(columns=COLUMNS), {"notes": []})
    decided = apply_decisions(reading, path)
    assert decided.rows["image_id"].tolist() == ["=1+1", 'a,"b"', "é ü"]
    assert decided.rows["diagnosis"].isna().tolist() == [False, True, False]


def test_an_image_shows_the_same_wherever_it_stands(opened):
    choose(opened, OTHER_PAIR, 1, "drop")
    assert chosen(opened, BLURRED, 0) == ("drop", "")
    choose(opened, PAIR, 1, "duplicate_of")
    assert chosen(opened, PAIR, 1) == ("duplicate_of", "")
    assert chosen(opened, OTHER_PAIR, 0) == ("-", f"duplicate of {HOSTILE}")  # of another one than beside it
    choose(opened, OTHER_PAIR, 0, "keep")
    assert chosen(opened, PAIR, 1) == ("keep", "")


def test_of_two_pictures_only_one_can_be_the_duplicate(opened):
    choose(opened, PAIR, 0, "duplicate_of")
    choose(opened, PAIR, 1, "duplicate_of")
    assert chosen(opened, PAIR, 0)[0] == "" and chosen(opened, PAIR, 1)[0] == "duplicate_of"


def test_keys_alone_are_enough(opened, tmp_path):
    keys = pytest.importorskip("selenium.webdriver").ActionChains
    press = lambda text: keys(opened).send_keys(text).perform()  # noqa: E731
    opened.execute_script("document.body.focus()")
    for text in ("n", "o", "n", "k", "n", "d", "p", "p", "n", "n", "n", "w"):
        press(text)
    opened.switch_to.active_element.send_keys("\t")  # on to the note
    press("know")  # letters now
    press("\t")
    path = downloaded(opened, tmp_path)
    assert rows_of(path)[1:] == [
        [HOSTILE, "duplicate_of", "'=1+1"],
        ["'=1+1", "keep", ""],
        ["plain", "drop", ""],
        ['a,"b"', "wrong_label", "know"],
    ]


def test_a_decision_file_is_gone_on_with_and_what_the_page_doesnt_show_is_kept(opened, tmp_path):
    earlier = tmp_path / "earlier.csv"
    lines = ["image_id,decision,note", 'plain,keep,"twice, looked\r\nat"', "gone,drop,", "'=1+1,,"]
    earlier.write_text(
        "\ufeff" + "\r\n".join([*lines, f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",duplicate_of,\'=1+1'])
    )
    opened.find_element("id", "load").send_keys(str(earlier))
    deadline = time.monotonic() + 10
    while "2 of 5" not in opened.find_element("id", "status").text and time.monotonic() < deadline:
        time.sleep(0.05)
    assert opened.find_element("id", "status").text == ("2 of 5 images are decided, and 1 that this page doesn't show.")
    assert chosen(opened, PAIR, 0)[0] == "duplicate_of" and chosen(opened, BLURRED, 0)[0] == "keep"
    opened.find_element("id", "hide").click()
    shown = [card.is_displayed() for card in opened.find_elements("css selector", ".suspect")]
    assert shown == [True, True, False, True]
    choose(opened, PAIR, 1, "keep")
    assert rows_of(downloaded(opened, tmp_path))[1:] == [
        ["plain", "keep", "twice, looked\r\nat"],
        ["gone", "drop", ""],
        [HOSTILE, "duplicate_of", "'=1+1"],
        ["'=1+1", "keep", ""],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,verdict\na,b\n", "This is no decision file: it needs the columns image_id, decision, note."),
        ("image_id,decision,note\nplain,keep,\nx,dropp,\n", "Row 3: 'dropp' is no decision. Nothing was taken over."),
        ("", "This is no decision file: it needs the columns image_id, decision, note."),
    ],
)
def test_a_file_that_is_no_decision_file_is_refused_whole(opened, tmp_path, text, said):
    (tmp_path / "wrong.csv").write_text(text)
    opened.find_element("id", "load").send_keys(str(tmp_path / "wrong.csv"))
    deadline = time.monotonic() + 10
    while opened.find_element("id", "status").text != said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert opened.find_element("id", "status").text == said
    assert not opened.find_element("id", "download").is_enabled()


def test_a_page_of_many_suspects_is_held_below_its_cap_and_says_so():
    ids = [f"{'i' * 2000}{n}" for n in range(300)]  # long enough that markup counts
    suspects = suspects_of(
        *(("near_duplicate", n + 1, ids[n], ids[n + 1], "near", "same lesion") for n in range(200)),
        *(("blurred", n + 1, ids[n], "", "blurred", "") for n in range(3)),
    )
    page = render_suspects(MANIFEST, lesions_of(ids), Store(), suspects, "slimp", 1)
    assert 600_000 < len(page.encode()) <= 1_000_000
    num_pairs = page.count('aria-label="Near duplicates, ')
    assert 5 < num_pairs < 200 and page.count('aria-label="Blurred pictures, ') == 3  # every kind is there
    assert f"Shown are the first {num_pairs} of 200: the page is held below 1 MB" in page
    assert all(f'aria-label="Near duplicates, {rank}"' in page for rank in range(1, num_pairs + 1))


def test_a_cohort_without_suspects_has_a_page_that_says_so():
    page = render_suspects(MANIFEST, lesions_of(IDS), Store(), suspects_of(), "slimp", 10)
    assert (
        "No suspect was found." in page and "No two pictures have the same bytes; nothing else is suspicious." in page
    )
